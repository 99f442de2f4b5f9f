//! The whole screen: what is at the top, the page, the newest state, and the keys.

use std::time::SystemTime;

use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

use super::chart::{self, Look};
use super::lists;
use super::theme::letter;
use super::view::{Page, View};
use crate::metric_names::{device_stat, is_rate, memory_stat};
use crate::runs::{Run, Runs, State, number, plain};

/// The smallest useful screen.
const SMALLEST: (u16, u16) = (40, 12);
/// The smallest size of a chart of a grid.
const CHART: (u16, u16) = (38, 7);

/// Draws the screen as it is at a time.
pub fn draw(view: &View, title: &str, runs: &Runs, now: SystemTime, area: Rect, buffer: &mut Buffer) {
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!("too small: {}x{} is needed", SMALLEST.0, SMALLEST.1);
        buffer.set_stringn(area.x, area.y, text, area.width.into(), Style::new());
        return;
    }
    let screen = Screen { view, runs, list: runs.list(), now };
    screen.top(title, Rect { height: 2, ..area }, buffer);
    // The page of log lines has the newest ones itself.
    let has_log_lines = view.page != Page::Log || view.shows_help;
    let below = match area.height {
        20.. if has_log_lines => 5,
        20.. => 3,
        _ => 2,
    };
    let page = Rect { y: area.y + 2, height: area.height - 2 - below, ..area };
    if view.shows_help {
        lists::help(view.theme, page, buffer);
    } else if view.page.has_charts() {
        screen.charts(page, buffer);
    } else {
        lists::draw(view, screen.list, now, page, buffer);
    }
    screen.bottom(Rect { y: page.y + page.height, height: below, ..area }, buffer);
}

struct Screen<'a> {
    view: &'a View,
    runs: &'a Runs,
    list: &'a [Run],
    now: SystemTime,
}

