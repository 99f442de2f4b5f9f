use std::{io::Read as _, path::Path, sync::Arc};

use serde::de::DeserializeOwned;
use stormfire_parquet::{Reader, Source, Value};
use stormfire_store::{files, on_disk};

use super::{
    columns::Columns,
    record::{Place, Raw, Records},
};
use crate::{BoxError, row_error::RowError};

/// The rows of a Parquet file.
pub(super) struct ParquetRows {
    reader: Reader<Box<dyn Source>>,
    path: Arc<Path>,
    columns: Option<Arc<Columns>>,
}

impl ParquetRows {
    /// A file on a disk is read group by group. One in a store is read as a whole.
    pub(super) fn open(path: &Arc<Path>) -> Result<Self, BoxError> {
        let source: Box<dyn Source> = if let Some(path) = on_disk(path) {
            Box::new(files::open_on_disk(path)?.0)
        } else {
            let mut bytes = Vec::new();
            files::open(path)?.0.read_to_end(&mut bytes)?;
            Box::new(bytes)
        };
        Ok(Self { reader: Reader::open(source)?, path: path.clone(), columns: None })
    }
}

impl Records for ParquetRows {
    fn place(&self) -> Place {
        Place::Record
    }

    fn count(&self) -> Option<usize> {
        usize::try_from(self.reader.rows()).ok()
    }

    fn next(&mut self) -> Result<Option<Raw>, BoxError> {
        let Some(row) = self.reader.next()? else { return Ok(None) };
        let columns = self.columns.get_or_insert_with(|| {
            let names = if let Value::Row(names, _) = &row { &names[..] } else { &[] };
            Arc::new(Columns::new(&self.path, names.iter().map(|name| &**name).collect(), false))
        });
        let columns = columns.clone();
        Ok(Some(Raw::Table(row, columns)))
    }
}

/// The value of a row.
pub(super) fn decode<T: DeserializeOwned>(row: Value, columns: &Columns) -> Result<T, BoxError> {
    match row.into_type() {
        Ok(value) => {
            columns.compare::<T>();
            Ok(value)
        }
        Err(stormfire_parquet::Error::Column { column, message }) => Err(RowError::of_field(Some(&column), message).into()),
        Err(error) => Err(columns.missing(&error.to_string()).map_or_else(|| error.into(), Into::into)),
    }
}
