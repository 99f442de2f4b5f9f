//! Windows of gradients: batches whose gradients make one step together.
//!
//! The gradients of the losses are summed, and divided by the sum of the weights when the window closes. If no loss has
//! a weight, the divisor is the number of losses.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{DType, Device, Tensor, TensorData},
};
use serde::{Deserialize, Serialize};
use stormfire_checkpoint::{Snapshot, WeightsError};
use stormfire_values::{ConfigError, ReadError, Scalar, read::read};

use crate::{
    bucket::{Bucket, Places},
    gradients,
};

/// The position of a batch in its window of accumulated gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Whether it is the first batch of its window.
    pub opens: bool,
    /// Whether it is the last one: the optimizer steps.
    pub closes: bool,
    /// Number of batches in a full window. The end of an epoch closes a shorter one.
    pub size: usize,
}

/// The batches that all ranks work on at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// Number of ranks.
    pub ranks: usize,
    /// Number of batches: one for each rank, or fewer at the end of an epoch.
    pub batches: usize,
}

impl Round {
    /// The round of a single rank.
    pub const ONE: Self = Self { ranks: 1, batches: 1 };
}

/// The host state of an incomplete window, for a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OpenWindow {
    /// Number of its completed batches. 0 if the next batch opens a window.
    pub batches: usize,
    /// Number of batches in the full window, as set when it opened.
    pub size: usize,
    /// The sum of the weights on the host.
    pub weight: f64,
    /// For each optimizer that has not stepped since: the non-finite values of a backward pass for all optimizers.
    #[serde(default)]
    pub bad_pass: Vec<Option<String>>,
}

impl OpenWindow {
    /// The next batch in its window. `size` is the size of a new window. The last batch of an epoch closes any window.
    /// With several ranks, sizes and counts are those of all ranks, each of which has one batch of the round.
    pub fn next(&mut self, is_first: bool, is_last: bool, size: usize, round: Round) -> Window {
        let opens = is_first || self.batches == 0;
        if opens {
            *self = Self { size: size.saturating_mul(round.ranks), ..Self::default() };
        }
        Window { opens, closes: is_last || self.batches + round.batches >= self.size, size: self.size.div_ceil(round.ranks) }
    }

    /// Ends that batch.
    pub fn add(&mut self, window: Window, round: Round, accumulated: &Accumulated) {
        self.batches = if window.closes { 0 } else { self.batches + round.batches };
        self.weight = accumulated.host;
        self.bad_pass.clone_from(&accumulated.bad_pass);
    }
}

/// The gradients of a step.
#[derive(Debug)]
pub struct StepGradients {
    /// A gradient for each parameter.
    pub params: GradientsParams,
    /// Whether several were added. A gradient may then be wider than its parameter, see
    /// [`accumulate`](gradients::accumulate).
    pub is_sum: bool,
}

/// The gradients of an incomplete window, and their divisor.
#[derive(Debug, Default)]
pub struct Accumulated {
    sum: Option<GradientsParams>,
    /// Whether `sum` has more than the gradients of one backward pass.
    is_sum: bool,
    /// The sum of the weights on the host.
    host: f64,
    /// The sum of the weights on the device, shape `[1]`, `f32`.
    device: Option<Tensor<1>>,
    /// For each optimizer whose step may be skipped: the sum of the losses of the gradients that it has not stepped
    /// with yet, in this batch and earlier ones. A non-finite loss may have finite gradients.
    losses: Vec<Option<Tensor<1>>>,
    /// The non-finite values of backward passes for all optimizers, which therefore skip their steps.
    pub bad_pass: Vec<Option<String>>,
}

/// The sums over the ranks besides the gradients.
#[derive(Clone, Debug, PartialEq)]
pub struct OverRanks {
    /// The sum of the noted losses. `None` if no rank has noted one.
    pub loss: Option<f64>,
    /// For each optimizer, the number of ranks that step with it.
    pub of_optimizers: Vec<f64>,
}

/// The names of the values on the device in a checkpoint.
const WEIGHT: &str = "window/weight";
const LOSS: &str = "window/loss/";

