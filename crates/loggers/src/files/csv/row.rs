//! A row of the table.

use crate::value::reduce::Reduced;

/// A row that is not complete yet.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) step: u64,
    pub(super) cells: Vec<Option<Reduced>>,
}
