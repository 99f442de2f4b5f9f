//! The pages that are lists: runs, checkpoints, settings, media, log lines, help.

use std::time::SystemTime;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

use super::theme::{Theme, letter};
use super::view::{Page, View};
use crate::compare::Setting;
use crate::runs::{Run, Saved, number, plain};

/// The folder of a run with its checkpoints.
const FOLDER: &str = "checkpoints";

/// A line of a list.
type Line = (String, Style);

pub(super) fn draw(view: &View, runs: &[Run], now: SystemTime, area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width);
    let (head, lines) = match view.page {
        Page::Runs => self::runs(view, runs, now),
        Page::Checkpoints => checkpoints(view, runs, width),
        Page::Settings => settings(view, runs, width),
        Page::Media => media(view, runs, width),
        Page::Log | Page::Curves | Page::Machine => (None, log(view, runs, (width, usize::from(area.height)))),
    };
    let mut y = area.y;
    if let Some(head) = head {
        buffer.set_stringn(area.x, y, head, area.width.into(), view.theme.dim());
        y += 1;
    }
    let rows = usize::from(area.y + area.height - y);
    let first = match view.page {
        Page::Log => 0,
        // The chosen run stays on the screen.
        Page::Runs => (view.run + 1).saturating_sub(rows),
        _ => view.scroll.min(lines.len().saturating_sub(rows)),
    };
    for (text, style) in lines.iter().skip(first).take(rows) {
        buffer.set_stringn(area.x, y, text, area.width.into(), *style);
        y += 1;
    }
    if first + rows < lines.len() && rows > 0 {
        let text = format!(" … and {} more ", lines.len() - first - rows);
        buffer.set_stringn(area.x, y - 1, format!("{text:<width$}"), width, view.theme.dim());
    }
}

fn nothing(view: &View, text: &str, width: usize) -> Vec<Line> {
    wrapped(text, width).into_iter().map(|line| (line, view.theme.dim())).collect()
}

/// The text in lines of at most `width` characters, divided after spaces if possible.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let (mut rest, mut lines) = (text.chars().collect::<Vec<_>>(), Vec::new());
    while rest.len() > width {
        let end = rest[..width].iter().rposition(|c| *c == ' ').map_or(width, |space| space + 1);
        lines.push(rest.drain(..end).collect());
    }
    lines.push(rest.into_iter().collect());
    lines
}

/// The text in at most `rows` lines. A longer one loses its middle: its start has the time, its end often a file or a
/// command.
pub(super) fn fitted(text: &str, width: usize, rows: usize) -> Vec<String> {
    let all = wrapped(text, width);
    if all.len() <= rows {
        return all;
    }
    let mut shorter = (0..=width * rows).rev().map(|most| wrapped(&without_middle(text, most), width));
    shorter.find(|lines| lines.len() <= rows).unwrap_or_default()
}

/// The first third and the end of a text, together at most `most` characters.
pub(super) fn without_middle(text: &str, most: usize) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= most {
        return text.to_owned();
    }
    let start = most / 3;
    let end = (most - start).saturating_sub(1);
    chars[..start].iter().chain(['…'].iter()).chain(&chars[chars.len() - end..]).collect()
}

/// The text of a log line in at most `rows` lines. Further lines are indented.
pub(super) fn log_lines(text: &str, width: usize, rows: usize) -> Vec<String> {
    let lines = fitted(text, width.saturating_sub(2), rows);
    lines.into_iter().enumerate().map(|(row, line)| if row == 0 { line } else { format!("  {line}") }).collect()
}

fn runs(view: &View, runs: &[Run], now: SystemTime) -> (Option<String>, Vec<Line>) {
    let width = runs.iter().map(|run| run.name.chars().count()).max().unwrap_or(0).clamp(4, 40);
    let line = |(at, run): (usize, &Run)| {
        let is_shown = if view.is_shown(run) { 'x' } else { ' ' };
        let number_of = |name: Option<f64>| name.map_or_else(|| "-".to_owned(), number);
        let best = run.checkpoints().iter().find(|saved| saved.is_best).and_then(|saved| saved.score.as_ref());
        let best = best.map(|(name, score)| format!("{} {}", plain(name), number(*score))).unwrap_or_default();
        let age = run.modified().and_then(|modified| now.duration_since(modified).ok()).map(|age| duration(age.as_secs_f64()));
        let text = format!(
            "[{is_shown}] {} {:<width$} {:<8} {:>9} {:>6} {:>9}  {best}",
            letter(at),
            short(&plain(&run.name), width),
            run.state(now).name(),
            number_of(run.step()),
            number_of(run.last("epoch")),
            age.unwrap_or_default(),
        );
        (text, if at == view.run { view.theme.chosen() } else { view.theme.run(at) })
    };
    let head = format!("    {:<w$} {:<8} {:>9} {:>6} {:>9}  best", "run", "state", "step", "epoch", "age", w = width + 2);
    (Some(head), runs.iter().enumerate().map(line).collect())
}

