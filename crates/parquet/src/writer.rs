//! A file of rows.

use std::{io::Write, mem};

use crate::{
    compact::{Field, Fields, encode},
    error::{Error, Result},
    levels::encode_flags,
    value::Value,
};

/// The type of a column. Each column may miss values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Booleans.
    Bool,
    /// Signed integers of 64 bits.
    Int,
    /// Floats of 64 bits.
    Float,
    /// Strings.
    Text,
}

/// The rows of a group. As many are in memory.
const GROUP: usize = 1 << 16;
const MAGIC: &[u8] = b"PAR1";
/// The numbers of encodings.
const PLAIN: i64 = 0;
const RLE: i64 = 3;

/// Writes rows of columns that are known before, without compression.
pub struct Writer<W> {
    out: W,
    position: u64,
    columns: Vec<Column>,
    rows: usize,
    all_rows: u64,
    groups: Vec<Field>,
}

struct Column {
    name: String,
    kind: Type,
    is_there: Vec<bool>,
    /// The values that are there. Booleans are packed later.
    values: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Starts a file with these columns.
    ///
    /// # Errors
    /// The list of columns is empty. Errors of `out`.
    pub fn new(mut out: W, columns: impl IntoIterator<Item = (impl Into<String>, Type)>) -> Result<Self> {
        let column = |(name, kind): (_, Type)| Column { name: Into::into(name), kind, is_there: Vec::new(), values: Vec::new() };
        let columns: Vec<Column> = columns.into_iter().map(column).collect();
        if columns.is_empty() {
            return Err(Error::Row("a table without columns cannot be written".into()));
        }
        out.write_all(MAGIC)?;
        Ok(Self { out, position: MAGIC.len() as u64, columns, rows: 0, all_rows: 0, groups: Vec::new() })
    }

    /// Adds a row: a value for each column.
    ///
    /// # Errors
    /// Another number of values, or a value of another type. Errors of `out`.
    pub fn row(&mut self, values: impl IntoIterator<Item = Value>) -> Result<()> {
        let mut values = values.into_iter();
        let mut columns = self.columns.iter_mut();
        loop {
            match (columns.next(), values.next()) {
                (Some(column), Some(value)) => column.add(&value)?,
                (None, None) => break,
                _ => return Err(Error::Row("a row has another number of values than there are columns".into())),
            }
        }
        self.rows += 1;
        if self.rows == GROUP { self.end_group() } else { Ok(()) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.out.write_all(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn end_group(&mut self) -> Result<()> {
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        let rows = mem::take(&mut self.rows);
        for index in 0..self.columns.len() {
            let start = self.position;
            let page = self.columns[index].take_page();
            let too_long = |_| Error::Row("65,536 values of a column have more than 2 GB".into());
            let page_length = i64::from(i32::try_from(page.len()).map_err(too_long)?);
            let data = Fields::from([(1, int(rows)), (2, Field::Int(PLAIN)), (3, Field::Int(RLE)), (4, Field::Int(RLE))]);
            let header = Fields::from([
                (1, Field::Int(0)),
                (2, Field::Int(page_length)),
                (3, Field::Int(page_length)),
                (4, Field::Int(i64::from(crc32fast::hash(&page).cast_signed()))),
                (5, Field::Struct(data)),
            ]);
            self.write(&encode(&header))?;
            self.write(&page)?;
            let length = (self.position - start).cast_signed();
            bytes += length;
            let column = &self.columns[index];
            let meta = Fields::from([
                (1, Field::Int(column.kind.number())),
                (2, Field::List(vec![Field::Int(PLAIN), Field::Int(RLE)])),
                (3, Field::List(vec![text(&column.name)])),
                (4, Field::Int(0)),
                (5, int(rows)),
                (6, Field::Int(length)),
                (7, Field::Int(length)),
                (9, Field::Int(start.cast_signed())),
            ]);
            chunks.push(Field::Struct(Fields::from([(2, Field::Int(start.cast_signed())), (3, Field::Struct(meta))])));
        }
        self.all_rows += rows as u64;
        self.groups.push(Field::Struct(Fields::from([(1, Field::List(chunks)), (2, Field::Int(bytes)), (3, int(rows))])));
        Ok(())
    }

    /// Writes the rest of the rows and the metadata.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> Result<W> {
        if self.rows > 0 {
            self.end_group()?;
        }
        let root = Fields::from([(4, text("schema")), (5, int(self.columns.len()))]);
        let schema = std::iter::once(Field::Struct(root)).chain(self.columns.iter().map(Column::element)).collect();
        let meta = Fields::from([
            (1, Field::Int(2)),
            (2, Field::List(schema)),
            (3, Field::Int(self.all_rows.cast_signed())),
            (4, Field::List(mem::take(&mut self.groups))),
            (6, text("Stormfire")),
        ]);
        let bytes = encode(&meta);
        let length = u32::try_from(bytes.len()).map_err(|_| Error::Row("the metadata is too large".into()))?;
        self.write(&bytes)?;
        self.write(&length.to_le_bytes())?;
        self.write(MAGIC)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

fn int(value: usize) -> Field {
    Field::Int((value as u64).cast_signed())
}

fn text(value: &str) -> Field {
    Field::Bytes(value.as_bytes().to_vec())
}

impl Type {
    fn number(self) -> i64 {
        match self {
            Type::Bool => 0,
            Type::Int => 2,
            Type::Float => 5,
            Type::Text => 6,
        }
    }
}

impl Column {
    fn add(&mut self, value: &Value) -> Result<()> {
        match (self.kind, value) {
            (_, Value::Null) => {
                self.is_there.push(false);
                return Ok(());
            }
            (Type::Bool, Value::Bool(value)) => self.values.push(u8::from(*value)),
            (Type::Int, Value::Int(value)) => self.values.extend(value.to_le_bytes()),
            (Type::Float, Value::Float(value)) => self.values.extend(value.to_le_bytes()),
            (Type::Float, Value::Int(value)) => self.values.extend((*value as f64).to_le_bytes()),
            (Type::Text, Value::Text(text)) => {
                let length = u32::try_from(text.len()).map_err(|_| Error::Row("a string of 4 GB cannot be written".into()))?;
                self.values.extend(length.to_le_bytes());
                self.values.extend(text.as_bytes());
            }
            (kind, other) => return Err(Error::Row(format!("column `{}` has the type {kind:?}, and a row has {other}", self.name))),
        }
        self.is_there.push(true);
        Ok(())
    }

    /// Levels and values of the rows so far.
    fn take_page(&mut self) -> Vec<u8> {
        let levels = encode_flags(mem::take(&mut self.is_there));
        let mut page = (levels.len() as u32).to_le_bytes().to_vec();
        page.extend(levels);
        let values = mem::take(&mut self.values);
        if self.kind == Type::Bool {
            page.extend(values.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, bit| (byte << 1) | bit)));
        } else {
            page.extend(values);
        }
        page
    }

    /// The column in the schema.
    fn element(&self) -> Field {
        let mut fields = Fields::from([(1, Field::Int(self.kind.number())), (3, Field::Int(1)), (4, text(&self.name))]);
        if self.kind == Type::Text {
            fields.insert(6, Field::Int(0));
            fields.insert(10, Field::Struct(Fields::from([(1, Field::Struct(Fields::new()))])));
        }
        Field::Struct(fields)
    }
}

impl<W> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("rows", &self.all_rows).finish_non_exhaustive()
    }
}
