//! Rows of the columns of a group.

use crate::{
    column::Column,
    error::{Result, damaged},
    schema::{Leaf, Node, Schema},
    value::Value,
};

/// The columns of a group of rows, read from the first row on.
pub(crate) struct Group {
    columns: Vec<Cursor>,
    /// The rows that are left.
    rows: usize,
}

/// A column, and what was taken of it.
struct Cursor {
    column: Column,
    values: std::vec::IntoIter<Value>,
    entry: usize,
}

/// The entries of a row in a column: the level of each, and its value if it is defined.
type Entries = Vec<(u32, Value)>;

impl Group {
    pub(crate) fn new(columns: Vec<Column>, rows: usize) -> Self {
        let cursor = |mut column: Column| {
            let values = std::mem::take(&mut column.values).into_iter();
            Cursor { column, values, entry: 0 }
        };
        Self { columns: columns.into_iter().map(cursor).collect(), rows }
    }

    /// `None` after the last row.
    pub(crate) fn next(&mut self, schema: &Schema) -> Result<Option<Value>> {
        if self.rows == 0 {
            return Ok(None);
        }
        self.rows -= 1;
        let mut entries = Vec::with_capacity(self.columns.len());
        for (cursor, leaf) in self.columns.iter_mut().zip(&schema.leaves) {
            entries.push(cursor.row(leaf)?);
        }
        if self.rows == 0 && self.columns.iter().any(|cursor| cursor.entry != cursor.column.entries) {
            return Err(damaged("a column has more values than rows"));
        }
        Ok(Some(value(&schema.root, &mut entries)))
    }
}

impl Cursor {
    fn row(&mut self, leaf: &Leaf) -> Result<Entries> {
        let mut entries = Vec::with_capacity(1);
        loop {
            if self.entry >= self.column.entries {
                return Err(damaged(format!("column `{}` has fewer values than rows", leaf.path)));
            }
            let level = self.column.defined.get(self.entry).copied().unwrap_or(leaf.defined);
            let value = if level == leaf.defined {
                self.values.next().ok_or_else(|| damaged(format!("column `{}` has fewer values than levels", leaf.path)))?
            } else {
                Value::Null
            };
            entries.push((level, value));
            self.entry += 1;
            if self.column.repeated.get(self.entry).is_none_or(|repeated| *repeated == 0) {
                return Ok(entries);
            }
        }
    }
}

fn value(node: &Node, entries: &mut [Entries]) -> Value {
    match node {
        Node::Value { column } => entries[*column].pop().map_or(Value::Null, |(_, value)| value),
        Node::Struct { names, fields, first, defined } => {
            if entries[*first].first().is_some_and(|(level, _)| level < defined) {
                return Value::Null;
            }
            Value::Row(names.clone(), fields.iter().map(|field| value(field, entries)).collect())
        }
        Node::List { column, defined, filled } => {
            let entries = std::mem::take(&mut entries[*column]);
            match entries.first() {
                Some((level, _)) if level < defined => Value::Null,
                Some((level, _)) if level < filled => Value::List(Vec::new()),
                _ => Value::List(entries.into_iter().map(|(_, value)| value).collect()),
            }
        }
    }
}
