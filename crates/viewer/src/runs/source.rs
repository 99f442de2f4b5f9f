//! One log of a run: a table, lines of JSON, or the event files of a folder.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use stormfire_loggers::tensorboard::scan::{self, Data, Found};

use super::csv_rows::CsvRows;
use super::growing::{Change, Growing, read_at};
use super::json_rows::JsonRows;
use super::media::{Media, MediaLimits};
use super::series::Series;

/// How much a log may keep in memory, and how it starts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Number of buckets of all curves together.
    pub(super) buckets: usize,
    pub(super) media: MediaLimits,
    /// A log with more unread bytes gets a preview.
    pub(super) samples_above: u64,
}

/// The preview reads at most this number of windows, spread over the file.
const WINDOWS: u64 = 256;
/// The size of a window in bytes.
const WINDOW: usize = 16 << 10;
/// Maximum size of the header of a table.
const LONGEST_HEADER: usize = 64 << 20;

#[derive(Debug)]
enum Format {
    Table(CsvRows),
    Lines(JsonRows),
    Events,
}

/// A log with its curves.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) files: Vec<Growing>,
    format: Format,
    /// The prefix of all names, for a group of event files.
    prefix: String,
    series: Series,
    /// Samples of the whole log, until it has been read.
    preview: Option<Series>,
    pub(super) media: Media,
    /// The hyperparameters of the run in the events.
    pub(super) params: Vec<(String, String)>,
    pub(super) success: Option<bool>,
    damaged: u64,
    /// The event file is damaged before the position, and no record was found since.
    is_lost: bool,
    buffer: Vec<u8>,
    samples_above: u64,
}

impl Source {
    fn new(path: PathBuf, format: Format, prefix: String, limits: Limits) -> Self {
        Self {
            files: vec![Growing::new(path)],
            format,
            prefix,
            series: Series::new(limits.buckets),
            preview: None,
            media: Media::new(limits.media),
            params: Vec::new(),
            success: None,
            damaged: 0,
            is_lost: false,
            buffer: Vec::new(),
            samples_above: limits.samples_above,
        }
    }

    pub(super) fn table(path: PathBuf, limits: Limits) -> Self {
        Self::new(path, Format::Table(CsvRows::default()), String::new(), limits)
    }

    pub(super) fn lines(path: PathBuf, limits: Limits) -> Self {
        Self::new(path, Format::Lines(JsonRows::default()), String::new(), limits)
    }

    pub(super) fn events(first: PathBuf, prefix: String, limits: Limits) -> Self {
        Self::new(first, Format::Events, prefix, limits)
    }

    /// Adds an event file of the same folder. The files are read in the order of their names.
    pub(super) fn add_file(&mut self, path: &Path) {
        if !self.files.iter().any(|file| file.path == path) {
            self.files.push(Growing::new(path.to_owned()));
            self.files.sort_by(|a, b| a.path.cmp(&b.path));
        }
    }

    /// The curves. Until a large log has been read, those of its samples.
    pub(super) fn series(&self) -> &Series {
        self.preview.as_ref().unwrap_or(&self.series)
    }

    /// Whether [`Source::series`] contains samples only.
    pub(super) fn is_sampled(&self) -> bool {
        self.preview.is_some()
    }

    pub(super) fn damaged(&self) -> u64 {
        self.damaged
            + match &self.format {
                Format::Table(rows) => rows.damaged,
                Format::Lines(rows) => rows.damaged,
                Format::Events => 0,
            }
    }

    pub(super) fn is_events(&self) -> bool {
        matches!(self.format, Format::Events)
    }

    pub(super) fn modified(&self) -> Option<SystemTime> {
        self.files.iter().filter_map(|file| file.modified).max()
    }

    /// The bytes that were read, and all bytes.
    pub(super) fn progress(&self) -> (u64, u64) {
        let read = self.files.iter().map(|file| file.length - file.left()).sum();
        (read, self.files.iter().map(|file| file.length).sum())
    }

    /// Reads at most about `most` new bytes and returns their number.
    pub(super) fn poll(&mut self, most: usize) -> io::Result<usize> {
        let changes: Vec<Change> = self.files.iter_mut().map(Growing::check).collect();
        if changes.contains(&Change::Replaced) {
            self.restart();
        }
        let mut read = 0;
        for (number, change) in changes.into_iter().enumerate() {
            if read >= most {
                break;
            }
            let (path, left) = (self.files[number].path.clone(), self.files[number].left());
            if left == 0 && change != Change::Grown || change == Change::Missing {
                continue;
            }
            if let Format::Table(rows) = &mut self.format {
                let Some(header) = header(rows, &path, &mut self.series)? else {
                    // The header is new or incomplete.
                    if rows.has_header() {
                        self.restart();
                    }
                    return Ok(read);
                };
                self.files[number].position = self.files[number].position.max(header as u64);
            }
            if self.files[number].left() > self.samples_above && self.preview.is_none() {
                self.preview = Some(self.sample(number)?);
            }
            read += self.poll_file(number, most - read)?;
        }
        if self.files.iter().all(|file| file.left() <= self.samples_above) {
            self.preview = None;
        }
        Ok(read)
    }

    fn restart(&mut self) {
        self.files.iter_mut().for_each(Growing::rewind);
        self.series.clear();
        self.media.clear();
        (self.preview, self.success, self.damaged) = (None, None, 0);
        self.params.clear();
        self.format = match self.format {
            Format::Table(_) => Format::Table(CsvRows::default()),
            Format::Lines(_) => Format::Lines(JsonRows::default()),
            Format::Events => Format::Events,
        };
    }

