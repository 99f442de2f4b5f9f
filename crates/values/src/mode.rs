//! Which of two values of a metric is better.

use serde::{Deserialize, Serialize};

use crate::{
    reads_text,
    text::{TextError, one_of},
};

/// Whether lower or higher values of a metric are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Lower is better.
    #[default]
    Min,
    /// Higher is better.
    Max,
}

impl Mode {
    /// Whether `a` is strictly better than `b`. NaN never is.
    pub fn is_better(self, a: f64, b: f64) -> bool {
        match self {
            Mode::Min => a < b,
            Mode::Max => a > b,
        }
    }

    /// The value that is worse than all others.
    pub fn worst(self) -> f64 {
        match self {
            Mode::Min => f64::INFINITY,
            Mode::Max => f64::NEG_INFINITY,
        }
    }

    /// `"min"` or `"max"`.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Min => "min",
            Mode::Max => "max",
        }
    }
}

impl std::str::FromStr for Mode {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        one_of(text, "a mode", &[("min", Mode::Min), ("max", Mode::Max)], "`min` or `max`")
    }
}

reads_text!(Mode);
