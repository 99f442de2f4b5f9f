//! The metrics of a run, as hooks read them.

use stormfire_values::nearest::did_you_mean;

use crate::{
    error::{Error, Result},
    log_error::LogError,
    moment::{Progress, Stage},
    run::Run,
};

/// The metrics that hooks may read. The Trainer's log store implements it.
pub trait MetricSource {
    /// Takes the values logged on this thread since the last call, so that the other methods return them. Costs nothing
    /// if there are none, and never reads the device.
    ///
    /// # Errors
    /// The first misuse of `log`.
    fn take_logged(&mut self, run: &Run) -> Result<(), LogError>;

    /// The value of a metric that callbacks can monitor. Reads all values that are still on the device, at once.
    ///
    /// # Errors
    /// [`crate::Error::MetricMissing`] with the available names, or [`crate::Error::Read`].
    fn metric(&mut self, name: &str) -> Result<f64>;

    /// Whether the value of a metric is older than the current training epoch.
    fn is_stale(&mut self, name: &str) -> bool;

    /// The names of all metrics that callbacks can monitor.
    fn names(&mut self) -> Vec<String>;

    /// Adds a value that was sent to the loggers directly.
    fn insert(&mut self, name: &str, value: f64);

    /// The metrics of the progress bar with their newest values that have left the device. Never waits. Values on the
    /// device are read in the background and appear in a later call.
    fn progress_bar_metrics(&mut self) -> Vec<(String, Option<f64>)>;
}

/// As [`monitored`], at the end of a training epoch. If the epoch was cut short, a value of an earlier epoch counts as
/// missing.
///
/// # Errors
/// As [`MetricSource::metric`].
pub fn monitored_of_epoch(metrics: &mut dyn MetricSource, run: &Run, name: &str) -> Result<f64> {
    if run.is_cut_short() && metrics.is_stale(name) {
        return Err(Error::MetricMissing { name: name.into(), available: metrics.names(), lacks_validation: false });
    }
    monitored(metrics, run, name)
}

/// The value that a monitor gets for a name: a metric, or else one of the run's counters `epoch` and `step`.
///
/// # Errors
/// As [`MetricSource::metric`].
pub fn monitored(metrics: &mut dyn MetricSource, run: &Run, name: &str) -> Result<f64> {
    match metrics.metric(name) {
        Err(Error::MetricMissing { name, available, .. }) => {
            let lacks_validation = run.stage == Stage::Fit && !run.limits.validates();
            counter(&run.place.progress, &name).ok_or(Error::MetricMissing { name, available, lacks_validation })
        }
        metric => metric,
    }
}

/// A counter of a run that a monitor can have in place of a metric.
pub fn counter(progress: &Progress, name: &str) -> Option<f64> {
    match name {
        "epoch" => Some(progress.epoch as f64),
        "step" => Some(progress.global_step as f64),
        _ => None,
    }
}

/// Warns if the sanity check has logged a name that is nearly the monitored one, but not that one. Without the warning,
/// a misspelled name would be found at the end of the first epoch.
pub fn warn_if_misspelled(metrics: &mut dyn MetricSource, run: &Run, owner: &str, name: &str) {
    let names = metrics.names();
    let names = || names.iter().map(String::as_str);
    if names().any(|known| known == name) || counter(&run.place.progress, name).is_some() {
        return;
    }
    if let Some(guess) = did_you_mean(name, names()) {
        tracing::warn!("`{owner}` monitors `{name}`, which the sanity check has not logged; {guess}");
    }
}
