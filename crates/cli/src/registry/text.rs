//! Options that are strings for a file and values for a setter: periods and times.

use std::{borrow::Cow, fmt, marker::PhantomData, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
};
use stormfire_values::{
    Every, TimeLimit,
    text::{TextError, TextPattern},
};

/// A value that a file has as a string. A mistake in the string has the place of the option in the file, and editors
/// know its form.
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

impl<'de, T: FromStr<Err = TextError>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

/// A number alone has no unit. The error lists the units.
struct Reader<T>(PhantomData<T>);

impl<T: FromStr<Err = TextError>> Visitor<'_> for Reader<T> {
    type Value = Text<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number with a unit, such as `10 minutes`")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<T>, E> {
        text.parse().map(Text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Text<T>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Text<T>, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Text<T>, E> {
        self.visit_str(&number.to_string())
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
        json_schema!({ "type": "string", "pattern": T::PATTERN })
    }
}
