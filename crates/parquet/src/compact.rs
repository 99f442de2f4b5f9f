//! Thrift's compact protocol, in which the metadata is written.

use std::collections::BTreeMap;

use crate::error::{Result, damaged};

/// Deeper nesting is refused.
const DEEPEST: usize = 32;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field {
    Bool(bool),
    Int(i64),
    /// Not used by what we read.
    Double,
    Bytes(Vec<u8>),
    List(Vec<Field>),
    Struct(Fields),
}

pub(crate) type Fields = BTreeMap<i16, Field>;

/// Reads from a slice.
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    pub(crate) position: usize,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = self.bytes.get(self.position).copied().ok_or_else(|| damaged("its metadata ends too early"))?;
        self.position += 1;
        Ok(byte)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.position.checked_add(count).filter(|&end| end <= self.bytes.len());
        let end = end.ok_or_else(|| damaged("its metadata ends too early"))?;
        let taken = &self.bytes[self.position..end];
        self.position = end;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged("a number of its metadata is too long"))
    }

    fn zigzag(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed())
    }

    fn length(&mut self) -> Result<usize> {
        usize::try_from(self.varint()?).map_err(|_| damaged("a length of its metadata is too large"))
    }

    pub(crate) fn fields(&mut self, depth: usize) -> Result<Fields> {
        let mut fields = Fields::new();
        let mut id: i16 = 0;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Ok(fields);
            }
            let (delta, kind) = (i16::from(header >> 4), header & 0x0f);
            id = match delta {
                0 => i16::try_from(self.zigzag()?).map_err(|_| damaged("a field of its metadata has no valid number"))?,
                delta => id.checked_add(delta).ok_or_else(|| damaged("a field of its metadata has no valid number"))?,
            };
            let value = match kind {
                1 => Field::Bool(true),
                2 => Field::Bool(false),
                kind => self.value(kind, depth)?,
            };
            fields.insert(id, value);
        }
    }

    fn value(&mut self, kind: u8, depth: usize) -> Result<Field> {
        if depth > DEEPEST {
            return Err(damaged("its metadata is nested too deeply"));
        }
        Ok(match kind {
            // In a list, a boolean is a byte.
            1 | 2 => Field::Bool(self.byte()? == 1),
            3 => Field::Int(i64::from(self.byte()?.cast_signed())),
            4..=6 => Field::Int(self.zigzag()?),
            7 => {
                self.take(8)?;
                Field::Double
            }
            8 => {
                let length = self.length()?;
                Field::Bytes(self.take(length)?.to_vec())
            }
            9 | 10 => {
                let header = self.byte()?;
                let count = if header >> 4 == 15 { self.length()? } else { usize::from(header >> 4) };
                // An item has at least a byte.
                let mut items = Vec::with_capacity(count.min(self.bytes.len() - self.position));
                for _ in 0..count {
                    items.push(self.value(header & 0x0f, depth + 1)?);
                }
                Field::List(items)
            }
            11 => {
                let count = self.length()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..count {
                    self.value(kinds >> 4, depth + 1)?;
                    self.value(kinds & 0x0f, depth + 1)?;
                }
                Field::List(Vec::new())
            }
            12 => Field::Struct(self.fields(depth + 1)?),
            kind => return Err(damaged(format!("its metadata has a field of the unknown type {kind}"))),
        })
    }
}

/// Reads the known fields of a struct.
pub(crate) trait Read {
    fn int(&self, id: i16) -> Option<i64>;
    fn needed(&self, id: i16, what: &str) -> Result<i64>;
    fn size(&self, id: i16, what: &str) -> Result<usize>;
    fn text(&self, id: i16) -> Option<String>;
    fn list(&self, id: i16) -> &[Field];
    fn inner(&self, id: i16) -> Option<&Fields>;
}

impl Read for Fields {
    fn int(&self, id: i16) -> Option<i64> {
        if let Some(Field::Int(value)) = self.get(&id) { Some(*value) } else { None }
    }

