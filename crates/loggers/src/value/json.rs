//! Plain data as JSON that preserves every float.
//!
//! JSON has no infinity and no NaN. `serde_json` writes `null` for them, which reads back as an error or as `None`.
//! This module writes the strings `"inf"`, `"-inf"` and `"NaN"`. This works for all serde types: struct fields,
//! options, lists, map keys, enum variants. A string of the same content gets the prefix `text:`, so that both are
//! restored correctly.
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

/// Any serializable value as JSON, including non-finite floats. [`from_value`] reads it.
///
/// A [`Value`] of `serde_json` is treated as plain data. An infinity is already `null` in it, before this function sees
/// it: `json!(f64::INFINITY)` is `null`, `to_value(&f64::INFINITY)` is not.
///
/// # Errors
/// For data that JSON cannot represent: a map with keys other than strings, numbers or booleans, or an integer beyond
/// 64 bits.
pub fn to_value<T: Serialize + ?Sized>(value: &T) -> Result<Value, Error> {
    value.serialize(encode::Encode)
}

/// Restores a value from the JSON of [`to_value`].
///
/// # Errors
/// If the JSON does not match the type.
pub fn from_value<T: DeserializeOwned>(value: Value) -> Result<T, Error> {
    T::deserialize(decode::Decode(value))
}

/// JSON of [`to_value`] for a format that supports all floats, such as YAML.
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

/// The prefix of a string that looks like a non-finite float, or like such a prefixed string.
const MARK: &str = "text:";

/// The float that JSON cannot represent as a number.
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

/// The original string.
pub(crate) fn unmarked(text: &str) -> &str {
    text.strip_prefix(MARK).filter(|rest| needs_mark(rest)).unwrap_or(text)
}
