//! The Trainer's options as a JSON schema, for command lines and editors.

use serde_json::{Map, Value, json};

use crate::{config::TrainerConfig, option_table::options};

macro_rules! rows {
    ($($(#[doc = $doc:literal])* $(#[serde($($serde:tt)*)])? $option:ident: $ty:ty = $default:expr, $how:ident($($value:tt)*);)*) => {
        /// Name, documentation and type of each option.
        const ROWS: &[(&str, &str, &str)] = &[$((stringify!($option), concat!($($doc, "\n"),*), stringify!($ty))),*];
    };
}

options!(rows);

impl TrainerConfig {
    /// The JSON schema of the options: types, documentation, and values where there are only a few.
    ///
    /// ```
    /// let schema = stormfire_trainer::TrainerConfig::json_schema();
    /// assert_eq!(schema["properties"]["max_epochs"]["type"][0], "integer");
    /// ```
    pub fn json_schema() -> Value {
        let property = |(name, doc, ty): &(&str, &str, &str)| {
            let mut schema = of_type(ty);
            let doc: Vec<&str> = doc.lines().map(str::trim).collect();
            schema.insert("description".into(), doc.join("\n").trim().into());
            ((*name).to_owned(), Value::Object(schema))
        };
        json!({
            "type": "object",
            "properties": ROWS.iter().map(property).collect::<Map<_, _>>(),
            "additionalProperties": false,
        })
    }
}

/// The schema of a type in the table of options.
fn of_type(ty: &str) -> Map<String, Value> {
    let ty = ty.replace(' ', "");
    let (inner, is_optional) = ty.strip_prefix("Option<").and_then(|ty| ty.strip_suffix('>')).map_or((ty.as_str(), false), |ty| (ty, true));
    let number_or_text = |number: Value| json!([number, { "type": "string" }]);
    let mut schema = match inner {
        "bool" => json!({ "type": "boolean" }),
        "usize" | "u64" => json!({ "type": "integer", "minimum": 0 }),
        "f64" => json!({ "type": "number" }),
        "PathBuf" => json!({ "type": "string" }),
        "Accelerator" => json!({ "type": "string", "examples": ["auto", "cpu", "cuda:1"] }),
        "Every" => json!({ "type": "string", "examples": ["50 steps", "2 epochs", "0.25 epochs", "10 minutes"] }),
        "NonFinite" => json!({ "type": "string", "examples": ["error", "skip:5", "stop", "off"] }),
        "Strategy" => json!({ "type": "string", "enum": ["auto", "single", "threads", "mpi"] }),
        "ClipAlgorithm" => json!({ "type": "string", "enum": ["norm", "value"] }),
        "RequeueSignal" => json!({ "type": "string", "enum": ["auto", "off", "usr1", "usr2", "hup", "term"] }),
        "ProfilerKind" => json!({ "type": "string", "enum": ["simple", "chrome"] }),
        "Precision" => json!({
            "type": ["string", "integer"],
            "examples": ["32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"],
        }),
        "Devices" => json!({ "anyOf": number_or_text(json!({ "type": "integer", "minimum": 1 })), "examples": [2, "auto"] }),
        "Limit" => json!({ "anyOf": number_or_text(json!({ "type": "number", "minimum": 0 })), "examples": [10, 0.25] }),
        "Duration" => json!({ "anyOf": number_or_text(json!({ "type": "number", "minimum": 0 })), "examples": ["10 minutes"] }),
        // A test keeps this list complete.
        _ => json!({}),
    };
    if is_optional {
        if let Some(Value::Array(variants)) = schema.get_mut("anyOf") {
            variants.push(json!({ "type": "null" }));
        }
        if let Some(kind) = schema.get_mut("type") {
            let mut kinds = kind.as_array().cloned().unwrap_or_else(|| vec![kind.take()]);
            kinds.push("null".into());
            *kind = kinds.into();
        }
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            values.push(Value::Null);
        }
    }
    schema.as_object_mut().map(std::mem::take).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_a_type() {
        let schema = TrainerConfig::json_schema();
        let config = serde_json::to_value(TrainerConfig::default()).unwrap();
        let properties = schema["properties"].as_object().unwrap();
        assert_eq!(properties.keys().collect::<Vec<_>>(), config.as_object().unwrap().keys().collect::<Vec<_>>());
        for (name, property) in properties {
            assert!(property.get("type").or_else(|| property.get("anyOf")).is_some(), "`{name}` has no type: complete `of_type`");
            assert!(property["description"].as_str().is_some_and(|doc| doc.contains("Default")) || name == "seed", "{name}: {property}");
        }
    }

    #[test]
    fn each_listed_value_is_read() {
        for (name, property) in TrainerConfig::json_schema()["properties"].as_object().unwrap() {
            let listed = ["enum", "examples"].into_iter().filter_map(|key| property.get(key)?.as_array()).flatten();
            for value in listed {
                let config = json!({ name.as_str(): value });
                serde_json::from_value::<TrainerConfig>(config).unwrap_or_else(|error| panic!("{name}: {value}: {error}"));
            }
        }
    }
}
