//! Rates over a window of the latest batches.

use std::{collections::VecDeque, time::Duration};

use stormfire_loggers::Metrics;

/// The totals up to the end of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Totals {
    pub(super) time: Duration,
    pub(super) waited: Duration,
    pub(super) batches: u64,
    /// `None` from the first batch for which it is unknown.
    pub(super) samples: Option<usize>,
    pub(super) lengths: Option<usize>,
}

impl Default for Totals {
    fn default() -> Self {
        Self { time: Duration::ZERO, waited: Duration::ZERO, batches: 0, samples: Some(0), lengths: Some(0) }
    }
}

/// The totals at the ends of the latest batches.
#[derive(Debug)]
pub(super) struct Rates {
    window: VecDeque<Totals>,
    size: usize,
}

impl Rates {
    /// A window of `size` batches.
    pub(super) fn new(size: usize) -> Self {
        Self { window: VecDeque::new(), size }
    }

    pub(super) fn add(&mut self, totals: Totals) {
        if self.window.len() >= self.size {
            self.window.pop_front();
        }
        self.window.push_back(totals);
    }

    /// The current values, by Lightning's names.
    pub(super) fn metrics(&self, with_wait: bool) -> Metrics {
        let mut metrics = Metrics::new();
        let (Some(first), Some(last)) = (self.window.front(), self.window.back()) else { return metrics };
        metrics.insert("time", last.time.as_secs_f64());
        metrics.insert("batches", last.batches as f64);
        metrics.extend(last.samples.map(|samples| ("samples", samples as f64)));
        metrics.extend(last.lengths.map(|lengths| ("lengths", lengths as f64)));
        if with_wait {
            metrics.insert("data_wait_time", last.waited.as_secs_f64());
        }
        let seconds = last.time.saturating_sub(first.time).as_secs_f64();
        if seconds > 0.0 {
            let rate = |first: Option<usize>, last: Option<usize>| last.zip(first).map(|(last, first)| (last - first) as f64 / seconds);
            metrics.insert("device/batches_per_sec", (last.batches - first.batches) as f64 / seconds);
            metrics.extend(rate(first.samples, last.samples).map(|rate| ("device/samples_per_sec", rate)));
            metrics.extend(rate(first.lengths, last.lengths).map(|rate| ("device/items_per_sec", rate)));
            if with_wait {
                let waited = last.waited.saturating_sub(first.waited).as_secs_f64();
                metrics.insert("device/data_wait_fraction", (waited / seconds).min(1.0));
            }
        }
        metrics
    }
}
