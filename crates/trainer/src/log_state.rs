//! The logged values in a checkpoint: unfinished means, values that were not sent to the loggers, and the newest value
//! of every metric.
//!
//! Numbers on the device stay there while the state is taken. They are filled in when the checkpoint is written, off
//! the training thread. A number is restored to its device and type, so that a mean continues bit for bit.

use std::collections::{BTreeMap, BTreeSet};

use burn::tensor::{DType, Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use stormfire_checkpoint::Snapshot;
use stormfire_module::{Error, Hook, Result};
use stormfire_values::{
    ReadError, Scalar,
    read::{OnDevice, OnHost, Parts},
};

mod parts;
mod pending;
mod saved_options;

use parts::{ArrayData, ArrayKind, SavedArray};
pub(crate) use parts::{Compute, SavedComputed, SavedPart};
pub(crate) use pending::Pending;
pub(crate) use saved_options::SavedOptions;

/// Folder for logged values. They leave the device together with the parameters, and are moved into the JSON.
pub(crate) const LOG_FOLDER: &str = "log/";

/// Folder for the arrays of metrics, which stay tensors.
pub(crate) const METRICS_FOLDER: &str = "metrics/";

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
    /// A state, which a function makes one number when it has been read. Never in a file.
    #[serde(skip)]
    Computed { parts: Vec<SavedPart>, compute: OnHost },
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

    /// The number. NaN before [`LogState::fill`] has read it.
    pub(crate) fn value(&self) -> f64 {
        match self {
            Self::Host(value) => *value,
            Self::Device { value, closed, host, .. } => closed.iter().sum::<f64>() + value + host,
            Self::Computed { parts, compute } => compute.apply(&parts.iter().map(SavedPart::on_host).collect::<Vec<_>>()),
            Self::Pending { .. } => f64::NAN,
        }
    }

    fn fill(&mut self, read: &[TensorData]) -> Result<(), ReadError> {
        match self {
            Self::Pending { index, values, host } => {
                let data = read_at(read, *index)?;
                let mut closed: Vec<f64> = data.iter::<f64>().collect();
                let value = closed.pop().ok_or_else(|| ReadError { count: 1, reason: "it returned nothing".into() })?;
                *self = Self::Device { value, dtype: data.dtype(), closed, values: *values, host: *host };
            }
            Self::Computed { parts, .. } => {
                parts.iter_mut().try_for_each(|part| part.fill(read))?;
                *self = Self::Host(self.value());
            }
            Self::Host(_) | Self::Device { .. } => {}
        }
        Ok(())
    }
}

