//! The format of a line on the screen.

use std::{fmt, sync::LazyLock};

use stormfire_module::for_trainer::live_run;
use stormfire_ranks::launched;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{DefaultFields, Writer},
    },
    registry::LookupSpan,
};

/// The number of this process, if a launcher started several.
pub(super) fn rank() -> Option<usize> {
    static RANK: LazyLock<Option<usize>> = LazyLock::new(|| launched().filter(|launched| launched.world > 1).map(|launched| launched.rank));
    *RANK
}

/// `14:03:07 WARN stormfire_loggers: what happened name=value`. With several runs in the process: `14:03:07 WARN
/// stormfire_loggers: [version_3] what happened name=value`. On one of several ranks: `14:03:07 WARN stormfire_loggers:
/// [rank 1] what happened name=value `.
#[derive(Default)]
pub(super) struct Line {
    /// The reader knows the run, so its name is left out.
    pub(super) is_of_one_run: bool,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>, N: for<'a> FormatFields<'a> + 'static> FormatEvent<S, N> for Line {
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let (color, dim, plain) = match (writer.has_ansi_escapes(), *metadata.level()) {
            (false, _) => ("", "", ""),
            (true, Level::ERROR) => ("\x1b[31m", "\x1b[2m", "\x1b[0m"),
            (true, Level::WARN) => ("\x1b[33m", "\x1b[2m", "\x1b[0m"),
            (true, Level::INFO) => ("\x1b[32m", "\x1b[2m", "\x1b[0m"),
            (true, _) => ("\x1b[34m", "\x1b[2m", "\x1b[0m"),
        };
        let now = jiff::Zoned::now();
        let level = metadata.level();
        // The crate is enough to set a level. The file has the full path.
        let of_crate = metadata.target().split("::").next().unwrap_or_default();
        write!(writer, "{dim}{}{plain} {color}{level:<5}{plain} {dim}{of_crate}:{plain} ", now.strftime("%H:%M:%S"))?;
        if let Some(rank) = rank() {
            write!(writer, "[rank {rank}] ")?;
        }
        if let Some(run) = live_run::shown_name().filter(|_| !self.is_of_one_run) {
            write!(writer, "[{}] ", run.replace(char::is_control, ""))?;
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// Formats fields like `DefaultFields`, but as a separate type. Spans cache formatted fields by the type of the
/// formatter. The file must not get the colors of the screen.
#[derive(Default)]
pub(super) struct Fields(DefaultFields);

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        self.0.format_fields(writer, fields)
    }
}
