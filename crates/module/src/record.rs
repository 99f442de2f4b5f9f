//! Logged values as records, and the list of those of this thread.

use std::{borrow::Cow, cell::RefCell};

use stormfire_metrics::Logged;
use stormfire_values::read::Reduce;

use crate::{hook::Hook, log_error::LogError};

/// The reduction of the values of an epoch.
#[derive(Clone, Copy, Debug, Default)]
pub enum ReduceFx {
    /// The mean, weighted by batch size.
    #[default]
    Mean,
    /// The sum, without weights.
    Sum,
    /// The minimum. NaN if a value is NaN.
    Min,
    /// The maximum. NaN if a value is NaN.
    Max,
    /// A function of all values of the epoch (shape `[batches]`, in order) that returns one element (shape `[1]`). It
    /// gets the values on the CPU in `f64` when the epoch ends. Until then every value is kept. A custom
    /// [`Metric`](stormfire_metrics::Metric) needs less memory.
    Custom {
        /// A name, which distinguishes two functions.
        name: &'static str,
        /// The function.
        reduce: Reduce,
    },
}

impl PartialEq for ReduceFx {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (ReduceFx::Custom { name: a, .. }, ReduceFx::Custom { name: b, .. }) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// How a value is recorded: the arguments of Lightning's `self.log`, with the hook's defaults.
#[derive(Clone, Debug, PartialEq)]
#[allow(clippy::struct_excessive_bools, reason = "they are Lightning's flags, each independent of the others")]
pub struct Options {
    /// Recorded for the step.
    pub on_step: bool,
    /// Reduced over the epoch and recorded at its end.
    pub on_epoch: bool,
    /// Shown in the progress bar.
    pub prog_bar: bool,
    /// Sent to the loggers.
    pub logger: bool,
    /// The reduction of the values of an epoch.
    pub reduce_fx: ReduceFx,
    /// Adds a suffix to the name if there are several evaluation loaders (`/dataloader_idx_N`).
    pub add_dataloader_idx: bool,
    /// Whether it is reduced over the ranks of the run. `None`: it is.
    pub sync_dist: Option<bool>,
    /// Only rank 0 logs it, and it is not reduced over ranks. If threads share a batch, the value of its first part.
    pub rank_zero_only: bool,
}

/// One logged value, as the loop receives it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The name as given.
    pub name: Cow<'static, str>,
    /// The hook that logged it.
    pub hook: Hook,
    /// The evaluation loader it belongs to.
    pub dataloader_idx: usize,
    /// The value.
    pub value: Logged,
    /// The number of items that the value represents, if it was given.
    pub batch_size: Option<usize>,
    /// The options.
    pub options: Options,
}

#[derive(Debug)]
struct Pending {
    records: Vec<Record>,
    error: Option<LogError>,
}

impl Pending {
    const NONE: Self = Self { records: Vec::new(), error: None };
}

thread_local! {
    static PENDING: RefCell<Pending> = const { RefCell::new(Pending::NONE) };
}

/// Whether nothing was logged on this thread since the last call of [`take_records`], as after most events.
#[inline]
pub fn is_empty() -> bool {
    PENDING.with_borrow(|pending| pending.records.is_empty() && pending.error.is_none())
}

/// Takes the values logged on this thread since the last call. `records` must be empty. Its memory is reused.
///
/// # Errors
/// The first misuse of `log` among them.
pub fn take_records(records: &mut Vec<Record>) -> Result<(), LogError> {
    PENDING.with_borrow_mut(|pending| {
        std::mem::swap(&mut pending.records, records);
        pending.error.take().map_or(Ok(()), |error| {
            // Records left in `records` would come back at the next swap.
            records.clear();
            Err(error)
        })
    })
}

/// Adds records to those of this thread.
pub(crate) fn extend(records: impl IntoIterator<Item = Record>) {
    PENDING.with_borrow_mut(|pending| pending.records.extend(records));
}

/// Sets earlier logged values aside while other code logs. They are restored on drop, also when unwinding.
#[derive(Debug)]
pub(crate) struct SetAside(Pending);

pub(crate) fn set_aside() -> SetAside {
    SetAside(PENDING.replace(Pending::NONE))
}

impl Drop for SetAside {
    fn drop(&mut self) {
        PENDING.set(std::mem::replace(&mut self.0, Pending::NONE));
    }
}

/// Restores a misuse that was noticed during a hook. It ends the run after the hook, regardless of the hook's result.
pub(crate) fn put_back(mistake: LogError) {
    PENDING.with_borrow_mut(|pending| _ = pending.error.get_or_insert(mistake));
}

/// Drops the values logged on this thread since the last take, because the code that logged them has failed.
pub fn discard() {
    PENDING.set(Pending::NONE);
}
