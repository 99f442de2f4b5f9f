//! The hyperparameters of a sweep, and their values.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use stormfire_module::{Error, Result};

/// Names with the values that they may have, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Space(Vec<Dimension>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Dimension {
    pub(super) name: String,
    pub(super) values: Values,
}

/// The values of a hyperparameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Values {
    Uniform(f64, f64),
    LogUniform(f64, f64),
    /// Both ends included.
    Int(i64, i64),
    Choice(Vec<Value>),
}

impl Space {
    /// No hyperparameters.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, name: impl Into<String>, values: Values) -> Self {
        self.0.push(Dimension { name: name.into(), values });
        self
    }

    /// A number in `low..high`.
    pub fn uniform(self, name: impl Into<String>, low: f64, high: f64) -> Self {
        self.with(name, Values::Uniform(low, high))
    }

    /// A number in `low..high`, whose logarithm is uniform.
    pub fn log_uniform(self, name: impl Into<String>, low: f64, high: f64) -> Self {
        self.with(name, Values::LogUniform(low, high))
    }

    /// A whole number in `low..=high`.
    pub fn int(self, name: impl Into<String>, low: i64, high: i64) -> Self {
        self.with(name, Values::Int(low, high))
    }

    /// One of several values: numbers, strings, booleans.
    pub fn choice<V: Into<Value>>(self, name: impl Into<String>, values: impl IntoIterator<Item = V>) -> Self {
        self.with(name, Values::Choice(values.into_iter().map(Into::into).collect()))
    }

    pub(super) fn dimensions(&self) -> &[Dimension] {
        &self.0
    }

    /// Refuses a space without a hyperparameter, two of one name, and values that cannot be.
    ///
    /// # Errors
    /// [`Error::Config`], which names the first such hyperparameter.
    pub fn check(&self) -> Result<()> {
        if self.0.is_empty() {
            return Err(Error::config("Space", "it has no hyperparameter", "add one with `Space::uniform`, for example"));
        }
        for (index, Dimension { name, values }) in self.0.iter().enumerate() {
            let wrong = match values {
                _ if self.0[..index].iter().any(|other| other.name == *name) => Some("the name is given twice".to_owned()),
                Values::Uniform(low, high) if !((high - low).is_finite() && low < high) => Some(format!("{low}..{high} is not a range")),
                Values::LogUniform(low, high) if !(*low > 0.0 && high.is_finite() && low < high) => {
                    Some(format!("{low}..{high} is not a range of positive numbers"))
                }
                Values::Int(low, high) if low > high => Some(format!("{low}..={high} is empty")),
                Values::Choice(values) if values.is_empty() => Some("there are no values".to_owned()),
                Values::Choice(values) if values.contains(&Value::Null) => Some("a value is NaN, infinite or null".to_owned()),
                _ => None,
            };
            if let Some(reason) = wrong {
                return Err(Error::config("Space", format!("`{name}`: {reason}"), "correct this hyperparameter"));
            }
        }
        Ok(())
    }
}

impl Values {
    /// The number of values, if it is known.
    pub(super) fn count(&self) -> Option<usize> {
        match self {
            Values::Uniform(..) | Values::LogUniform(..) => None,
            Values::Int(low, high) => usize::try_from(high.checked_sub(*low)?).ok()?.checked_add(1),
            Values::Choice(values) => Some(values.len()),
        }
    }

    /// The value of this index.
    pub(super) fn nth(&self, index: usize) -> Value {
        match self {
            Values::Uniform(low, _) | Values::LogUniform(low, _) => (*low).into(),
            Values::Int(low, high) => low.saturating_add(i64::try_from(index).unwrap_or(i64::MAX)).min(*high).into(),
            Values::Choice(values) => values.get(index).cloned().unwrap_or_default(),
        }
    }

    /// The ends of the coordinate of a value, the last one excluded.
    pub(super) fn ends(&self) -> (f64, f64) {
        let (low, high) = match self {
            Values::Uniform(low, high) => (*low, *high),
            Values::LogUniform(low, high) => (low.ln(), high.ln()),
            Values::Int(low, high) => (*low as f64, *high as f64 + 1.0),
            Values::Choice(values) => (0.0, values.len() as f64),
        };
        // Whole numbers beyond 2^53 and logarithms of near numbers may be the same.
        (low, high.max(low.next_up()))
    }

    /// The value at a coordinate.
    pub(super) fn at(&self, coordinate: f64) -> Value {
        match self {
            Values::Uniform(low, high) => coordinate.clamp(*low, *high).into(),
            Values::LogUniform(low, high) => coordinate.exp().clamp(*low, *high).into(),
            Values::Int(low, high) => (coordinate.floor() as i64).clamp(*low, *high).into(),
            Values::Choice(values) => self.nth((coordinate.max(0.0) as usize).min(values.len().saturating_sub(1))),
        }
    }

    /// The coordinate of a value.
    pub(super) fn coordinate(&self, value: &Value) -> Option<f64> {
        let (low, high) = self.ends();
        let coordinate = match self {
            Values::Uniform(..) => value.as_f64()?,
            Values::LogUniform(..) => value.as_f64()?.ln(),
            Values::Int(..) => value.as_i64()? as f64 + 0.5,
            Values::Choice(values) => values.iter().position(|known| known == value)? as f64 + 0.5,
        };
        Some(coordinate.clamp(low, high.next_down()))
    }
}
