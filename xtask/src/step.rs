//! A check, and how it can end.

use anyhow::Result;

use crate::system::Workspace;

/// One check.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) body: fn(&Workspace) -> Result<Verdict>,
}

/// How a step ended that met no error.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Passed,
    /// A part of it could not run on any machine like this one; the note says which.
    PassedExcept(String),
    /// It could not run here; the reason says what to do about it.
    Skipped(String),
}
