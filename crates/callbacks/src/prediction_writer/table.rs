//! Rows of JSON lines as a Parquet file.
//!
//! The types of the columns are known after the last row only. So the rows are written as JSON lines first, which can
//! be continued after a kill, and become a table at the end.

use std::{
    io::{BufRead, Write},
    path::Path,
};

use serde_json::{Map, Value};
use stormfire_module::{Error, Result};
use stormfire_parquet::{Type, Value as Cell, Writer};
use stormfire_store::replacement::Replacement;

/// Reads `lines` twice, from the start each time, and writes the table. Its content is durable afterwards.
pub(super) fn write<R: BufRead>(path: &Path, mut lines: impl FnMut() -> Result<R>) -> Result<()> {
    let mut columns: Vec<(String, Seen)> = Vec::new();
    each(lines()?, |row| {
        for (name, value) in &row {
            let index = columns.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
                columns.push((name.clone(), Seen::default()));
                columns.len() - 1
            });
            columns[index].1.add(name, value)?;
        }
        Ok(())
    })?;
    if columns.is_empty() {
        return Err(refuse("there are no rows, so the columns are unknown".into(), "use `PredictionWriter::json_lines`"));
    }
    let typed = |(name, seen): (String, Seen)| Ok((name.clone(), seen.kind(&name)?));
    let columns: Vec<(String, Type)> = columns.into_iter().map(typed).collect::<Result<_>>()?;
    let mut file = Replacement::new(path)?;
    let mut table = Writer::new(&mut file, columns.iter().cloned()).map_err(Error::other)?;
    each(lines()?, |mut row| {
        let cells = columns.iter().map(|(name, kind)| cell(row.remove(name), *kind));
        table.row(cells.collect::<Vec<_>>()).map_err(Error::other)
    })?;
    table.finish().map_err(Error::other)?;
    file.flush()?;
    file.commit()?;
    Ok(())
}

fn each(lines: impl BufRead, mut with: impl FnMut(Map<String, Value>) -> Result<()>) -> Result<()> {
    for line in lines.lines() {
        with(serde_json::from_str(&line?).map_err(Error::other)?)?;
    }
    Ok(())
}

fn refuse(reason: String, hint: &str) -> Error {
    Error::config("PredictionWriter::parquet", reason, hint)
}

/// The kinds of values in a column.
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a kind of values that occurs or not")]
struct Seen {
    has_bools: bool,
    has_ints: bool,
    has_floats: bool,
    has_texts: bool,
    /// `NaN`, `inf` or `-inf`: a float, or a text.
    has_names_of_floats: bool,
}

impl Seen {
    fn add(&mut self, name: &str, value: &Value) -> Result<()> {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.has_bools = true,
            Value::Number(number) if number.is_i64() => self.has_ints = true,
            Value::Number(_) => self.has_floats = true,
            Value::String(text) if is_float(text) => self.has_names_of_floats = true,
            Value::String(_) => self.has_texts = true,
            Value::Array(_) | Value::Object(_) => {
                let reason = format!("a row has a list or a struct in `{name}`");
                return Err(refuse(reason, "give rows whose fields are numbers, texts, booleans or options of them"));
            }
        }
        Ok(())
    }

    fn kind(self, name: &str) -> Result<Type> {
        let is_number = self.has_ints || self.has_floats;
        match self {
            Self { has_bools: false, has_texts: true, .. } if !is_number => Ok(Type::Text),
            Self { has_bools: true, has_texts: false, has_names_of_floats: false, .. } if !is_number => Ok(Type::Bool),
            Self { has_bools: false, has_texts: false, has_ints: true, has_floats: false, has_names_of_floats: false } => Ok(Type::Int),
            // Also a column without any value.
            Self { has_bools: false, has_texts: false, .. } => Ok(Type::Float),
            _ => Err(refuse(format!("the rows have values of several types in `{name}`"), "give one type for each field")),
        }
    }
}

fn is_float(text: &str) -> bool {
    matches!(text, "NaN" | "inf" | "-inf")
}

fn cell(value: Option<Value>, kind: Type) -> Cell {
    match (value, kind) {
        (Some(Value::Bool(value)), _) => Cell::Bool(value),
        (Some(Value::Number(number)), Type::Int) => number.as_i64().map_or(Cell::Null, Cell::Int),
        (Some(Value::Number(number)), _) => number.as_f64().map_or(Cell::Null, Cell::Float),
        (Some(Value::String(text)), Type::Float) => text.parse().map_or(Cell::Null, Cell::Float),
        (Some(Value::String(text)), _) => Cell::Text(text.into()),
        _ => Cell::Null,
    }
}
