//! Where a value comes from.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::quote;

/// Where a value of the configuration comes from: a file with line and column, a variable, a flag. Its `Display` is the
/// start of an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    origin: Arc<Origin>,
    at: Option<(usize, usize)>,
}

/// The layer of a value, lowest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The program's default.
    Default,
    /// The hyperparameters in a checkpoint.
    Checkpoint(PathBuf),
    /// A file that was named with `--config`.
    File(PathBuf),
    /// An environment variable.
    Env(String),
    /// A flag, as it was typed, without its value.
    Flag(String),
}

impl Source {
    /// The program's default.
    pub fn default_value() -> Self {
        Origin::Default.into()
    }

    /// A place in this source. Line and column count from 1.
    #[must_use]
    pub fn at(&self, line: usize, column: usize) -> Self {
        Self { origin: Arc::clone(&self.origin), at: Some((line, column)) }
    }

    /// The layer.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Line and column in a file, from 1.
    pub fn position(&self) -> Option<(usize, usize)> {
        self.at
    }

    /// Whether the value is the program's default.
    pub fn is_default(&self) -> bool {
        *self.origin == Origin::Default
    }
}

impl From<Origin> for Source {
    fn from(origin: Origin) -> Self {
        Self { origin: Arc::new(origin), at: None }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let safe = |path: &Path| quote::line(&path.to_string_lossy());
        match (&*self.origin, self.at) {
            (Origin::Default, _) => f.write_str("default"),
            (Origin::Checkpoint(path), _) => write!(f, "checkpoint {}", safe(path)),
            (Origin::File(path), Some((line, column))) => write!(f, "{}:{line}:{column}", safe(path)),
            (Origin::File(path), None) => f.write_str(&safe(path)),
            (Origin::Env(name) | Origin::Flag(name), _) => f.write_str(&quote::name(name)),
        }
    }
}
