//! `trainer.yaml`: the options of the Trainer and the state of the run, in its folder.

use std::path::Path;

use stormfire_data::Stage;
use stormfire_loggers::{
    Hyperparams, Status,
    for_trainer::{RunState, TRAINER_YAML, write_options},
};
use stormfire_module::Result;

use crate::config::TrainerConfig;

/// Writes the file at the start of a run.
pub(crate) fn write(folder: &Path, config: &TrainerConfig, stage: Stage) -> Result<()> {
    write_state(folder, config, stage, RunState::Running)
}

/// Notes the end of the run in the file. It fails no run, and a folder that was removed stays so.
pub(crate) fn note_end(folder: &Path, config: &TrainerConfig, stage: Stage, status: Status) {
    if !folder.join(TRAINER_YAML).exists() {
        return;
    }
    if let Err(error) = write_state(folder, config, stage, RunState::Ended(status)) {
        tracing::warn!("`{}` does not say that the run has ended: {error}", folder.join(TRAINER_YAML).display());
    }
}

fn write_state(folder: &Path, config: &TrainerConfig, run: Stage, state: RunState) -> Result<()> {
    let (options, defaults) = (Hyperparams::from_serialize(config)?, Hyperparams::from_serialize(&TrainerConfig::default())?);
    Ok(write_options(folder, run.as_str(), state, options, &defaults)?)
}
