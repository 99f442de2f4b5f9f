//! The logged values in a checkpoint: unfinished means, values that were not sent to the loggers, and the newest value
//! of every metric.
//!
//! Numbers on the device stay there while the state is taken. They are filled in when the checkpoint is written, off
//! the training thread. A number is restored to its device and type, so that a mean continues bit for bit.

use std::collections::BTreeSet;

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use stormfire_checkpoint::Snapshot;
use stormfire_module::{
    Error, Hook, Result,
    log::{Options, ReduceFx},
};
use stormfire_values::{
    Scalar,
    read::{OnDevice, Parts, Reduce, Source, reduce_on_host},
};

/// Folder for logged values. They leave the device together with the parameters, and are moved into the JSON.
pub(crate) const LOG_FOLDER: &str = "log/";

/// A logged scalar.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum SavedScalar {
    /// A host number.
    Host(f64),
    /// A number on the device, with all its parts.
    Device {
        value: f64,
        dtype: DType,
        /// The complete partial sums.
        #[serde(default)]
        closed: Vec<f64>,
        /// The number of values whose sum is `value`.
        #[serde(default)]
        values: usize,
        /// The part on the host.
        #[serde(default)]
        host: f64,
    },
    /// Not read yet: the index in [`Pending`]. Never in a file.
    #[serde(skip)]
    Pending { index: usize, values: usize, host: f64 },
    /// Several, which a function makes one when they have been read. Never in a file.
    #[serde(skip)]
    Reduced { values: Vec<SavedScalar>, reduce: Reduce },
}

impl SavedScalar {
    /// Restores the scalar to its device and type.
    pub(crate) fn restore(&self, device: &Device) -> Scalar {
        match self {
            Self::Device { value, dtype, closed, values, host } => {
                let tensor = |values: &[f64]| Tensor::from_data(TensorData::from(values).convert_dtype(*dtype), (device, *dtype));
                let (closed, open) = ((!closed.is_empty()).then(|| tensor(closed)), tensor(&[*value]));
                Scalar::Device(OnDevice::from_parts(Parts { closed, open, values: (*values).max(1), host: *host }))
            }
            read => Scalar::Host(read.value()),
        }
    }

    /// The number.
    pub(crate) fn value(&self) -> f64 {
        match self {
            Self::Host(value) => *value,
            Self::Device { value, closed, host, .. } => closed.iter().sum::<f64>() + value + host,
            Self::Reduced { values, reduce } => reduce_on_host(&values.iter().map(Self::value).collect::<Vec<_>>(), *reduce),
            Self::Pending { .. } => f64::NAN,
        }
    }

    fn fill(&mut self, read: &[TensorData]) {
        match self {
            Self::Pending { index, values, host } => {
                if let Some(data) = read.get(*index) {
                    let mut closed: Vec<f64> = data.iter::<f64>().collect();
                    let value = closed.pop().unwrap_or(f64::NAN);
                    *self = Self::Device { value, dtype: data.dtype(), closed, values: *values, host: *host };
                }
            }
            Self::Reduced { values, .. } => {
                for value in values {
                    value.fill(read);
                }
                *self = Self::Host(self.value());
            }
            Self::Host(_) | Self::Device { .. } => {}
        }
    }
}

/// Several device values of one type.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum SavedList {
    Device {
        values: Vec<f64>,
        dtype: DType,
    },
    /// As [`SavedScalar::Pending`].
    #[serde(skip)]
    Pending(usize),
}

impl SavedList {
    pub(crate) fn restore(&self, device: &Device) -> Tensor<1> {
        let (values, dtype) = match self {
            Self::Device { values, dtype } => (values.clone(), *dtype),
            Self::Pending(_) => (Vec::new(), DType::F32),
        };
        Tensor::from_data(TensorData::from(values.as_slice()).convert_dtype(dtype), (device, dtype))
    }
}

/// The tensors of a state that are not read yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending(Vec<Tensor<1>>);

impl Pending {
    /// Adds a scalar.
    pub(crate) fn save(&mut self, scalar: &Scalar) -> SavedScalar {
        match scalar {
            Scalar::Host(value) => SavedScalar::Host(*value),
            Scalar::Device(value) => {
                let Parts { closed, open, values, host } = value.parts();
                let parts = match closed {
                    Some(closed) => Tensor::cat(vec![closed.clone(), open.clone()], 0),
                    None => open.clone(),
                };
                SavedScalar::Pending { index: self.push(parts), values: *values, host: *host }
            }
        }
    }

