//! The file of the table.

mod cut_back;

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stormfire_store::append::Append;
use stormfire_store::error::at;
use stormfire_store::{
    folder,
    replacement::{self, Replacement},
};

use super::existing::{self, Existing};
use super::lines::Lines;
use super::row::Row;
use crate::parts::prefix::prefixed;
use crate::parts::reductions::Reductions;
use crate::value::reduce::Reduced;
use crate::{Error, Metrics, Reduce, Result};

pub(super) use cut_back::Position;

const STEP: &str = "step";
const EPOCH: &str = "epoch";
/// A new column always rewrites a body of up to this number of bytes.
const SMALL: u64 = 1 << 18;
/// The first reserve after a header, in bytes. Each further one is twice as large, so that the total cost of rewriting
/// stays linear.
const RESERVE: u64 = 1 << 10;

/// Minimum time between attempts to replace a large file on a full disk. Each attempt may fill up the disk, which is
/// slow.
const RETRY_AFTER: Duration = Duration::from_secs(10);

pub(super) struct Table {
    file: Append<File>,
    lines: Option<Lines>,
    prefix: String,
    columns: Vec<Arc<str>>,
    places: HashMap<Arc<str>, usize>,
    reductions: Reductions,
    /// The reduction of each column.
    reduces: Vec<Reduce>,
    step_place: usize,
    /// Number of columns in the header on the disk.
    in_header: usize,
    /// The bytes of the header on the disk, without its line end.
    header: Vec<u8>,
    /// Line ends after the header. All but the first are reserve.
    room: u64,
    reserve: u64,
    /// Whether a closed row may be shorter than the header.
    ragged: bool,
    row: Option<Row>,
    next_step: u64,
    /// Number of closed rows in the file. `buffered` counts those in the buffer.
    rows: u64,
    buffered: u64,
    waiting: usize,
    /// Time of the next attempt, after a large file could not be replaced.
    retry_at: Option<Instant>,
    name: String,
}

impl Drop for Table {
    fn drop(&mut self) {
        if let Err(error) = self.save() {
            tracing::error!(%error, "the last rows are lost");
        }
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("columns", &self.columns).field("row", &self.row).finish_non_exhaustive()
    }
}

impl Table {
    /// Creates the file with a header, or prepares to continue an existing one.
    pub(super) fn open(path: &Path, prefix: &str, reductions: &Reductions) -> Result<Self> {
        replacement::remove_leftovers(folder::of(path));
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(|error| at(path, "open", &error))?;
        let found = existing::examine(&mut file).map_err(|error| at(path, "read", &error))?;
        let Existing { header, columns, room, end } = found;
        file.set_len(end).map_err(|error| at(path, "write", &error))?;
        let start = header.len() as u64 + room;
        let rows = match file.seek(SeekFrom::Start(start)).and_then(|_| existing::count_rows(&mut BufReader::new(&file), u64::MAX)) {
            Ok((rows, _)) => rows,
            Err(error) => return Err(at(path, "read", &error).into()),
        };
        let mut table = Self {
            file: Append::new(file, path.to_owned(), end),
            lines: None,
            prefix: prefix.to_owned(),
            in_header: columns.len(),
            columns: Vec::new(),
            places: HashMap::new(),
            reductions: reductions.clone(),
            reduces: Vec::new(),
            step_place: 0,
            ragged: end > start,
            header,
            room,
            reserve: RESERVE / 2,
            row: None,
            next_step: 0,
            rows,
            buffered: 0,
            waiting: 0,
            retry_at: None,
            name: String::new(),
        };
        for name in columns {
            table.add_column(&name);
        }
        table.step_place = table.place(STEP, 0);
        table.place(EPOCH, 1);
        table.settle_header()?;
        Ok(table)
    }

    /// Also writes every row as a line of JSON, into a second file.
    pub(super) fn with_lines(mut self, path: &Path) -> Result<Self> {
        self.lines = Some(Lines::open(path)?);
        Ok(self)
    }