fn checkpoints(view: &View, runs: &[Run], width: usize) -> (Option<String>, Vec<Line>) {
    let all: Vec<(usize, &Saved, String)> = view
        .shown(runs)
        .into_iter()
        .flat_map(|(at, run)| run.checkpoints().iter().map(move |saved| (at, saved, score_of(saved))))
        .collect();
    if all.is_empty() {
        return (None, nothing(view, "no checkpoint in the folders `checkpoints` of the runs", width));
    }
    // Without scores, there is no column for them.
    let widest = all.iter().map(|(_, _, score)| score.chars().count()).max().filter(|widest| *widest > 0);
    let scores = widest.map_or(0, |widest| widest.max("score".len()) + 2);
    let line = |(at, saved, score): &(usize, &Saved, String)| {
        let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
        let start = format!(
            "{} {} {:>8} {:>11} {:>9}  {score:<scores$}",
            letter(*at),
            if saved.is_best { '*' } else { ' ' },
            count(saved.global_step),
            count(saved.epoch),
            size(saved.bytes as f64),
        );
        let end = if saved.weights_only { " (weights only)" } else { "" };
        let room = width.saturating_sub(start.chars().count() + end.len());
        let path = saved.path.strip_prefix(FOLDER).unwrap_or(&saved.path);
        let path = short(&plain(&path.display().to_string()), room);
        let style = if saved.is_best { view.theme.run(*at).patch(view.theme.bold()) } else { view.theme.run(*at) };
        (format!("{start}{path}{end}"), style)
    };
    let score = if scores > 0 { "score" } else { "" };
    let head = format!("{:>12} {:>11} {:>9}  {score:<scores$}file (* is the best)", "step", "epochs done", "size");
    (Some(head), all.iter().map(line).collect())
}

/// The score of a checkpoint with its metric. Empty without one.
fn score_of(saved: &Saved) -> String {
    saved.score.as_ref().map(|(name, score)| format!("{} {}", plain(name), number(*score))).unwrap_or_default()
}

/// The settings of all runs. Those that differ come first, and the Trainer's defaults last.
fn settings(view: &View, runs: &[Run], width: usize) -> (Option<String>, Vec<Line>) {
    let shown = view.shown(runs);
    let table = crate::compare::settings(&shown.iter().map(|(_, run)| *run).collect::<Vec<_>>());
    if table.is_empty() {
        return (None, nothing(view, "no `hparams.yaml` and no `trainer.yaml`", width));
    }
    let width = table.iter().map(|row| row.name.chars().count()).max().unwrap_or(0).clamp(8, 32);
    let line = |row: &Setting| {
        let values = if row.differs {
            let of_runs = row.values.iter().zip(&shown);
            let of_runs = of_runs.map(|(value, (at, _))| format!("{} {}", letter(*at), value.as_deref().map_or("-".to_owned(), plain)));
            of_runs.collect::<Vec<_>>().join("  ")
        } else {
            row.values.iter().flatten().next().map(|value| plain(value)).unwrap_or_default()
        };
        let style = if row.differs {
            view.theme.bold()
        } else if row.is_default {
            view.theme.dim()
        } else {
            Style::new()
        };
        (format!("{:<width$}  {values}", short(&plain(&row.name), width)), style)
    };
    let (others, defaults) = table.split_at(table.partition_point(|row| !row.is_default));
    let mut lines: Vec<Line> = others.iter().map(line).collect();
    if !defaults.is_empty() {
        lines.push((format!("defaults of the Trainer ({}):", defaults.len()), view.theme.dim()));
        lines.extend(defaults.iter().map(line));
    }
    let head = match (shown.len() > 1, !defaults.is_empty()) {
        (true, true) => Some("settings that differ come first, defaults of the Trainer last"),
        (true, false) => Some("settings that differ come first"),
        (false, true) => Some("defaults of the Trainer come last"),
        (false, false) => None,
    };
    (head.map(str::to_owned), lines)
}