    /// Notes down what a reading is read from.
    pub(crate) fn save_source(&mut self, source: &Source) -> SavedScalar {
        match source {
            Source::One(scalar) => self.save(scalar),
            Source::Reduced(scalars, reduce) => {
                SavedScalar::Reduced { values: scalars.iter().map(|scalar| self.save(scalar)).collect(), reduce: *reduce }
            }
        }
    }

    /// Adds several values.
    pub(crate) fn save_list(&mut self, values: Tensor<1>) -> SavedList {
        SavedList::Pending(self.push(values))
    }

    fn push(&mut self, tensor: Tensor<1>) -> usize {
        self.0.push(tensor);
        self.0.len() - 1
    }

    /// Adds the tensors to a snapshot, in order, below [`LOG_FOLDER`].
    pub(crate) fn add_to(&self, snapshot: &mut Snapshot) {
        for (index, tensor) in self.0.iter().enumerate() {
            snapshot.add(format!("{LOG_FOLDER}{index}"), tensor.clone());
        }
    }
}

/// The fields of `Total`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedTotal {
    pub(crate) done: Option<SavedScalar>,
    pub(crate) waiting: Option<SavedList>,
    pub(crate) factors: Vec<f64>,
}

/// The fields of `RunningMean`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedMean {
    pub(crate) sum: SavedTotal,
    pub(crate) unit: f64,
    pub(crate) weight: f64,
}

/// An accumulator within an epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SavedAccumulator {
    Mean(SavedMean),
    Sum(SavedTotal),
    /// The parts of a metric, or the values for a function. Only the code that logs them knows their meaning. Until it
    /// logs again, the current value represents them.
    Parts {
        parts: Vec<SavedScalar>,
        value: SavedScalar,
        /// With several ranks, on rank 0: the parts of all ranks when the checkpoint was written, whose value this is.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        whole: Vec<SavedScalar>,
        /// Between ranks: whether nothing was logged since a checkpoint was resumed. Never in a file.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_restored: bool,
    },
}

/// A name in a hook.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedSlot {
    pub(crate) hook: String,
    pub(crate) name: String,
    pub(crate) dataloader_idx: usize,
    pub(crate) options: SavedOptions,
    pub(crate) step_key: String,
    pub(crate) epoch_key: String,
    pub(crate) plain_key: String,
    pub(crate) step: Option<SavedScalar>,
    pub(crate) epoch: Option<SavedAccumulator>,
    /// The part of the window's batches, which may still be skipped.
    #[serde(default)]
    pub(crate) window: Option<SavedAccumulator>,
    /// The epoch and the window together, if only the code that logs the metric can combine them.
    #[serde(default)]
    pub(crate) joined: Option<SavedAccumulator>,
    /// Whether the step value was not sent to the loggers yet.
    pub(crate) is_unsent: bool,
}

/// The options of a value. A custom function is identified by its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "they are Lightning's flags, each independent of the others")]
pub(crate) struct SavedOptions {
    on_step: bool,
    on_epoch: bool,
    prog_bar: bool,
    logger: bool,
    reduce_fx: String,
    add_dataloader_idx: bool,
    sync_dist: Option<bool>,
    rank_zero_only: bool,
}

const CUSTOM: &str = "custom:";

impl SavedSlot {
    /// Whether the other ranks do not log it.
    pub(crate) fn is_of_rank_zero(&self) -> bool {
        self.options.rank_zero_only || self.options.sync_dist == Some(false)
    }
}

impl From<&Options> for SavedOptions {
    fn from(options: &Options) -> Self {
        let reduce_fx = match options.reduce_fx {
            ReduceFx::Mean => "mean".into(),
            ReduceFx::Sum => "sum".into(),
            ReduceFx::Min => "min".into(),
            ReduceFx::Max => "max".into(),
            ReduceFx::Custom { name, .. } => format!("{CUSTOM}{name}"),
        };
        let &Options { on_step, on_epoch, prog_bar, logger, add_dataloader_idx, sync_dist, rank_zero_only, .. } = options;
        Self { on_step, on_epoch, prog_bar, logger, reduce_fx, add_dataloader_idx, sync_dist, rank_zero_only }
    }
}

