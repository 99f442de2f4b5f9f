//! Options that cannot work.

/// An option, or a combination of options, that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{option}`: {reason}")]
pub struct ConfigError {
    /// The option's name, as the setter is called.
    pub option: String,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub hint: String,
}

impl ConfigError {
    /// The error of an option.
    pub fn new(option: impl Into<String>, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { option: option.into(), reason: reason.into(), hint: hint.into() }
    }
}
