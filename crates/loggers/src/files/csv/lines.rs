//! The rows of the table as lines of JSON.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::Arc;

use stormfire_store::append::Append;
use stormfire_store::error::at;

use super::existing;
use super::row::Row;
use crate::parts::position;
use crate::{Reduce, Result};

/// The file is append-only: a new name does not change earlier lines.
pub(super) struct Lines {
    file: Append<File>,
}

impl Lines {
    /// Creates the file, or removes an incomplete last line from an existing one.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(|error| at(path, "open", &error))?;
        let end = file.metadata().and_then(|metadata| existing::last_line_end(&mut file, 0, metadata.len()));
        let end = end.map_err(|error| at(path, "read", &error))?;
        file.set_len(end).map_err(|error| at(path, "write", &error))?;
        Ok(Self { file: Append::new(file, path.to_owned(), end) })
    }

    /// Adds a closed row. It stays in memory until [`Lines::flush`].
    pub(super) fn push(&mut self, row: &Row, columns: &[Arc<str>], reduces: &[Reduce]) {
        render(row, columns, reduces, self.file.buffer());
    }

    /// Writes everything to the file, followed by the open row.
    pub(super) fn flush(&mut self, open: Option<&Row>, columns: &[Arc<str>], reduces: &[Reduce]) -> Result<()> {
        let mut tail = Vec::new();
        if let Some(row) = open {
            render(row, columns, reduces, &mut tail);
        }
        Ok(self.file.flush(&tail)?)
    }

    /// The end of the closed rows. They are on the disk.
    pub(super) fn position(&self) -> Result<u64> {
        self.file.sync()?;
        Ok(self.file.end())
    }

    /// Discards the lines after a position.
    pub(super) fn resume(&mut self, position: u64) -> Result<()> {
        if position <= self.file.end() {
            return Ok(self.file.cut(position)?);
        }
        position::misfit(self.file.path(), "lines of the checkpoint are missing");
        Ok(())
    }
}

/// Appends a row as an object, without its empty cells.
fn render(row: &Row, columns: &[Arc<str>], reduces: &[Reduce], into: &mut Vec<u8>) {
    into.extend_from_slice(b"{\"step\":");
    into.extend_from_slice(row.step.to_string().as_bytes());
    for ((name, reduce), values) in columns.iter().zip(reduces).zip(&row.cells) {
        let Some(values) = values else { continue };
        into.push(b',');
        into.extend_from_slice(serde_json::Value::from(&**name).to_string().as_bytes());
        into.push(b':');
        let value = values.value(*reduce);
        if value.is_finite() {
            super::short_decimal::push(into, value);
        } else {
            // JSON has no literals for them. These strings are those of Protocol Buffers, whose parsers in every
            // language accept them.
            let word: &[u8] = if value.is_nan() {
                b"\"NaN\""
            } else if value > 0.0 {
                b"\"Infinity\""
            } else {
                b"\"-Infinity\""
            };
            into.extend_from_slice(word);
        }
    }
    into.extend_from_slice(b"}\n");
}
