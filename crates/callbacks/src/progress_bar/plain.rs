//! Writes occasional plain lines for a log file.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use super::{View, format};

/// The minimum time between two lines of one epoch.
const PAUSE: Duration = Duration::from_secs(30);

pub(super) struct Plain {
    out: Box<dyn Write + Send>,
    next_line: Option<Instant>,
    has_asked: bool,
}

/// The next action for a plain line.
pub(super) enum Due {
    No,
    /// Request the values. The line is written at the next check.
    Ask,
    Print,
}

impl Plain {
    pub(super) fn stdout() -> Self {
        Self::new(Box::new(io::stdout()))
    }

    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self { out, next_line: None, has_asked: false }
    }

    /// A line is due 30 s after the last one, or after the first call.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if now < *self.next_line.get_or_insert(now + PAUSE) {
            Due::No
        } else if std::mem::replace(&mut self.has_asked, true) {
            Due::Print
        } else {
            Due::Ask
        }
    }

    pub(super) fn line(&mut self, view: &View, now: Instant) {
        self.next_line = Some(now + PAUSE);
        self.has_asked = false;
        // A closed pipe (`| head`) must not end a training run. The line is written in one piece, because other runs
        // may write lines, too.
        if let Err(error) = self.out.write_all((text(view) + "\n").as_bytes()).and_then(|()| self.out.flush()) {
            tracing::debug!(%error, "the progress cannot be printed");
        }
    }
}

fn text(view: &View) -> String {
    let batches = match view.total {
        Some(total) => format!("{}/{total} batches", view.done),
        None => format!("{} batches", view.done),
    };
    let run = view.run.as_deref().map(|name| format!("{name}: ")).unwrap_or_default();
    let mut text = format!("{run}{}  {batches}  {}", view.label.to_lowercase(), format::speed(view.per_second));
    for (name, value) in &view.metrics {
        text.push_str("  ");
        text.push_str(name);
        text.push(' ');
        text.push_str(value);
    }
    // Names come from the user. A log file must not contain control characters that move a cursor.
    text.retain(|c| !c.is_control());
    text
}
