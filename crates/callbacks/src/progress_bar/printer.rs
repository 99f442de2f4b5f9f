//! Prints without tearing the progress bars.

use std::{
    cell::Cell,
    fmt,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Mutex, MutexGuard, PoisonError},
};

use indicatif::MultiProgress;
use stormfire_module::for_trainer::{live_run, print_above_bars};

/// The bars on the screen, by the number that [`OnScreen`] took.
static LIVE: Mutex<(u64, Vec<(u64, MultiProgress)>)> = Mutex::new((0, Vec::new()));

thread_local! {
    /// Whether this thread has hidden the bars and prints.
    static PRINTING: Cell<bool> = const { Cell::new(false) };
}

/// Prints on the terminal that a [`ProgressBar`](super::ProgressBar) draws on, without tearing its bars. Cheap to
/// clone.
///
/// Without bars (not on a terminal), it prints as usual.
#[derive(Clone, Debug, Default)]
pub struct Printer(Option<MultiProgress>);

impl Printer {
    pub(super) fn new(bars: MultiProgress) -> Self {
        Self(Some(bars))
    }

    /// Returns a printer for the bars on the screen, of any Trainer in the process. Bars come and go, so call this for
    /// each use.
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

    /// Hides the bars, runs `print`, and draws the bars again. Bars wait until `print` returns, so it must not touch
    /// them. It may use a printer.
    pub fn suspend<R>(&self, print: impl FnOnce() -> R) -> R {
        let Some(bars) = &self.0 else { return print() };
        if PRINTING.replace(true) {
            return print();
        }
        // indicatif holds its lock during the call. A panic would poison it, and drawing during unwinding would abort.
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
    /// Prints an item of this thread's run, such as a table, on stdout above the bars. With other runs in the process,
    /// a line above it names the item and the run.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print_of_run(&self, what: &str, table: &impl fmt::Display) -> io::Result<()> {
        let whose = live_run::shown_name().map(|run| format!("{what} of {run}:\n")).unwrap_or_default();
        self.print_line(&format!("{whose}{table}"))
    }
}

/// Bars are on the screen while this exists.
#[derive(Debug)]
pub(super) struct OnScreen(u64);

impl OnScreen {
    pub(super) fn new(bars: &MultiProgress) -> Self {
        print_above_bars(|line| Printer::live().print_line(line));
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
