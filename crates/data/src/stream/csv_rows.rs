use std::{io::BufRead, path::Path, sync::Arc};

use csv::{DeserializeErrorKind, ErrorKind, Reader, ReaderBuilder, StringRecord};
use serde::de::DeserializeOwned;

use super::{
    columns::Columns,
    record::{Place, Raw, Records},
};
use crate::{
    BoxError,
    row_error::{RowError, shown},
};

/// The options of CSV files.
#[derive(Clone, Debug, Default)]
pub(super) struct CsvOptions {
    pub(super) delimiter: Option<u8>,
    /// Fields that are read as empty ones.
    pub(super) missing: Vec<String>,
}

/// The rows of a CSV file below its header.
pub(super) struct CsvRows {
    reader: Reader<Box<dyn BufRead + Send>>,
    path: Arc<Path>,
    missing: Vec<String>,
    columns: Option<Arc<Columns>>,
    line: u64,
}

impl CsvRows {
    pub(super) fn new(reader: Box<dyn BufRead + Send>, path: &Arc<Path>, options: &CsvOptions) -> Self {
        let delimiter = options.delimiter.unwrap_or(if is_tabbed(path) { b'\t' } else { b',' });
        let reader = ReaderBuilder::new().delimiter(delimiter).from_reader(reader);
        Self { reader, path: path.clone(), missing: options.missing.clone(), columns: None, line: 1 }
    }

    fn row(&mut self) -> Result<Option<Raw>, csv::Error> {
        let columns = if let Some(columns) = &self.columns {
            columns.clone()
        } else {
            let names = self.reader.headers()?.clone();
            self.columns.insert(Arc::new(Columns::new(&self.path, names, true))).clone()
        };
        let mut row = StringRecord::new();
        if !self.reader.read_record(&mut row)? {
            return Ok(None);
        }
        self.line = row.position().map_or(self.line, csv::Position::line);
        let is_missing = |field: &str| self.missing.iter().any(|missing| missing == field);
        if row.iter().any(is_missing) {
            row = row.iter().map(|field| if is_missing(field) { "" } else { field }).collect();
        }
        Ok(Some(Raw::Row(row, columns)))
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
                ErrorKind::Utf8 { err, .. } => {
                    let column = self.columns.as_ref().and_then(|columns| columns.names.get(err.field()));
                    let text = format!("the field is not UTF-8 from its byte {} on", err.valid_up_to());
                    RowError::of_field(column, text).with_hint(Some("save the file as UTF-8".into())).into()
                }
                ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    format!("the row has {len} fields, and the rows before have {expected_len}").into()
                }
                other => format!("{other:?}").into(),
            }
        })
    }
}

fn is_tabbed(path: &Path) -> bool {
    let is = |path: &Path, extension: &str| path.extension().is_some_and(|own| own.eq_ignore_ascii_case(extension));
    is(path, "tsv") || (is(path, "gz") && path.file_stem().is_some_and(|stem| is(Path::new(stem), "tsv")))
}

/// The value of a row.
pub(super) fn decode<T: DeserializeOwned>(row: &StringRecord, columns: &Columns) -> Result<T, BoxError> {
    match row.deserialize(Some(&columns.names)) {
        Ok(value) => {
            columns.compare::<T>();
            Ok(value)
        }
        Err(error) => Err(explained::<T>(&error, row, columns).into()),
    }
}

/// The error with the name of the column and its value.
fn explained<T: DeserializeOwned>(error: &csv::Error, row: &StringRecord, columns: &Columns) -> RowError {
    let ErrorKind::Deserialize { err, .. } = error.kind() else { return RowError::of_field(None, error.to_string()) };
    let message = err.kind().to_string();
    if let Some(missing) = columns.missing(&message) {
        return missing;
    }
    let at = err.field().map(|field| field as usize).or_else(|| at_fault::<T>(&message, row, &columns.names));
    let (name, value) = (at.and_then(|at| columns.names.get(at)), at.and_then(|at| row.get(at)).unwrap_or_default());
    let expected = match err.kind() {
        DeserializeErrorKind::ParseBool(_) => "`true` or `false`",
        DeserializeErrorKind::ParseInt(_) => "a whole number",
        DeserializeErrorKind::ParseFloat(_) => "a number",
        _ => return RowError::of_field(name, message),
    };
    let text = match err.kind() {
        _ if value.is_empty() => format!("the field is empty, and {expected} is expected"),
        DeserializeErrorKind::ParseInt(_) if value.parse::<i128>().is_ok() => {
            format!("`{}` is outside of the range of the field's type", shown(value))
        }
        DeserializeErrorKind::ParseBool(_) => format!("`{}` is not {expected}", shown(value)),
        _ => format!("`{}` is not {expected} ({message})", shown(value)),
    };
    RowError::of_field(name, text).with_hint(hint_for(value))
}

/// The column whose value alone gives the same error. serde says for some errors only what is wrong.
fn at_fault<T: DeserializeOwned>(message: &str, row: &StringRecord, names: &StringRecord) -> Option<usize> {
    let gives = |start: usize, columns: usize| {
        let only = |record: &StringRecord| record.iter().skip(start).take(columns).collect::<StringRecord>();
        let (row, names) = (only(row), only(names));
        let value: Result<T, csv::Error> = row.deserialize(Some(&names));
        let error = value.err();
        matches!(error.as_ref().map(csv::Error::kind), Some(ErrorKind::Deserialize { err, .. }) if err.kind().to_string() == message)
    };
    // An error about the row as a whole is not one of a column.
    if gives(0, 0) {
        return None;
    }
    (0..row.len()).find(|column| gives(*column, 1))
}

/// Words for missing values.
const NOT_AVAILABLE: [&str; 10] = ["NA", "N/A", "n/a", "na", "NULL", "null", "None", "none", "-", "?"];

/// What to do about a missing value.
fn hint_for(value: &str) -> Option<String> {
    const EMPTY: &str = "an empty field is a missing value, if the field of the row's type is an `Option`";
    if value.is_empty() {
        return Some(EMPTY.to_owned());
    }
    NOT_AVAILABLE.contains(&value).then(|| format!("{EMPTY}; `.missing([{value:?}])` reads `{value}` as an empty field"))
}
