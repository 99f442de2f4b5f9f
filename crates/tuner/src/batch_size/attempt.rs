//! A few steps with one batch size.

use serde::{Deserialize, Serialize};
use stormfire_data::DataModule;
use stormfire_module::{Callback, Context, Error, LightningModule, Result, StepOutput};
use stormfire_trainer::{Limit, Stop, Trainer, for_tuner::ProbeTrainer as _};
use stormfire_values::{Every, Scalar, read::read};

use crate::copied_data::CopiedData;

/// The result of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// Its steps have succeeded.
    Fits { items: Option<usize>, batches: Option<usize> },
    /// One of its steps has failed.
    Fails { reason: String },
}

/// Waits for the device after each step, which reports a failure late.
struct Wait;

impl<M: LightningModule> Callback<M> for Wait {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, module: &mut M, output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if let Some(loss) = output.loss() {
            read(&[Scalar::from(loss.clone())])?;
        }
        for device in module.devices() {
            device.sync().map_err(Error::other)?;
        }
        Ok(())
    }
}

/// # Errors
/// An interrupt. Every other error is a failed trial.
pub(super) fn run<M: LightningModule, D: DataModule<Batch = M::Batch>>(
    trainer: &mut Trainer<M>,
    module: &M,
    data: D,
    steps: u64,
) -> Result<Outcome> {
    let copy = trainer.copy_of(module)?;
    let devices = copy.devices();
    let limit = Limit::Batches(usize::try_from(steps).unwrap_or(usize::MAX));
    let mut probe = trainer.probe(module)?.max_steps(steps).limit_val_batches(limit).val_check_interval(Every::Steps(steps)).callback(Wait);
    let data = CopiedData::new(data);
    let size = data.size();
    let outcome = match probe.fit(copy, data) {
        Ok(fit) => match fit.stop {
            Stop::Interrupted(signal) => Err(signal.into()),
            _ => Ok(Outcome::Fits { items: size.get().items, batches: size.get().batches }),
        },
        Err(error @ Error::Interrupted { .. }) => Err(error),
        Err(error) => Ok(Outcome::Fails { reason: error.to_string() }),
    };
    drop(probe);
    for device in devices {
        device.memory_cleanup();
    }
    outcome
}