    fn poll_file(&mut self, number: usize, most: usize) -> io::Result<usize> {
        let mut most = most;
        let mut buffer = std::mem::take(&mut self.buffer);
        loop {
            let file = &self.files[number];
            file.read(most, &mut buffer)?;
            let is_end = buffer.len() as u64 >= file.left();
            let (taken, needs) = self.feed(&buffer, is_end);
            self.files[number].advance(&buffer[..taken]);
            if taken > 0 || is_end {
                break;
            }
            // A record or line that is longer than the buffer.
            most = needs.unwrap_or(most.saturating_mul(2));
            if most > scan::LARGEST_RECORD {
                self.files[number].position += buffer.len() as u64;
                self.damaged += 1;
                break;
            }
        }
        let read = buffer.len();
        // One large record does not keep its memory.
        buffer.shrink_to(1 << 24);
        self.buffer = buffer;
        Ok(read)
    }

    /// Takes what is complete, and returns its number of bytes and that of an incomplete record after it.
    fn feed(&mut self, bytes: &[u8], is_end: bool) -> (usize, Option<usize>) {
        let series = &mut self.series;
        match &mut self.format {
            Format::Table(rows) => (rows.feed(bytes, is_end, series), None),
            Format::Lines(rows) => (rows.feed(bytes, is_end, series), None),
            Format::Events => {
                let mut reader = EventSink {
                    prefix: &self.prefix,
                    series,
                    media: &mut self.media,
                    params: &mut self.params,
                    success: &mut self.success,
                };
                let mut at = 0;
                loop {
                    let scanned = scan::records(&bytes[at..], &mut |found| reader.take(found));
                    at += scanned.bytes;
                    self.damaged += scanned.damaged as u64;
                    self.is_lost &= scanned.bytes == 0;
                    if !scanned.is_lost {
                        return (at, scanned.needs);
                    }
                    self.damaged += u64::from(!std::mem::replace(&mut self.is_lost, true));
                    match scan::next_record(&bytes[at + 1..]) {
                        Some(next) => at += 1 + next,
                        None => return (bytes.len().saturating_sub(16).max(at), None),
                    }
                }
            }
        }
    }

    /// Curves of small windows that are spread over the file.
    fn sample(&self, number: usize) -> io::Result<Series> {
        let file = &self.files[number];
        let mut series = self.series.clone();
        let mut window = Vec::new();
        // The windows are far apart.
        let windows = (file.left() / (8 * WINDOW as u64)).clamp(1, WINDOWS);
        let step = file.left() / windows;
        for index in 0..=windows {
            let is_last = index == windows;
            let start = if is_last { file.length.saturating_sub(WINDOW as u64) } else { file.position + index * step };
            read_at(&file.path, start, WINDOW, &mut window)?;
            self.sample_window(&window, index > 0, is_last, &mut series);
        }
        Ok(series)
    }

    fn sample_window(&self, window: &[u8], is_inside: bool, is_last: bool, series: &mut Series) {
        let skipped = if is_inside { window.iter().position(|byte| *byte == b'\n').map_or(window.len(), |at| at + 1) } else { 0 };
        match &self.format {
            Format::Table(rows) => drop(rows.of_samples().feed(&window[skipped..], is_last, series)),
            Format::Lines(_) => drop(JsonRows::of_samples().feed(&window[skipped..], is_last, series)),
            Format::Events => {
                let Some(start) = scan::next_record(window) else { return };
                scan::records(&window[start..], &mut |found| {
                    if let Found::Value { step, tag, data: Data::Scalar(value) } = found
                        && let Some(place) = series.place(&named(&self.prefix, tag))
                    {
                        series.push(place, step as f64, value.into());
                    }
                });
            }
        }
    }
}

/// Where the content of an event file goes.
struct EventSink<'a> {
    prefix: &'a str,
    series: &'a mut Series,
    media: &'a mut Media,
    params: &'a mut Vec<(String, String)>,
    success: &'a mut Option<bool>,
}

impl EventSink<'_> {
    fn take(&mut self, found: Found<'_>) {
        match found {
            Found::Value { step, tag, data: Data::Scalar(value) } => {
                let place = if self.prefix.is_empty() { self.series.place(tag) } else { self.series.place(&named(self.prefix, tag)) };
                if let Some(place) = place {
                    self.series.push(place, step as f64, value.into());
                }
            }
            Found::Value { step, tag, data } => self.media.add(&named(self.prefix, tag), step, data),
            Found::Restart { step } => {
                *self.success = None;
                self.series.void(step as f64);
            }
            Found::Params(params) => *self.params = params,
            Found::End { success } => *self.success = Some(success),
        }
    }
}

/// The name of a value in a group: the folder `losses_train` with the tag `losses` is `losses/train`.
fn named<'a>(prefix: &str, tag: &'a str) -> std::borrow::Cow<'a, str> {
    if prefix.is_empty() {
        return tag.into();
    }
    let plain = tag.replace(['/', '\\', ':'], "_");
    match prefix.strip_prefix(&plain).and_then(|rest| rest.strip_prefix('_')) {
        Some(value) => format!("{tag}/{value}").into(),
        None => format!("{prefix}/{tag}").into(),
    }
}

/// Reads the header of a table. `None` if it is incomplete, or not that of the rows that were read.
fn header(rows: &mut CsvRows, path: &Path, series: &mut Series) -> io::Result<Option<usize>> {
    let mut bytes = Vec::new();
    let mut most = 1 << 16;
    loop {
        read_at(path, 0, most, &mut bytes)?;
        if let Some(length) = rows.take_header(&bytes, series) {
            return Ok(Some(length));
        }
        if bytes.len() < most || most >= LONGEST_HEADER {
            return Ok(None);
        }
        most *= 8;
    }
}