impl Screen<'_> {
    /// The title, the runs with their letters, and the pages.
    fn top(&self, title: &str, area: Rect, buffer: &mut Buffer) {
        let theme = self.view.theme;
        let right = area.x + area.width;
        let room = |x: u16| usize::from(right.saturating_sub(x));
        let (mut x, _) = buffer.set_stringn(area.x, area.y, plain(title), usize::from(area.width / 3), theme.bold());
        let shown = self.view.shown(self.list);
        let mut left = shown.len();
        // The newest runs are the most interesting ones.
        for (at, run) in shown.iter().rev() {
            let state = run.state(self.now);
            let text = format!("{} {}", letter(*at), lists::short(&plain(&run.name), 18));
            let needed = text.chars().count() + state.name().len() + 4;
            if room(x) < needed + if left > 1 { 8 } else { 0 } {
                break;
            }
            (x, _) = buffer.set_stringn(x + 2, area.y, text, room(x + 2), theme.run(*at));
            (x, _) = buffer.set_stringn(x + 1, area.y, state.name(), room(x + 1), theme.state(state));
            left -= 1;
        }
        let others = left + (self.list.len() - shown.len()) + self.runs.left_out();
        if others > 0 {
            buffer.set_stringn(x + 2, area.y, format!("+{others}"), room(x + 2), theme.dim());
        }
        let mut x = area.x;
        let state = self.reading();
        let width = Page::ALL.iter().map(|page| page.name().len() + 3).sum::<usize>() + state.chars().count();
        for (number, page) in (1..).zip(Page::ALL) {
            let name = if width > usize::from(area.width) { &page.name()[..4.min(page.name().len())] } else { page.name() };
            let style = if page == self.view.page { theme.chosen() } else { Style::new() };
            (x, _) = buffer.set_stringn(x, area.y + 1, format!("{number} {name}"), room(x), style);
            x += 1;
        }
        // Its end says more than its start: what is typed, and how much was read.
        let state = lists::short(&state, room(x));
        let at = right.saturating_sub(state.chars().count() as u16);
        if at < right {
            buffer.set_stringn(at, area.y + 1, state, room(at), theme.bold());
        }
    }

    /// The settings of the charts, as text.
    fn reading(&self) -> String {
        let view = self.view;
        let mut parts = Vec::new();
        if view.weight() > 0.0 {
            parts.push(format!("smooth {}", view.weight()));
        }
        if view.is_log {
            parts.push("log".to_owned());
        }
        if view.ignores_outliers {
            parts.push("no outliers".to_owned());
        }
        if view.is_typing || !view.filter.is_empty() {
            parts.push(format!("/{}{}", plain(&view.filter), if view.is_typing { "_" } else { "" }));
        }
        let (read, total) = self.list.iter().map(Run::progress).fold((0, 0), |sum, (read, total)| (sum.0 + read, sum.1 + total));
        if self.list.iter().any(Run::is_sampled) {
            parts.push(format!("samples, {} % read", read * 100 / total.max(1)));
        }
        parts.join(" · ")
    }

    fn charts(&self, area: Rect, buffer: &mut Buffer) {
        let (view, shown) = (self.view, self.view.shown(self.list));
        let names = view.names(self.list);
        let look = Look { smoothing: view.weight(), is_log: view.is_log, ignores_outliers: view.ignores_outliers, theme: view.theme };
        let curves = |name: &str| -> Vec<_> { shown.iter().filter_map(|(at, run)| Some((*at, run.curve(name)?))).collect() };
        if names.is_empty() {
            let text = if view.filter.is_empty() { self.nothing() } else { "no name contains the filter; Esc clears it" };
            for (y, line) in (area.y + 1..area.y + area.height).zip(lists::wrapped(text, usize::from(area.width - 2))) {
                buffer.set_stringn(area.x + 1, y, line, usize::from(area.width - 1), view.theme.dim());
            }
            return;
        }
        let chosen = view.chosen(names.len());
        if view.is_zoomed {
            let curves = curves(&names[chosen]);
            let below = (curves.len() as u16 + 1).min(area.height / 3);
            chart::draw(Rect { height: area.height - below, ..area }, &names[chosen], &curves, true, look, buffer);
            return self.numbers(&curves, Rect { y: area.y + area.height - below, height: below, ..area }, buffer);
        }
        let columns = (area.width / CHART.0).clamp(1, 4).min(names.len() as u16);
        let rows = (area.height / CHART.1).max(1).min((names.len() as u16).div_ceil(columns));
        let per_page = usize::from(columns * rows);
        let first = chosen / per_page * per_page;
        // The last row is that of the number of the chart, if there are more.
        let has_more = names.len() > per_page;
        let (width, height) = (area.width / columns, (area.height - u16::from(has_more)) / rows);
        for (at, name) in names.iter().enumerate().skip(first).take(per_page) {
            let place = (at - first) as u16;
            let cell = Rect { x: area.x + place % columns * width, y: area.y + place / columns * height, width: width - 1, height };
            chart::draw(cell, name, &curves(name), at == chosen, look, buffer);
        }
        if has_more {
            let text = format!("{}/{}", chosen + 1, names.len());
            let (x, y) = (area.x + area.width - text.len() as u16, area.y + area.height - 1);
            buffer.set_string(x, y, text, view.theme.dim());
        }
    }

    fn nothing(&self) -> &'static str {
        match self.view.page {
            Page::Machine => "no learning rates and no machine: add `LearningRateMonitor`, `ThroughputMonitor` or `DeviceStatsMonitor`",
            _ if self.view.shown(self.list).is_empty() => "all runs are hidden: press 3 for the list of runs",
            _ => "no metric yet",
        }
    }

    /// The newest and the extreme values of the curves of a zoomed chart.
    fn numbers(&self, curves: &[(usize, &crate::runs::Curve)], area: Rect, buffer: &mut Buffer) {
        let head = format!("  {:<24} {:>10} {:>10} {:>10} {:>10} {:>9}", "run", "newest", "lowest", "at step", "highest", "values");
        buffer.set_stringn(area.x, area.y, head, area.width.into(), self.view.theme.dim());
        for (row, (at, curve)) in (1..area.height).zip(curves) {
            let value = |point: Option<(f64, f64)>| point.map_or_else(|| "-".to_owned(), |(_, value)| number(value));
            let broken = if curve.broken() > 0 { format!("  {} not finite", curve.broken()) } else { String::new() };
            let text = format!(
                "{} {:<24} {:>10} {:>10} {:>10} {:>10} {:>9}{broken}",
                letter(*at),
                lists::short(&plain(&self.list[*at].name), 24),
                value(curve.last()),
                value(curve.min()),
                curve.min().map_or_else(|| "-".to_owned(), |(step, _)| number(step)),
                value(curve.max()),
                curve.len(),
            );
            buffer.set_stringn(area.x, area.y + row, text, area.width.into(), self.view.theme.run(*at));
        }
    }

    /// The state of the newest run, its newest log lines, and the keys. A running one is preferred, then one with
    /// checkpoints.
    fn bottom(&self, area: Rect, buffer: &mut Buffer) {
        let theme = self.view.theme;
        let keys_at = area.y + area.height - 1;
        let keys = match self.view.page {
            _ if self.view.shows_help => "any key closes this list",
            _ if self.view.is_typing => "type a part of a name  Enter keep  Esc clear",
            Page::Curves | Page::Machine => "q quit  1-7 page  ←→ chart  Enter zoom  s smooth  l log  / find  ? keys",
            Page::Runs => "q quit  1-7 page  ↑↓ run  space show or hide  a all or one  ? keys",
            _ => "q quit  1-7 page  ↑↓ scroll  ? keys",
        };
        buffer.set_style(Rect { y: keys_at, height: 1, ..area }, theme.chosen());
        buffer.set_stringn(area.x, keys_at, format!("{keys:<width$}", width = usize::from(area.width)), area.width.into(), theme.chosen());
        let shown = self.view.shown(self.list);
        let newest = |fits: &dyn Fn(&Run) -> bool| shown.iter().rev().find(|(_, run)| fits(run));
        let running = newest(&|run| run.state(self.now) == State::Running);
        let Some((at, run)) = running.or_else(|| newest(&|run| !run.checkpoints().is_empty())).or(shown.last()) else { return };
        let style = theme.run(*at);
        buffer.set_stringn(area.x, area.y, status(*at, run), area.width.into(), style);
        if area.height < 3 {
            return;
        }
        let (width, rows) = (usize::from(area.width), usize::from(area.height) - 3);
        buffer.set_stringn(area.x, area.y + 1, lists::without_middle(&best(run), width), width, Style::new());
        for (y, (text, style)) in (area.y + 2..).zip(self.newest_lines(run, width, rows)) {
            buffer.set_stringn(area.x, y, text, width, style);
        }
    }

    /// The newest log lines that fit. The newest of all is complete, if it has the room.
    fn newest_lines(&self, run: &Run, width: usize, rows: usize) -> Vec<(String, Style)> {
        let theme = self.view.theme;
        if run.messages().next().is_none() {
            let problem = run.problems().into_iter().next();
            let text = problem.unwrap_or_else(|| "no `training.log`: `console::Builder::file` writes it".to_owned());
            return lists::fitted(&plain(&text), width, rows).into_iter().map(|line| (line, theme.dim())).collect();
        }
        let mut lines: Vec<(String, Style)> = Vec::new();
        for message in run.messages().rev() {
            if lines.len() == rows {
                break;
            }
            let parts = lists::log_lines(&lists::short_line(&message.text), width, rows - lines.len());
            lines.extend(parts.into_iter().rev().map(|part| (part, theme.level(message.level))));
        }
        lines.reverse();
        lines
    }
}

