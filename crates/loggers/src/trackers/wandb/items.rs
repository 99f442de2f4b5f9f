//! Named values as JSON text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Named values of a row or of the summary. Each is JSON text in W&B's format, which also represents NaN.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Items(BTreeMap<String, String>);

impl Items {
    pub(super) fn set(&mut self, name: impl Into<String>, value: f64) {
        self.0.insert(name.into(), number(value));
    }

    pub(super) fn set_json(&mut self, name: impl Into<String>, value: &Value) {
        self.0.insert(name.into(), value.to_string());
    }

    pub(super) fn set_text(&mut self, name: impl Into<String>, json: &str) {
        self.0.insert(name.into(), json.to_owned());
    }

    /// Adds the values of `other`.
    pub(super) fn update(&mut self, other: &Self) {
        for (name, value) in &other.0 {
            match self.0.get_mut(name) {
                Some(known) => known.clone_from(value),
                None => drop(self.0.insert(name.clone(), value.clone())),
            }
        }
    }

    /// Names and JSON texts, sorted by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values as one JSON object.
    pub(super) fn to_json(&self) -> String {
        let mut text = String::from("{");
        for (name, value) in &self.0 {
            let comma = if text.len() == 1 { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(text, "{comma}{}:{value}", Value::from(name.as_str()));
        }
        text + "}"
    }
}

impl From<&Map<String, Value>> for Items {
    fn from(values: &Map<String, Value>) -> Self {
        Self(values.iter().map(|(name, value)| (name.clone(), value.to_string())).collect())
    }
}

/// A number in W&B's format: the shortest decimal. NaN and the infinities have their Python names.
fn number(value: f64) -> String {
    const EXACT: f64 = 9e15;
    match serde_json::Number::from_f64(value) {
        Some(_) if value.fract() == 0.0 && value.abs() < EXACT => format!("{value:.0}"),
        Some(number) => number.to_string(),
        None if value.is_nan() => "NaN".to_owned(),
        None if value > 0.0 => "Infinity".to_owned(),
        None => "-Infinity".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_are_those_of_pythons_json() {
        let mut items = Items::default();
        let numbers = [0.1, f64::from(0.1_f32), 3.0, -0.0, 1e300, 5e-324, 9_007_199_254_740_992.0, f64::NAN, f64::INFINITY, -f64::INFINITY];
        for (at, value) in numbers.into_iter().enumerate() {
            items.set(at.to_string(), value);
        }
        items.set_json("\"", &json!({"a": [1]}));
        let expected = r#"{"\"":{"a":[1]},"0":0.1,"1":0.10000000149011612,"2":3,"3":-0,"4":1e+300,"5":5e-324,"6":9007199254740992.0,"7":NaN,"8":Infinity,"9":-Infinity}"#;
        assert_eq!(items.to_json(), expected);
        assert_eq!(serde_json::from_str::<Items>(&serde_json::to_string(&items).unwrap()).unwrap(), items);
    }
}
