//! Numbers in tables.

use serde_json::Value;

/// A number for a file. JSON has no NaN.
pub(crate) fn cell(value: f64) -> Value {
    if value.is_finite() { value.into() } else { value.to_string().into() }
}