    fn needed(&self, id: i16, what: &str) -> Result<i64> {
        self.int(id).ok_or_else(|| damaged(format!("its metadata has no {what}")))
    }

    fn size(&self, id: i16, what: &str) -> Result<usize> {
        usize::try_from(self.needed(id, what)?).map_err(|_| damaged(format!("its metadata has a negative {what}")))
    }

    fn text(&self, id: i16) -> Option<String> {
        if let Some(Field::Bytes(bytes)) = self.get(&id) { String::from_utf8(bytes.clone()).ok() } else { None }
    }

    fn list(&self, id: i16) -> &[Field] {
        if let Some(Field::List(items)) = self.get(&id) { items } else { &[] }
    }

    fn inner(&self, id: i16) -> Option<&Fields> {
        if let Some(Field::Struct(fields)) = self.get(&id) { Some(fields) } else { None }
    }
}

impl Field {
    pub(crate) fn fields(&self) -> Result<&Fields> {
        if let Field::Struct(fields) = self { Ok(fields) } else { Err(damaged("its metadata has another form")) }
    }
}

/// The bytes of a struct.
pub(crate) fn encode(fields: &Fields) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_fields(fields, &mut bytes);
    bytes
}

fn write_fields(fields: &Fields, out: &mut Vec<u8>) {
    let mut before: i16 = 0;
    for (&id, field) in fields {
        let kind = match field {
            Field::Bool(true) => 1,
            Field::Bool(false) => 2,
            field => kind_of(field),
        };
        // All numbers of fields that we write are small and ascend.
        out.push((u8::try_from(id - before).unwrap_or(0) << 4) | kind);
        before = id;
        if !matches!(field, Field::Bool(_)) {
            write_value(field, out);
        }
    }
    out.push(0);
}

fn kind_of(field: &Field) -> u8 {
    match field {
        Field::Bool(_) => 2,
        // A reader takes an integer of any width.
        Field::Int(_) => 6,
        Field::Double => 7,
        Field::Bytes(_) => 8,
        Field::List(_) => 9,
        Field::Struct(_) => 12,
    }
}

fn write_value(field: &Field, out: &mut Vec<u8>) {
    match field {
        Field::Bool(value) => out.push(if *value { 1 } else { 2 }),
        Field::Int(value) => write_varint(((value << 1) ^ (value >> 63)).cast_unsigned(), out),
        Field::Double => out.extend([0; 8]),
        Field::Bytes(bytes) => {
            write_varint(bytes.len() as u64, out);
            out.extend(bytes);
        }
        Field::List(items) => {
            let kind = items.first().map_or(12, kind_of);
            if let Ok(count @ 0..15) = u8::try_from(items.len()) {
                out.push((count << 4) | kind);
            } else {
                out.push(0xf0 | kind);
                write_varint(items.len() as u64, out);
            }
            for item in items {
                write_value(item, out);
            }
        }
        Field::Struct(fields) => write_fields(fields, out),
    }
}

pub(crate) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_fields_are_read_back() {
        let inner = Fields::from([(1, Field::Int(-3)), (4, Field::Bool(true)), (5, Field::Bool(false))]);
        let many = (0..40).map(|value| Field::Int(value * 1_000_000_007 - 5)).collect();
        let fields = Fields::from([(2, Field::Bytes(b"name".to_vec())), (3, Field::List(many)), (9, Field::Struct(inner))]);
        let bytes = encode(&fields);
        assert_eq!(Input::new(&bytes).fields(0).unwrap(), fields);
        for end in 0..bytes.len() {
            assert!(Input::new(&bytes[..end]).fields(0).is_err(), "{end}");
        }
    }

    #[test]
    fn deep_nesting_and_absurd_lengths_are_refused() {
        assert!(Input::new(&[0x1c; 4000]).fields(0).is_err());
        assert!(Input::new(&[0x18, 0xff, 0xff, 0xff, 0xff, 0x7f, 1]).fields(0).is_err());
        assert!(Input::new(&[0x19, 0xf6, 0xff, 0xff, 0xff, 0xff, 0x7f, 1]).fields(0).is_err());
    }
}
