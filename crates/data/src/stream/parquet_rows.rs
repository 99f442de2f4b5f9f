use std::{io::Read as _, path::Path};

use stormfire_parquet::{Reader, Source};
use stormfire_store::{files, on_disk};

use super::record::{Place, Raw, Records};
use crate::BoxError;

/// The rows of a Parquet file.
pub(super) struct ParquetRows(Reader<Box<dyn Source>>);

impl ParquetRows {
    /// A file on a disk is read group by group. One in a store is read as a whole.
    pub(super) fn open(path: &Path) -> Result<Self, BoxError> {
        let source: Box<dyn Source> = if let Some(path) = on_disk(path) {
            Box::new(files::open_on_disk(path)?.0)
        } else {
            let mut bytes = Vec::new();
            files::open(path)?.0.read_to_end(&mut bytes)?;
            Box::new(bytes)
        };
        Ok(Self(Reader::open(source)?))
    }
}

impl Records for ParquetRows {
    fn place(&self) -> Place {
        Place::Record
    }

    fn count(&self) -> Option<usize> {
        usize::try_from(self.0.rows()).ok()
    }

    fn next(&mut self) -> Result<Option<Raw>, BoxError> {
        Ok(self.0.next()?.map(Raw::Table))
    }
}