    /// Adds values to the row of their step.
    pub(super) fn log(&mut self, metrics: &Metrics, step: Option<u64>) {
        let step = step.or_else(|| metrics.step()).unwrap_or(self.next_step);
        if self.row.as_ref().is_none_or(|row| row.step != step) {
            self.close_row();
        }
        self.next_step = step.saturating_add(1);
        let mut row = self.row.take().unwrap_or_else(|| Row { step, cells: Vec::new() });
        row.step = step;
        let mut guess = 0;
        for (name, value) in metrics.iter() {
            if name == STEP {
                continue;
            }
            let place = if self.prefix.is_empty() || name == EPOCH {
                self.place(name, guess)
            } else {
                let mut full = std::mem::take(&mut self.name);
                prefixed(&self.prefix, name, &mut full);
                let place = self.place(&full, guess);
                self.name = full;
                place
            };
            guess = place + 1;
            if row.cells.len() <= place {
                row.cells.resize(place + 1, None);
            }
            match &mut row.cells[place] {
                Some(values) => values.add(value, self.reduces[place]),
                empty => *empty = Some(Reduced::new(value)),
            }
        }
        self.row = Some(row);
    }

    /// Whether a save is due.
    pub(super) fn is_due(&self, rows: usize) -> bool {
        self.waiting >= rows || self.file.is_full()
    }

    /// Writes everything to the file, including the open row.
    pub(super) fn save(&mut self) -> Result<()> {
        self.waiting = 0;
        let outcome = self.settle_header().inspect_err(|_| self.file.shed()).and_then(|()| {
            let tail = self.open_row();
            Ok(self.file.flush(&tail)?)
        });
        if self.file.buffer().is_empty() {
            // The rows were written, or dropped because the buffer was too large for a full disk.
            let buffered = std::mem::take(&mut self.buffered);
            self.rows += if outcome.is_ok() { buffered } else { 0 };
        }
        let lines = self.lines.as_mut().map_or(Ok(()), |lines| lines.flush(self.row.as_ref(), &self.columns, &self.reduces));
        outcome.and(lines)
    }

    /// As [`Table::save`], and makes every row as long as the header and removes the reserve.
    pub(super) fn tidy(&mut self) -> Result<()> {
        self.retry_at = None;
        self.save()?;
        if self.ragged || self.room > 1 { self.rewrite(0) } else { Ok(()) }
    }

    /// The column of a name. `guess` is the column after that of the previous value, which is usually right.
    fn place(&mut self, name: &str, guess: usize) -> usize {
        if self.columns.get(guess).is_some_and(|column| &**column == name) {
            return guess;
        }
        self.places.get(name).copied().unwrap_or_else(|| self.add_column(name))
    }

    fn add_column(&mut self, name: &str) -> usize {
        let name: Arc<str> = name.into();
        self.places.insert(Arc::clone(&name), self.columns.len());
        let own = name.strip_prefix(&self.prefix).and_then(|name| name.strip_prefix('-')).filter(|_| !self.prefix.is_empty());
        self.reduces.push(self.reductions.of(own.unwrap_or(&name)));
        self.columns.push(name);
        self.columns.len() - 1
    }

    fn close_row(&mut self) {
        if let Some(mut row) = self.row.take() {
            render(&row, &self.reduces, self.step_place, self.file.buffer());
            if let Some(lines) = &mut self.lines {
                lines.push(&row, &self.columns, &self.reduces);
            }
            self.waiting += 1;
            self.buffered += 1;
            row.cells.clear();
            self.row = Some(row);
        }
    }

    fn open_row(&self) -> Vec<u8> {
        let mut tail = Vec::new();
        if let Some(row) = &self.row {
            render(row, &self.reduces, self.step_place, &mut tail);
        }
        tail
    }

