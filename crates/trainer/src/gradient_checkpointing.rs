//! Whether a module was made for gradient checkpointing.

use burn::{
    module::Module,
    tensor::{Device, GradientCheckpointingStrategy},
};

/// Whether the module uses gradient checkpointing. burn's `valid` drops it, and its `train` does not restore it.
pub(crate) fn checkpoints_gradients<M: Module>(module: &M) -> bool {
    module
        .devices()
        .iter()
        .filter_map(Device::gradient_checkpointing_strategy)
        .any(|strategy| strategy != GradientCheckpointingStrategy::default())
}
