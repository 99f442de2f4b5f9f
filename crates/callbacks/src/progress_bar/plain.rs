//! Plain, rare lines for a log file.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use super::{View, format};

/// Between two lines of one epoch lies at least this time.
const PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Plain {
    out: Box<dyn Write + Send>,
    next_line: Option<Instant>,
}

impl Plain {
    pub(super) fn stdout() -> Self {
        Self::new(Box::new(io::stdout()))
    }

    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, next_line: None }
    }

    /// Whether 30 s have passed since the last line, or since the first call.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        now >= *self.next_line.get_or_insert(now + PAUSE)
    }

    pub(super) fn line(&mut self, view: &View, now: Instant) {
        self.next_line = Some(now + PAUSE);
        // A reader that went away (`| head`) is no reason to lose a training run.
        if let Err(error) = writeln!(self.out, "{}", text(view)).and_then(|()| self.out.flush()) {
            tracing::debug!(%error, "the progress cannot be printed");
        }
    }
}

fn text(view: &View) -> String {
    let batches = match view.total {
        Some(total) => format!("{}/{total} batches", view.done),
        None => format!("{} batches", view.done),
    };
    let mut text = format!("{}  {batches}  {}", view.label.to_lowercase(), format::speed(view.per_second));
    for (name, value) in &view.metrics {
        text.push_str("  ");
        text.push_str(name);
        text.push(' ');
        text.push_str(value);
    }
    // Names come from the user; nothing in a log file may move a cursor.
    text.retain(|c| !c.is_control());
    text
}
