//! Notices a loss that is not finite without ever waiting for it.
//!
//! When step metrics leave the device, and at the end of an epoch, the loss goes along. It is looked at as soon as it is
//! there: usually a few batches later.

use burn::tensor::Tensor;
use stormfire_module::{
    Error, LightningModule, Result,
    read::{Reading, Scalar},
};

use crate::engine::Engine;

/// The newest loss on its way from the device.
#[derive(Default)]
pub(crate) struct LossWatch(Option<Watched>);

struct Watched {
    loss: Reading,
    epoch: usize,
    batch_idx: usize,
    global_step: u64,
}

impl LossWatch {
    /// Lets the loss go along with the values that are read next.
    pub(crate) fn watch<M: LightningModule>(&mut self, loss: Tensor<1>, engine: &mut Engine<M>) {
        let loss = Reading::new(Scalar::Device(loss));
        engine.store.watch(loss.clone());
        let run = &engine.run;
        self.0 = Some(Watched { loss, epoch: run.progress.epoch, batch_idx: run.moment.batch_idx, global_step: run.logger_step });
    }

    /// An error if the watched loss is here and not finite.
    pub(crate) fn check(&self) -> Result<()> {
        match &self.0 {
            Some(Watched { loss, epoch, batch_idx, global_step }) if loss.get().is_some_and(|v| !v.is_finite()) => {
                let (epoch, batch_idx, global_step) = (*epoch, *batch_idx, *global_step);
                Err(Error::NonFinite { what: "the training loss".into(), epoch, batch_idx, global_step })
            }
            _ => Ok(()),
        }
    }
}
