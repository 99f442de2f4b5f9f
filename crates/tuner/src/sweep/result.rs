//! The trials of a sweep as a table.

use std::{fmt, path::Path};

use comfy_table::Table as Shown;
use serde_json::Value;
use stormfire_loggers::Table;
use stormfire_module::Result;
use stormfire_trainer::for_tuner::{STYLE, format_value};
use stormfire_values::Mode;

use super::record::{TrialRecord, TrialState, shown_value};
use crate::tables::{cell, write_csv};

/// The trials of a sweep. `Display` is a table of all of them.
#[derive(Clone, Debug, PartialEq)]
pub struct SweepResult {
    trials: Vec<TrialRecord>,
    mode: Mode,
}

impl SweepResult {
    pub(super) fn new(trials: Vec<TrialRecord>, mode: Mode) -> Self {
        Self { trials, mode }
    }

    /// All trials, by number.
    pub fn trials(&self) -> &[TrialRecord] {
        &self.trials
    }

    /// The completed trial with the best score. `None` if no score is a number.
    pub fn best(&self) -> Option<&TrialRecord> {
        let has_score = |trial: &&TrialRecord| trial.state == TrialState::Completed && trial.score.is_some_and(|score| !score.is_nan());
        self.trials.iter().filter(has_score).min_by(|a, b| a.rank(self.mode).total_cmp(&b.rank(self.mode)))
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.trials.first().into_iter().flat_map(|trial| trial.params.keys())
    }

    /// The columns `trial`, `state`, `score`, the hyperparameters, and `error`.
    ///
    /// # Errors
    /// None is known.
    pub fn table(&self) -> Result<Table> {
        let first = ["trial", "state", "score"].map(String::from);
        let columns = first.into_iter().chain(self.names().cloned()).chain(["error".to_owned()]);
        let row = |table: Table, trial: &TrialRecord| {
            let first = [trial.number.into(), trial.state.to_string().into(), trial.score.map_or(Value::Null, cell)];
            let params = self.names().map(|name| trial.params.get(name).cloned().unwrap_or_default());
            table.row(first.into_iter().chain(params).chain([trial.error.clone().into()]))
        };
        Ok(self.trials.iter().try_fold(Table::new(columns), row)?)
    }

    /// Writes `trials.csv`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        write_csv(&folder.join("trials.csv"), &self.table()?)
    }
}

impl fmt::Display for SweepResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let best = self.best().map(|trial| trial.number);
        let mut table = Shown::new();
        table.load_style(STYLE);
        table.set_header(["trial", "state", "score"].map(String::from).into_iter().chain(self.names().cloned()));
        for trial in &self.trials {
            let mark = if best == Some(trial.number) { " (best)" } else { "" };
            let score = trial.score.map(format_value).unwrap_or_default();
            let first = [format!("{}{mark}", trial.number), trial.state.to_string(), score];
            let params = self.names().map(|name| trial.params.get(name).map(shown_value).unwrap_or_default());
            table.add_row(first.into_iter().chain(params));
        }
        write!(f, "{table}")
    }
}
