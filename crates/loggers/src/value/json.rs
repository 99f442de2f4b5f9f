//! Plain data as JSON in which every float survives.
//!
//! JSON has no infinity and no NaN, and `serde_json` writes `null` for them, which reads back as an error, or as "nothing".
//! Here they are the texts `"inf"`, `"-inf"` and `"NaN"`, for any type that serde knows: struct fields, options, lists, keys of
//! maps, parts of enums. A text of one's own that says the same gets `text:` in front of it, so that both come back as what they were.
//!
//! ```
//! use stormfire_loggers::json;
//!
//! let saved = json::to_value(&("inf", f64::INFINITY))?;
//! assert_eq!(saved, serde_json::json!(["text:inf", "inf"]));
//! assert_eq!(json::from_value::<(String, f64)>(saved)?, ("inf".to_owned(), f64::INFINITY));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer, de::DeserializeOwned};
use serde_json::{Error, Map, Value};

/// Any serializable value as JSON, floats that are not finite included. [`from_value`] reads it.
///
/// A [`Value`] of `serde_json` is plain data like any other; an infinity that was put into one is `null` there already, before
/// this function sees it: `json!(f64::INFINITY)` is `null`, `to_value(&f64::INFINITY)` is not.
///
/// # Errors
/// What JSON cannot hold: a map whose keys are no texts, numbers or booleans; an integer beyond 64 bits.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, Error> {
    value.serialize(encode::Encode)
}

/// What [`to_value`] made JSON of.
///
/// # Errors
/// When the JSON is not that of the type.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(decode::Decode(value))
}

/// JSON of [`to_value`] for a format that has floats of every kind, such as YAML.
struct Plain<'a>(&'a Value);

impl Serialize for Plain<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) => match float_of(text) {
                Some(value) => serializer.serialize_f64(value),
                None => serializer.serialize_str(unmarked(text)),
            },
            Value::Array(items) => serializer.collect_seq(items.iter().map(Plain)),
            Value::Object(fields) => PlainFields(fields).serialize(serializer),
            other => other.serialize(serializer),
        }
    }
}

/// As [`Plain`].
pub(crate) struct PlainFields<'a>(pub(crate) &'a Map<String, Value>);

impl Serialize for PlainFields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, Plain(value))))
    }
}

/// What marks a text that reads like a float, or like such a text.
const MARK: &str = "text:";

/// A float that JSON has no number for.
pub(crate) fn float_of(text: &str) -> Option<f64> {
    match text {
        "inf" => Some(f64::INFINITY),
        "-inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ => None,
    }
}

fn needs_mark(text: &str) -> bool {
    float_of(text.trim_start_matches(MARK)).is_some()
}

/// The text that was saved.
pub(crate) fn unmarked(text: &str) -> &str {
    text.strip_prefix(MARK).filter(|rest| needs_mark(rest)).unwrap_or(text)
}
