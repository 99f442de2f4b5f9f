//! `log(name, value)` collects the values of a hook without touching the device.
//!
//! A call creates an [`Entry`], whose methods set its options. When the entry is dropped (at the end of the statement),
//! it is added to this thread's list of [`Record`]s, which the loop takes after the hook. Misuses are stored next to
//! the records, and end the run with an error that names the hook.

use std::borrow::Cow;

use stormfire_metrics::{Loggable, Logged, Outline, metric::Pending};
use stormfire_values::read::Reading;

use crate::{
    error::{Error, Result},
    hook::Hook,
    log_error::LogError,
    moment::Moment,
    record::{self, set_aside, take_records},
    scope,
};

pub use crate::record::{Options, Record, ReduceFx};

/// A value to be logged. Set options with its methods. It is recorded on drop.
#[derive(Debug)]
pub struct Entry(Option<Draft>);

#[derive(Debug)]
struct Draft {
    record: Record,
    on_step: Option<bool>,
    on_epoch: Option<bool>,
}

/// Several values with the same options, from [`log_dict`].
#[derive(Debug)]
pub struct Entries(Vec<Entry>);

macro_rules! refinements {
    ($($(#[$doc:meta])* $name:ident($argument:ident: $ty:ty) => |$draft:ident| $set:expr;)*) => {
        impl Entry {
            $($(#[$doc])* pub fn $name(mut self, $argument: $ty) -> Self {
                if let Some($draft) = &mut self.0 { $set; }
                self
            })*
        }
        impl Entries {
            $($(#[$doc])* pub fn $name(mut self, $argument: $ty) -> Self {
                for entry in &mut self.0 {
                    if let Some($draft) = &mut entry.0 { $set; }
                }
                self
            })*
        }
    };
}

refinements! {
    /// Show the value in the progress bar. Default `false`.
    prog_bar(on: bool) => |draft| draft.record.options.prog_bar = on;
    /// Send the value to the loggers. Default `true`.
    logger(on: bool) => |draft| draft.record.options.logger = on;
    /// Record the value of the step. Default: `true` in training hooks, `false` in validation and test.
    on_step(on: bool) => |draft| draft.on_step = Some(on);
    /// Reduce the values of the epoch and record the result. Default: `false` in training batches, otherwise `true`.
    on_epoch(on: bool) => |draft| draft.on_epoch = Some(on);
    /// The reduction of the values of an epoch. Default: the mean. Ignored for a [`Metric`](stormfire_metrics::Metric),
    /// which defines its own merge.
    reduce_fx(reduce: ReduceFx) => |draft| draft.record.options.reduce_fx = reduce;
    /// The number of items that the value represents, which is its weight in a mean. Default: the size that the loader
    /// or the module reports.
    batch_size(items: usize) => |draft| draft.record.batch_size = Some(items);
    /// With several evaluation loaders, add `/dataloader_idx_N` to the name. Default `true`.
    add_dataloader_idx(on: bool) => |draft| draft.record.options.add_dataloader_idx = on;
    /// Reduce over the ranks of the run, as over the batches of an epoch. Default `true`: the values of an epoch when
    /// it ends, those of a step when it is logged. With `false`, the loggers get the value of rank 0, and a monitor on
    /// each rank sees the value of that rank. Threads that share a batch (`Trainer::devices`) always reduce.
    sync_dist(on: bool) => |draft| draft.record.options.sync_dist = Some(on);
    /// Log on rank 0 only. Default `false`. If threads share a batch (`Trainer::devices`), the value of its first part
    /// is logged.
    rank_zero_only(on: bool) => |draft| draft.record.options.rank_zero_only = on;
}

impl Drop for Entry {
    fn drop(&mut self) {
        let Some(draft) = self.0.take() else { return };
        match draft.check() {
            Ok(record) => record::extend([record]),
            Err(mistake) => record::put_back(mistake),
        }
    }
}

impl Draft {
    fn check(mut self) -> Result<Record, LogError> {
        let Record { name, hook, value, options, .. } = &mut self.record;
        let hook = *hook;
        // An allocation that only an error is worth.
        let to_string = || name.to_string();
        if let Logged::Invalid(reason) = value {
            return Err(LogError::Invalid { name: to_string(), hook, reason: std::mem::take(reason) });
        }
        let Some(rule) = hook.log_rule() else { return Err(LogError::NotAllowed { name: to_string(), hook }) };
        let is_picture = matches!(value, Logged::Metric(metric) if metric.outline_any() == Outline::Picture);
        options.on_step = self.on_step.unwrap_or(rule.on_step && !is_picture);
        options.on_epoch = self.on_epoch.unwrap_or(rule.on_epoch || is_picture);
        if options.on_step && is_picture {
            return Err(LogError::Picture { name: to_string(), hook });
        }
        if options.on_step && !rule.on_step_allowed {
            return Err(LogError::Level { name: to_string(), hook, level: "on_step(true)" });
        }
        if !options.on_epoch && rule.epoch_only {
            return Err(LogError::Level { name: to_string(), hook, level: "on_epoch(false)" });
        }
        if !options.on_step && !options.on_epoch {
            return Err(LogError::Useless { name: to_string(), hook });
        }
        if options.add_dataloader_idx && name.contains("/dataloader_idx_") {
            return Err(LogError::ReservedName { name: to_string(), hook });
        }
        Ok(self.record)
    }
}

/// Records a value under a name, from any code within a hook: a step, a function that it calls, a layer.
///
/// The value stays on the device until a logger, the progress bar or a monitor needs it. Outside of a run nothing
/// happens, so a step can be unit-tested alone. [`capture`] returns the logged values. In a hook where logging is not
/// allowed, the run ends with an error that names the hook.
///
/// ```
/// use stormfire_module::log;
///
/// fn loss_of_the_decoder() -> f64 {
///     let loss = 0.5;
///     log("decoder/loss", loss).on_epoch(true).prog_bar(true);
///     loss
/// }
/// # loss_of_the_decoder();
/// ```
pub fn log(name: impl Into<Cow<'static, str>>, value: impl Loggable) -> Entry {
    let Some(hook) = scope::hook() else { return Entry(None) };
    let options = Options {
        on_step: false,
        on_epoch: false,
        prog_bar: false,
        logger: true,
        reduce_fx: ReduceFx::Mean,
        add_dataloader_idx: true,
        sync_dist: None,
        rank_zero_only: false,
    };
    let dataloader_idx = scope::moment().dataloader_idx;
    let record = Record { name: name.into(), hook, dataloader_idx, value: value.into_logged(), batch_size: None, options };
    Entry(Some(Draft { record, on_step: None, on_epoch: None }))
}

/// Records several values with the same options, in the same way as [`log`].
///
/// Convert values of different types to one type with [`Loggable::into_logged`].
///
/// ```
/// use stormfire_metrics::{Loggable, aggregation::Mean};
/// use stormfire_module::log_dict;
///
/// log_dict([("loss/reconstruction", 0.5), ("loss/kl", 0.1)]).prog_bar(true);
/// log_dict([("items", 32.into_logged()), ("length", Mean::new(7.5, 32.0).into_logged())]).on_epoch(true);
/// ```
pub fn log_dict<N: Into<Cow<'static, str>>, V: Loggable>(values: impl IntoIterator<Item = (N, V)>) -> Entries {
    Entries(values.into_iter().map(|(name, value)| log(name, value)).collect())
}

/// The values that a piece of code logged: see [`capture`].
#[derive(Debug, Default)]
pub struct Captured {
    /// The records, in order.
    pub records: Vec<Record>,
}

impl Captured {
    /// The last value logged under a name, read from the device. One of several named numbers is `metric/name`.
    ///
    /// # Errors
    /// [`Error::MetricMissing`] if the name was not logged, [`Error::Read`] if the device fails.
    pub fn get(&self, name: &str) -> Result<f64> {
        let named = |record: &Record| {
            let readings = match &record.value {
                Logged::Scalar(scalar) => vec![(None, Reading::new(scalar.clone()))],
                Logged::Metric(metric) => Pending::of(metric.as_ref()).readings(),
                Logged::Invalid(_) => Vec::new(),
            };
            let own = &record.name;
            readings
                .into_iter()
                .map(|(below, reading)| (below.map_or_else(|| own.to_string(), |below| format!("{own}/{below}")), reading))
                .collect::<Vec<_>>()
        };
        let all: Vec<(String, Reading)> = self.records.iter().flat_map(named).collect();
        let reading = all.iter().rfind(|(own, _)| own == name).map(|(_, reading)| reading.clone()).ok_or_else(|| {
            let available = all.iter().map(|(own, _)| own.clone()).collect();
            Error::MetricMissing { name: name.into(), available, lacks_validation: false }
        })?;
        Ok(reading.read()?)
    }
}

/// Runs a step outside of a Trainer, as if in `hook`, and returns the logged values. For unit tests.
///
/// ```
/// use stormfire_module::{Hook, log, log::capture};
///
/// let (_, captured) = capture(Hook::TrainingStep, || {
///     log("train_loss", 0.25);
/// })?;
/// assert_eq!(captured.get("train_loss")?, 0.25);
/// # Ok::<(), stormfire_module::Error>(())
/// ```
///
/// # Errors
/// The first misuse of `log` in it.
pub fn capture<R>(hook: Hook, code: impl FnOnce() -> R) -> Result<(R, Captured)> {
    let _outer = set_aside();
    let result = {
        let _entered = scope::enter(hook, Moment { num_dataloaders: 1, ..scope::moment() });
        code()
    };
    let mut captured = Captured::default();
    take_records(&mut captured.records)?;
    Ok((result, captured))
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
