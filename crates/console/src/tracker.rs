//! Sends lines to the console pages of trackers.

use std::io::{self, Write};

use stormfire_loggers::ConsoleStream;
use stormfire_module::for_trainer::scope;
use tracing::Subscriber;
use tracing_subscriber::{Layer, registry::LookupSpan};

use super::line::{Fields, Line};

/// A layer that sends every line reported on the training thread of a run to the loggers of the run. It starts when the
/// run can no longer be refused.
pub(super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> + Send + Sync {
    tracing_subscriber::fmt::layer()
        .event_format(Line { is_of_one_run: true })
        .fmt_fields(Fields::default())
        .with_ansi(false)
        .with_writer(|| OfRun)
}

struct OfRun;

impl Write for OfRun {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(loggers) = scope::loggers_of_output() {
            loggers.log_console(ConsoleStream::Stderr, &String::from_utf8_lossy(line));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
