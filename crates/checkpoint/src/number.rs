//! Numbers as JSON, without loss of a bit.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// A number of the manifest without loss of a bit, in the format of `stormfire_loggers::json`. This crate cannot use
/// that crate, which is above it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number(pub(crate) f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() { serializer.serialize_f64(self.0) } else { serializer.collect_str(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(value) => Ok(Number(value)),
            Written::Text(text) => text.parse().map(Number).map_err(|_| D::Error::custom(format!("`{text}` is not a number"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_survives_json() {
        let values = [0.25, -3.0, 0.1 + 0.2, 5e-324, f64::MAX, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN];
        for value in values.into_iter().chain((1..2000).map(|n| 1.0 / f64::from(n))) {
            let text = serde_json::to_string(&Some(Number(value))).unwrap();
            let back: Option<Number> = serde_json::from_str(&text).unwrap();
            assert_eq!(back.unwrap().0.to_bits(), value.to_bits(), "{text}");
        }
        let error = serde_json::from_str::<Number>("\"high\"").unwrap_err();
        insta::assert_snapshot!(error, @"`high` is not a number");
    }
}
