//! The settings of a run.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stormfire_store::replacement::Replacement;

use crate::value::json::{self, PlainFields};
use crate::value::number;
use crate::{Error, Result};

/// A leaf value of the hyperparameters: see [`Hyperparams::flatten`].
#[derive(Debug, Clone, PartialEq)]
pub enum Scalar {
    /// No value.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// A string, or a list as JSON.
    Text(String),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// The settings of a run: named values, possibly nested, in insertion order.
///
/// ```
/// use serde::Serialize;
/// use stormfire_loggers::{Hyperparams, Scalar};
///
/// #[derive(Serialize)]
/// struct Config { layers: usize, optimizer: Optimizer }
/// #[derive(Serialize)]
/// struct Optimizer { lr: f32 }
///
/// let mut params = Hyperparams::from_serialize(&Config { layers: 2, optimizer: Optimizer { lr: 0.1 } })?;
/// params.insert("seed", 7)?;
/// assert_eq!(params.flatten("/"), [
///     ("layers".into(), Scalar::Int(2)),
///     ("optimizer/lr".into(), Scalar::Float(0.1)),
///     ("seed".into(), Scalar::Int(7)),
/// ]);
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hyperparams {
    values: Map<String, Value>,
}

impl Hyperparams {
    /// Creates empty settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// The fields of a struct or the entries of a map.
    ///
    /// # Errors
    /// [`Error::NotAMap`] for anything else, [`Error::Serialize`] if its `Serialize` fails.
    pub fn from_serialize(settings: &impl Serialize) -> Result<Self> {
        Self::of(to_value(settings)?)
    }

    /// Creates settings from JSON of [`json::to_value`].
    ///
    /// # Errors
    /// [`Error::NotAMap`] for anything except a map or null.
    pub fn from_json(mut settings: Value) -> Result<Self> {
        shorten(&mut settings);
        Self::of(settings)
    }

    fn of(settings: Value) -> Result<Self> {
        match settings {
            Value::Object(values) => Ok(Self { values }),
            // A unit struct has no fields.
            Value::Null => Ok(Self::new()),
            Value::Bool(_) => Err(Error::NotAMap { found: "a bool" }),
            Value::Number(_) => Err(Error::NotAMap { found: "a number" }),
            Value::String(_) => Err(Error::NotAMap { found: "a string" }),
            Value::Array(_) => Err(Error::NotAMap { found: "a list" }),
        }
    }

    /// Sets a value. An existing key keeps its position.
    ///
    /// # Errors
    /// [`Error::Serialize`] if the `Serialize` of the value fails.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Serialize) -> Result<()> {
        self.values.insert(key.into(), to_value(&value)?);
        Ok(())
    }

    /// The value of a top-level key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key)
    }

    /// Top-level keys and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Number of top-level keys.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether it has no settings.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Adds the settings of another source, such as the data module. Nested maps are merged key by key.
    ///
    /// # Errors
    /// [`Error::HyperparamConflict`] if both contain a key with different values. `self` stays unchanged then.
    pub fn merge(&mut self, other: Self) -> Result<()> {
        conflict(&self.values, &other.values, "")?;
        self.update(other);
        Ok(())
    }

    /// Adds other settings, which override existing ones. Nested maps are merged key by key.
    pub fn update(&mut self, other: Self) {
        overlay(&mut self.values, other.values);
    }

    /// The settings that fit, and the others.
    pub(crate) fn partition(self, fits: impl Fn(&str, &Value) -> bool) -> (Self, Self) {
        let (fitting, others) = self.values.into_iter().partition(|(name, value)| fits(name, value));
        (Self { values: fitting }, Self { values: others })
    }

    /// All leaf values, with their nested keys joined by `separator`. Lists and empty maps become JSON strings.
    pub fn flatten(&self, separator: &str) -> Vec<(String, Scalar)> {
        let mut flat = Vec::new();
        flatten(&self.values, "", separator, &mut flat);
        flat
    }

    /// The settings as YAML, as in `hparams.yaml`.
    ///
    /// # Errors
    /// [`Error::Serialize`] if YAML cannot represent them.
    pub fn to_yaml(&self) -> Result<String> {
        serde_saphyr::to_string(&PlainFields(&self.values)).map_err(|error| Error::Serialize { reason: error.to_string() })
    }

    /// Writes the settings as a YAML file. A reader sees the old or the new file, never a part.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Serialize`].
    pub fn write_yaml(&self, path: &Path) -> Result<()> {
        let text = self.to_yaml()?;
        Ok(Replacement::new(path)?.commit_bytes(text.as_bytes())?)
    }
}

fn to_value(value: &impl Serialize) -> Result<Value> {
    let mut value = json::to_value(value).map_err(|error| Error::Serialize { reason: error.to_string() })?;
    shorten(&mut value);
    Ok(value)
}

