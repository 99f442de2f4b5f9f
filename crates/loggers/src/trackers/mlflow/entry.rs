//! Entries for a server or the file store.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::Status;
use crate::network::outbox::Record;

/// A recorded value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// Values with the same step and time (milliseconds since 1970).
    Metrics {
        step: u64,
        time: u64,
        values: Vec<(String, Number)>,
    },
    Param {
        key: String,
        value: String,
    },
    Tag {
        key: String,
        value: String,
    },
    /// A file for the artifacts of the run.
    File {
        /// Its path among the artifacts.
        to: String,
        /// See [`Record::files`].
        from: PathBuf,
        /// The name and step of its content, if a resumed run may log it again.
        of: Option<(String, u64)>,
    },
    /// `end` is in milliseconds since 1970.
    Status {
        status: RunStatus,
        end: Option<u64>,
    },
}

impl Record for Entry {
    fn files(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::File { from, .. } => vec![from],
            _ => Vec::new(),
        }
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Status { .. })
    }
}

/// The states of a run in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum RunStatus {
    Running,
    Finished,
    Failed,
    Killed,
}

impl RunStatus {
    /// The number of the state in the file store.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Running => 1,
            Self::Finished => 3,
            Self::Failed => 4,
            Self::Killed => 5,
        }
    }
}

impl From<Status> for RunStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Success => Self::Finished,
            Status::Failed => Self::Failed,
            Status::Interrupted => Self::Killed,
        }
    }
}

/// A number. The protocol has strings for non-finite values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number(pub(super) f64);

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_nan() => serializer.serialize_str("NaN"),
            f64::INFINITY => serializer.serialize_str("Infinity"),
            f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            value => serializer.serialize_f64(value),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// The visitor decides at once. An untagged enum would keep a copy and try each form.
        struct Either;

        impl de::Visitor<'_> for Either {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
                Ok(Number(value))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
                Ok(Number(value as f64))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Number, E> {
                text.parse().map(Number).map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_the_spool() {
        for value in [0.1, f64::from(0.1_f32), -0.0, 1e300, 5e-324, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 3.0] {
            let entry = Entry::Metrics { step: u64::MAX, time: 1, values: vec![("a".to_owned(), Number(value))] };
            let text = serde_json::to_string(&entry).unwrap();
            assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), entry, "{text}");
        }
    }
}
