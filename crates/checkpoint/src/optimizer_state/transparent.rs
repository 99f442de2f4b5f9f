//! An optimizer whose state is directly accessible.
//!
//! burn exposes the state of a `ModuleOptimizer` only as bytes in its file format. This costs a second copy of
//! everything on the host, and a device read for each tensor. But each algorithm first flattens its own state. This
//! wrapper takes the tensors at that point, as handles if burn exposes them.

use std::cell::RefCell;

use burn::{
    module::ParamId,
    optim::{LearningRate, Optimizer, RecordState, StateSink, StateSource},
    tensor::{Device, Tensor},
};

use super::visible::see;
use crate::{ParamPaths, Snapshot};

thread_local! {
    /// The destination of a state's tensors on this thread, while they are collected.
    static COLLECTED: RefCell<Option<Collected>> = const { RefCell::new(None) };
}

struct Collected {
    /// The folder of the optimizer.
    folder: String,
    paths: ParamPaths,
    snapshot: Snapshot,
}

/// Runs a closure on this thread. The tensors of every [`Transparent`] state that burn flattens in the closure are
/// added to the snapshot. They are missing in the record of burn.
pub(super) fn collecting<R>(folder: &str, paths: &ParamPaths, snapshot: &mut Snapshot, run: impl FnOnce() -> R) -> R {
    let collected = Collected { folder: folder.into(), paths: paths.clone(), snapshot: std::mem::take(snapshot) };
    let before = COLLECTED.replace(Some(collected));
    let result = run();
    if let Some(collected) = COLLECTED.replace(before) {
        *snapshot = collected.snapshot;
    }
    result
}

impl Collected {
    /// Adds the state of one parameter. `prefix` is its id, as burn writes it.
    fn add<S: RecordState>(&mut self, state: &S, prefix: &str, out: &mut StateSink) {
        // Skips the state of a parameter that the module no longer has.
        let Some(path) = prefix.parse().ok().and_then(|id: u64| self.paths.path(ParamId::from(id))) else { return };
        let folder = format!("{}{path}/", self.folder);
        if see(state, prefix, &folder, &mut self.snapshot, out) {
            return;
        }
        let mut own = StateSink::default();
        state.state_flatten("", &mut own);
        for (field, number) in own.scalars {
            out.push_scalar(prefix, &field, number);
        }
        for (field, data) in own.tensors {
            self.snapshot.add_read(format!("{folder}{field}"), data);
        }
    }
}

/// An unchanged algorithm of burn whose state is copied only once by [`save`](super::save). The states of Adam,
/// `AdamW`, Adan, LAMB, Lion, Adafactor and SGD without momentum leave the device in one transaction together with the
/// rest of the snapshot.
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
        COLLECTED.with_borrow_mut(|collected| match collected {
            Some(collected) => collected.add(&self.0, prefix, out),
            None => self.0.state_flatten(prefix, out),
        });
    }

    fn state_unflatten(prefix: &str, source: &mut StateSource, device: &Device) -> Option<Self> {
        S::state_unflatten(prefix, source, device).map(Self)
    }
}
