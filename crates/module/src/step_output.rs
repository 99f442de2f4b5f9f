//! [`StepOutput`], the result of a step.

use std::any::Any;

use burn::tensor::Tensor;
use stormfire_optim::window::weight_of;
use stormfire_values::{Scalar, read::without_halves};

use crate::{
    error::{Error, Result},
    tape::has_one_element,
};

/// The result of a step: the loss of a training step, and values for `on_*_batch_end` of module and callbacks.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use stormfire_module::StepOutput;
///
/// let loss = Tensor::<1>::from_floats([0.5], &Device::flex());
/// let output: StepOutput = loss.into();
/// assert!(output.loss().is_some());
/// let with_names = output.with(vec!["a".to_string()]);
/// assert_eq!(with_names.payload::<Vec<String>>().map(Vec::len), Some(1));
/// ```
///
#[doc = include_str!("../docs/step_output.md")]
#[derive(Debug, Default)]
pub struct StepOutput {
    /// In a box, because an output is moved often.
    loss: Option<Box<Tensor<1>>>,
    weight: Option<Scalar>,
    /// One, or one for each part of a batch that was divided.
    payloads: Vec<Box<dyn Any + Send>>,
}

impl StepOutput {
    /// No loss: automatic optimization excludes this batch from the gradients.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a value for `on_train_batch_end`, `on_validation_batch_end` or `on_test_batch_end`, such as predictions.
    pub fn with(mut self, payload: impl Any + Send) -> Self {
        self.payloads = vec![Box::new(payload)];
        self
    }

    /// The number of parts of which the loss is the *sum*: items, or unpadded tokens. Default: 1, for a mean loss.
    ///
    /// Automatic optimization sums the gradients of a window (`accumulate_grad_batches`) and divides them by the sum of
    /// the weights when it closes. So a window equals one big batch up to rounding, even if its batches have different
    /// sizes:
    ///
    /// ```
    /// # use burn::tensor::{Device, Tensor};
    /// # use stormfire_module::StepOutput;
    /// # let device = Device::flex();
    /// # let token_losses = Tensor::<2>::ones([2, 3], &device);
    /// # let mask = Tensor::<2>::from_floats([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]], &device);
    /// let loss_sum = (token_losses * mask.clone()).sum();
    /// let output = StepOutput::from(loss_sum).weight(mask.sum());
    /// ```
    ///
    /// A number, or a tensor of shape `[1]`. Logged values, `on_before_backward` and
    /// `on_train_batch_end` get the loss as given: log the mean yourself. A window whose numbers sum to 0 makes no
    /// step. With tensors of a GPU its gradients become NaN, which `on_non_finite` detects.
    /// [`Stepper::step`](crate::Stepper::step) ignores weights.
    pub fn weight(mut self, weight: impl Into<Scalar>) -> Self {
        self.weight = Some(weight.into());
        self
    }

    /// The weight from [`StepOutput::weight`].
    pub fn given_weight(&self) -> Option<&Scalar> {
        self.weight.as_ref()
    }

    /// The loss, shape `[1]`, detached in `on_train_batch_end`. In validation and test it is only for the hooks.
    pub fn loss(&self) -> Option<&Tensor<1>> {
        self.loss.as_deref()
    }

    /// The value from [`StepOutput::with`], if it has this type. `None` for a batch that was divided among threads
    /// (`Trainer::devices`): it has one value per part, see [`payloads`](Self::payloads).
    pub fn payload<T: 'static>(&self) -> Option<&T> {
        match self.payloads.as_slice() {
            [payload] => payload.downcast_ref(),
            _ => None,
        }
    }

    /// The values from [`StepOutput::with`] that have this type: one, or one per part of a batch that was divided among
    /// threads, in the order of the parts.
    pub fn payloads<T: 'static>(&self) -> impl Iterator<Item = &T> {
        self.payloads.iter().filter_map(|payload| payload.downcast_ref())
    }

    /// The output of a whole batch from those of its parts, with their numbers of items. Its loss is the mean over all
    /// items of the parts that have a loss, or the sum of weighted losses.
    ///
    /// # Errors
    /// Only some of the losses have a weight.
    pub(crate) fn of_parts(parts: Vec<(Self, usize)>) -> Result<Self> {
        let with_loss = || parts.iter().filter(|(output, _)| output.loss.is_some());
        let (losses, weighed) = (with_loss().count(), with_loss().filter(|(output, _)| output.weight.is_some()).count());
        if weighed != 0 && weighed != losses {
            let reason = "the losses of some parts of a batch have a weight, and those of others have none";
            return Err(Error::config("StepOutput::weight", reason, "give one with every loss, or use `devices(1)`"));
        }
        for (output, _) in with_loss() {
            weight_of(output.given_weight())?;
        }
        let items: usize = with_loss().map(|(_, items)| items).sum();
        let mut whole = Self::default();
        for (part, of_part) in parts {
            let is_all = weighed > 0 || of_part == items;
            let share = part.loss.map(|loss| {
                // Sums of half floats overflow.
                let loss = without_halves(*loss);
                if is_all { loss } else { loss.mul_scalar(of_part as f64 / items as f64) }
            });
            whole.loss = joined(whole.loss, share.map(Box::new), |sum, share| Box::new(*sum + *share));
            whole.weight = joined(whole.weight, part.weight, Scalar::plus);
            whole.payloads.extend(part.payloads);
        }
        Ok(whole)
    }

    /// Checks the shape of the loss, and releases the graph, so that the memory of the batch is free before the
    /// callbacks run.
    ///
    /// # Errors
    /// [`Error::Loss`] if the loss has not one element.
    pub fn detach(self) -> Result<Self> {
        self.loss.as_deref().map_or(Ok(()), has_one_element)?;
        Ok(Self { loss: self.loss.map(|loss| Box::new(loss.inner())), ..self })
    }
}

impl From<Tensor<1>> for StepOutput {
    fn from(loss: Tensor<1>) -> Self {
        Self { loss: Some(Box::new(loss)), ..Self::default() }
    }
}

fn joined<T>(sum: Option<T>, more: Option<T>, add: impl FnOnce(T, T) -> T) -> Option<T> {
    match (sum, more) {
        (Some(sum), Some(more)) => Some(add(sum, more)),
        (sum, more) => sum.or(more),
    }
}
