use std::{io::BufRead, sync::Arc};

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};

use super::record::{Place, Raw, Records};
use crate::BoxError;

/// The rows of a CSV file below its header.
pub(super) struct CsvRows {
    reader: Reader<Box<dyn BufRead + Send>>,
    header: Option<Arc<StringRecord>>,
    line: u64,
}

impl CsvRows {
    pub(super) fn new(reader: Box<dyn BufRead + Send>, is_tabbed: bool) -> Self {
        let delimiter = if is_tabbed { b'\t' } else { b',' };
        Self { reader: ReaderBuilder::new().delimiter(delimiter).from_reader(reader), header: None, line: 1 }
    }

    fn row(&mut self) -> Result<Option<Raw>, csv::Error> {
        let header = match &self.header {
            Some(header) => header.clone(),
            None => self.header.insert(Arc::new(self.reader.headers()?.clone())).clone(),
        };
        let mut row = StringRecord::new();
        if !self.reader.read_record(&mut row)? {
            return Ok(None);
        }
        self.line = row.position().map_or(self.line, csv::Position::line);
        Ok(Some(Raw::Row(row, header)))
    }
}

impl Records for CsvRows {
    fn place(&self) -> Place {
        Place::Line(self.line)
    }

    fn next(&mut self) -> Result<Option<Raw>, BoxError> {
        self.row().map_err(|error| {
            self.line = error.position().map_or(self.reader.position().line(), csv::Position::line);
            match error.into_kind() {
                ErrorKind::Io(error) => error.into(),
                ErrorKind::Utf8 { err, .. } => err.to_string().into(),
                ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("the row has {len} fields, and the rows before have {expected_len}").into()
                }
                other => format!("{other:?}").into(),
            }
        })
    }
}
