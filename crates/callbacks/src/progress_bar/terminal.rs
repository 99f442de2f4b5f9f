//! Live bars on a terminal.

use std::sync::LazyLock;

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Printer, View, picture::picture, printer::OnScreen};

/// Which of the two bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Training.
    Train,
    /// Validation, test, prediction.
    Eval,
}

/// The bars of all runs of the process, one below the other. Separate displays on one terminal would overwrite each
/// other. `None` if stdout is not a terminal, or if it cannot move its cursor.
static STDOUT: LazyLock<Option<MultiProgress>> = LazyLock::new(|| {
    // We limit the rate ourselves and force each draw. This limit only drops the states in between.
    let target = ProgressDrawTarget::stdout_with_hz(1);
    (!target.is_hidden()).then(|| MultiProgress::with_draw_target(target))
});

/// The bars of one run.
#[derive(Debug)]
pub(super) struct Terminal {
    bars: MultiProgress,
    colored: bool,
    columns: Columns,
    train: Option<Bar>,
    eval: Option<Bar>,
    on_screen: Option<OnScreen>,
}

/// The width of the terminal.
#[derive(Debug)]
pub(super) enum Columns {
    /// Read at each refresh, because a window may be resized.
    OfStdout(Term),
    #[cfg(test)]
    Fixed(usize),
}

impl Columns {
    fn count(&self) -> usize {
        match self {
            Columns::OfStdout(stdout) => stdout.size().1.into(),
            #[cfg(test)]
            Columns::Fixed(columns) => *columns,
        }
    }
}

/// A line on the screen and its content.
#[derive(Debug)]
struct Bar {
    line: ProgressBar,
    picture: String,
    drawn: u64,
}

impl Terminal {
    /// Bars on stdout. `None` if it is not a terminal, or if it cannot move its cursor.
    pub(super) fn stdout() -> Option<Self> {
        let colored = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        STDOUT.clone().map(|bars| Self::new(bars, colored, Columns::OfStdout(Term::stdout())))
    }

    pub(super) fn new(bars: MultiProgress, colored: bool, columns: Columns) -> Self {
        Self { bars, colored, columns, train: None, eval: None, on_screen: None }
    }

    pub(super) fn printer(&self) -> Printer {
        Printer::new(self.bars.clone())
    }

    pub(super) fn draw(&mut self, slot: Slot, view: &View) {
        self.on_screen.get_or_insert_with(|| OnScreen::new(&self.bars));
        let drawn = self.bar(slot).as_ref().map_or(0, |bar| bar.drawn + 1);
        let picture = picture(view, self.columns.count(), self.colored, drawn);
        let line = match self.bar(slot).take() {
            Some(Bar { line, .. }) => line,
            None => self.add(slot, &picture),
        };
        line.set_message(picture.clone());
        line.force_draw();
        *self.bar(slot) = Some(Bar { line, picture, drawn });
    }

    /// Adds a line below the other line of this run, or below those of all runs.
    fn add(&self, slot: Slot, picture: &str) -> ProgressBar {
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
        // Set the content before the line appears. Otherwise it would first be empty.
        let line = line.with_style(style).with_message(picture.to_owned());
        match &self.train {
            Some(train) if slot == Slot::Eval => self.bars.insert_after(&train.line, line),
            _ => self.bars.add(line),
        }
    }

    fn bar(&mut self, slot: Slot) -> &mut Option<Bar> {
        if slot == Slot::Train { &mut self.train } else { &mut self.eval }
    }

    /// Ends a bar. It stays on the screen above the active bars, or is removed.
    pub(super) fn finish(&mut self, slot: Slot, keep: bool) {
        let Some(Bar { line, picture, .. }) = self.bar(slot).take() else { return };
        if keep {
            // indicatif would erase a finished bar at the next message above the bars.
            self.bars.remove(&line);
            if let Err(error) = self.bars.println(picture) {
                tracing::debug!(%error, "the progress cannot be printed");
            }
        } else {
            line.finish_and_clear();
            self.bars.remove(&line);
        }
        if self.train.is_none() && self.eval.is_none() {
            self.on_screen = None;
        }
    }
}

/// Leaves complete lines on the screen. While a thread panics, indicatif draws nothing, so that the message of the
/// panic is not overwritten. Both bars then stay as they are.
impl Drop for Terminal {
    fn drop(&mut self) {
        self.finish(Slot::Eval, false);
        self.finish(Slot::Train, true);
    }
}
