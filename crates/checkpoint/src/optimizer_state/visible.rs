//! The states of algorithms whose tensors are accessible as handles.

use std::any::Any;

use burn::{
    optim::{AdafactorState, AdamState, AdamWState, AdanState, AdaptiveMomentumState, LambState, LionState, StateSink},
    tensor::Tensor,
};
use burn_pack::Scalar;

use super::fields::{Fields, TIME};
use crate::Snapshot;

/// Adds the tensors of a state to `tensors`, in a folder, and its numbers to `numbers`, with a prefix, with burn's
/// names. Returns false for the state of another algorithm, and adds nothing.
pub(super) fn see(state: &dyn Any, prefix: &str, folder: &str, tensors: &mut Snapshot, numbers: &mut StateSink) -> bool {
    let mut seen = Seen { prefix, folder, tensors, numbers };
    seen.of_rank::<1>(state)
        || seen.of_rank::<2>(state)
        || seen.of_rank::<3>(state)
        || seen.of_rank::<4>(state)
        || seen.of_rank::<5>(state)
        || seen.of_rank::<6>(state)
        || seen.of_rank::<7>(state)
        || seen.of_rank::<8>(state)
}

struct Seen<'a> {
    prefix: &'a str,
    folder: &'a str,
    tensors: &'a mut Snapshot,
    numbers: &'a mut StateSink,
}

impl Seen<'_> {
    fn of_rank<const D: usize>(&mut self, state: &dyn Any) -> bool {
        if let Some(AdamState { momentum }) = state.downcast_ref::<AdamState<D>>() {
            self.momentum(momentum);
        } else if let Some(AdamWState { momentum }) = state.downcast_ref::<AdamWState<D>>() {
            self.momentum(momentum);
        } else if let Some(AdanState { momentum }) = state.downcast_ref::<AdanState<D>>() {
            self.number("momentum.time", momentum.time);
            self.tensor("momentum.exp_avg", Some(&momentum.exp_avg));
            self.tensor("momentum.exp_avg_sq", Some(&momentum.exp_avg_sq));
            self.tensor("momentum.exp_avg_diff", Some(&momentum.exp_avg_diff));
            self.tensor("momentum.neg_pre_grad", Some(&momentum.neg_pre_grad));
        } else if let Some(LambState { time, moment_1, moment_2 }) = state.downcast_ref::<LambState<D>>() {
            self.number("time", *time);
            self.tensor("moment_1", Some(moment_1));
            self.tensor("moment_2", Some(moment_2));
        } else if let Some(LionState { momentum }) = state.downcast_ref::<LionState<D>>() {
            self.tensor("momentum", Some(momentum));
        } else if let Some(AdafactorState { time, second_moment, column_second_moment }) = state.downcast_ref::<AdafactorState<D>>() {
            self.number("time", *time);
            self.tensor("second_moment", Some(second_moment));
            self.tensor("column_second_moment", column_second_moment.as_ref());
        } else if let Some(Fields { tensors, time }) = state.downcast_ref::<Fields<D>>() {
            for (field, tensor) in tensors {
                self.tensor(field, Some(tensor));
            }
            if let Some(time) = time {
                self.number(TIME, *time);
            }
        } else {
            return false;
        }
        true
    }

    fn momentum<const D: usize>(&mut self, state: &AdaptiveMomentumState<D>) {
        let AdaptiveMomentumState { time, moment_1, moment_2, max_moment_2 } = state;
        self.number("momentum.time", *time);
        self.tensor("momentum.moment_1", Some(moment_1));
        self.tensor("momentum.moment_2", Some(moment_2));
        self.tensor("momentum.max_moment_2", max_moment_2.as_ref());
    }

    fn tensor<const D: usize>(&mut self, field: &str, tensor: Option<&Tensor<D>>) {
        if let Some(tensor) = tensor {
            self.tensors.add(format!("{}{field}", self.folder), tensor.clone());
        }
    }

    fn number(&mut self, field: &str, number: usize) {
        self.numbers.push_scalar(self.prefix, field, Scalar::from(number));
    }
}
