//! Options that are strings for a file and values for a setter: periods and times. A time may be a number of seconds.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use stormfire_values::{Every, TimeLimit, text::TextPattern};

/// A value that a file has as a string. A mistake in the string has the place of the option in the file, and editors
/// know its form.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<T>(T);

impl From<Text<Every>> for Every {
    fn from(text: Text<Every>) -> Self {
        text.0
    }
}

impl From<Text<TimeLimit>> for TimeLimit {
    fn from(text: Text<TimeLimit>) -> Self {
        text.0
    }
}

#[cfg(any(feature = "comet", feature = "mlflow", feature = "trackio", feature = "wandb"))]
impl From<Text<TimeLimit>> for stormfire_loggers::Patience {
    fn from(text: Text<TimeLimit>) -> Self {
        text.0.0.into()
    }
}

impl<T: TextPattern> JsonSchema for Text<T> {
    fn schema_name() -> Cow<'static, str> {
        "Text".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        if T::TAKES_NUMBERS {
            let text = json_schema!({ "type": "string", "pattern": T::PATTERN });
            return json_schema!({ "anyOf": [{ "type": "number", "minimum": 0 }, text], "examples": T::EXAMPLES });
        }
        json_schema!({ "type": "string", "pattern": T::PATTERN, "examples": T::EXAMPLES })
    }
}
