//! The values of a column in a group of rows: its pages.

use std::{io::Read as _, sync::Arc};

use crate::{
    compact::{Field, Fields, Input, Read as _},
    error::{Error, Result, damaged},
    levels::{decode, width_of},
    schema::{Kind, Leaf},
    snappy,
    value::Value,
};

/// Where a column of a group of rows is in the file.
#[derive(Clone, Debug)]
pub(crate) struct Chunk {
    pub(crate) start: u64,
    pub(crate) length: usize,
    entries: usize,
    codec: i64,
}

impl Chunk {
    /// From the metadata of the column.
    pub(crate) fn of(fields: &Fields) -> Result<Self> {
        if fields.text(1).is_some() {
            return Err(Error::Unsupported { what: "a column in another file".into(), instead: "all columns in one file" });
        }
        let meta = fields.inner(3).ok_or_else(|| damaged("a column has no metadata"))?;
        let data = meta.needed(9, "offset of a column")?;
        let start = meta.int(11).filter(|&dictionary| dictionary > 0 && dictionary < data).unwrap_or(data);
        let start = u64::try_from(start).map_err(|_| damaged("a column has a negative offset"))?;
        let (length, entries) = (meta.size(7, "length of a column")?, meta.size(5, "number of values")?);
        Ok(Self { start, length, entries, codec: meta.needed(4, "codec")? })
    }
}

/// The decoded entries of a column in a group of rows.
#[derive(Debug, Default)]
pub(crate) struct Column {
    /// The definition level of each entry. Empty if all are defined.
    pub(crate) defined: Vec<u32>,
    /// The repetition level of each entry. Empty without lists.
    pub(crate) repeated: Vec<u32>,
    /// Those of defined entries.
    pub(crate) values: Vec<Value>,
    pub(crate) entries: usize,
}

impl Column {
    pub(crate) fn read(bytes: &[u8], leaf: &Leaf, chunk: &Chunk) -> Result<Self> {
        let mut column = Self::default();
        let mut dictionary = Vec::new();
        let mut rest = bytes;
        while column.entries < chunk.entries {
            let mut input = Input::new(rest);
            let header = input.fields(0)?;
            let length = header.size(3, "length of a page")?;
            let end = input.position.checked_add(length).filter(|&end| end <= rest.len());
            let end = end.ok_or_else(|| damaged(format!("column `{}` ends too early", leaf.path)))?;
            let page = Page { header: &header, bytes: &rest[input.position..end], codec: chunk.codec };
            page.check()?;
            match header.needed(1, "kind of a page")? {
                2 => dictionary = page.dictionary(leaf)?,
                0 => page.older(leaf, &dictionary, &mut column)?,
                3 => page.newer(leaf, &dictionary, &mut column)?,
                // An index.
                _ => {}
            }
            rest = &rest[end..];
        }
        Ok(column)
    }

    fn add(&mut self, entries: usize, levels: [Option<Vec<u32>>; 2], values: Vec<Value>) {
        let [repeated, defined] = levels;
        self.entries += entries;
        self.repeated.extend(repeated.unwrap_or_default());
        self.defined.extend(defined.unwrap_or_default());
        self.values.extend(values);
    }
}

struct Page<'a> {
    header: &'a Fields,
    bytes: &'a [u8],
    codec: i64,
}

const RLE: i64 = 3;

impl Page<'_> {
    fn check(&self) -> Result<()> {
        let Some(expected) = self.header.int(4) else { return Ok(()) };
        if expected as u32 == crc32fast::hash(self.bytes) { Ok(()) } else { Err(damaged("a page does not have its checksum")) }
    }

    fn inner(&self, id: i16) -> Result<&Fields> {
        self.header.inner(id).ok_or_else(|| damaged("a page has no header of its kind"))
    }

    fn unpacked(&self, packed: &[u8], length: usize) -> Result<Vec<u8>> {
        match self.codec {
            0 if packed.len() == length => Ok(packed.to_vec()),
            0 => Err(damaged("a page has another length than it says")),
            1 => snappy::unpack(packed, length),
            2 => {
                let mut out = Vec::new();
                // One byte more than expected is found, and no more.
                flate2::read::MultiGzDecoder::new(packed).take(length as u64 + 1).read_to_end(&mut out)?;
                if out.len() == length { Ok(out) } else { Err(damaged("a page has another length than it says")) }
            }
            other => {
                let name = ["LZO", "Brotli", "LZ4", "Zstandard", "LZ4"].get((other - 3).max(0) as usize).copied().unwrap_or("unknown");
                Err(Error::Unsupported { what: format!("the compression {name}"), instead: "Snappy, gzip or no compression" })
            }
        }
    }

    fn dictionary(&self, leaf: &Leaf) -> Result<Vec<Value>> {
        let header = self.inner(7)?;
        let (count, bytes) = (header.size(1, "number of values")?, self.unpacked(self.bytes, self.header.size(2, "length of a page")?)?);
        plain(&bytes, leaf, count)
    }

    fn older(&self, leaf: &Leaf, dictionary: &[Value], column: &mut Column) -> Result<()> {
        let header = self.inner(5)?;
        let entries = header.size(1, "number of values")?;
        let bytes = self.unpacked(self.bytes, self.header.size(2, "length of a page")?)?;
        let mut rest = bytes.as_slice();
        let mut levels = [None, None];
        for (levels, largest, encoding) in levels.iter_mut().zip([(leaf.repeated, 4), (leaf.defined, 3)]).map(|(l, (a, b))| (l, a, b)) {
            if largest == 0 {
                continue;
            }
            if header.int(encoding) != Some(RLE) {
                return Err(Error::Unsupported { what: "an old encoding of levels".into(), instead: "a newer program" });
            }
            let (own, others) = with_length(rest)?;
            *levels = Some(decode(own, width_of(largest), entries)?);
            rest = others;
        }
        add(leaf, (entries, levels), (header.needed(2, "encoding")?, rest), dictionary, column)
    }

    fn newer(&self, leaf: &Leaf, dictionary: &[Value], column: &mut Column) -> Result<()> {
        let header = self.inner(8)?;
        let entries = header.size(1, "number of values")?;
        let (of_defined, of_repeated) = (header.size(5, "length of levels")?, header.size(6, "length of levels")?);
        let before = of_defined.saturating_add(of_repeated);
        if before > self.bytes.len() {
            return Err(damaged("the levels of a page are longer than the page"));
        }
        let (repeated, rest) = self.bytes.split_at(of_repeated);
        let (defined, packed) = rest.split_at(of_defined);
        let of = |bytes: &[u8], largest: u32| (largest > 0).then(|| decode(bytes, width_of(largest), entries)).transpose();
        let levels = [of(repeated, leaf.repeated)?, of(defined, leaf.defined)?];
        let length = self.header.size(2, "length of a page")?.saturating_sub(before);
        let is_packed = header.get(&7) != Some(&Field::Bool(false)) && !(packed.is_empty() && length == 0);
        let values = if is_packed { self.unpacked(packed, length)? } else { packed.to_vec() };
        add(leaf, (entries, levels), (header.needed(4, "encoding")?, &values), dictionary, column)
    }
}

