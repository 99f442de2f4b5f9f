//! Errors of a configuration.

use std::fmt;

use crate::{quote, source::Source};

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
    /// The problem, with the path of the option.
    pub message: String,
    /// How to fix it.
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
}

/// The number of mistakes that are reported at once.
const MOST: usize = 10;

/// Mistakes in any order.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    /// [`MOST`] at most.
    first: Vec<Problem>,
    /// One more.
    next: Option<Problem>,
}

impl Problems {
    /// A mistake that is already noted is not another one.
    pub(crate) fn push(&mut self, problem: Problem) {
        if self.first.contains(&problem) {
            return;
        }
        if self.first.len() < MOST {
            self.first.push(problem);
        } else {
            self.next.get_or_insert(problem);
        }
    }

    /// The result of a step, or `None` if it has mistakes, which are added.
    pub(crate) fn note<T>(&mut self, result: Result<T>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.push_all(error);
                None
            }
        }
    }

    /// Adds the mistakes of an error.
    pub(crate) fn push_all(&mut self, error: Error) {
        error.problems.into_iter().for_each(|problem| self.push(problem));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Whether further mistakes change nothing. A file may have any number of them.
    pub(crate) fn is_full(&self) -> bool {
        self.next.is_some()
    }

    /// The mistakes as one error. Those of a file are in the order of its lines.
    pub(crate) fn into_result(self) -> Result<()> {
        let mut problems = self.first;
        problems.sort_by_key(|problem| problem.source.as_ref().and_then(Source::position));
        let message = format!("more mistakes follow, only {MOST} are shown");
        problems.extend(self.next.map(|next| Problem { message, help: None, ..next }));
        if problems.is_empty() { Ok(()) } else { Err(Error { problems }) }
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
        // The program's functions and other crates may have put a text of the user into it.
        f.write_str(&quote::lines(&self.message))?;
        self.help.as_ref().map_or(Ok(()), |help| write!(f, "\n  help: {}", quote::lines(help)))
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
