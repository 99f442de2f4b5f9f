//! Measures the time of every hook and every part of the loop.

mod chrome_trace;

use std::{
    borrow::Cow,
    collections::HashMap,
    fmt::Write as _,
    path::Path,
    str::FromStr,
    time::{Duration, Instant},
};

use comfy_table::{CellAlignment, Table};
use serde::{Deserialize, Serialize};
use stormfire_values::{
    reads_text,
    text::{TextError, one_of},
};

use self::chrome_trace::ChromeTrace;
use crate::results_table::STYLE;

/// The kind of profiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", try_from = "String")]
pub enum ProfilerKind {
    /// A table of actions with calls, mean and total time, printed when a run ends.
    Simple,
    /// The table, and each call of an action in a file for <https://ui.perfetto.dev> or `chrome://tracing`:
    /// `fit-trace.json` in the folder of the run, `validate-`, `test-` or `predict-trace.json` for other runs,
    /// `fit-trace-2.json` for a resumed one. It grows by about 100 bytes per action and batch. Rank 0 writes it.
    Chrome,
}

impl FromStr for ProfilerKind {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        one_of(text, "a profiler", &[("simple", Self::Simple), ("chrome", Self::Chrome)], "`simple` or `chrome`")
    }
}

reads_text!(ProfilerKind);

/// Collects times. Does nothing, at no cost, if it is disabled.
#[derive(Debug, Default)]
pub(crate) struct Profiler {
    actions: Option<HashMap<Cow<'static, str>, Action>>,
    began: Option<Instant>,
    traces: bool,
    trace: Option<ChromeTrace>,
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
        Self { actions: kind.map(|_| HashMap::new()), began: None, traces: kind == Some(ProfilerKind::Chrome), trace: None }
    }

    /// Starts the trace of a run in a folder, if there is to be one.
    pub(crate) fn begin_trace(&mut self, folder: &Path, stage: &str) {
        if self.traces {
            self.trace = ChromeTrace::create(folder, stage);
        }
    }

    pub(crate) fn begin_run(&mut self) {
        self.began = Some(Instant::now());
    }

    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.actions.is_some()
    }

    #[inline]
    pub(crate) fn start(&self) -> Started {
        Started(self.actions.is_some().then(Instant::now))
    }

    #[inline]
    pub(crate) fn stop(&mut self, started: Started, action: impl FnOnce() -> Cow<'static, str>) {
        if let (Some(actions), Started(Some(at))) = (&mut self.actions, started) {
            let (name, elapsed) = (action(), at.elapsed());
            if let Some(trace) = &mut self.trace {
                trace.add(&name, at, elapsed);
            }
            let entry = actions.entry(name).or_default();
            entry.calls += 1;
            entry.total += elapsed;
        }
    }

    /// The report, with the longest times first. `None` if the profiler is disabled. Clears the reported times.
    pub(crate) fn report(&mut self, title: &str) -> Option<String> {
        if let Some(trace) = self.trace.take() {
            trace.finish();
        }
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
    fn a_trace_is_json_with_each_call_inside_its_caller() {
        let folder = tempfile::tempdir().unwrap();
        let mut profiler = Profiler::new(Some(ProfilerKind::Chrome));
        profiler.begin_run();
        profiler.begin_trace(folder.path(), "fit");
        for _ in 0..2 {
            let outer = profiler.start();
            let inner = profiler.start();
            profiler.stop(inner, || "[A \"callback\"] on_x".into());
            profiler.stop(outer, || "training_batch".into());
        }
        let path = folder.path().join("fit-trace.json");
        assert!(profiler.report("FIT").unwrap().contains("training_batch"));
        let events: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let calls: Vec<_> = events.iter().filter(|event| event["ph"] == "X").collect();
        assert_eq!(calls.len(), 4);
        let (start, end) = (
            |e: &serde_json::Value| e["ts"].as_f64().unwrap(),
            |e: &serde_json::Value| e["ts"].as_f64().unwrap() + e["dur"].as_f64().unwrap(),
        );
        for pair in calls.chunks(2) {
            let (inner, outer) = (pair[0], pair[1]);
            assert_eq!((inner["name"].as_str().unwrap(), outer["name"].as_str().unwrap()), ("[A \"callback\"] on_x", "training_batch"));
            assert!(start(inner) >= start(outer) && end(inner) <= end(outer), "{pair:?}");
        }
        assert_eq!((&calls[0]["pid"], &calls[0]["tid"]), (&calls[3]["pid"], &calls[3]["tid"]));
    }

    #[test]
    fn a_trace_that_cannot_be_written_does_not_end_the_run() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        let mut profiler = Profiler::new(Some(ProfilerKind::Chrome));
        profiler.begin_trace(&folder.path().join("file"), "fit");
        let started = profiler.start();
        profiler.stop(started, || "x".into());
        assert!(profiler.report("FIT").is_some());
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
