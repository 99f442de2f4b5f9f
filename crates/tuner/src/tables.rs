//! Tables of results: their cells, files and terminal.

use std::{fmt::Display, path::Path};

use serde_json::Value;
use stormfire_callbacks::Printer;
use stormfire_loggers::Table;
use stormfire_module::Result;
use stormfire_store::replacement::Replacement;

/// A number for a file. JSON has no NaN.
pub(crate) fn cell(value: f64) -> Value {
    if value.is_finite() { value.into() } else { value.to_string().into() }
}

/// Writes a CSV file.
pub(crate) fn write_csv(path: &Path, table: &Table) -> Result<()> {
    Ok(Replacement::new(path)?.commit_bytes(&table.to_csv()?)?)
}

/// Shows a result. A failure to print, such as a closed pipe, does not fail the computation.
pub(crate) fn print(result: &impl Display) {
    if let Err(error) = Printer::live().print_line(&result.to_string()) {
        tracing::debug!("cannot print to the terminal: {error}");
    }
}
