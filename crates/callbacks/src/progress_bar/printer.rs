//! Printing beside the bars.

use std::{
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use indicatif::MultiProgress;

/// Prints on the terminal that a [`ProgressBar`](super::ProgressBar) draws on, without tearing its bars. Cheap to clone.
///
/// Without bars (off a terminal) it changes nothing about printing.
#[derive(Clone, Debug, Default)]
pub struct Printer(Option<MultiProgress>);

impl Printer {
    pub(super) fn new(bars: MultiProgress) -> Self {
        Self(Some(bars))
    }

    /// Takes the bars away, runs `print`, and draws them again. Bars wait until it returns, so `print` must not touch them.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        let Some(bars) = &self.0 else { return print() };
        // indicatif holds its lock meanwhile; a panic would poison it, and drawing during the unwinding would abort.
        match bars.suspend(|| catch_unwind(AssertUnwindSafe(print))) {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Prints a line on stdout, above the bars.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print_line(&self, line: &str) -> io::Result<()> {
        self.suspend(|| writeln!(io::stdout().lock(), "{line}"))
    }
}
