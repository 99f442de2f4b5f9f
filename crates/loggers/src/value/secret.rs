//! Keys, tokens and passwords.

use std::fmt;

/// A key, token or password. It is never displayed: its `Debug` output is `[secret]`, and it cannot be serialized.
///
/// ```
/// use stormfire_loggers::Secret;
/// assert_eq!(format!("{:?}", Secret::new("abc123")), "[secret]");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret string.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value of an environment variable, without surrounding spaces. `None` if it is not set or empty.
    pub fn from_env(variable: &str) -> Option<Self> {
        std::env::var(variable).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).map(Self)
    }

    /// The secret string, for the code that sends it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Replaces every occurrence of the secret in a message from an external source.
    pub fn redact(&self, text: &str) -> String {
        if self.0.is_empty() { text.to_owned() } else { text.replace(&self.0, "[secret]") }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}
