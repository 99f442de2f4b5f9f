//! The error of an invalid option.

/// An option or a combination of options is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{option}`: {reason}")]
pub struct ConfigError {
    /// The name of the option's setter.
    pub option: String,
    /// The reason.
    pub reason: String,
    /// How to fix it.
    pub hint: String,
}

impl ConfigError {
    /// Creates the error of an option.
    pub fn new(option: impl Into<String>, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { option: option.into(), reason: reason.into(), hint: hint.into() }
    }
}