/// Adds the values of a page with this encoding.
fn add(
    leaf: &Leaf,
    (entries, levels): (usize, [Option<Vec<u32>>; 2]),
    (encoding, bytes): (i64, &[u8]),
    dictionary: &[Value],
    column: &mut Column,
) -> Result<()> {
    let count = levels[1].as_ref().map_or(entries, |levels| levels.iter().filter(|level| **level == leaf.defined).count());
    let values = match encoding {
        0 => plain(bytes, leaf, count)?,
        2 | 8 if count == 0 => Vec::new(),
        2 | 8 => {
            let (&width, indices) = bytes.split_first().ok_or_else(|| damaged("a page has no values"))?;
            let value = |index: u32| dictionary.get(index as usize).cloned().ok_or_else(|| damaged("a value is not in its dictionary"));
            decode(indices, u32::from(width), count)?.into_iter().map(value).collect::<Result<_>>()?
        }
        RLE if leaf.kind == Kind::Bool => decode(with_length(bytes)?.0, 1, count)?.into_iter().map(|bit| Value::Bool(bit == 1)).collect(),
        other => {
            let names = [(5, "DELTA_BINARY_PACKED"), (6, "DELTA_LENGTH_BYTE_ARRAY"), (7, "DELTA_BYTE_ARRAY"), (9, "BYTE_STREAM_SPLIT")];
            let name = names.iter().find(|(number, _)| *number == other).map_or("unknown", |(_, name)| name);
            let what = format!("the encoding {name} of column `{}`", leaf.path);
            return Err(Error::Unsupported { what, instead: "the encodings PLAIN and dictionary" });
        }
    };
    column.add(entries, levels, values);
    Ok(())
}

/// Bytes with their length in front, and those after them.
fn with_length(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| damaged("a page ends too early"))?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(|| damaged("a page ends too early"))
}

fn plain(bytes: &[u8], leaf: &Leaf, count: usize) -> Result<Vec<Value>> {
    fn each<const N: usize>(bytes: &[u8], count: usize, value: impl Fn([u8; N]) -> Value) -> Option<Vec<Value>> {
        let all = bytes.get(..count.checked_mul(N)?)?;
        Some(all.as_chunks::<N>().0.iter().map(|chunk| value(*chunk)).collect())
    }
    let early = || damaged(format!("column `{}` ends too early", leaf.path));
    let values = match leaf.kind {
        Kind::Bool => {
            let bit = |index: usize| Some(Value::Bool(bytes.get(index / 8)? >> (index % 8) & 1 == 1));
            (0..count).map(bit).collect()
        }
        Kind::Int32 { is_signed: true } => each(bytes, count, |bytes| Value::Int(i64::from(i32::from_le_bytes(bytes)))),
        Kind::Int32 { is_signed: false } => each(bytes, count, |bytes| Value::Unsigned(u64::from(u32::from_le_bytes(bytes)))),
        Kind::Int64 { is_signed: true } => each(bytes, count, |bytes| Value::Int(i64::from_le_bytes(bytes))),
        Kind::Int64 { is_signed: false } => each(bytes, count, |bytes| Value::Unsigned(u64::from_le_bytes(bytes))),
        Kind::Single => each(bytes, count, |bytes| Value::Single(f32::from_le_bytes(bytes))),
        Kind::Double => each(bytes, count, |bytes| Value::Float(f64::from_le_bytes(bytes))),
        Kind::Fixed(length) => {
            let all = count.checked_mul(length).and_then(|all| bytes.get(..all));
            all.map(|all| (0..count).map(|index| Value::Bytes(all[index * length..(index + 1) * length].into())).collect())
        }
        Kind::Bytes { is_text } => {
            let mut values = Vec::new();
            let mut rest = bytes;
            for _ in 0..count {
                let (own, others) = with_length(rest).map_err(|_| early())?;
                rest = others;
                values.push(if is_text {
                    let text = std::str::from_utf8(own).map_err(|_| damaged(format!("a string of column `{}` is not UTF-8", leaf.path)))?;
                    Value::Text(Arc::from(text))
                } else {
                    Value::Bytes(own.into())
                });
            }
            Some(values)
        }
    };
    values.ok_or_else(early)
}
