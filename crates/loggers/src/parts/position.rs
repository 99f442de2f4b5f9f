//! Shared functions for the positions of file loggers.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::value::json;
use crate::{Error, Result};

/// A position as plain data.
pub(crate) fn save(position: &impl Serialize) -> Result<Value> {
    json::to_value(position).map_err(Error::other)
}

/// Decodes a position. `Null` is the position of a logger without positions. For any other misfit a warning is logged.
/// Both give `None`.
pub(crate) fn load<P: DeserializeOwned>(position: Value, log: &Path) -> Option<P> {
    if position.is_null() {
        return None;
    }
    json::from_value(position).inspect_err(|error| misfit(log, &format!("its position belongs to another logger: {error}"))).ok()
}

/// Warns that a log cannot be rolled back to its position.
pub(crate) fn misfit(log: &Path, why: &str) {
    tracing::warn!(
        log = %log.display(),
        "{why}; the existing log is kept and the run is appended to it, so values may be duplicated or missing"
    );
}
