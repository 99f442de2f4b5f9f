//! The course of a sweep: which trial is next, and when the sweep ends.

use stormfire_module::{Error, Result};
use stormfire_trainer::for_tuner::check_not_interrupted;

use super::{
    Sweep,
    journal::{Header, Journal},
    record::{TrialRecord, TrialState},
    result::SweepResult,
};
use crate::tables::print;

pub(super) struct Course<'a> {
    sweep: &'a Sweep,
    journal: Journal,
    trials: usize,
    /// The next trial.
    next: usize,
    /// Failures in a row.
    failures: usize,
    is_over: bool,
}

/// A trial that is to be run.
pub(super) struct Started {
    pub(super) number: usize,
    /// An earlier start of the sweep has begun it.
    pub(super) is_continued: bool,
}

/// The number of trials of a sweep with valid options.
fn trials(sweep: &Sweep) -> Result<usize> {
    sweep.check()?;
    sweep.search.trials(&sweep.space)
}

fn header(sweep: &Sweep) -> Header {
    let Sweep { space, search, seed, monitor, mode, .. } = sweep;
    Header { space: space.clone(), search: search.name().to_owned(), seed: *seed, monitor: monitor.clone(), mode: *mode }
}

impl<'a> Course<'a> {
    /// Opens the folder.
    pub(super) fn open(sweep: &'a Sweep) -> Result<Self> {
        let trials = trials(sweep)?;
        let journal = Journal::open(&sweep.folder, &header(sweep))?;
        Ok(Self { sweep, journal, trials, next: 0, failures: 0, is_over: false })
    }

    /// Does the checks of [`open`](Self::open), and writes nothing. Returns the number of trials.
    pub(super) fn check(sweep: &Sweep) -> Result<usize> {
        let trials = trials(sweep)?;
        Journal::check(&sweep.folder, &header(sweep))?;
        Ok(trials)
    }

    pub(super) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Begins the next trial that has not ended.
    pub(super) fn start(&mut self) -> Result<Option<Started>> {
        while !self.is_over && self.next < self.trials {
            let number = self.next;
            self.next += 1;
            let is_continued = self.journal.records().len() > number;
            if self.journal.records().get(number).is_some_and(|record| record.state != TrialState::Running) {
                continue;
            }
            check_not_interrupted()?;
            if !is_continued {
                let Sweep { search, space, seed, mode, .. } = self.sweep;
                let params = search.params(space, *seed, number, self.journal.records(), *mode);
                self.journal.set(TrialRecord::new(number, params))?;
            }
            tracing::info!("trial {number} of {}: {}", self.trials, self.journal.records()[number].shown_params());
            return Ok(Some(Started { number, is_continued }));
        }
        Ok(None)
    }

    /// Notes the end of a trial.
    pub(super) fn ended(&mut self, record: TrialRecord) -> Result<()> {
        self.failures = if record.state == TrialState::Failed { self.failures + 1 } else { 0 };
        let error = record.error.clone().unwrap_or_default();
        self.journal.set(record)?;
        if self.failures >= self.sweep.max_failures {
            let reason = format!("{} trials in a row have failed, the last one with: {error}", self.failures);
            self.is_over = true;
            return Err(Error::config("Sweep", reason, "correct what fails, or raise `max_failures`"));
        }
        Ok(())
    }

    /// Writes and shows the table.
    pub(super) fn result(self) -> Result<SweepResult> {
        let result = SweepResult::new(self.journal.records().to_vec(), self.sweep.mode);
        result.write(&self.sweep.folder)?;
        print(&result);
        Ok(result)
    }
}
