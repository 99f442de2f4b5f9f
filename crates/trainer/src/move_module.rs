//! The device of a run, and the move of a module to it.

use burn::{module::Module, tensor::Device};
use stormfire_module::{Error, Result};
use stormfire_values::error_text::one_line;

use crate::{
    config::TrainerConfig,
    guard::guard,
    seed::{initialise, initialise_with},
};

/// The device of a run: the chosen one, else that of the module, else the CPU. Without autodiff.
pub(crate) fn choose_device<M: Module>(chosen: Option<&Device>, config: &TrainerConfig, module: &M) -> Result<Device> {
    let device = match (chosen, &config.accelerator) {
        (Some(device), _) => device.clone(),
        (None, Some(accelerator)) => accelerator.of_this_rank().device()?,
        (None, None) => module.devices().into_iter().next().unwrap_or_else(Device::flex),
    };
    Ok(device.inner())
}

/// Moves a module to its device and initializes its parameters.
///
/// With a seed they are initialized on the CPU. Each backend generates different random numbers, but one seed should
/// give one model.
pub(crate) fn move_module<M: Module>(module: M, device: &Device, seed: Option<u64>) -> Result<M> {
    initialized(|| {
        let module = match seed {
            Some(seed) => {
                let module = to(module, &Device::flex());
                initialise_with(&module, seed);
                module
            }
            None => module,
        };
        let module = to(module, device);
        initialise(&module);
        module
    })
}

/// Initializes parameters. burn panics if they have more numbers than a memory can have.
pub(crate) fn initialized<R>(initialise: impl FnOnce() -> R) -> Result<R> {
    guard(|| Ok(initialise())).map_err(|error| match error {
        Error::Panic { message, .. } => Error::other(format!("the parameters of the module cannot be initialized: {}", one_line(&message))),
        other => other,
    })
}

fn to<M: Module>(module: M, device: &Device) -> M {
    if module.devices().iter().all(|own| own == device) { module } else { module.fork(device) }
}
