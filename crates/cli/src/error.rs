//! Errors of a configuration.

use std::fmt;

use crate::source::Source;

/// A result with an error of the configuration by default.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that is wrong with a configuration or a command line, in order. Never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    problems: Vec<Problem>,
}

/// One mistake in a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is. `None` for a mistake of the command line as a whole.
    pub source: Option<Source>,
    /// What is wrong, with the path of the option.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl Problem {
    pub(crate) fn new(source: &Source, message: impl Into<String>) -> Self {
        Self { source: Some(source.clone()), message: message.into(), help: None }
    }

    /// A mistake of the command line or the program as a whole.
    pub(crate) fn general(message: impl Into<String>) -> Self {
        Self { source: None, message: message.into(), help: None }
    }

    pub(crate) fn help(self, help: impl Into<Option<String>>) -> Self {
        Self { help: help.into(), ..self }
    }
}

impl Error {
    /// The mistakes, at least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    pub(crate) fn map(self, change: impl FnMut(Problem) -> Problem) -> Self {
        Self { problems: self.problems.into_iter().map(change).collect() }
    }

    pub(crate) fn all(problems: Vec<Problem>) -> Result<()> {
        if problems.is_empty() { Ok(()) } else { Err(Self { problems }) }
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{source}: ")?;
        }
        f.write_str(&self.message)?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n  help: {help}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<Error> for stormfire_module::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}