    /// Writes all columns into the header on the disk. This must happen before rows with a new column are written.
    fn settle_header(&mut self) -> Result<()> {
        if self.in_header == self.columns.len() && self.room > 0 {
            return Ok(());
        }
        let header = self.header_text()?;
        let body = self.file.end().saturating_sub(self.body());
        if let Some(more) = header.strip_prefix(&self.header[..])
            && (more.len() as u64) < self.room
        {
            self.file.overwrite(self.header.len() as u64, more)?;
            self.room -= more.len() as u64;
            self.header = header;
            self.in_header = self.columns.len();
            self.ragged = true;
            return Ok(());
        }
        if body <= SMALL {
            return self.rewrite(0);
        }
        if self.retry_at.is_some_and(|then| Instant::now() < then) {
            let full = io::Error::new(io::ErrorKind::StorageFull, "no space is left for a table with more columns");
            return Err(at(self.file.path(), "replace", &full).into());
        }
        let reserve = (2 * self.reserve).max(2 * header.len() as u64);
        match self.rewrite(reserve) {
            Ok(()) => self.reserve = reserve,
            Err(error) => {
                self.retry_at = Some(Instant::now() + RETRY_AFTER);
                return Err(error);
            }
        }
        Ok(())
    }

    /// The start of the rows.
    fn body(&self) -> u64 {
        self.header.len() as u64 + self.room
    }

    fn header_text(&self) -> Result<Vec<u8>> {
        let mut writer = ::csv::WriterBuilder::new().terminator(::csv::Terminator::Any(b'\n')).from_writer(Vec::new());
        writer.write_record(self.columns.iter().map(|column| &**column)).map_err(Error::other)?;
        let mut text = writer.into_inner().map_err(|error| Error::other(error.to_string()))?;
        text.pop();
        Ok(text)
    }

    /// The closed rows in the file.
    fn rows_on_disk(&self) -> Result<io::Take<File>> {
        let path = self.file.path();
        let mut file = File::open(path).map_err(|error| at(path, "open", &error))?;
        file.seek(SeekFrom::Start(self.body())).map_err(|error| at(path, "read", &error))?;
        Ok(file.take(self.file.end().saturating_sub(self.body())))
    }

    /// Replaces the file by one with all columns, all rows as long as the header, and `reserve` bytes after the header.
    fn rewrite(&mut self, reserve: u64) -> Result<()> {
        let path = self.file.path().to_owned();
        let header = self.header_text()?;
        let room = 1 + reserve;
        let mut replacement = Replacement::new(&path)?;
        replacement.write_all(&header)?;
        io::copy(&mut io::repeat(b'\n').take(room), &mut replacement)?;

        let on_disk = self.rows_on_disk()?;
        let mut rows = BufReader::with_capacity(1 << 16, on_disk.chain(&self.file.buffer()[..]));
        let mut row = Vec::new();
        loop {
            row.clear();
            let mut cells = existing::read_record(&mut rows, &mut row)?;
            if cells == 0 {
                break;
            }
            while row.pop_if(|last| existing::is_line_end(*last)).is_some() {}
            if !row.is_empty() {
                // These cells belong to columns that appeared after the position to which the table was rolled back.
                // They are empty.
                while cells > self.columns.len() && row.pop_if(|last| *last == b',').is_some() {
                    cells -= 1;
                }
                row.resize(row.len() + self.columns.len().saturating_sub(cells), b',');
                row.push(b'\n');
                replacement.write_all(&row)?;
            }
        }
        drop(rows);
        let end = replacement.written()?;
        let tail = self.open_row();
        replacement.write_all(&tail)?;
        let file = replacement.commit()?;
        self.file.replace(file, end, tail);
        self.header = header;
        self.room = room;
        self.in_header = self.columns.len();
        self.ragged = false;
        Ok(())
    }
}

/// Appends a row with one cell per column. Missing values are empty cells.
fn render(row: &Row, reduces: &[Reduce], step_place: usize, into: &mut Vec<u8>) {
    let filled = row.cells.len().max(step_place + 1);
    for (place, reduce) in reduces.iter().enumerate().take(filled) {
        if place > 0 {
            into.push(b',');
        }
        if place == step_place {
            into.extend_from_slice(row.step.to_string().as_bytes());
        } else if let Some(values) = row.cells.get(place).copied().flatten() {
            super::short_decimal::push(into, values.value(*reduce));
        }
    }
    into.resize(into.len() + reduces.len() - filled, b',');
    into.push(b'\n');
}