impl SavedOptions {
    /// Restores the options. A custom function gets a placeholder, until the next record of the slot supplies it.
    pub(crate) fn restore(&self) -> Result<Options> {
        let reduce_fx = match self.reduce_fx.as_str() {
            "mean" => ReduceFx::Mean,
            "sum" => ReduceFx::Sum,
            "min" => ReduceFx::Min,
            "max" => ReduceFx::Max,
            other => match other.strip_prefix(CUSTOM) {
                // Leaks one name per restored slot, once per run.
                Some(name) => ReduceFx::Custom { name: Box::leak(name.to_owned().into_boxed_str()), reduce: |all| all },
                None => {
                    return Err(Error::other(format!("the checkpoint reduces a metric by `{other}`, which this version does not know")));
                }
            },
        };
        let &Self { on_step, on_epoch, prog_bar, logger, add_dataloader_idx, sync_dist, rank_zero_only, .. } = self;
        Ok(Options { on_step, on_epoch, prog_bar, logger, reduce_fx, add_dataloader_idx, sync_dist, rank_zero_only })
    }
}

/// The hook with this name.
pub(crate) fn hook(name: &str) -> Result<Hook> {
    Hook::from_name(name)
        .ok_or_else(|| Error::other(format!("the checkpoint contains metrics of `{name}`, a hook that this version does not have")))
}

/// All unfinished logged values.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LogState {
    pub(crate) train: Vec<SavedSlot>,
    /// Empty, unless a signal ended the run within an evaluation.
    pub(crate) evaluation: Vec<SavedSlot>,
    /// The values that callbacks can read.
    pub(crate) metrics: Vec<(String, SavedScalar)>,
    /// Those of them whose value belongs to the current training epoch.
    pub(crate) of_epoch: BTreeSet<String>,
    /// The values of the progress bar.
    pub(crate) progress_bar: Vec<(String, SavedScalar)>,
    /// Number of batches in the current window, which may still be skipped.
    pub(crate) window_batches: u64,
    /// Number of skipped batches in the epoch.
    pub(crate) skipped_batches: u64,
    /// The values of each rank alone, if there are several. Those above are the values of all ranks together.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) ranks: Vec<LogState>,
    /// Whether the values of the other ranks are missing, because a rank had failed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) lacks_ranks: bool,
}

impl LogState {
    /// Fills in the numbers that were on the device, in the order of [`Pending::tensors`].
    pub(crate) fn fill(&mut self, values: &[TensorData]) {
        for slot in self.train.iter_mut().chain(&mut self.evaluation) {
            slot.step.iter_mut().for_each(|step| step.fill(values));
            for accumulator in slot.epoch.iter_mut().chain(&mut slot.window).chain(&mut slot.joined) {
                accumulator.fill(values);
            }
        }
        self.ranks.iter_mut().for_each(|rank| rank.fill(values));
        let shown = self.metrics.iter_mut().chain(&mut self.progress_bar).map(|(_, value)| value);
        for scalar in shown {
            scalar.fill(values);
            // The file must not depend on whether a thread had already read the value.
            *scalar = SavedScalar::Host(scalar.value());
        }
    }

    /// The newest value of every metric, for messages and lists.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, f64)> {
        self.metrics.iter().map(|(name, value)| (name.as_str(), value.value()))
    }
}

impl SavedTotal {
    pub(crate) fn fill(&mut self, values: &[TensorData]) {
        self.done.iter_mut().for_each(|done| done.fill(values));
        if let Some(SavedList::Pending(index)) = self.waiting
            && let Some(data) = values.get(index)
        {
            self.waiting = Some(SavedList::Device { values: data.iter::<f64>().collect(), dtype: data.dtype() });
        }
    }
}

impl SavedAccumulator {
    fn fill(&mut self, values: &[TensorData]) {
        match self {
            Self::Mean(mean) => mean.sum.fill(values),
            Self::Sum(sum) => sum.fill(values),
            Self::Parts { parts, value, whole, .. } => parts.iter_mut().chain(whole).chain([value]).for_each(|scalar| scalar.fill(values)),
        }
    }
}