/// Removes the noise of an `f32` that was converted to `f64`: 0.001, not 0.0010000000474974513.
fn shorten(value: &mut Value) {
    match value {
        Value::Number(wide) if wide.is_f64() => {
            if let Some(short) = wide.as_f64().map(number::shortest).and_then(serde_json::Number::from_f64) {
                *wide = short;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(items) => items.values_mut().for_each(shorten),
        _ => {}
    }
}

fn joined(prefix: &str, separator: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}{separator}{key}") }
}

fn conflict(ours: &Map<String, Value>, theirs: &Map<String, Value>, prefix: &str) -> Result<()> {
    for (key, second) in theirs {
        match (ours.get(key), second) {
            (Some(Value::Object(first)), Value::Object(second)) => conflict(first, second, &joined(prefix, "/", key))?,
            (Some(first), second) if first != second => {
                return Err(Error::HyperparamConflict {
                    key: joined(prefix, "/", key),
                    first: first.to_string(),
                    second: second.to_string(),
                });
            }
            _ => {}
        }
    }
    Ok(())
}

fn overlay(ours: &mut Map<String, Value>, theirs: Map<String, Value>) {
    for (key, value) in theirs {
        match (ours.get_mut(&key), value) {
            (Some(Value::Object(ours)), Value::Object(theirs)) => overlay(ours, theirs),
            (_, value) => drop(ours.insert(key, value)),
        }
    }
}

fn flatten(values: &Map<String, Value>, prefix: &str, separator: &str, into: &mut Vec<(String, Scalar)>) {
    for (key, value) in values {
        let name = joined(prefix, separator, key);
        let scalar = match value {
            Value::Object(inner) if !inner.is_empty() => {
                flatten(inner, &name, separator, into);
                continue;
            }
            Value::Null => Scalar::Null,
            Value::Bool(value) => Scalar::Bool(*value),
            Value::Number(value) => match (value.as_i64(), value.as_f64()) {
                (Some(whole), _) => Scalar::Int(whole),
                (None, Some(float)) => Scalar::Float(float),
                (None, None) => Scalar::Text(value.to_string()),
            },
            Value::String(value) => json::float_of(value).map_or_else(|| Scalar::Text(json::unmarked(value).to_owned()), Scalar::Float),
            Value::Array(_) | Value::Object(_) => Scalar::Text(value.to_string()),
        };
        into.push((name, scalar));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn params(value: &Value) -> Hyperparams {
        Hyperparams::from_serialize(value).unwrap()
    }

    #[test]
    fn only_maps_are_hyperparameters() {
        for (value, found) in [(json!(1), "a number"), (json!([1]), "a list"), (json!("x"), "a string")] {
            let error = Hyperparams::from_serialize(&value).unwrap_err();
            assert_eq!(error.to_string(), format!("hyperparameters must be a struct or a map, found {found}"));
        }
        assert!(Hyperparams::from_serialize(&()).unwrap().is_empty());
    }

    #[test]
    fn a_conflict_names_the_nested_key_and_changes_nothing() {
        let mut ours = params(&json!({"a": 1, "net": {"width": 32, "depth": 2}}));
        let before = ours.clone();
        let error = ours.merge(params(&json!({"b": 1, "net": {"width": 64}}))).unwrap_err();
        assert_eq!(error.to_string(), "hyperparameter `net/width` is given twice, as `32` and as `64`");
        assert!(error.hint().is_some());
        assert_eq!(ours, before);
        ours.merge(params(&json!({"net": {"width": 32, "bias": true}}))).unwrap();
        assert_eq!(ours, params(&json!({"a": 1, "net": {"width": 32, "depth": 2, "bias": true}})));
        ours.update(params(&json!({"a": {"b": 2}})));
        assert_eq!(ours.get("a"), Some(&json!({"b": 2})));
    }

    #[test]
    fn flattening_keeps_types_and_order() {
        let flat = params(&json!({"z": null, "a": {"list": [1, 2], "none": {}}, "big": u64::MAX, "on": false, "s": "x"})).flatten(".");
        assert_eq!(
            flat,
            [
                ("z".to_owned(), Scalar::Null),
                ("a.list".to_owned(), Scalar::Text("[1,2]".to_owned())),
                ("a.none".to_owned(), Scalar::Text("{}".to_owned())),
                ("big".to_owned(), Scalar::Float(u64::MAX as f64)),
                ("on".to_owned(), Scalar::Bool(false)),
                ("s".to_owned(), Scalar::Text("x".to_owned())),
            ]
        );
    }

    #[test]
    fn a_float_that_is_not_finite_is_one_everywhere() {
        #[derive(Serialize)]
        struct Settings {
            clip: f64,
            name: &'static str,
            net: Vec<f32>,
        }
        let given = Settings { clip: f64::INFINITY, name: "inf", net: vec![f32::NAN] };
        let params = Hyperparams::from_serialize(&given).unwrap();
        assert_eq!(Hyperparams::from_json(json::to_value(&given).unwrap()).unwrap(), params);
        let flat = params.flatten("/");
        assert_eq!(flat[..2], [("clip".to_owned(), Scalar::Float(f64::INFINITY)), ("name".to_owned(), Scalar::Text("inf".to_owned()))]);
        assert_eq!(params.to_yaml().unwrap(), "clip: .inf\nname: \"inf\"\nnet:\n- .nan\n");
    }

    #[test]
    fn yaml_reads_back_equal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hparams.yaml");
        let value = json!({"lr": 1e-5, "name": "yes", "net": {"sizes": [1, 2], "empty": {}, "text": "a: b\n#c"}, "none": null});
        params(&json!({"old": 1})).write_yaml(&path).unwrap();
        params(&value).write_yaml(&path).unwrap();
        let read: Value = serde_saphyr::from_str(&fs_err::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(read, value);
        assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    }
}