/// What was read of the tensor with this index in [`Pending`].
fn read_at(read: &[TensorData], index: usize) -> Result<&TensorData, ReadError> {
    read.get(index).ok_or_else(|| ReadError { count: index + 1, reason: format!("it returned {}", read.len()) })
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
        parts: Vec<SavedPart>,
        value: SavedComputed,
        /// With several ranks, on rank 0: the parts of all ranks when the checkpoint was written, whose value this is.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        whole: Vec<SavedPart>,
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
    pub(crate) step: Option<Vec<(Option<String>, SavedScalar)>>,
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

impl SavedSlot {
    /// The key of a slot: the hook, the loader and the name.
    pub(crate) fn key(&self) -> (&str, usize, &str) {
        (&self.hook, self.dataloader_idx, &self.name)
    }

    /// Whether the other ranks do not log it.
    pub(crate) fn is_of_rank_zero(&self) -> bool {
        self.options.rank_zero_only || self.options.sync_dist == Some(false)
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
    /// Reads the numbers that are on the device. Waits for it.
    pub(crate) fn read(&mut self, pending: &Pending) -> Result<()> {
        let mut snapshot = Snapshot::default();
        pending.add_to(&mut snapshot);
        self.fill(&snapshot.read()?.into_iter().map(|(_, data)| data).collect::<Vec<_>>())?;
        Ok(())
    }

    /// Fills in the numbers that were on the device, in the order of [`Pending`].
    ///
    /// # Errors
    /// A number is missing.
    pub(crate) fn fill(&mut self, values: &[TensorData]) -> Result<(), ReadError> {
        for slot in self.train.iter_mut().chain(&mut self.evaluation) {
            for accumulator in slot.epoch.iter_mut().chain(&mut slot.window).chain(&mut slot.joined) {
                accumulator.fill(values)?;
            }
        }
        let slots = self.train.iter_mut().chain(&mut self.evaluation);
        let steps = slots.flat_map(|slot| slot.step.iter_mut().flatten()).map(|(_, value)| value);
        self.ranks.iter_mut().try_for_each(|rank| rank.fill(values))?;
        let shown = self.metrics.iter_mut().chain(&mut self.progress_bar).map(|(_, value)| value);
        for scalar in shown.chain(steps) {
            scalar.fill(values)?;
            // The file must not depend on whether a thread had already read the value.
            *scalar = SavedScalar::Host(scalar.value());
        }
        Ok(())
    }

    /// Moves the arrays of metrics to a snapshot, as tensors. Those that are not read yet stay.
    pub(crate) fn move_arrays(&mut self, folder: &str, snapshot: &mut Snapshot) {
        for (index, array) in self.arrays().into_iter().enumerate() {
            if let ArrayData::Held { values: data } = &mut array.data {
                snapshot.add_read(format!("{folder}{METRICS_FOLDER}{index}"), std::mem::replace(data, TensorData::from([0.0])));
                array.data = ArrayData::InFile { tensor: index };
            }
        }
    }

    /// Takes the arrays of metrics from the tensors of a checkpoint.
    pub(crate) fn take_arrays(&mut self, tensors: &mut BTreeMap<String, TensorData>) {
        for array in self.arrays() {
            if let ArrayData::InFile { tensor } = array.data
                && let Some(data) = tensors.remove(&tensor.to_string())
            {
                array.data = ArrayData::Held { values: data };
            }
        }
    }

    /// In an order that does not change.
    fn arrays(&mut self) -> Vec<&mut SavedArray> {
        let Self { train, evaluation, ranks, .. } = self;
        let slots = train.iter_mut().chain(evaluation);
        let accumulators = slots.flat_map(|slot| slot.epoch.iter_mut().chain(&mut slot.window).chain(&mut slot.joined));
        let own = accumulators.flat_map(SavedAccumulator::parts_mut).filter_map(SavedPart::array_mut);
        own.chain(ranks.iter_mut().flat_map(Self::arrays)).collect()
    }

    /// The newest value of every metric, for messages and lists.
    pub(crate) fn values(&self) -> impl Iterator<Item = (&str, f64)> {
        self.metrics.iter().map(|(name, value)| (name.as_str(), value.value()))
    }
}

impl SavedTotal {
    pub(crate) fn fill(&mut self, values: &[TensorData]) -> Result<(), ReadError> {
        self.done.iter_mut().try_for_each(|done| done.fill(values))?;
        if let Some(SavedList::Pending(index)) = self.waiting {
            let data = read_at(values, index)?;
            self.waiting = Some(SavedList::Device { values: data.iter::<f64>().collect(), dtype: data.dtype() });
        }
        Ok(())
    }
}

impl SavedAccumulator {
    fn fill(&mut self, values: &[TensorData]) -> Result<(), ReadError> {
        match self {
            Self::Mean(mean) => mean.sum.fill(values),
            Self::Sum(sum) => sum.fill(values),
            Self::Parts { parts, value, whole, .. } => {
                parts.iter_mut().chain(whole).try_for_each(|part| part.fill(values))?;
                value.fill(values)
            }
        }
    }

    fn parts_mut(&mut self) -> impl Iterator<Item = &mut SavedPart> {
        let (parts, whole) = match self {
            Self::Parts { parts, whole, .. } => (parts.as_mut_slice(), whole.as_mut_slice()),
            _ => Default::default(),
        };
        parts.iter_mut().chain(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_was_not_read_is_an_error() {
        let pending = SavedScalar::Pending { index: 1, values: 1, host: 0.0 };
        let mut state = LogState { metrics: vec![("loss".into(), pending)], ..LogState::default() };
        let error = state.fill(&[TensorData::from([0.5])]).unwrap_err();
        assert_eq!(error.to_string(), "reading 2 values from the device failed: it returned 1");
    }
}
