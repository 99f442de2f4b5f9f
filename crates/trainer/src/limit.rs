//! Limits on the number of batches.

use std::str::FromStr;

use serde::{Deserialize, Serialize};
use stormfire_module::{Error, Result};
use stormfire_values::{reads_text, text::TextError};

/// A limit on batches: a number, or a share of them.
///
/// As in Lightning, an integer is a number of batches and a number with a decimal point is a share: `1` is one batch,
/// `1.0` is all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, try_from = "GivenLimit")]
pub enum Limit {
    /// This number of batches.
    Batches(usize),
    /// This share of the batches, in `0..=1`.
    Fraction(f64),
}

impl Limit {
    /// All batches.
    pub const ALL: Limit = Limit::Fraction(1.0);

    /// The number of batches out of `available` (`None`: the data does not know its length).
    ///
    /// # Errors
    /// Fails for a share of an unknown number, and for a share that is less than one batch.
    pub(crate) fn of(self, available: Option<usize>, option: &str) -> Result<Option<usize>> {
        match (self, available) {
            (Limit::Batches(n), Some(available)) => Ok(Some(n.min(available))),
            (Limit::Batches(n), None) => Ok(Some(n)),
            (Limit::Fraction(f), available) if (f - 1.0).abs() < f64::EPSILON => Ok(available),
            (Limit::Fraction(0.0), _) => Ok(Some(0)),
            (Limit::Fraction(_), None) => Err(Error::config(
                option,
                "the data does not know its number of batches, so a fraction of them is unknown",
                "give a number of batches",
            )),
            (Limit::Fraction(f), Some(available)) => match (available as f64 * f) as usize {
                0 if available > 0 => Err(Error::config(
                    option,
                    format!("{f} of {available} batches is less than one"),
                    format!("use at least {:.4}, or a number of batches", 1.0 / available as f64),
                )),
                n => Ok(Some(n)),
            },
        }
    }

    pub(crate) fn is_none(self) -> bool {
        matches!(self, Limit::Batches(0) | Limit::Fraction(0.0))
    }
}

/// The forms in a file.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number of batches such as `10`, or a fraction of them such as `0.25`")]
enum GivenLimit {
    Batches(usize),
    Fraction(f64),
    Text(String),
}

impl TryFrom<GivenLimit> for Limit {
    type Error = TextError;

    fn try_from(given: GivenLimit) -> Result<Self, TextError> {
        match given {
            GivenLimit::Batches(batches) => Ok(batches.into()),
            GivenLimit::Fraction(share) => Ok(share.into()),
            GivenLimit::Text(text) => text.parse(),
        }
    }
}

impl FromStr for Limit {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let number = text.trim();
        let read = number.parse().map(Limit::Batches).or_else(|_| number.parse().map(Limit::Fraction));
        read.map_err(|_| TextError {
            text: text.into(),
            what: "a number of batches",
            reason: "it is not a number".into(),
            forms: "a number of batches such as `10`, or a fraction of them such as `0.25`",
        })
    }
}

reads_text!(Limit);

impl From<usize> for Limit {
    fn from(batches: usize) -> Self {
        Limit::Batches(batches)
    }
}

impl From<f64> for Limit {
    fn from(share: f64) -> Self {
        Limit::Fraction(share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_or_share() {
        let of = |limit: Limit, available| limit.of(available, "limit_train_batches");
        assert_eq!(of(Limit::ALL, Some(10)).unwrap(), Some(10));
        assert_eq!(of(Limit::ALL, None).unwrap(), None);
        assert_eq!(of(3.into(), Some(10)).unwrap(), Some(3));
        assert_eq!(of(30.into(), Some(10)).unwrap(), Some(10));
        assert_eq!(of(3.into(), None).unwrap(), Some(3));
        assert_eq!(of(0.25.into(), Some(10)).unwrap(), Some(2));
        assert_eq!(of(0.into(), None).unwrap(), Some(0));
        let errors = [of(0.05.into(), Some(10)), of(0.5.into(), None)].map(|limit| format!("{:?}", limit.unwrap_err()));
        insta::assert_snapshot!(errors.join("\n"), @r"
        `limit_train_batches`: 0.05 of 10 batches is less than one
          hint: use at least 0.1000, or a number of batches
        `limit_train_batches`: the data does not know its number of batches, so a fraction of them is unknown
          hint: give a number of batches
        ");
    }
}