impl Accumulated {
    /// Whether this window had no backward pass.
    pub fn is_empty(&self) -> bool {
        self.sum.is_none()
    }

    /// Adds the gradients of a loss with this weight.
    pub fn add<M: Module>(&mut self, gradients: GradientsParams, weight: Scalar, module: &M) {
        match &mut self.sum {
            Some(sum) => {
                gradients::accumulate(sum, gradients, module);
                self.is_sum = true;
            }
            None => self.sum = Some(gradients),
        }
        match weight {
            Scalar::Host(weight) => self.host += weight,
            Scalar::Device(weight) => {
                let weight = weight.into_tensor();
                let weight = if weight.dtype() == DType::F32 { weight } else { weight.cast(DType::F32) };
                self.device = Some(match self.device.take() {
                    Some(sum) => sum + weight,
                    None => weight,
                });
            }
        }
    }

    /// As [`add`](Self::add), for gradients that are a sum already: those of the parts of a batch.
    pub fn add_sum<M: Module>(&mut self, gradients: GradientsParams, weight: Scalar, module: &M) {
        self.add(gradients, weight, module);
        self.is_sum = true;
    }

    /// Notes a loss of an optimizer, without its graph.
    pub fn add_loss(&mut self, optimizer: usize, loss: Tensor<1>) {
        if self.losses.len() <= optimizer {
            self.losses.resize(optimizer + 1, None);
        }
        let losses = &mut self.losses[optimizer];
        *losses = Some(match losses.take() {
            Some(sum) => sum.cast(DType::F32) + loss.cast(DType::F32),
            None => loss,
        });
    }

    /// Appends the window of a later rank.
    pub fn append<M: Module>(&mut self, later: Self, module: &M) {
        self.host += later.host;
        if let Some(gradients) = later.sum {
            self.add(gradients, Scalar::Host(0.0), module);
        }
        if let Some(weight) = later.device {
            self.device = Some(match self.device.take() {
                Some(sum) => sum + weight,
                None => weight,
            });
        }
        for (optimizer, loss) in later.losses.into_iter().enumerate() {
            if let Some(loss) = loss {
                self.add_loss(optimizer, loss);
            }
        }
    }

    /// Takes over the noted losses of an optimizer, without its entry of `bad_pass`.
    pub fn take_losses_of(&mut self, optimizer: usize, from: &mut Self) {
        if let Some(loss) = from.losses.get_mut(optimizer).and_then(Option::take) {
            self.add_loss(optimizer, loss);
        }
    }

    /// Takes the losses of an optimizer that is about to step, and its entry of `bad_pass`.
    pub fn take_evidence(&mut self, optimizer: usize) -> (Option<Tensor<1>>, Option<String>) {
        let bad_pass = self.bad_pass.get_mut(optimizer).and_then(Option::take);
        (self.losses.get_mut(optimizer).and_then(Option::take), bad_pass)
    }

