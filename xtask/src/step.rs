//! A check and its outcomes.

use anyhow::Result;

use crate::system::Workspace;

/// One check.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) body: fn(&Workspace) -> Result<Verdict>,
}

/// The outcome of a step without an error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// A part could not run on machines of this kind. The note names the part.
    PassedExcept(String),
    /// The step could not run here. The reason says how to change that.
    Skipped(String),
}
