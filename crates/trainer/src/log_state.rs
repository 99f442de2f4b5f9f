//! What was logged, as it stands in a checkpoint: half-finished means, values that no logger has had yet, and the newest
//! value of every metric.
//!
//! Numbers on the device stay there while the state is taken; they are filled in when the checkpoint is written, off the
//! training thread. A number comes back where it was and with its type, so that a mean continues bit for bit.

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use stormfire_checkpoint::Snapshot;
use stormfire_module::{
    Error, Hook, Result,
    log::{Options, ReduceFx},
};
use stormfire_values::Scalar;

/// Values of the log travel with the parameters, so that all leave the device at once; they end up in the JSON.
pub(crate) const LOG_FOLDER: &str = "log/";

/// One scalar of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum SavedScalar {
    /// A number of the host.
    Host(f64),
    /// A tensor of one element.
    Device { value: f64, dtype: DType },
    /// Not read yet: the n-th scalar of [`Pending`]. Never in a file.
    #[serde(skip)]
    Pending(usize),
}

impl SavedScalar {
    /// The scalar where it was, and of the type it had.
    pub(crate) fn restore(&self, device: &Device) -> Scalar {
        match self {
            Self::Host(value) => Scalar::Host(*value),
            Self::Device { value, dtype } => {
                let data = TensorData::from([*value]).convert_dtype(*dtype);
                Scalar::Device(Tensor::from_data(data, (device, *dtype)))
            }
            Self::Pending(_) => Scalar::Host(f64::NAN),
        }
    }

    /// The number.
    pub(crate) fn value(&self) -> f64 {
        match self {
            Self::Host(value) | Self::Device { value, .. } => *value,
            Self::Pending(_) => f64::NAN,
        }
    }
}

/// Several values of the device, of one type.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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

/// The tensors of a state that are still to be read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending(Vec<Tensor<1>>);

impl Pending {
    /// Notes a scalar down.
    pub(crate) fn save(&mut self, scalar: &Scalar) -> SavedScalar {
        match scalar {
            Scalar::Host(value) => SavedScalar::Host(*value),
            Scalar::Device(tensor) => SavedScalar::Pending(self.push(tensor.clone())),
        }
    }

    /// Notes several values down.
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

/// `Total`, field by field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedTotal {
    pub(crate) done: Option<SavedScalar>,
    pub(crate) waiting: Option<SavedList>,
    pub(crate) factors: Vec<f64>,
}

/// `RunningMean`, field by field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SavedMean {
    pub(crate) sum: SavedTotal,
    pub(crate) unit: f64,
    pub(crate) weight: f64,
}

/// An accumulator in the middle of an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SavedAccumulator {
    Mean(SavedMean),
    Sum(SavedTotal),
    /// The parts of a metric, or the values for a function. What they mean is known to the code that logs them; until it
    /// does so again, the value so far stands for them.
    Parts {
        parts: Vec<SavedScalar>,
        value: SavedScalar,
    },
}

/// One name in one hook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// What the batches of a window have added that may still be left out.
    #[serde(default)]
    pub(crate) window: Option<SavedAccumulator>,
    /// Both together, where only the code that logs it knows how they are joined.
    #[serde(default)]
    pub(crate) joined: Option<SavedAccumulator>,
    /// The step value has not been sent to the loggers.
    pub(crate) is_unsent: bool,
}

/// How a value is recorded; a function of the user's is known by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "they are Lightning's flags, each independent of the others")]
pub(crate) struct SavedOptions {
    on_step: bool,
    on_epoch: bool,
    prog_bar: bool,
    logger: bool,
    reduce_fx: String,
    add_dataloader_idx: bool,
    sync_dist: bool,
    rank_zero_only: bool,
}

const CUSTOM: &str = "custom:";

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
    /// The options, with a placeholder for a function of the user's: the next record of the slot brings the real one.
    pub(crate) fn restore(&self) -> Result<Options> {
        let reduce_fx = match self.reduce_fx.as_str() {
            "mean" => ReduceFx::Mean,
            "sum" => ReduceFx::Sum,
            "min" => ReduceFx::Min,
            "max" => ReduceFx::Max,
            other => match other.strip_prefix(CUSTOM) {
                // A name per restored slot, once in a run.
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

/// The hook of this name.
pub(crate) fn hook(name: &str) -> Result<Hook> {
    Hook::from_name(name)
        .ok_or_else(|| Error::other(format!("the checkpoint holds metrics of `{name}`, a hook that this version does not have")))
}

/// Everything that was logged and is not finished.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LogState {
    pub(crate) train: Vec<SavedSlot>,
    /// Without values, unless a signal ended the run in the middle of an evaluation.
    pub(crate) evaluation: Vec<SavedSlot>,
    /// What callbacks can read.
    pub(crate) metrics: Vec<(String, SavedScalar)>,
    /// What the progress bar shows.
    pub(crate) progress_bar: Vec<(String, SavedScalar)>,
    /// The batches of the window at hand, which may still be left out.
    pub(crate) window_batches: u64,
    /// The batches of the epoch that were left out.
    pub(crate) skipped_batches: u64,
}

impl LogState {
    /// Puts the numbers in that were on the device, in the order of [`Pending::tensors`].
    pub(crate) fn fill(&mut self, values: &[TensorData]) {
        for slot in self.train.iter_mut().chain(&mut self.evaluation) {
            fill_scalars(&mut slot.step, values);
            for accumulator in slot.epoch.iter_mut().chain(&mut slot.window).chain(&mut slot.joined) {
                accumulator.fill(values);
            }
        }
        let shown = self.metrics.iter_mut().chain(&mut self.progress_bar).map(|(_, value)| value);
        for scalar in shown {
            fill_scalars([&mut *scalar], values);
            // Whether a thread had read it already must not show in the file.
            *scalar = SavedScalar::Host(scalar.value());
        }
    }

    /// The newest value of every metric, for people and lists.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, f64)> {
        self.metrics.iter().map(|(name, value)| (name.as_str(), value.value()))
    }
}

fn fill_scalars<'a>(scalars: impl IntoIterator<Item = &'a mut SavedScalar>, values: &[TensorData]) {
    for scalar in scalars {
        if let SavedScalar::Pending(index) = *scalar
            && let Some(data) = values.get(index)
        {
            let value = data.iter::<f64>().next().unwrap_or(f64::NAN);
            *scalar = SavedScalar::Device { value, dtype: data.dtype() };
        }
    }
}

impl SavedTotal {
    fn fill(&mut self, values: &[TensorData]) {
        fill_scalars(&mut self.done, values);
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
            Self::Parts { parts, value } => fill_scalars(parts.iter_mut().chain([value]), values),
        }
    }
}
