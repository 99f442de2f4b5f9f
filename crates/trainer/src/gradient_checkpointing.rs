//! Whether a module was made for gradient checkpointing.

use burn::{
    module::Module,
    tensor::{Device, GradientCheckpointingStrategy},
};

/// Whether the module was made for gradient checkpointing, which burn's `valid` drops and its `train` does not bring back.
pub(crate) fn checkpoints_gradients<M: Module>(module: &M) -> bool {
    module
        .devices()
        .iter()
        .filter_map(Device::gradient_checkpointing_strategy)
        .any(|strategy| strategy != GradientCheckpointingStrategy::default())
}
