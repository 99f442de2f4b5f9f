//! What a run has and no checkpoint holds.

use std::sync::Arc;

use burn::tensor::Device;
use stormfire_module::threads::Threads;

use crate::{
    checkpoint_writer::CheckpointWriter, communicator::Communicator, config::TrainerConfig, profiler::Profiler, signals::SignalWatch,
};

/// What a run has and no checkpoint holds: options, device, ranks, signals, the writer of checkpoints. It outlives the runs of a
/// Trainer. The loggers are in [`Run`](stormfire_module::run::Run), where callbacks see them.
pub(crate) struct Frame {
    pub(crate) config: Arc<TrainerConfig>,
    pub(crate) device: Device,
    pub(crate) communicator: Box<dyn Communicator>,
    pub(crate) profiler: Profiler,
    /// While a run handles them.
    pub(crate) signals: Option<SignalWatch>,
    pub(crate) checkpoints: CheckpointWriter,
    /// Of the run at hand, if it has several.
    pub(crate) threads: Option<Arc<Threads>>,
    /// The logs of the run that is to go on are as they were, until it does.
    pub(crate) logs_wait: bool,
    /// A fit has begun in these logs.
    pub(crate) has_logged_fit: bool,
}

impl Frame {
    pub(crate) fn new(config: TrainerConfig, communicator: Box<dyn Communicator>) -> Self {
        Self {
            device: Device::flex(),
            communicator,
            profiler: Profiler::new(config.profiler),
            signals: None,
            checkpoints: CheckpointWriter::default(),
            threads: None,
            logs_wait: false,
            has_logged_fit: false,
            config: Arc::new(config),
        }
    }
}
