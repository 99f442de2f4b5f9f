//! A metric's value in a checkpoint: JSON has no infinity and no NaN, scores do.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Written as a number, or as the text `inf`, `-inf`, `NaN`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score(pub(crate) f64);

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() { serializer.serialize_f64(self.0) } else { serializer.collect_str(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Score {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Number(value) => Ok(Score(value)),
            Written::Text(text) => text.parse().map(Score).map_err(|_| D::Error::custom(format!("`{text}` is not a number"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_score_survives_json() {
        for value in [0.25, -3.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let text = serde_json::to_string(&Some(Score(value))).unwrap();
            let back: Option<Score> = serde_json::from_str(&text).unwrap();
            assert_eq!(back.unwrap().0.to_bits(), value.to_bits(), "{text}");
        }
        let error = serde_json::from_str::<Score>("\"high\"").unwrap_err();
        assert!(error.to_string().contains("`high` is not a number"), "{error}");
    }
}
