//! The Trainer's options as a JSON schema, for command lines and editors.

use serde_json::{Map, Value, json};
use stormfire_values::{Every, TimeLimit, text::TextPattern};

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

// The inputs that the readers of these types accept. Editors check the options with these patterns, so each of them
// accepts everything that its reader does.
const ACCELERATOR: &str =
    "^([aA][uU][tT][oO]|[cCgG][pP][uU]|[cC][uU][dD][aA](:[+]?[0-9]+)?|[wW][gG][pP][uU]|[vV][uU][lL][kK][aA][nN]|[mM][eE][tT][aA][lL])$";
const POLICY: &str = "^(error|stop|off|skip:[+]?[0-9]+)$";
const PRECISION: &str = r"^\s*(16-mixed|bf16(-mixed|-true)?|(32|64)(-true)?|16)\s*$";
const DEVICES: &str = r"^\s*(auto|[+]?[0-9]+)\s*$";
/// A negative zero is a number of batches, too.
const LIMIT: &str = r"^\s*([+]?([0-9]+\.?[0-9]*|\.[0-9]+)|-(0+\.?0*|\.0+))([eE][+-]?[0-9]+)?\s*$";

fn text(pattern: &str, examples: &[&str]) -> Value {
    let mut schema = json!({ "type": "string", "pattern": pattern });
    if !examples.is_empty() {
        schema["examples"] = json!(examples);
    }
    schema
}

/// The schema of a type in the table of options.
fn of_type(ty: &str) -> Map<String, Value> {
    let ty = ty.replace(' ', "");
    let (inner, is_optional) = ty.strip_prefix("Option<").and_then(|ty| ty.strip_suffix('>')).map_or((ty.as_str(), false), |ty| (ty, true));
    let positive = json!({ "type": "number", "minimum": 0 });
    let mut schema = match inner {
        "bool" => json!({ "type": "boolean" }),
        "usize" | "u64" => json!({ "type": "integer", "minimum": 0 }),
        "f64" => json!({ "type": "number" }),
        "PathBuf" => json!({ "type": "string" }),
        "Accelerator" => text(ACCELERATOR, &["auto", "cpu", "cuda:1"]),
        "Every" => text(Every::PATTERN, Every::EXAMPLES),
        "NonFinite" => text(POLICY, &["error", "skip:5", "stop", "off"]),
        "Strategy" => json!({ "type": "string", "enum": ["auto", "single", "threads", "mpi"] }),
        "ClipAlgorithm" => json!({ "type": "string", "enum": ["norm", "value"] }),
        "RequeueSignal" => json!({ "type": "string", "enum": ["auto", "off", "usr1", "usr2", "hup", "term"] }),
        "ProfilerKind" => json!({ "type": "string", "enum": ["simple", "chrome"] }),
        "Precision" => json!({
            "type": ["string", "integer"],
            "pattern": PRECISION,
            "examples": ["32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"],
        }),
        "Devices" => json!({ "anyOf": [{ "type": "integer", "minimum": 1 }, text(DEVICES, &[])], "examples": [2, "auto"] }),
        "Limit" => json!({ "anyOf": [positive, text(LIMIT, &[])], "examples": [10, 0.25] }),
        "Duration" => json!({ "anyOf": [positive, text(TimeLimit::PATTERN, &[])], "examples": TimeLimit::EXAMPLES }),
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
    use proptest::prelude::*;

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
    fn each_listed_value_is_read_and_fits_its_pattern() {
        for (name, property) in TrainerConfig::json_schema()["properties"].as_object().unwrap() {
            let listed = ["enum", "examples"].into_iter().filter_map(|key| property.get(key)?.as_array()).flatten();
            for value in listed {
                let config = json!({ name.as_str(): value });
                serde_json::from_value::<TrainerConfig>(config).unwrap_or_else(|error| panic!("{name}: {value}: {error}"));
                assert!(value.as_str().is_none_or(|text| fits(property, text)), "{name}: {value}");
            }
        }
    }

    /// Whether an editor with the schema of an option accepts a string for it.
    fn fits(property: &Value, text: &str) -> bool {
        let variants = property.get("anyOf").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![property.clone()]);
        variants
            .iter()
            .filter_map(|variant| variant.get("pattern")?.as_str())
            .all(|pattern| regex::Regex::new(pattern).unwrap().is_match(text))
    }

    fn is_read(name: &str, text: &str) -> bool {
        serde_json::from_value::<TrainerConfig>(json!({ name: text })).is_ok_and(|config| config.check().is_ok())
    }

    /// A string with a number, a unit or a word of the options, and the text that may surround it.
    fn texts() -> impl Strategy<Value = String> {
        let numbers =
            ["", "1", "007", "+2", "-1", "-0", "-.0e2", "2.", ".5", "0.25", "1e3", "1e-1", "1_0", "inf", "00:12:00:00", "1:2:3:4"];
        let units = [
            "", "step", "steps", "batch", "batches", "epoch", "epochs", "s", "sec", "second", "m", "min", "minutes", "h", "hours", "d",
            "days", "sheep", "Steps", ":1", "%",
        ];
        let words = [
            "auto",
            "Auto",
            "CPU",
            "Gpu",
            "cuda",
            "cuda:1",
            "cuda:+1",
            "cuda:",
            "wgpu",
            "Vulkan",
            "metal",
            "tpu",
            "error",
            "stop",
            "off",
            "skip:5",
            "skip:+5",
            "skip:",
            "32-true",
            "bf16",
            "bf16-true",
            "16-true",
            "16",
            "8",
            "64-mixed",
        ];
        let spaces = || proptest::sample::select(&["", " ", "\t", "\n", "\u{a0}"]);
        let number = (spaces(), proptest::sample::select(numbers.to_vec()), spaces(), proptest::sample::select(units.to_vec()), spaces());
        let word = (spaces(), proptest::sample::select(words.to_vec()), spaces());
        prop_oneof![
            number.prop_map(|(before, number, between, unit, after)| format!("{before}{number}{between}{unit}{after}")),
            word.prop_map(|(before, word, after)| format!("{before}{word}{after}")),
            "[0-9.: a-z+-]{0,12}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]
        /// An editor accepts what the reader accepts, and refuses what has another form.
        #[test]
        fn patterns_accept_what_readers_accept(text in texts()) {
            for (name, property) in TrainerConfig::json_schema()["properties"].as_object().unwrap() {
                if is_read(name, &text) {
                    prop_assert!(fits(property, &text), "{name}: {text:?}");
                }
            }
        }
    }

    #[test]
    fn patterns_refuse_other_forms() {
        let schema = TrainerConfig::json_schema();
        for (name, text) in [
            ("accelerator", "tpu"),
            ("accelerator", "cuda:first"),
            ("val_check_interval", "3 sheep"),
            ("val_check_interval", "0.5 steps"),
            ("max_time", "3 epochs"),
            ("max_time", "12:00:00"),
            ("on_non_finite", "skip"),
            ("precision", "16-true"),
            ("devices", "many"),
            ("limit_val_batches", "half"),
            ("limit_val_batches", "-0.5"),
        ] {
            assert!(!is_read(name, text) && !fits(&schema["properties"][name], text), "{name}: {text}");
        }
    }
}
