//! Windows of gradients: batches whose gradients make one step together.
//!
//! The gradients of the losses are summed, and divided by the sum of the weights when the window closes. If no loss has
//! a weight, the divisor is the number of losses.

use std::collections::BTreeMap;

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{DType, Tensor, TensorData},
};
use serde::{Deserialize, Serialize};
use stormfire_checkpoint::Snapshot;
use stormfire_values::{ConfigError, Scalar};

use crate::gradients;

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

/// The host state of an incomplete window, for a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OpenWindow {
    /// Number of its completed batches. 0 if the next batch opens a window.
    pub batches: usize,
    /// Number of batches in the full window, as set when it opened.
    pub size: usize,
    /// The sum of the weights on the host.
    pub weight: f64,
}

impl OpenWindow {
    /// The next batch in its window. `size` is the size of a new window. The last batch of an epoch closes any window.
    pub fn next(&mut self, is_first: bool, is_last: bool, size: usize) -> Window {
        let opens = is_first || self.batches == 0;
        if opens {
            *self = Self { size, ..Self::default() };
        }
        Window { opens, closes: is_last || self.batches + 1 >= self.size, size: self.size }
    }

    /// Ends that batch.
    pub fn add(&mut self, window: Window, accumulated: &Accumulated) {
        self.batches = if window.closes { 0 } else { self.batches + 1 };
        self.weight = accumulated.host;
    }
}

/// The gradients of an incomplete window, and their divisor.
#[derive(Debug, Default)]
pub struct Accumulated {
    sum: Option<GradientsParams>,
    /// The sum of the weights on the host.
    host: f64,
    /// The sum of the weights on the device, shape `[1]`, `f32`.
    device: Option<Tensor<1>>,
}

/// The name of the device weight in a checkpoint.
const WEIGHT: &str = "window/weight";

impl Accumulated {
    /// Whether there was no backward pass in this window.
    pub fn is_empty(&self) -> bool {
        self.sum.is_none()
    }

    /// Adds the gradients of a loss with this weight.
    pub fn add<M: Module>(&mut self, gradients: GradientsParams, weight: Scalar, module: &M) {
        match &mut self.sum {
            Some(sum) => gradients::accumulate(sum, gradients, module),
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

    /// Closes the window: returns the mean gradient. `None` if there was no backward pass, or if the sum of the weights
    /// is 0.
    pub fn close<M: Module>(&mut self, module: &M) -> Option<GradientsParams> {
        let Self { sum, host, device } = std::mem::take(self);
        let mut gradients = sum?;
        match device {
            Some(weight) => gradients::divide(&mut gradients, module, &Scalar::from(weight + host)),
            None if host == 0.0 => return None,
            // Dividing by one would launch needless kernels.
            None if (host - 1.0).abs() < f64::EPSILON => {}
            None => gradients::divide(&mut gradients, module, &Scalar::Host(host)),
        }
        Some(gradients)
    }

    /// Adds it to a snapshot, without the parts in [`OpenWindow`].
    pub fn save<M: Module>(&self, module: &M, snapshot: &mut Snapshot) {
        if let Some(sum) = &self.sum {
            gradients::save(sum, module, snapshot);
        }
        if let Some(weight) = &self.device {
            snapshot.add(WEIGHT, weight.clone());
        }
    }

    /// Takes the tensors of [`save`](Self::save) from those of a checkpoint.
    pub fn load<M: Module>(tensors: &mut BTreeMap<String, TensorData>, module: &M, open: &OpenWindow) -> Self {
        let sum = gradients::load(tensors, module);
        let device = module.devices().into_iter().next().map(burn::tensor::Device::inner);
        let device = tensors.remove(WEIGHT).zip(device).map(|(weight, device)| Tensor::from_data(weight, (&device, DType::F32)));
        Self { sum, host: open.weight, device }
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
