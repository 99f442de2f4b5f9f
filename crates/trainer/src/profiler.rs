//! Measures the time of every hook and every part of the loop.

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt::Write as _,
    str::FromStr,
    time::{Duration, Instant},
};

use comfy_table::{CellAlignment, Table};
use serde::{Deserialize, Serialize};
use stormfire_values::{
    reads_text,
    text::{TextError, one_of},
};

use crate::results_table::STYLE;

/// The kind of profiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum ProfilerKind {
    /// A table of actions with calls, mean and total time, printed when a run ends.
    Simple,
}

impl FromStr for ProfilerKind {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        one_of(text, "a profiler", &[("simple", Self::Simple)], "`simple`")
    }
}

reads_text!(ProfilerKind);

/// Collects times. Does nothing, at no cost, if it is disabled.
#[derive(Debug, Default)]
pub(crate) struct Profiler {
    actions: Option<HashMap<Cow<'static, str>, Action>>,
    began: Option<Instant>,
}

#[derive(Debug, Default)]
struct Action {
    calls: u64,
    total: Duration,
}

/// A started measurement. `None` if the profiler is disabled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Started(Option<Instant>);

impl Profiler {
    pub(crate) fn new(kind: Option<ProfilerKind>) -> Self {
        Self { actions: kind.map(|ProfilerKind::Simple| HashMap::new()), began: None }
    }

    pub(crate) fn begin_run(&mut self) {
        self.began = Some(Instant::now());
    }

    #[inline]
    pub(crate) fn start(&self) -> Started {
        Started(self.actions.is_some().then(Instant::now))
    }

    #[inline]
    pub(crate) fn stop(&mut self, started: Started, action: impl FnOnce() -> Cow<'static, str>) {
        if let (Some(actions), Started(Some(at))) = (&mut self.actions, started) {
            let entry = actions.entry(action()).or_default();
            entry.calls += 1;
            entry.total += at.elapsed();
        }
    }

    /// The report, with the longest times first. `None` if the profiler is disabled. Clears the reported times.
    pub(crate) fn report(&mut self, title: &str) -> Option<String> {
        let wall = self.began.take().map_or(Duration::ZERO, |began| began.elapsed()).as_secs_f64();
        let mut rows: Vec<_> = self.actions.as_mut()?.drain().collect();
        rows.sort_by_key(|(_, action)| std::cmp::Reverse(action.total));
        let mut table = Table::new();
        table.load_style(STYLE);
        table.set_header(["Action", "Mean (ms)", "Calls", "Total (s)", "%"]);
        for (name, action) in rows {
            let total = action.total.as_secs_f64();
            table.add_row([
                name.into_owned(),
                format!("{:.4}", total * 1e3 / action.calls as f64),
                action.calls.to_string(),
                format!("{total:.4}"),
                format!("{:.2}", if wall > 0.0 { total * 100.0 / wall } else { 0.0 }),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{title} Profiler Report (total {wall:.3} s)\n{table}");
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_counts_calls() {
        let mut profiler = Profiler::new(Some(ProfilerKind::Simple));
        profiler.begin_run();
        for _ in 0..3 {
            let started = profiler.start();
            profiler.stop(started, || "training_batch".into());
        }
        let report = profiler.report("FIT").unwrap();
        let row = report.lines().find(|l| l.contains("training_batch")).unwrap();
        assert_eq!(row.split_whitespace().nth(2), Some("3"), "{report}");
        assert!(report.starts_with("FIT Profiler Report"));
    }

    #[test]
    fn off_means_nothing_is_measured() {
        let mut profiler = Profiler::new(None);
        let started = profiler.start();
        assert!(started.0.is_none());
        profiler.stop(started, || unreachable!("a name was made for nothing"));
        assert!(profiler.report("FIT").is_none());
    }
}