    /// Adds up the windows of all ranks, at the end of a window of this optimizer. `steppers` is the number of
    /// optimizers. Reads the gradients from the device.
    ///
    /// # Errors
    /// [`WeightsError`] or [`ReadError`] if the device fails, and the errors of `reduce`.
    pub fn sum_over_ranks<M: Module, E: From<WeightsError> + From<ReadError>>(
        &mut self,
        (optimizer, steppers): (usize, usize),
        module: &M,
        reduce: impl FnOnce(Bucket<'_>) -> Result<(), E>,
    ) -> Result<OverRanks, E> {
        let loss = self.losses.get_mut(optimizer).and_then(Option::take);
        let on_device: Vec<Scalar> = self.device.take().into_iter().chain(loss.clone()).map(Scalar::from).collect();
        let read = read(&on_device)?;
        let (weight, of_loss) = if loss.is_some() { read.split_at(read.len() - 1) } else { (&read[..], &[][..]) };
        let mut extra = vec![self.host + weight.iter().sum::<f64>(), f64::from(u8::from(loss.is_some())), of_loss.iter().sum()];
        extra.extend((0..steppers).map(|index| f64::from(u8::from(index == optimizer))));
        let (sum, extra) = Places::read(self.sum.take().as_ref(), module)?.sum(module, &extra, reduce)?;
        self.sum = sum;
        self.is_sum = true;
        self.host = extra[0];
        let loss = (extra[1] > 0.0).then_some(extra[2]);
        if let (Some(loss), Some(at)) = (loss, module.devices().into_iter().next()) {
            self.add_loss(optimizer, Tensor::from_data([loss as f32], (&at.inner(), DType::F32)));
        }
        Ok(OverRanks { loss, of_optimizers: extra[3..].to_vec() })
    }

    /// Closes the window: returns the mean gradient. `None` without a backward pass, or if the sum of the weights is 0.
    pub fn close<M: Module>(&mut self, module: &M) -> Option<StepGradients> {
        let host = std::mem::take(&mut self.host);
        let device = self.device.take();
        let is_sum = std::mem::take(&mut self.is_sum);
        let mut gradients = self.sum.take()?;
        match device {
            Some(weight) => gradients::divide(&mut gradients, module, &Scalar::from(weight + host)),
            None if host == 0.0 => return None,
            // Dividing by one would launch needless kernels.
            None if (host - 1.0).abs() < f64::EPSILON => {}
            None => gradients::divide(&mut gradients, module, &Scalar::Host(host)),
        }
        Some(StepGradients { params: gradients, is_sum })
    }

    /// Adds it to a snapshot, without the parts in [`OpenWindow`].
    pub fn save<M: Module>(&self, module: &M, snapshot: &mut Snapshot) {
        if let Some(sum) = &self.sum {
            gradients::save(sum, module, snapshot);
        }
        if let Some(weight) = &self.device {
            snapshot.add(WEIGHT, weight.clone());
        }
        for (optimizer, loss) in self.losses.iter().enumerate().filter_map(|(index, loss)| Some((index, loss.as_ref()?))) {
            snapshot.add(format!("{LOSS}{optimizer}"), loss.clone());
        }
    }

    /// Takes the tensors of [`save`](Self::save) from those of a checkpoint.
    pub fn load<M: Module>(tensors: &mut BTreeMap<String, TensorData>, module: &M, open: &OpenWindow) -> Self {
        let sum = gradients::load(tensors, module);
        let mut loaded = Self { is_sum: sum.is_some(), sum, host: open.weight, bad_pass: open.bad_pass.clone(), ..Self::default() };
        let Some(at) = module.devices().into_iter().next().map(Device::inner) else { return loaded };
        loaded.device = tensors.remove(WEIGHT).map(|weight| Tensor::from_data(weight, (&at, DType::F32)));
        let losses: Vec<_> = tensors.extract_if(LOSS.to_owned().., |name, _| name.starts_with(LOSS)).collect();
        for (name, loss) in losses {
            if let Ok(optimizer) = name[LOSS.len()..].parse::<u16>() {
                loaded.add_loss(optimizer.into(), Tensor::from_data(loss, (&at, DType::F32)));
            }
        }
        loaded
    }
}

/// The weight of a loss. Default: 1.
///
/// # Errors
/// [`ConfigError`] for a number that is negative or not finite, or a tensor of another shape than `[1]`.
pub fn weight_of(given: Option<&Scalar>) -> Result<Scalar, ConfigError> {
    let refuse =
        |reason: String| Err(ConfigError::new("StepOutput::weight", reason, "give the number of parts that the loss is the sum of"));
    match given {
        None => Ok(Scalar::Host(1.0)),
        Some(Scalar::Host(weight)) if !(weight.is_finite() && *weight >= 0.0) => refuse(format!("{weight} is not a number of at least 0")),
        Some(Scalar::Device(weight)) if weight.parts().open.dims() != [1] => {
            refuse(format!("it has shape {:?} instead of [1]", weight.parts().open.dims()))
        }
        Some(weight) => Ok(weight.clone()),
    }
}
