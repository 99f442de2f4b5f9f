//! State that goes into a checkpoint, as plain JSON values.

use serde::{Serialize, de::DeserializeOwned};
pub use serde_json::Value;
pub use stormfire_checkpoint::Number;

use crate::error::{Error, Result};

/// Turns a serializable value into the JSON that a checkpoint holds.
///
/// # Errors
/// [`Error::State`] when the value cannot be written as JSON (a map with keys that are no strings, say).
pub fn save<T: Serialize + ?Sized>(value: &T) -> Result<Value> {
    serde_json::to_value(value).map_err(|source| Error::State { what: std::any::type_name::<T>().into(), source })
}

/// Replaces `target` by what `state` holds; `null` (no state was saved) leaves it as it is.
///
/// # Errors
/// [`Error::State`] when the fields do not fit the type.
pub fn load<T: DeserializeOwned>(target: &mut T, state: Value) -> Result<()> {
    if !state.is_null() {
        *target = serde_json::from_value(state).map_err(|source| Error::State { what: std::any::type_name::<T>().into(), source })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Counter {
        checks: u32,
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let mut counter = Counter::default();
        load(&mut counter, save(&Counter { checks: 3 }).unwrap()).unwrap();
        assert_eq!(counter, Counter { checks: 3 });
        load(&mut counter, Value::Null).unwrap();
        assert_eq!(counter, Counter { checks: 3 });
    }

    #[test]
    fn a_foreign_state_is_refused_by_name() {
        let error = load(&mut Counter::default(), serde_json::json!({"checks": "many"})).unwrap_err();
        assert!(error.to_string().contains("Counter"), "{error}");
    }
}