fn media(view: &View, runs: &[Run], width: usize) -> (Option<String>, Vec<Line>) {
    let mut lines = Vec::new();
    for (at, run) in view.shown(runs) {
        for (name, tag) in run.media() {
            let text = format!("{} {:<9} {:>6} {:>9}  {}", letter(at), tag.kind.name(), tag.count, tag.last_step, plain(name));
            lines.push((text, view.theme.run(at)));
        }
    }
    if lines.is_empty() {
        return (None, nothing(view, "no images, sounds, texts or histograms in the event files", width));
    }
    (Some(format!("  {:<9} {:>6} {:>9}  tag (`stormfire report` shows them)", "kind", "values", "last step")), lines)
}

/// The log lines of all runs that are shown, newest at the bottom. A long line continues below.
fn log(view: &View, runs: &[Run], (width, rows): (usize, usize)) -> Vec<Line> {
    let shown = view.shown(runs);
    let mut messages: Vec<(&str, usize, Style)> = Vec::new();
    for (at, run) in &shown {
        messages.extend(run.messages().map(|message| (message.text.as_str(), *at, view.theme.level(message.level))));
    }
    if messages.is_empty() {
        return nothing(view, "no log lines: `console::Builder::file` writes them to `training.log`", width);
    }
    // Each line starts with its time in UTC.
    messages.sort_by(|a, b| a.0.get(..27).cmp(&b.0.get(..27)));
    let name = |at: usize| if shown.len() > 1 { format!("{} ", letter(at)) } else { String::new() };
    let mut lines: Vec<Line> = Vec::new();
    for (text, at, style) in messages {
        let parts = log_lines(&format!("{}{}", name(at), short_line(text)), width, usize::MAX);
        lines.extend(parts.into_iter().map(|part| (part, style)));
    }
    let end = lines.len() - view.scroll.min(lines.len().saturating_sub(rows));
    lines.truncate(end);
    lines.split_off(end.saturating_sub(rows))
}

/// The text of a line without the date, the fractions of a second, and the module of a crate of Stormfire.
pub(super) fn short_line(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_time = bytes.len() > 20 && bytes[10] == b'T' && bytes[13] == b':' && bytes[16] == b':';
    match text.split_once(' ') {
        Some((time, rest)) if is_time => without_module(&format!("{} {}", &time[11..19], rest.trim_start())),
        _ => text.to_owned(),
    }
}

/// `fit: stormfire_trainer::session: epoch 4` becomes `fit: stormfire_trainer: epoch 4`.
fn without_module(text: &str) -> String {
    const CRATES: &str = " stormfire_";
    let is_target = |target: &str| target.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
    let found = text.split_once(CRATES).and_then(|(before, rest)| Some((before, rest.split_once(": ")?)));
    match found {
        Some((before, (target, message))) if is_target(target) => {
            let name = target.split(':').next().unwrap_or(target);
            format!("{before}{CRATES}{name}: {message}")
        }
        _ => text.to_owned(),
    }
}

pub(super) fn help(theme: Theme, area: Rect, buffer: &mut Buffer) {
    let lines = [
        ("q, Ctrl-C", "leave; the training is not affected"),
        ("1 to 7, Tab", "pages"),
        ("arrows, j, k, PgUp, PgDn", "another chart, or scroll"),
        ("Enter", "one large chart with its numbers, and back"),
        ("s, S", "smooth more or less: TensorBoard's moving average"),
        ("l", "logarithmic y axis"),
        ("o", "y axis without the most extreme 2 % at each end"),
        ("/", "charts whose name contains a text; Esc clears it"),
        ("3, then space or a", "show and hide runs"),
        ("×", "a value that is NaN or infinite"),
        ("a, b, … at a curve", "the letter of its run"),
    ];
    for ((key, text), row) in lines.iter().zip(0..area.height) {
        let (x, _) = buffer.set_stringn(area.x + 1, area.y + row, format!("{key:<26}"), 26, theme.bold());
        buffer.set_stringn(x, area.y + row, text, usize::from(area.width).saturating_sub(28), Style::new());
    }
}

/// A number of bytes.
pub(super) fn size(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes.max(0.0), 0);
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value:.0} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A time in its largest unit that has at least two.
pub(super) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() {
        return "?".to_owned();
    }
    match seconds.max(0.0) {
        seconds if seconds < 120.0 => format!("{seconds:.0} s"),
        seconds if seconds < 7200.0 => format!("{:.0} min", seconds / 60.0),
        seconds if seconds < 172_800.0 => format!("{:.0} h", seconds / 3600.0),
        seconds => format!("{:.0} days", seconds / 86_400.0),
    }
}

/// Keeps the end of a long name, because that distinguishes runs.
pub(super) fn short(name: &str, most: usize) -> String {
    match name.chars().count().checked_sub(most) {
        Some(more) if more > 0 => format!("…{}", name.chars().skip(more + 1).collect::<String>()),
        _ => name.to_owned(),
    }
}
