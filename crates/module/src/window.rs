//! Windows of gradients: batches whose gradients make one step together.
//!
//! The gradients of the losses are summed, and divided by the sum of the weights when the window closes: by the number of
//! the losses that there were, where none was given a weight.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{DType, Device, Tensor, TensorData},
};
use serde::{Deserialize, Serialize};
use stormfire_checkpoint::Snapshot;

use crate::{
    error::{Error, Result},
    evidence::add,
    gradients,
    read::Scalar,
};

/// How a batch lies in its window of accumulated gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// It is the first of its window.
    pub opens: bool,
    /// It is the last: the optimizer steps.
    pub closes: bool,
    /// How many batches a full window has. An epoch that ends before closes a shorter one.
    pub size: usize,
}

/// The window that is not full yet, as far as the host knows it; a checkpoint holds it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OpenWindow {
    /// How many of its batches are over; 0 when the next batch opens a window.
    pub batches: usize,
    /// How many batches it has when it is full, as it was when the window opened.
    pub size: usize,
    /// The sum of the weights that are no device tensors.
    pub weight: f64,
    /// What was not finite in a pass for all optimizers, of each that has not stepped since.
    #[serde(default)]
    pub bad_pass: Vec<Option<String>>,
}

impl OpenWindow {
    /// The next batch in its window. `size` is that of a new window; the last batch of an epoch closes any.
    pub fn next(&mut self, is_first: bool, is_last: bool, size: usize) -> Window {
        let opens = is_first || self.batches == 0;
        if opens {
            *self = Self { size, ..Self::default() };
        }
        Window { opens, closes: is_last || self.batches + 1 >= self.size, size: self.size }
    }

    /// That batch is over.
    pub fn add(&mut self, window: Window, accumulated: &Accumulated) {
        self.batches = if window.closes { 0 } else { self.batches + 1 };
        self.weight = accumulated.host;
        self.bad_pass.clone_from(&accumulated.bad_pass);
    }
}

/// The gradients of a window that is not full yet, and what they are divided by when it closes.
#[derive(Debug, Default)]
pub struct Accumulated {
    sum: Option<GradientsParams>,
    /// The sum of the weights that are no device tensors.
    host: f64,
    /// The sum of those that are, shape `[1]`, `f32`.
    device: Option<Tensor<1>>,
    /// Of each optimizer whose step may be left out: the sum of the losses whose gradients it has not stepped with yet. Also
    /// of earlier batches: a loss that is not finite may have gradients that are.
    losses: Vec<Option<Tensor<1>>>,
    /// What was not finite in a pass for all optimizers: none of them steps with it.
    pub(crate) bad_pass: Vec<Option<String>>,
}

/// The names in a checkpoint of what stays on the device.
const WEIGHT: &str = "window/weight";
const LOSS: &str = "window/loss/";

impl Accumulated {
    /// Whether no loss was walked back in this window.
    pub fn is_empty(&self) -> bool {
        self.sum.is_none()
    }

    /// Adds the gradients of a loss that stands for so many parts.
    pub(crate) fn add<M: Module>(&mut self, gradients: GradientsParams, weight: Scalar, module: &M) {
        match &mut self.sum {
            Some(sum) => gradients::accumulate(sum, gradients, module),
            None => self.sum = Some(gradients),
        }
        match weight {
            Scalar::Host(weight) => self.host += weight,
            Scalar::Device(weight) => {
                let weight = if weight.dtype() == DType::F32 { weight } else { weight.cast(DType::F32) };
                self.device = Some(match self.device.take() {
                    Some(sum) => sum + weight,
                    None => weight,
                });
            }
        }
    }

    /// Notes a loss of this optimizer, without its tape.
    pub(crate) fn add_loss(&mut self, optimizer: usize, loss: Tensor<1>) {
        if self.losses.len() <= optimizer {
            self.losses.resize(optimizer + 1, None);
        }
        add(&mut self.losses[optimizer], loss);
    }

    /// The optimizer is about to step: its losses so far, and what is known not to be finite.
    pub(crate) fn take_evidence(&mut self, optimizer: usize) -> (Option<Tensor<1>>, Option<String>) {
        let bad_pass = self.bad_pass.get_mut(optimizer).and_then(Option::take);
        (self.losses.get_mut(optimizer).and_then(Option::take), bad_pass)
    }

    /// Closes the window: the mean gradient. `None` if no loss was walked back, or none that weighs anything.
    pub(crate) fn close<M: Module>(&mut self, module: &M) -> Option<GradientsParams> {
        let host = std::mem::take(&mut self.host);
        let device = self.device.take();
        let mut gradients = self.sum.take()?;
        match device {
            Some(weight) => gradients::divide(&mut gradients, module, &Scalar::Device(weight + host)),
            None if host == 0.0 => return None,
            // A division by one would be kernels for nothing.
            None if (host - 1.0).abs() < f64::EPSILON => {}
            None => gradients::divide(&mut gradients, module, &Scalar::Host(host)),
        }
        Some(gradients)
    }

    /// Adds it to a snapshot, but for what [`OpenWindow`] holds.
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

    /// Takes what [`save`](Self::save) added out of the tensors of a checkpoint.
    pub fn load<M: Module>(tensors: &mut BTreeMap<String, TensorData>, module: &M, open: &OpenWindow) -> Self {
        let sum = gradients::load(tensors, module);
        let mut loaded = Self { sum, host: open.weight, bad_pass: open.bad_pass.clone(), ..Self::default() };
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

/// The weight of a loss, 1 unless one was given.
pub(crate) fn weight_of(given: Option<&Scalar>) -> Result<Scalar> {
    let refuse = |reason: String| Err(Error::config("StepOutput::weight", reason, "give the number of parts that the loss is the sum of"));
    match given {
        None => Ok(Scalar::Host(1.0)),
        Some(Scalar::Host(weight)) if !(weight.is_finite() && *weight >= 0.0) => refuse(format!("{weight} is not a number of at least 0")),
        Some(Scalar::Device(weight)) if weight.dims() != [1] => refuse(format!("it has shape {:?} instead of [1]", weight.dims())),
        Some(weight) => Ok(weight.clone()),
    }
}
