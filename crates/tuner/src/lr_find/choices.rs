//! Options that are one of a few words.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stormfire_values::{
    reads_text,
    text::{TextError, one_of},
};

/// The spacing of the learning rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Spacing {
    /// Each rate is the same multiple of the one before.
    #[default]
    Exponential,
    /// Each rate is larger than the one before by the same amount.
    Linear,
}

impl FromStr for Spacing {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let words = [("exponential", Spacing::Exponential), ("linear", Spacing::Linear)];
        one_of(text, "a spacing", &words, "`exponential` or `linear`")
    }
}

/// How a learning rate is read off the curve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Suggestion {
    /// In the longest valley, as in fastai: the longest decreasing sequence of losses, a third of its length plus half
    /// of a third from its start.
    #[default]
    Valley,
    /// Where the loss falls fastest by the logarithm of the rate. More sensitive to noise.
    Steepest,
}

impl FromStr for Suggestion {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let words = [("valley", Suggestion::Valley), ("steepest", Suggestion::Steepest)];
        one_of(text, "a suggestion", &words, "`valley` or `steepest`")
    }
}

reads_text!(Spacing, Suggestion);