/// Step, epoch, learning rates, speed and machine.
fn status(at: usize, run: &Run) -> String {
    let mut parts = vec![letter(at).to_string()];
    parts.extend(run.step().map(|step| format!("step {}", number(step))));
    parts.extend(run.last("epoch").map(|epoch| format!("epoch {}", number(epoch))));
    let rates: Vec<_> = run.names().into_iter().filter(|name| is_rate(name)).collect();
    parts.extend(rates.iter().take(2).filter_map(|name| Some(format!("{} {}", plain(name), number(run.last(name)?)))));
    let named = |name: &str, show: &dyn Fn(f64) -> String| Some(show(run.last(name)?));
    parts.extend(named("train/device/batches_per_sec", &|rate| format!("{} it/s", number((rate * 10.0).round() / 10.0))));
    parts.extend(named("train/time_to_end", &|seconds| format!("{} left", lists::duration(seconds))));
    parts.extend(named(&device_stat("cpu_percent"), &|percent| format!("cpu {percent:.0} %")));
    parts.extend(named(&device_stat("gpu_0_percent"), &|percent| format!("gpu {percent:.0} %")));
    let memory = |name: String| named(&name, &|bytes| format!("mem {}", lists::size(bytes)));
    parts.extend(memory(device_stat("process_rss_bytes")).or_else(|| memory(memory_stat("process_rss_bytes"))));
    parts.join("  ")
}

/// The best checkpoint, else the newest one.
fn best(run: &Run) -> String {
    let list = run.checkpoints();
    let Some(saved) = list.iter().find(|saved| saved.is_best).or(list.first()) else { return "no checkpoint".to_owned() };
    let what = if saved.is_best { "best" } else { "newest" };
    let score = saved.score.as_ref().map(|(name, score)| format!(" {} {}", plain(name), number(*score))).unwrap_or_default();
    format!("{what} checkpoint{score} · {}", plain(&saved.path.display().to_string()))
}
