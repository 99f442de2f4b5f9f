//! Live bars on a terminal.

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use super::{Printer, View, format, printer::OnScreen};

/// Which of the two bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// Training.
    Train,
    /// Validation, test, prediction.
    Eval,
}

#[derive(Debug)]
pub(super) struct Terminal {
    bars: MultiProgress,
    colored: bool,
    columns: Columns,
    train: Option<Bar>,
    eval: Option<Bar>,
    on_screen: Option<OnScreen>,
}

/// How wide the terminal is.
#[derive(Debug)]
pub(super) enum Columns {
    /// Asked for at each refresh: a window may be resized.
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

#[derive(Debug)]
struct Bar {
    bar: ProgressBar,
    /// Whether it is drawn as a bar, not as a spinner.
    sized: bool,
}

impl Terminal {
    /// Bars on stdout; `None` if it is no terminal, or one that cannot move its cursor.
    pub(super) fn stdout() -> Option<Self> {
        // We limit the rate ourselves, by drawing with force; this one only drops the drafts in between.
        let target = ProgressDrawTarget::stdout_with_hz(1);
        let colored = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        (!target.is_hidden()).then(|| Self::new(target, colored, Columns::OfStdout(Term::stdout())))
    }

    pub(super) fn new(target: ProgressDrawTarget, colored: bool, columns: Columns) -> Self {
        Self { bars: MultiProgress::with_draw_target(target), colored, columns, train: None, eval: None, on_screen: None }
    }

    pub(super) fn printer(&self) -> Printer {
        Printer::new(self.bars.clone())
    }

    pub(super) fn draw(&mut self, slot: Slot, view: &View) {
        let (colored, columns) = (self.colored, self.columns.count());
        self.on_screen.get_or_insert_with(|| OnScreen::new(&self.bars));
        let entry = if slot == Slot::Train { &mut self.train } else { &mut self.eval };
        let sized = view.total.is_some();
        let Bar { bar, sized: was_sized } = entry.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(view.total, ProgressDrawTarget::hidden());
            let bar = bar.with_finish(ProgressFinish::Abandon).with_style(style(sized, colored));
            // It gets its contents before it appears, or the first picture would be an empty bar.
            fill(&bar, view, columns);
            Bar { bar: self.bars.add(bar), sized }
        });
        if *was_sized != sized {
            bar.set_style(style(sized, colored));
            *was_sized = sized;
        }
        fill(bar, view, columns);
        bar.force_draw();
    }

    /// Ends a bar: it stays as it is, or goes away.
    pub(super) fn finish(&mut self, slot: Slot, keep: bool) {
        let entry = if slot == Slot::Train { &mut self.train } else { &mut self.eval };
        if let Some(Bar { bar, .. }) = entry.take() {
            if keep {
                bar.abandon();
            } else {
                bar.finish_and_clear();
                self.bars.remove(&bar);
            }
        }
        if self.train.is_none() && self.eval.is_none() {
            self.on_screen = None;
        }
    }
}

/// Leaves whole lines on the screen. While a thread panics indicatif draws nothing, so that the panic's message is not
/// overwritten; both bars then stay as they are.
impl Drop for Terminal {
    fn drop(&mut self) {
        self.finish(Slot::Eval, false);
        self.finish(Slot::Train, true);
    }
}

fn fill(bar: &ProgressBar, view: &View, columns: usize) {
    bar.set_prefix(view.label.clone());
    match view.total {
        Some(total) => bar.set_length(total),
        None => bar.unset_length(),
    }
    bar.set_position(view.done);
    bar.set_message(message(view, columns));
}

/// Everything after the number of batches.
fn message(view: &View, columns: usize) -> String {
    let elapsed = format::clock(view.elapsed);
    let remaining = match format::remaining(view.done, view.total, view.per_second) {
        Some(time) => format!(" • {}", format::clock(time)),
        None if view.total.is_some() => " • -:--".into(),
        None => String::new(),
    };
    let numbers = format!("{elapsed}{remaining} {}", format::speed(view.per_second));
    let metrics = view.metrics.iter().map(|(name, value)| format!("{name}: {value}").replace(char::is_control, ""));
    format::lines(numbers, metrics.collect(), width_before_message(view), columns)
}

fn width_before_message(view: &View) -> usize {
    let position = match view.total {
        Some(total) => format!("{:BAR$} {}/{total}", "", view.done),
        None => format!("{:SPINNER$} {}", "", view.done),
    };
    view.label.chars().count() + 1 + position.chars().count() + 1
}

/// The columns that [`style`] gives them.
const BAR: usize = 25;
const SPINNER: usize = 1;

fn style(sized: bool, colored: bool) -> ProgressStyle {
    let template = match (sized, colored) {
        (true, true) => "{prefix} {bar:25.cyan/black.bright} {pos}/{len} {msg}",
        (true, false) => "{prefix} {bar:25} {pos}/{len} {msg}",
        (false, true) => "{prefix} {spinner:.cyan} {pos} {msg}",
        (false, false) => "{prefix} {spinner} {pos} {msg}",
    };
    // Without color the part that is left must look different from the part that is done.
    let chars = if colored { "━╸━" } else { "━╸ " };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars(chars)
}
