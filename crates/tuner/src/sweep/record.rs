//! The record of a trial.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use stormfire_module::{Error, Result};
use stormfire_trainer::for_tuner::format_value;
use stormfire_values::Mode;

/// The state of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialState {
    /// It was started and has not ended.
    Running,
    /// It has a score.
    Completed,
    /// The pruner has ended it. Its score is that of its last validation.
    Pruned,
    /// It ended with an error.
    Failed,
}

impl std::fmt::Display for TrialState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TrialState::Running => "running",
            TrialState::Completed => "completed",
            TrialState::Pruned => "pruned",
            TrialState::Failed => "failed",
        })
    }
}

/// A trial: its file is `trial_N.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrialRecord {
    /// Its 0-based number.
    pub number: usize,
    /// Its hyperparameters.
    pub params: Map<String, Value>,
    /// Its state.
    pub state: TrialState,
    /// Its score.
    pub score: Option<f64>,
    /// The monitored metric at each validation.
    pub reports: Vec<f64>,
    /// Why it failed.
    pub error: Option<String>,
}

impl TrialRecord {
    pub(super) fn new(number: usize, params: Map<String, Value>) -> Self {
        Self { number, params, state: TrialState::Running, score: None, reports: Vec::new(), error: None }
    }

    /// A hyperparameter, in the type of its values: `let lr: f64 = best.get("lr")?`.
    ///
    /// # Errors
    /// A name that is not in the space, or a value of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        self.param("TrialRecord::get", name)
    }

    /// A hyperparameter, for a method with this name.
    pub(super) fn param<T: DeserializeOwned>(&self, method: &str, name: &str) -> Result<T> {
        let option = || format!("{method}(\"{name}\")");
        let value = self.params.get(name).ok_or_else(|| {
            let names = self.params.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            Error::config(option(), format!("the space has only {names}"), "add it to the `Space`")
        })?;
        T::deserialize(value).map_err(|error| Error::config(option(), error.to_string(), "request the type of its values"))
    }

    /// The record after the trial has ended with a score or an error.
    pub(super) fn ended(mut self, outcome: Result<f64>, is_pruned: bool) -> Self {
        match outcome {
            Ok(score) => {
                if score.is_nan() {
                    tracing::warn!("the score of trial {} is NaN, which counts as the worst", self.number);
                }
                self.state = if is_pruned { TrialState::Pruned } else { TrialState::Completed };
                self.score = Some(score);
            }
            Err(error) => {
                tracing::warn!("trial {} has failed: {error}", self.number);
                (self.state, self.error) = (TrialState::Failed, Some(error.to_string()));
            }
        }
        self
    }

    /// A number that is lower for a better trial. NaN, a failure and no score are worst.
    pub(super) fn rank(&self, mode: Mode) -> f64 {
        rank(self.score.filter(|_| self.state != TrialState::Failed).unwrap_or(f64::NAN), mode)
    }

    pub(super) fn shown_params(&self) -> String {
        let shown = |(name, value): (&String, &Value)| format!("{name} = {}", shown_value(value));
        self.params.iter().map(shown).collect::<Vec<_>>().join(", ")
    }
}

/// A number that is lower for a better value. NaN is worst.
pub(super) fn rank(value: f64, mode: Mode) -> f64 {
    match mode {
        _ if value.is_nan() => f64::INFINITY,
        Mode::Min => value,
        Mode::Max => -value,
    }
}

/// A value in a table.
pub(super) fn shown_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => format_value(number.as_f64().unwrap_or(f64::NAN)),
        other => other.to_string(),
    }
}
