//! The rows of a file.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

use crate::{
    assemble::Group,
    column::{Chunk, Column},
    compact::{Input, Read as _},
    error::{Error, Result, damaged},
    schema::Schema,
    value::Value,
};

const MAGIC: &[u8; 4] = b"PAR1";

/// Bytes that are read at any position.
pub trait Source: Send {
    /// Number of bytes.
    fn length(&self) -> io::Result<u64>;

    /// The bytes from a position on.
    fn bytes_at(&mut self, position: u64, length: usize) -> io::Result<Vec<u8>>;
}

impl Source for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn bytes_at(&mut self, position: u64, length: usize) -> io::Result<Vec<u8>> {
        self.seek(SeekFrom::Start(position))?;
        let mut bytes = Vec::new();
        self.take(length as u64).read_to_end(&mut bytes)?;
        if bytes.len() == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

impl Source for Vec<u8> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn bytes_at(&mut self, position: u64, length: usize) -> io::Result<Vec<u8>> {
        let start = usize::try_from(position).map_err(io::Error::other)?;
        let found = start.checked_add(length).and_then(|end| self.get(start..end));
        found.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

impl Source for Box<dyn Source> {
    fn length(&self) -> io::Result<u64> {
        (**self).length()
    }

    fn bytes_at(&mut self, position: u64, length: usize) -> io::Result<Vec<u8>> {
        (**self).bytes_at(position, length)
    }
}

/// Reads the rows of a file in their order. One group of rows is in memory.
pub struct Reader<S> {
    source: S,
    schema: Schema,
    rows: u64,
    /// The columns and the number of rows of the groups that were not read yet.
    groups: std::vec::IntoIter<(Vec<Chunk>, usize)>,
    group: Option<Group>,
}

impl<S: Source> Reader<S> {
    /// Reads the metadata.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, or uses what this crate does not read.
    pub fn open(mut source: S) -> Result<Self> {
        let length = source.length()?;
        let tail = if length < 12 { Vec::new() } else { source.bytes_at(length - 8, 8)? };
        if tail.get(4..) != Some(MAGIC) {
            let is_encrypted = tail.get(4..) == Some(b"PARE");
            return Err(if is_encrypted {
                Error::Unsupported { what: "an encrypted file".into(), instead: "no encryption" }
            } else {
                damaged("it does not end as a Parquet file, so it is another file or truncated")
            });
        }
        let size = tail.first_chunk::<4>().map_or(0, |size| u32::from_le_bytes(*size));
        let start = (length - 8).checked_sub(u64::from(size)).filter(|start| *start >= 4);
        let start = start.ok_or_else(|| damaged("its metadata is longer than the file"))?;
        let bytes = source.bytes_at(start, size as usize)?;
        let meta = Input::new(&bytes).fields(0)?;
        let schema = Schema::of(meta.list(2))?;
        let mut groups = Vec::new();
        let mut rows = 0;
        for group in meta.list(4) {
            let group = group.fields()?;
            let columns = group.list(1).iter().map(|column| Chunk::of(column.fields()?)).collect::<Result<Vec<_>>>()?;
            if columns.len() != schema.leaves.len() {
                return Err(damaged(format!("a group of rows has {} of {} columns", columns.len(), schema.leaves.len())));
            }
            let count = group.size(3, "number of rows")?;
            rows += count as u64;
            groups.push((columns, count));
        }
        if u64::try_from(meta.needed(3, "number of rows")?) != Ok(rows) {
            return Err(damaged("its groups have another number of rows than the file"));
        }
        Ok(Self { source, schema, rows, groups: groups.into_iter(), group: None })
    }

    /// Number of rows in the file.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The next row. `None` after the last one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    #[expect(clippy::should_implement_trait, reason = "an error ends the rows, so an iterator of results would promise more")]
    pub fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(group) = &mut self.group
                && let Some(row) = group.next(&self.schema)?
            {
                return Ok(Some(row));
            }
            let Some((chunks, rows)) = self.groups.next() else {
                self.group = None;
                return Ok(None);
            };
            let mut columns = Vec::with_capacity(chunks.len());
            for (chunk, leaf) in chunks.iter().zip(&self.schema.leaves) {
                let end = chunk.start.checked_add(chunk.length as u64);
                if end.is_none_or(|end| self.source.length().is_ok_and(|length| end > length)) {
                    return Err(damaged(format!("column `{}` is past the end of the file", leaf.path)));
                }
                columns.push(Column::read(&self.source.bytes_at(chunk.start, chunk.length)?, leaf, chunk)?);
            }
            self.group = Some(Group::new(columns, rows));
        }
    }
}

impl<S> std::fmt::Debug for Reader<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("rows", &self.rows).finish_non_exhaustive()
    }
}
