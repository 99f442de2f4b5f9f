//! The result of a test of learning rates.

use std::path::Path;

use stormfire_loggers::{Figure, Loggers, Table};
use stormfire_module::{Error, Result};
use stormfire_store::replacement::Replacement;

use super::{chart, choices::Suggestion, point::LrPoint, suggest};
use crate::tables::{cell, write_csv};

/// The losses over the learning rates, and what they suggest.
#[derive(Clone, Debug, PartialEq)]
pub struct LrCurve {
    points: Vec<LrPoint>,
    skip: (usize, usize),
    suggestion: Suggestion,
    end: String,
}

impl LrCurve {
    pub(super) fn new(points: Vec<LrPoint>, skip: (usize, usize), suggestion: Suggestion, end: String) -> Self {
        Self { points, skip, suggestion, end }
    }

    /// One point for each optimizer step. The last loss may be NaN or infinite.
    pub fn points(&self) -> &[LrPoint] {
        &self.points
    }

    /// Why the test ended.
    pub fn end(&self) -> &str {
        &self.end
    }

    /// The points that suggestions use: rates and smoothed losses.
    fn used(&self) -> Vec<(f64, f64)> {
        let (first, last) = self.skip;
        let points = self.points.iter().take(self.points.len().saturating_sub(last)).skip(first);
        points.filter(|point| point.smoothed.is_finite()).map(|point| (point.rate, point.smoothed)).collect()
    }

    fn suggested(&self, choose: impl FnOnce(&[(f64, f64)]) -> Option<usize>) -> Result<f64> {
        let used = self.used();
        let found = if used.len() < 2 { None } else { choose(&used).and_then(|index| used.get(index)) };
        found.map(|(rate, _)| *rate).ok_or_else(|| {
            let (first, last) = self.skip;
            let reason = format!(
                "too few points for a suggestion: {} of {} are left without the first {first}, the last {last}, and losses that are not \
                 finite; the test ended because: {}",
                used.len(),
                self.points.len(),
                self.end
            );
            Error::config("lr_find", reason, "take more steps with `num_training`, a lower `max_lr`, or ignore fewer points with `skip`")
        })
    }

    /// The rate in the longest valley.
    ///
    /// # Errors
    /// Too few points.
    pub fn valley(&self) -> Result<f64> {
        self.suggested(suggest::valley)
    }

    /// The rate at which the loss falls fastest.
    ///
    /// # Errors
    /// Too few points.
    pub fn steepest(&self) -> Result<f64> {
        self.suggested(suggest::steepest)
    }

    /// The rate that [`LrFind::suggestion`](super::LrFind::suggestion) chose.
    ///
    /// # Errors
    /// Too few points.
    pub fn suggestion(&self) -> Result<f64> {
        match self.suggestion {
            Suggestion::Valley => self.valley(),
            Suggestion::Steepest => self.steepest(),
        }
    }

    /// A drawing with both suggestions.
    pub fn figure(&self) -> Figure {
        let marks = [("valley", self.valley()), ("steepest", self.steepest())];
        let marks: Vec<_> = marks.into_iter().filter_map(|(name, rate)| Some((name, rate.ok()?))).collect();
        Figure::svg(chart::svg(&self.points, &marks))
    }

    /// The columns `learning_rate`, `loss` and `smoothed_loss`.
    ///
    /// # Errors
    /// None is known.
    pub fn table(&self) -> Result<Table> {
        let table = Table::new(["learning_rate", "loss", "smoothed_loss"]);
        let row = |table: Table, point: &LrPoint| table.row([cell(point.rate), cell(point.loss), cell(point.smoothed)]);
        Ok(self.points.iter().try_fold(table, row)?)
    }

    /// Sends the drawing as `lr_find` and the table as `lr_find_table` to the loggers of a run: those of
    /// `self.loggers()` in a hook, or those of [`Trainer::loggers`](stormfire_trainer::Trainer::loggers) after a fit.
    ///
    /// # Errors
    /// As [`table`](Self::table).
    pub fn log(&self, loggers: &Loggers, step: impl Into<Option<u64>>) -> Result<()> {
        let step = step.into();
        loggers.log_figure("lr_find", self.figure(), step);
        loggers.log_table("lr_find_table", self.table()?, step);
        Ok(())
    }

    /// Writes `lr_find.svg` and `lr_find.csv` into a folder.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        fs_err::create_dir_all(folder)?;
        Replacement::new(&folder.join("lr_find.svg"))?.commit_bytes(self.figure().bytes())?;
        write_csv(&folder.join("lr_find.csv"), &self.table()?)
    }
}
