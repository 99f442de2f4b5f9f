//! The parts of a run that are not in a checkpoint.

use std::{path::PathBuf, sync::Arc};

use burn::tensor::{Device, GradientCheckpointingStrategy};
use stormfire_module::for_trainer::Threads;
use stormfire_ranks::Shared;

use crate::{checkpoint_writer::CheckpointWriter, config::TrainerConfig, profiler::Profiler, signals::SignalWatch};

/// The parts of a run that are not in a checkpoint: options, device, ranks, signals, the writer of checkpoints. It
/// outlives the runs of a Trainer. The loggers are in [`Run`](stormfire_module::run::Run), where callbacks can use
/// them.
pub(crate) struct Frame {
    pub(crate) config: Arc<TrainerConfig>,
    pub(crate) device: Device,
    /// How a module that trains checkpoints its gradients.
    pub(crate) checkpointing: GradientCheckpointingStrategy,
    pub(crate) ranks: Shared,
    pub(crate) profiler: Profiler,
    /// Set while a run handles signals.
    pub(crate) signals: Option<SignalWatch>,
    pub(crate) checkpoints: CheckpointWriter,
    /// The threads that share the batches of this run, if there are several.
    pub(crate) threads: Option<Arc<Threads>>,
    /// Whether the logs of the run to resume are still unchanged.
    pub(crate) logs_wait: bool,
    /// The folder in which the state of the active run is noted.
    pub(crate) noted_in: Option<PathBuf>,
    /// Whether a fit was logged to these logs.
    pub(crate) has_logged_fit: bool,
    /// The run that this one rehearses.
    pub(crate) rehearsed: Option<Rehearsed>,
}

/// A run that is rehearsed.
#[derive(Clone, Debug)]
pub(crate) struct Rehearsed {
    /// Whether it has no loggers.
    pub(crate) lacks_loggers: bool,
    /// Its effective options.
    pub(crate) config: Arc<TrainerConfig>,
}

impl Frame {
    pub(crate) fn new(config: TrainerConfig, ranks: Shared) -> Self {
        Self {
            device: Device::flex(),
            checkpointing: GradientCheckpointingStrategy::default(),
            ranks,
            profiler: Profiler::new(config.profiler),
            signals: None,
            checkpoints: CheckpointWriter::default(),
            threads: None,
            logs_wait: false,
            noted_in: None,
            has_logged_fit: false,
            rehearsed: None,
            config: Arc::new(config),
        }
    }

    /// The options of the run. In a rehearsal, those of the run that is rehearsed.
    pub(crate) fn of_run(&self) -> &TrainerConfig {
        match &self.rehearsed {
            Some(run) => &run.config,
            None => &self.config,
        }
    }
}
