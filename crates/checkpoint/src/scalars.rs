//! burn's typed numbers (step counters, rates) as JSON, and the state of learning-rate schedules.

use std::collections::BTreeMap;

use burn::lr_scheduler::LrSchedulerRecord;
use burn_pack::{Reader, Scalar};
use serde_json::{Map, Value, json};

use crate::weights_error::{Result, WeightsError};

/// A number as JSON. Each type of burn has a separate form, so that the type is restored: a bare number for `UInt` and
/// finite `Float` (`5`, `0.1`), `true` for `Bool`, `{"int": 5}` and `{"float": "inf"}` for the rest.
pub(crate) fn to_json(scalar: Scalar) -> Value {
    match scalar {
        Scalar::UInt(value) => json!(value),
        Scalar::Float(value) if value.is_finite() => json!(value),
        Scalar::Float(value) => json!({ "float": value.to_string() }),
        Scalar::Int(value) => json!({ "int": value }),
        Scalar::Bool(value) => json!(value),
    }
}

/// Reads the result of [`to_json`].
pub(crate) fn from_json(name: &str, value: &Value) -> Result<Scalar> {
    let scalar = match value {
        Value::Bool(value) => Some(Scalar::Bool(*value)),
        Value::Number(number) if number.is_f64() => number.as_f64().map(Scalar::Float),
        Value::Number(number) => number.as_u64().map(Scalar::UInt),
        Value::Object(object) => object
            .get("int")
            .and_then(Value::as_i64)
            .map(Scalar::Int)
            .or_else(|| object.get("float").and_then(Value::as_str).and_then(|text| text.parse().ok()).map(Scalar::Float)),
        _ => None,
    };
    scalar.ok_or_else(|| WeightsError::Scalar { name: name.into(), value: value.to_string() })
}

/// The state of a schedule as a JSON object: `{"0.current_iter": 5}`, with the index of the parameter group before the
/// dot.
///
/// # Errors
/// [`WeightsError::Record`] if burn cannot write its record.
pub fn schedule_to_json(record: LrSchedulerRecord) -> Result<Map<String, Value>> {
    // burn exposes the names only in its own file format.
    let bytes = record.into_bytes().map_err(|e| WeightsError::Record(e.to_string()))?;
    let reader = Reader::from_bytes(bytes).map_err(|e| WeightsError::Record(e.to_string()))?;
    Ok(reader.scalars().iter().map(|(name, scalar)| (name.clone(), to_json(*scalar))).collect())
}

/// Reads the result of [`schedule_to_json`].
///
/// # Errors
/// [`WeightsError::Scalar`].
pub fn schedule_from_json(state: &Map<String, Value>) -> Result<LrSchedulerRecord> {
    let scalars: BTreeMap<_, _> = state.iter().map(|(name, value)| Ok((name, from_json(name, value)?))).collect::<Result<_>>()?;
    Ok(scalars.into_iter().fold(LrSchedulerRecord::new(), |record, (name, scalar)| record.with_scalar(name, scalar)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_keeps_its_type_and_every_bit_through_text() {
        let floats = [0.1, 1.0, -0.0, 1e300, 5e-324, 0.123_456_789_012_345_68, f64::INFINITY, f64::NEG_INFINITY].map(Scalar::Float);
        let others = [Scalar::UInt(0), Scalar::UInt(u64::MAX), Scalar::Int(5), Scalar::Int(i64::MIN), Scalar::Bool(true)];
        for scalar in floats.into_iter().chain(others) {
            let text = to_json(scalar).to_string();
            let back = from_json("x", &serde_json::from_str(&text).unwrap()).unwrap();
            assert_eq!(format!("{back:?}"), format!("{scalar:?}"), "{text}");
        }
        let odd = (0..10_000u64).map(|i| f64::from_bits(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).filter(|value| value.is_finite());
        for value in odd {
            let text = to_json(Scalar::Float(value)).to_string();
            let back = from_json("x", &serde_json::from_str(&text).unwrap()).unwrap();
            assert_eq!(back, Scalar::Float(value), "{text}: is serde_json's feature `float_roundtrip` off?");
        }
        let nan = from_json("x", &to_json(Scalar::Float(f64::NAN))).unwrap();
        assert!(matches!(nan, Scalar::Float(value) if value.is_nan()));
    }

    #[test]
    fn a_value_that_is_not_a_number_is_refused_by_name() {
        let values = [json!(null), json!("5"), json!({"int": "many"}), json!([1])];
        let errors = values.map(|value| from_json("time", &value).unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r#"
        `time` is null, which is not a number of an optimizer or schedule
        `time` is "5", which is not a number of an optimizer or schedule
        `time` is {"int":"many"}, which is not a number of an optimizer or schedule
        `time` is [1], which is not a number of an optimizer or schedule
        "#);
    }

    #[test]
    fn a_schedule_is_readable_and_comes_back() {
        let record = LrSchedulerRecord::new().with_scalar("0.step", 3usize).with_scalar("1.iter_idx", -1i32);
        let state = schedule_to_json(record).unwrap();
        assert_eq!(Value::Object(state.clone()), json!({"0.step": 3, "1.iter_idx": {"int": -1}}));
        let back = schedule_from_json(&state).unwrap();
        assert_eq!((back.scalar::<usize>("0.step"), back.scalar::<i32>("1.iter_idx")), (Some(3), Some(-1)));
    }
}
