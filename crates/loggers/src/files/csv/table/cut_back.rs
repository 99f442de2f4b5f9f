//! Positions in a table, and the rollback to one.

use std::collections::BTreeMap;
use std::io::BufReader;

use serde::{Deserialize, Serialize};
use stormfire_store::error::at;

use super::{Lines, STEP, Table, existing};
use crate::Result;
use crate::parts::position;
use crate::value::reduce::Reduced;

/// Counts rows, not bytes, because a new column may rewrite the whole file.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::files::csv) struct Position {
    rows: u64,
    columns: Vec<String>,
    open: Option<Open>,
    /// The length of the JSON lines file, if there is one.
    #[serde(default)]
    lines: Option<u64>,
}

/// The last row, which is not complete yet.
#[derive(Debug, Serialize, Deserialize)]
struct Open {
    step: u64,
    cells: BTreeMap<String, Reduced>,
}

impl Table {
    /// The current position. Everything before it is on the disk.
    pub(in crate::files::csv) fn position(&mut self) -> Result<Position> {
        self.save()?;
        self.file.sync()?;
        let open = self.row.as_ref().map(|row| Open {
            step: row.step,
            cells: self.columns.iter().zip(&row.cells).filter_map(|(name, values)| Some((name.to_string(), (*values)?))).collect(),
        });
        let lines = self.lines.as_ref().map(Lines::position).transpose()?;
        Ok(Position { rows: self.rows, columns: self.columns.iter().map(ToString::to_string).collect(), open, lines })
    }

    /// Rolls the table back to a position if the position fits it. Otherwise appends to the existing rows.
    pub(in crate::files::csv) fn resume(&mut self, position: &Position) -> Result<()> {
        self.close_row();
        self.row = None;
        self.save()?;
        if let (Some(lines), Some(position)) = (&mut self.lines, position.lines) {
            lines.resume(position)?;
        }
        let mut columns = self.columns.iter().map(|name| &**name);
        let fits = self.rows >= position.rows
            && self.step_place < position.columns.len()
            && position.columns.iter().all(|name| columns.next() == Some(name));
        if fits {
            let rows = existing::count_rows(&mut BufReader::new(self.rows_on_disk()?), position.rows);
            let (_, bytes) = rows.map_err(|error| at(self.file.path(), "read", &error))?;
            self.file.cut(self.body() + bytes)?;
            self.rows = position.rows;
            if self.columns.len() > position.columns.len() {
                self.columns.truncate(position.columns.len());
                self.reduces.truncate(position.columns.len());
                self.places.retain(|_, place| *place < position.columns.len());
                self.rewrite(0)?;
            }
        } else {
            position::misfit(self.file.path(), "rows or columns of the checkpoint are missing");
        }
        // In a table that does not fit, the open row may be among the existing rows.
        if self.rows <= position.rows {
            self.reopen(position);
        }
        self.save()
    }

    fn reopen(&mut self, position: &Position) {
        for name in &position.columns {
            self.place(name, 0);
        }
        let Some(open) = &position.open else { return };
        let mut cells = vec![None; self.columns.len()];
        for (name, values) in &open.cells {
            if name != STEP {
                let place = self.place(name, 0);
                cells.resize(self.columns.len(), None);
                cells[place] = Some(*values);
            }
        }
        self.row = Some(super::Row { step: open.step, cells });
        self.next_step = open.step.saturating_add(1);
    }
}
