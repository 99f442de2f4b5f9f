//! An optimizer whose state can be seen without a detour.
//!
//! burn gives the state of a `ModuleOptimizer` only as bytes of its file format, which is one more copy of everything on the
//! host, and reads each tensor by itself. But each algorithm flattens its own state first: this wrapper takes the tensors
//! there, as handles where burn shows them.

use std::cell::RefCell;

use burn::{
    optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource},
    tensor::{Device, Tensor, TensorData},
};

use super::visible::see;
use crate::Snapshot;

thread_local! {
    /// The tensors that are being collected on this thread, if they are.
    static COLLECTED: RefCell<Option<Collected>> = const { RefCell::new(None) };
}

/// The tensors of states, under burn's names.
#[derive(Default)]
pub(super) struct Collected {
    /// Still on the device.
    pub(super) handles: Snapshot,
    /// Read already.
    pub(super) read: Vec<(String, TensorData)>,
}

/// Runs something on this thread, and takes the tensors of every [`Transparent`] state that burn flattens meanwhile. They are
/// missing in what burn makes of them.
pub(super) fn collecting<R>(run: impl FnOnce() -> R) -> (R, Collected) {
    let before = COLLECTED.replace(Some(Collected::default()));
    let result = run();
    (result, COLLECTED.replace(before).unwrap_or_default())
}

/// An algorithm of burn, unchanged, whose state [`read`](super::read) copies once only. That of Adam, `AdamW`, Adan, LAMB,
/// Lion and Adafactor leaves the device in one transaction.
///
/// ```
/// use burn::optim::{AdamConfig, ModuleOptimizer};
/// use stormfire_checkpoint::optimizer_state::Transparent;
///
/// let optimizer = ModuleOptimizer::from(Transparent(AdamConfig::new().build()));
/// # let _ = optimizer;
/// ```
#[derive(Clone, Debug)]
pub struct Transparent<O>(pub O);

impl<O: Optimizer> Optimizer for Transparent<O> {
    type State<const D: usize> = TransparentState<O::State<D>>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        tensor: Tensor<D>,
        grad: Tensor<D>,
        state: Option<Self::State<D>>,
    ) -> (Tensor<D>, Option<Self::State<D>>) {
        let (tensor, state) = self.0.step(lr, tensor, grad, state.map(|state| state.0));
        (tensor, state.map(TransparentState))
    }

    fn to_device<const D: usize>(state: Self::State<D>, device: &Device) -> Self::State<D> {
        TransparentState(O::to_device(state.0, device))
    }
}

/// The state of a [`Transparent`] optimizer for one parameter.
#[derive(Clone, Debug)]
pub struct TransparentState<S>(S);

impl<S: RecordState> RecordState for TransparentState<S> {
    fn state_flatten(&self, prefix: &str, out: &mut StateSink) {
        COLLECTED.with_borrow_mut(|collected| {
            let Some(Collected { handles, read }) = collected else {
                return self.0.state_flatten(prefix, out);
            };
            if see(&self.0, prefix, handles, out) {
                return;
            }
            let mut own = StateSink::default();
            self.0.state_flatten(prefix, &mut own);
            out.scalars.append(&mut own.scalars);
            read.append(&mut own.tensors);
        });
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        S::state_unflatten(prefix, source, device).map(Self)
    }
}
