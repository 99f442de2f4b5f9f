//! The log lines of a run: `training.log`.

use std::collections::VecDeque;
use std::path::PathBuf;

use super::growing::{Change, Growing};
use super::plain_text::plain;

/// Number of the newest lines that are kept.
const NEWEST: usize = 500;
/// Number of different warnings that are kept.
const WARNINGS: usize = 100;
/// At the first call, only this number of bytes at the end of the file is read, unless warnings are collected.
const FROM_END: u64 = 256 << 10;
/// Maximum length of a line in characters.
const LONGEST: usize = 2000;

/// The level of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Trace, debug, or the continuation of another line.
    Debug,
    /// Information.
    Info,
    /// A warning.
    Warn,
    /// An error.
    Error,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The level.
    pub level: Level,
    /// The text with its time.
    pub text: String,
}

/// A warning or an error with its number of occurrences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The level.
    pub level: Level,
    /// The text without its time.
    pub text: String,
    /// How often it was reported.
    pub count: u64,
}

#[derive(Debug)]
pub(super) struct Messages {
    file: Growing,
    pub(super) newest: VecDeque<Message>,
    pub(super) warnings: Vec<Warning>,
    reads_all: bool,
}

impl Messages {
    pub(super) fn new(path: PathBuf, reads_all: bool) -> Self {
        Self { file: Growing::new(path), newest: VecDeque::new(), warnings: Vec::new(), reads_all }
    }

    /// Reads at most about `most` new bytes and returns their number.
    pub(super) fn poll(&mut self, most: usize) -> usize {
        match self.file.check() {
            Change::Missing => return 0,
            Change::Replaced => {
                self.file.rewind();
                self.newest.clear();
                self.warnings.clear();
            }
            Change::None | Change::Grown => {}
        }
        if !self.reads_all && self.file.left() > FROM_END {
            self.file.skip_to_end(FROM_END);
        }
        let mut bytes = Vec::new();
        if self.file.left() == 0 || self.file.read(most.max(1 << 16), &mut bytes).is_err() {
            return 0;
        }
        let mut end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        if end == 0 && bytes.len() >= most.max(1 << 16) {
            // A line without an end must not stop the reading.
            end = bytes.len();
        }
        for line in String::from_utf8_lossy(&bytes[..end]).lines() {
            self.add(line);
        }
        self.file.advance(&bytes[..end]);
        bytes.len()
    }

    fn add(&mut self, line: &str) {
        let text: String = plain(line).chars().take(LONGEST).collect();
        if text.trim().is_empty() {
            return;
        }
        let (level, without_time) = level(&text);
        if level >= Level::Warn {
            if let Some(warning) = self.warnings.iter_mut().find(|warning| warning.text == without_time) {
                warning.count += 1;
            } else if self.warnings.len() < WARNINGS {
                self.warnings.push(Warning { level, text: without_time.to_owned(), count: 1 });
            }
        }
        if self.newest.len() == NEWEST {
            self.newest.pop_front();
        }
        self.newest.push_back(Message { level, text });
    }
}

/// The level in the first words of a line, and the text after it.
fn level(text: &str) -> (Level, &str) {
    for (word, level) in [("ERROR", Level::Error), ("WARN", Level::Warn), ("INFO", Level::Info)] {
        let found = text.match_indices(word).find(|(at, _)| *at < 32);
        if let Some((at, _)) = found
            && text[..at].ends_with(' ')
        {
            return (level, text[at + word.len()..].trim());
        }
    }
    (Level::Debug, text)
}
