//! Rows of `metrics.csv`.

use super::row_lines::{ends, lines};
use super::series::Series;

/// The meaning of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Step,
    Metric(usize),
    /// There are too many names.
    None,
}

/// Reads a table row by row. Text cells are skipped.
#[derive(Debug, Default)]
pub(super) struct CsvRows {
    header: Vec<u8>,
    columns: Vec<Column>,
    /// The step of a table without a column of steps.
    rows: u64,
    needs_step: bool,
    /// Rows that are longer than the header, or not a table.
    pub(super) damaged: u64,
    cells: Vec<(usize, f64)>,
}

impl CsvRows {
    /// Whether the header is known.
    pub(super) fn has_header(&self) -> bool {
        !self.header.is_empty()
    }

    /// A reader of any rows of the same table. It skips rows without a step, because it cannot count them.
    pub(super) fn of_samples(&self) -> Self {
        Self { columns: self.columns.clone(), needs_step: true, ..Self::default() }
    }

    /// Takes the header at the start of a file and returns its length with its line end. `None` if it is incomplete or
    /// not the known one with further columns at its end.
    pub(super) fn take_header(&mut self, start: &[u8], series: &mut Series) -> Option<usize> {
        let length = header_length(start)?;
        let header = start[..length].trim_ascii_end();
        let further = header.strip_prefix(&self.header[..])?;
        if !(further.is_empty() || self.header.is_empty() || further.starts_with(b",")) {
            return None;
        }
        if !further.is_empty() {
            let columns = cells_of(header)?;
            for name in &columns[self.columns.len().min(columns.len())..] {
                let name = String::from_utf8_lossy(name);
                self.columns.push(match &*name {
                    "step" => Column::Step,
                    name => series.place(name).map_or(Column::None, Column::Metric),
                });
            }
            self.header = header.to_vec();
        }
        Some(length)
    }

    /// Adds complete lines. The last one is kept as the tail if `is_open`: its values may still change. Returns the
    /// number of bytes that need not be read again.
    pub(super) fn feed(&mut self, bytes: &[u8], is_open: bool, series: &mut Series) -> usize {
        let (end, open) = ends(bytes, is_open);
        for line in lines(&bytes[..open]) {
            let step = self.row(line);
            for (place, value) in self.cells.drain(..) {
                series.push(place, step, value);
            }
        }
        series.clear_tails();
        if open < end {
            let rows = self.rows;
            let damaged = self.damaged;
            for line in lines(&bytes[open..end]) {
                let step = self.row(line);
                for (place, value) in self.cells.drain(..) {
                    series.set_tail(place, step, value);
                }
            }
            (self.rows, self.damaged) = (rows, damaged);
        }
        open
    }

    /// Puts the numbers of a row into `cells` and returns its step.
    fn row(&mut self, line: &[u8]) -> f64 {
        let mut step = None;
        self.cells.clear();
        let mut count = 0;
        let mut cell = |at: usize, text: &[u8]| {
            count = at + 1;
            if text.is_empty() {
                return;
            }
            let Some(value) = number(text) else { return };
            match self.columns.get(at) {
                Some(Column::Step) => step = Some(value),
                Some(Column::Metric(place)) => self.cells.push((*place, value)),
                Some(Column::None) | None => {}
            }
        };
        if line.contains(&b'"') {
            for (at, text) in cells_of(line).unwrap_or_default().iter().enumerate() {
                cell(at, text);
            }
        } else {
            line.split(|byte| *byte == b',').enumerate().for_each(|(at, text)| cell(at, text));
        }
        if self.needs_step && step.is_none() {
            self.cells.clear();
        }
        if count > self.columns.len() {
            // The header may not be complete yet, or the line is not a row.
            self.damaged += 1;
            self.cells.clear();
        }
        self.rows += 1;
        step.unwrap_or((self.rows - 1) as f64)
    }
}

/// Parses a number as Rust, Python and pandas write it.
fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

fn cells_of(line: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut reader = ::csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(line);
    let mut record = ::csv::ByteRecord::new();
    reader.read_byte_record(&mut record).ok()?;
    Some(record.iter().map(<[u8]>::to_vec).collect())
}

/// The length of the first record with its line end. A name may contain line ends within quotes.
fn header_length(start: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let at = start.iter().position(|byte| {
        quoted ^= *byte == b'"';
        *byte == b'\n' && !quoted
    })?;
    Some(at + 1)
}
