//! How the modules of a fit checkpoint their gradients.

use burn::{module::Module, tensor::GradientCheckpointingStrategy};
use stormfire_module::{Error, for_trainer::training_mode::strategy_of};

/// The strategy of a fit: that of the option, or of the module as it was made.
pub(crate) fn strategy<M: Module>(option: Option<bool>, module: &M) -> GradientCheckpointingStrategy {
    match option {
        Some(true) => GradientCheckpointingStrategy::Balanced,
        Some(false) => GradientCheckpointingStrategy::Disabled,
        None => strategy_of(module),
    }
}

/// The error of a run. A panic of burn because tensors of two strategies have met becomes an error with the cure.
pub(crate) fn explained(error: Error) -> Error {
    let Error::Panic { message, .. } = &error else { return error };
    if !message.contains("Gradient checkpointing strategy mismatch") {
        return error;
    }
    let reason = "a step has combined a tensor of the module with one of a device with another strategy";
    let hint = "make tensors on the device of another one, such as `x.device()`, or on a device without a tape; keep tensors of a module as `Param`";
    Error::config("gradient_checkpointing", reason, hint)
}
