//! Tables.

use serde_json::Value;

use crate::{Error, Result};

/// Rows of plain values under named columns.
///
/// ```
/// use stormfire_loggers::Table;
/// let table = Table::new(["label", "count"]).row(["seven".into(), 12.into()])?.row(["eight".into(), 9.into()])?;
/// assert_eq!((table.columns().len(), table.rows().len()), (2, 2));
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<Value>>,
}

impl Table {
    /// Creates a table without rows.
    pub fn new(columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { columns: columns.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] if the number of values differs from the number of columns.
    pub fn row(mut self, values: impl IntoIterator<Item = Value>) -> Result<Self> {
        let row: Vec<Value> = values.into_iter().collect();
        if row.len() != self.columns.len() {
            let reason = format!("a row has {} values for {} columns", row.len(), self.columns.len());
            return Err(Error::InvalidMedia { what: "table", reason });
        }
        self.rows.push(row);
        Ok(self)
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The rows. Each has one value per column.
    pub fn rows(&self) -> &[Vec<Value>] {
        &self.rows
    }

    /// The table as a CSV file, with a header. Null is an empty cell. Lists and maps are JSON.
    ///
    /// # Errors
    /// An error of the CSV encoder. None is known.
    pub fn to_csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(&self.columns).map_err(Error::other)?;
        for row in &self.rows {
            let cells = row.iter().map(|value| match value {
                Value::Null => String::new(),
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            writer.write_record(cells).map_err(Error::other)?;
        }
        writer.into_inner().map_err(|error| Error::other(error.to_string()))
    }

    /// The table as Markdown, for backends without tables.
    pub fn to_markdown(&self) -> String {
        let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
        let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned).replace('|', "\\|").replace('\n', " ");
        let mut text = line(&mut self.columns.iter().map(|column| column.replace('|', "\\|")));
        text += &line(&mut self.columns.iter().map(|_| "---".to_owned()));
        for row in &self.rows {
            text += &line(&mut row.iter().map(shown));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fit_the_columns_and_markdown_keeps_them_apart() {
        let error = Table::new(["a", "b"]).row([Value::Null]).unwrap_err();
        assert_eq!(error.to_string(), "invalid table: a row has 1 values for 2 columns");
        let table = Table::new(["a", "b"]).row(["x|y".into(), 1.5.into()]).unwrap();
        assert_eq!(table.to_markdown(), "| a | b |\n| --- | --- |\n| x\\|y | 1.5 |\n");
    }

    #[test]
    fn csv_keeps_what_looks_like_a_separator() {
        let table = Table::new(["a", "b"]).row(["x,\"y\"".into(), 1.5.into()]).unwrap().row([Value::Null, true.into()]).unwrap();
        assert_eq!(String::from_utf8(table.to_csv().unwrap()).unwrap(), "a,b\n\"x,\"\"y\"\"\",1.5\n,true\n");
    }
}
