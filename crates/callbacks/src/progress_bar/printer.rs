//! Printing beside the bars.

use std::{
    cell::Cell,
    fmt,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
};

use indicatif::MultiProgress;
use stormfire_module::live_run;

/// The bars that are on the screen now, by the number that [`OnScreen`] took.
static LIVE: Mutex<(u64, Vec<(u64, MultiProgress)>)> = Mutex::new((0, Vec::new()));

thread_local! {
    /// This thread has taken the bars away and prints.
    static PRINTING: Cell<bool> = const { Cell::new(false) };
}

/// Prints on the terminal that a [`ProgressBar`](super::ProgressBar) draws on, without tearing its bars. Cheap to clone.
///
/// Without bars (off a terminal) it changes nothing about printing.
#[derive(Clone, Debug, Default)]
pub struct Printer(Option<MultiProgress>);

impl Printer {
    pub(super) fn new(bars: MultiProgress) -> Self {
        Self(Some(bars))
    }

    /// A printer beside the bars that are on the screen now, whichever Trainer of the process draws them. Ask for it anew each
    /// time: bars come and go.
    ///
    /// ```
    /// use stormfire_callbacks::Printer;
    ///
    /// Printer::live().print_line("a line above the bars")?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn live() -> Self {
        Self(live().1.last().map(|(_, bars)| bars.clone()))
    }

    /// Takes the bars away, runs `print`, and draws them again. Bars wait until it returns, so `print` must not touch them. It
    /// may use a printer.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        let Some(bars) = &self.0 else { return print() };
        if PRINTING.replace(true) {
            return print();
        }
        // indicatif holds its lock meanwhile; a panic would poison it, and drawing during the unwinding would abort.
        let result = bars.suspend(|| catch_unwind(AssertUnwindSafe(print)));
        PRINTING.set(false);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Prints a line on stdout, above the bars.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print_line(&self, line: &str) -> io::Result<()> {
        self.suspend(|| writeln!(io::stdout().lock(), "{line}"))
    }
}

impl Printer {
    /// Prints something of the run on this thread, such as a table, on stdout, above the bars. If there are other runs in the
    /// process, a line with what it is and whose stands above it.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print_of_run(&self, what: &str, table: &impl fmt::Display) -> io::Result<()> {
        let whose = live_run::shown_name().map(|run| format!("{what} of {run}:\n")).unwrap_or_default();
        self.print_line(&format!("{whose}{table}"))
    }
}

/// Bars are on the screen as long as this lives.
#[derive(Debug)]
pub(super) struct OnScreen(u64);

impl OnScreen {
    pub(super) fn new(bars: &MultiProgress) -> Self {
        let mut live = live();
        live.0 += 1;
        let number = live.0;
        live.1.push((number, bars.clone()));
        Self(number)
    }
}

impl Drop for OnScreen {
    fn drop(&mut self) {
        live().1.retain(|(number, _)| *number != self.0);
    }
}

fn live() -> MutexGuard<'static, (u64, Vec<(u64, MultiProgress)>)> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use indicatif::ProgressDrawTarget;

    use super::*;

    #[test]
    fn bars_are_known_to_everybody_while_they_are_on_the_screen() {
        let known = |bars: &OnScreen| live().1.iter().any(|(number, _)| *number == bars.0);
        let bars = || MultiProgress::with_draw_target(ProgressDrawTarget::hidden());
        let (first, second) = (OnScreen::new(&bars()), OnScreen::new(&bars()));
        assert!(known(&first) && known(&second));
        assert!(Printer::live().0.is_some());
        let gone = OnScreen(first.0);
        drop(first);
        assert!(!known(&gone) && known(&second));
        std::mem::forget(gone);
    }
}
