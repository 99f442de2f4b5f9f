//! `trainer.yaml`: the options of the Trainer, in the folder of a run.

use std::path::Path;

use stormfire_loggers::Hyperparams;
use stormfire_module::Result;

use crate::config::TrainerConfig;

/// Writes the file.
pub(crate) fn write(folder: &Path, config: &TrainerConfig) -> Result<()> {
    Ok(Hyperparams::from_serialize(config)?.write_yaml(&folder.join("trainer.yaml"))?)
}
