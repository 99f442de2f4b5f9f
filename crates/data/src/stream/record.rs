//! Records of a shard, as they are stored.

use std::{collections::BTreeMap, io::Read, path::Path, sync::Arc};

use csv::StringRecord;

use super::columns::Columns;
use crate::{
    BoxError, Error, Result,
    row_error::{Part, RowError},
};

/// The files of a tar archive that have the same name up to its first dot: one sample, as `webdataset` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The common part of the names, with the folder: `train/0017` of `train/0017.png` and `train/0017.cls`.
    pub key: String,
    /// The content of each file, by the rest of its name in lower case: `png`, `cls`, `seg.png`.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Sample {
    /// The content of the file with this extension.
    ///
    /// # Errors
    /// The sample has no such file.
    pub fn file(&self, extension: &str) -> Result<&[u8], BoxError> {
        self.files.get(extension).map(Vec::as_slice).ok_or_else(|| {
            let others: Vec<_> = self.files.keys().map(String::as_str).collect();
            format!("the sample `{}` has no file `.{extension}`, only {}", self.key, others.join(", ")).into()
        })
    }

    /// The content of the file with this extension as a string, without spaces around it.
    ///
    /// # Errors
    /// The sample has no such file, or it is not UTF-8.
    pub fn text(&self, extension: &str) -> Result<&str, BoxError> {
        Ok(std::str::from_utf8(self.file(extension)?)?.trim())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Tar,
    JsonLines,
    Csv,
    Parquet,
}

pub(super) enum Raw {
    Sample(Sample),
    Line(String),
    /// A row, and the columns of its file.
    Row(StringRecord, Arc<Columns>),
    /// A row of a Parquet file, and its columns.
    Table(stormfire_parquet::Value, Arc<Columns>),
}

/// A record, and its place in its shard for messages.
pub(super) struct Record {
    pub(super) shard: Arc<Path>,
    /// From 0.
    pub(super) number: usize,
    pub(super) place: Place,
    pub(super) raw: Raw,
    /// Tests count the records that are in memory.
    #[cfg(test)]
    pub(super) _alive: Arc<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Byte(u64),
    /// From 1.
    Line(u64),
    /// The number of the record is enough.
    Record,
}

impl Place {
    /// An error at record `number` of a shard.
    pub(super) fn error(self, shard: &Path, number: usize, cause: BoxError) -> Error {
        let at = match self {
            Self::Byte(byte) => format!("record {number}, byte {byte}"),
            Self::Line(line) => format!("line {line}"),
            Self::Record => format!("record {number}"),
        };
        let at = match cause.downcast_ref::<RowError>().map(|error| &error.part) {
            Some(Part::Header) => None,
            Some(Part::Field(column)) => Some(format!("{at}, column `{column}`")),
            Some(Part::Row) | None => Some(at),
        };
        Error::DataFile { path: shard.to_owned(), at, cause }
    }
}

/// Reads the records of a shard one after the other.
pub(super) trait Records: Send {
    /// The place of the record or the error that `next` returned.
    fn place(&self) -> Place;

    /// The number of records, if the shard says it.
    fn count(&self) -> Option<usize> {
        None
    }

    /// `None` at the end of the shard.
    fn next(&mut self) -> Result<Option<Raw>, BoxError>;
}

/// A reader that knows how far it is.
pub(super) struct Counted<R> {
    pub(super) inner: R,
    pub(super) bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}
