//! The accessible state of an algorithm.

use burn::{
    optim::{RecordState, StateSink, StateSource},
    tensor::{Device, Tensor},
};
use burn_pack::Scalar;

/// The state of an algorithm for one parameter, with burn's names.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields<const D: usize> {
    pub(super) tensors: Vec<(&'static str, Tensor<D>)>,
    /// The number of updates, if the algorithm counts them.
    pub(super) time: Option<usize>,
}

pub(super) const VELOCITY: &str = "momentum.velocity";
pub(super) const SQUARE_AVERAGE: &str = "square_avg.square_avg";
pub(super) const GRADIENT_AVERAGE: &str = "centered.grad_avg";
pub(super) const VARIANCE: &str = "centered.avg";
pub(super) const BUFFER: &str = "momentum.buf";
pub(super) const SUM: &str = "lr_decay.sum";
pub(super) const TIME: &str = "lr_decay.time";

impl<const D: usize> Fields<D> {
    pub(super) fn take(&mut self, name: &str) -> Option<Tensor<D>> {
        let index = self.tensors.iter().position(|(own, _)| *own == name)?;
        Some(self.tensors.swap_remove(index).1)
    }

    pub(super) fn with(mut self, name: &'static str, tensor: impl Into<Option<Tensor<D>>>) -> Self {
        self.tensors.extend(tensor.into().map(|tensor| (name, tensor)));
        self
    }
}

impl<const D: usize> RecordState for Fields<D> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        for (name, tensor) in &self.tensors {
            out.push_tensor(prefix, name, tensor.to_data());
        }
        if let Some(time) = self.time {
            out.push_scalar(prefix, TIME, Scalar::from(time));
        }
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        let mut fields = Self::default();
        for name in [VELOCITY, SQUARE_AVERAGE, GRADIENT_AVERAGE, VARIANCE, BUFFER, SUM] {
            fields = fields.with(name, source.take_tensor(prefix, name).map(|data| Tensor::from_data(data, device)));
        }
        fields.time = source.take_scalar(prefix, TIME).and_then(|time| usize::try_from(time).ok());
        Some(fields)
    }
}
