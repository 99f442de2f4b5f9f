//! Options that accept a value or a string.
//!
//! Setters never fail, so an invalid string is stored ([`Misread`]) and becomes an error at the start of the run.

use std::{convert::Infallible, fmt, marker::PhantomData, str::FromStr};

use serde::{Deserializer, de::Visitor};

use crate::config_error::ConfigError;

/// A string that is not a valid value of an option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read `{text}` as {what}: {reason}; write {forms}")]
pub struct TextError {
    /// The given string.
    pub text: String,
    /// The expected kind of value, with an article: `a period`.
    pub what: &'static str,
    /// Why it is invalid, as a sentence part.
    pub reason: String,
    /// The valid forms, with examples: `` `min` or `max` ``.
    pub forms: &'static str,
}

impl TextError {
    /// Converts it to an error with the option.
    pub fn of(&self, option: impl Into<String>) -> ConfigError {
        let Self { text, what, reason, forms } = self;
        ConfigError::new(option, format!("cannot read `{text}` as {what}: {reason}"), format!("write {forms}"))
    }
}

impl From<TextError> for ConfigError {
    fn from(error: TextError) -> Self {
        error.of(error.what.trim_start_matches("a ").trim_start_matches("an "))
    }
}

/// A value needs no parsing.
impl From<Infallible> for TextError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A type with a string form that a regular expression describes.
pub trait TextPattern {
    /// Matches each string that the type reads, and few others: editors check options with it. In the syntax of JSON
    /// schemas.
    const PATTERN: &'static str;

    /// Strings that the type reads.
    const EXAMPLES: &'static [&'static str];

    /// Whether a file may have a number of at least 0 instead.
    const TAKES_NUMBERS: bool = false;
}

/// Deserializes a value from its string form. `what` and `forms` are those of its [`TextError`].
///
/// # Errors
/// Those of the deserializer, and the [`TextError`] of an invalid string. A number is read as its string: it has no
/// unit, and the error lists the units.
pub(crate) fn deserialize<'de, T: FromStr<Err = TextError>, D: Deserializer<'de>>(
    deserializer: D,
    what: &'static str,
    forms: &'static str,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(Reader { what, forms, read: PhantomData })
}

struct Reader<T> {
    what: &'static str,
    forms: &'static str,
    read: PhantomData<T>,
}

impl<T: FromStr<Err = TextError>> Visitor<'_> for Reader<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.forms)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

/// The pattern of a positive decimal number.
macro_rules! number_pattern {
    () => {
        r"([0-9]+\.?[0-9]*|\.[0-9]+)"
    };
}

/// The pattern of the units of time.
macro_rules! time_unit_pattern {
    () => {
        "s|sec|seconds?|m|min|minutes?|h|hours?|d|days?"
    };
}

pub(crate) use {number_pattern, time_unit_pattern};

/// The invalid strings among a set of options.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misread(Vec<(&'static str, TextError)>);

impl Misread {
    /// Stores the argument of a setter in `place`.
    pub fn set<T>(&mut self, option: &'static str, place: &mut T, given: impl TryInto<T, Error: Into<TextError>>) {
        if let Some(value) = self.read(option, given) {
            *place = value;
        }
    }

    /// The argument of a setter, unless it is invalid. If an option is set several times, the last call wins.
    pub fn read<T>(&mut self, option: &'static str, given: impl TryInto<T, Error: Into<TextError>>) -> Option<T> {
        self.0.retain(|(of, _)| *of != option);
        given.try_into().map_err(|error| self.0.push((option, error.into()))).ok()
    }

    /// Returns an error for the first invalid string.
    ///
    /// # Errors
    /// [`ConfigError`] with the option, the string and the valid forms.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.0.first().map_or(Ok(()), |(option, error)| Err(error.of(*option)))
    }
}

/// Lets setters accept a string for a type with `FromStr<Err = TextError>`.
#[macro_export]
macro_rules! reads_text {
    ($($name:ty),* $(,)?) => {$(
        impl TryFrom<&str> for $name {
            type Error = $crate::text::TextError;

            fn try_from(text: &str) -> ::std::result::Result<Self, $crate::text::TextError> {
                text.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::text::TextError;

            fn try_from(text: String) -> ::std::result::Result<Self, $crate::text::TextError> {
                text.parse()
            }
        }
    )*};
}

/// Parses a string as one of a few words.
///
/// # Errors
/// [`TextError`] for any other string.
pub fn one_of<T: Copy>(text: &str, what: &'static str, words: &[(&str, T)], forms: &'static str) -> Result<T, TextError> {
    words.iter().find(|(word, _)| *word == text.trim()).map(|(_, value)| *value).ok_or_else(|| TextError {
        text: text.into(),
        what,
        reason: "it is not a known value".into(),
        forms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{every::Every, mode::Mode};

    #[test]
    fn a_setter_takes_a_value_or_its_text_and_keeps_what_it_cannot_read() {
        let (mut misread, mut every, mut mode) = (Misread::default(), Every::Epochs(1), Mode::Min);
        misread.set("every", &mut every, Every::Steps(5));
        assert_eq!(every, Every::Steps(5));
        misread.set("every", &mut every, "2 epochs");
        misread.set("mode", &mut mode, String::from("max"));
        assert_eq!((every, mode, misread.check().is_ok()), (Every::Epochs(2), Mode::Max, true));
        misread.set("every", &mut every, "2 parsecs");
        misread.set("mode", &mut mode, "up");
        let error = misread.check().unwrap_err();
        insta::assert_snapshot!(error, @"`every`: cannot read `2 parsecs` as a period: `parsecs` is not one of steps, batches, epochs, seconds, minutes, hours, days");
        let forms = "write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`";
        assert_eq!(error.hint, forms);
        // The last call wins.
        misread.set("every", &mut every, "3 epochs");
        let error = misread.check().unwrap_err();
        assert_eq!(error.to_string(), "`mode`: cannot read `up` as a mode: it is not a known value");
        assert_eq!(error.hint, "write `min` or `max`");
    }
}
