//! State in a checkpoint: plain JSON values, with optional tensors ([`Saved`]).
//!
//! JSON has no infinity and no NaN. [`save`] writes them in a form that [`load`] reads back, anywhere in a value: see
//! [`stormfire_loggers::json`]. But `serde_json::json!(f64::INFINITY)` and `Value::from(f64::NAN)` are already `null`.
//! In the map of `on_save_checkpoint` and in `hparams`, use [`save`] for such a value, too.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use stormfire_module::state;
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Best {
//!     best: f64,
//! }
//!
//! let saved: state::Value = state::save(&Best { best: f64::INFINITY })?;
//! let mut restored = Best { best: 0.0 };
//! state::load(&mut restored, saved)?;
//! assert_eq!(restored, Best { best: f64::INFINITY });
//! # Ok::<(), stormfire_module::Error>(())
//! ```

use serde::{Serialize, de::DeserializeOwned};
pub use serde_json::Value;
pub use stormfire_checkpoint::Saved;
use stormfire_loggers::json;

use crate::error::{Error, Result};

/// Converts a serializable value to the JSON of a checkpoint: a [`Value`], or a [`Saved`], which can also contain
/// tensors. Preserves every float.
///
/// # Errors
/// [`Error::State`] if the value cannot be written as JSON (for example, a map whose keys are not strings).
pub fn save<T: Serialize + ?Sized, S: From<Value>>(value: &T) -> Result<S> {
    json::to_value(value).map(S::from).map_err(|error| Error::State { what: std::any::type_name::<T>().into(), error })
}

/// Replaces `target` by the value in `state`. If it is `null` (no state was saved), `target` stays unchanged.
///
/// # Errors
/// [`Error::State`] if the fields do not match the type.
pub fn load<T: DeserializeOwned>(target: &mut T, state: impl Into<Saved>) -> Result<()> {
    let state = state.into().take_json();
    if !state.is_null() {
        *target = json::from_value(state).map_err(|error| Error::State { what: std::any::type_name::<T>().into(), error })?;
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
    fn a_saved_state_is_loaded() {
        let mut counter = Counter::default();
        load(&mut counter, save::<_, Value>(&Counter { checks: 3 }).unwrap()).unwrap();
        assert_eq!(counter, Counter { checks: 3 });
        load(&mut counter, Value::Null).unwrap();
        assert_eq!(counter, Counter { checks: 3 });
    }

    #[test]
    fn a_float_that_is_not_finite_is_loaded() {
        for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 0.5] {
            let mut loaded = 7.0;
            load(&mut loaded, serde_json::from_str::<Value>(&save::<_, Value>(&value).unwrap().to_string()).unwrap()).unwrap();
            assert_eq!(f64::to_bits(loaded), f64::to_bits(value));
        }
    }

    #[test]
    fn a_float_that_became_null_is_refused_with_the_cure() {
        let error = load(&mut vec![0.0], serde_json::json!([f64::INFINITY])).unwrap_err();
        insta::assert_snapshot!(format!("{error:?}"), @r"
        the state of `alloc::vec::Vec<f64>` cannot be converted: invalid type: null, expected f64
          hint: `json!` makes `null` of an infinite or NaN float: keep such a value with `state::save`, and restore it with `state::load`
        ");
    }

    #[test]
    fn a_foreign_state_is_refused_by_name() {
        let error = load(&mut Counter::default(), serde_json::json!({"checks": "many"})).unwrap_err();
        insta::assert_snapshot!(error, @r#"
        the state of `stormfire_module::state::tests::Counter` cannot be converted: invalid type: string "many", expected u32
        "#);
    }
}
