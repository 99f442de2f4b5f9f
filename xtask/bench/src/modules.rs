//! The tiny model as a Stormfire module that logs nothing, its loss, or ten metrics.

use burn::tensor::Device;
use stormfire::prelude::*;

use crate::tiny::{Batch, LR, Tiny, optimizer};

macro_rules! tiny_module {
    ($(#[$doc:meta])* $name:ident, |$module:ident, $loss:ident| $log:block) => {
        $(#[$doc])*
        #[derive(burn::module::Module, Debug)]
        pub struct $name { tiny: Tiny }

        impl $name {
            /// Creates the model on a device.
            pub fn new(device: &Device) -> Self {
                Self { tiny: Tiny::new(device) }
            }
        }

        impl LightningModule for $name {
            type Batch = Batch;

            fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
                let $loss = self.tiny.loss(batch);
                let $module = self;
                $log
                Ok($loss.into())
            }

            fn configure_optimizers(&self) -> Result<Optimizers> {
                Ok(Optimizer::new(optimizer(), LR).into())
            }
        }
    };
}

tiny_module!(
    /// Logs nothing.
    Silent,
    |_module, loss| {}
);
tiny_module!(
    /// Logs the loss, as most modules do.
    Loss,
    |module, loss| {
        module.log("train_loss", &loss).prog_bar(true);
    }
);
tiny_module!(
    /// Logs ten metrics per step and per epoch.
    Ten,
    |module, loss| {
        let names = ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"];
        for name in names {
            module.log(name, &loss).on_step(true).on_epoch(true);
        }
    }
);
