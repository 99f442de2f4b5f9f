//! `stormfire watch` and `stormfire report`.

use std::path::PathBuf;

use clap::Args;
use stormfire_viewer::{
    report::{self, ReportError},
    watch::{self, Theme, WatchError},
};

#[derive(Args)]
pub(crate) struct Watch {
    /// Runs, folders of runs, or log files.
    #[arg(default_value = "lightning_logs")]
    paths: Vec<PathBuf>,
    /// Print the screen as text once, and end. This needs no terminal.
    #[arg(long)]
    once: bool,
    /// The size of the screen of `--once`, as columns and lines.
    #[arg(long, default_value = "80x24", value_parser = size, requires = "once")]
    size: (u16, u16),
}

#[derive(Args)]
pub(crate) struct Report {
    /// Runs, folders of runs, or log files.
    #[arg(default_value = "lightning_logs")]
    paths: Vec<PathBuf>,
    /// The file to write. An existing file is replaced.
    #[arg(short, long, default_value = "report.html")]
    output: PathBuf,
}

/// How `stormfire watch` ended.
pub(crate) enum Shown {
    /// The screen as text.
    Text(String),
    /// The exit code of a live view.
    Ended(u8),
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let parts = text.split_once('x').and_then(|(columns, lines)| Some((columns.parse().ok()?, lines.parse().ok()?)));
    parts
        .filter(|(columns, lines)| *columns <= 1000 && *lines <= 1000)
        .ok_or_else(|| "write columns and lines, such as `120x40`".to_owned())
}

pub(crate) fn watch(options: &Watch) -> Result<Shown, String> {
    let explained = |error: &WatchError| {
        let hint = error.hint().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
        format!("error: {error}\n{hint}")
    };
    if options.once {
        return watch::snapshot(&options.paths, options.size, &[]).map(Shown::Text).map_err(|error| explained(&error.into()));
    }
    // As https://no-color.org says: any text counts.
    let has_colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let ended = live(&options.paths, Theme { has_colors }).map_err(|error| explained(&error))?;
    // As a shell reports a program that a signal has ended.
    Ok(Shown::Ended(ended.map_or(0, |signal| u8::try_from(128 + signal).unwrap_or(u8::MAX))))
}

#[cfg(unix)]
fn live(paths: &[PathBuf], theme: Theme) -> Result<Option<usize>, WatchError> {
    watch::watch(paths, theme)
}

/// The live view needs a terminal of Unix.
#[cfg(not(unix))]
fn live(_: &[PathBuf], _: Theme) -> Result<Option<usize>, WatchError> {
    Err(WatchError::NoTerminal)
}

pub(crate) fn report(options: &Report) -> Result<String, String> {
    let written = report::write(&options.paths, &options.output);
    let explained = |error: &ReportError| format!("error: {error}\nhint: {}\n", error.hint());
    let (runs, bytes) = written.map_err(|error| explained(&error))?;
    let runs = if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") };
    Ok(format!("wrote `{}`: {runs}, {} KiB\n", options.output.display(), bytes.div_ceil(1024)))
}
