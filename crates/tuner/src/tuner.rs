//! The [`Tuner`].

use stormfire_data::DataModule;
use stormfire_module::{LightningModule, Result, for_trainer::OuterRun};
use stormfire_trainer::Trainer;

use crate::{
    batch_size::{self, ScaleBatchSize},
    lr_find::{self, LrCurve, LrFind},
};

/// Finds a learning rate or a batch size for a [`Trainer`].
///
/// Both methods train copies of the module with a Trainer of the same options, but without callbacks, loggers and
/// files. The Trainer, the module and the data stay as they are: a fit after it equals a fit without it bit for bit.
/// With [`seed`](Trainer::seed), that is so on the CPU for any order of calls. Without it, the fit must come next,
/// because burn's generator cannot be set back.
#[derive(Debug)]
pub struct Tuner<'a, M: LightningModule> {
    trainer: &'a mut Trainer<M>,
}

impl<'a, M: LightningModule> Tuner<'a, M> {
    /// A tuner for this Trainer.
    pub fn new(trainer: &'a mut Trainer<M>) -> Self {
        Self { trainer }
    }

    /// Trains with a growing learning rate and notes the loss of each step.
    ///
    /// `data` is a clone of the loaders, or a data module: its state is restored afterwards. Batches are those of the
    /// first epochs of the fit. Gradient accumulation, clipping, precision and `devices` are those of the Trainer. Its
    /// callbacks are not called: freeze layers before. On several ranks, call it on all of them.
    ///
    /// # Errors
    /// * invalid options, and too few points for a suggestion
    /// * several optimizers, without [`LrFind::optimizer`]
    /// * a loader with a single pass
    /// * an error or a panic of a step
    /// * [`Error::Interrupted`](stormfire_module::Error::Interrupted) after a signal
    pub fn lr_find<D: DataModule<Batch = M::Batch>>(&mut self, module: &M, data: D, options: &LrFind) -> Result<LrCurve> {
        let _outer = OuterRun::set_aside().with_its_random_numbers();
        lr_find::run(self.trainer, module, data, options)
    }

    /// The largest batch size with which training and validation steps succeed. `data` makes loaders of a batch size.
    ///
    /// An error or a panic of a step, such as one of the device for lack of memory, makes a trial fail. If the whole
    /// process ends instead, run the trials in [child processes](ScaleBatchSize::in_child_process).
    ///
    /// # Errors
    /// * invalid options
    /// * no batch size works
    /// * `data` ignores its argument
    /// * several ranks
    /// * [`Error::Interrupted`](stormfire_module::Error::Interrupted) after a signal
    pub fn scale_batch_size<D: DataModule<Batch = M::Batch>>(
        &mut self,
        module: &M,
        data: impl Fn(usize) -> Result<D>,
        options: &ScaleBatchSize,
    ) -> Result<usize> {
        let _outer = OuterRun::set_aside().with_its_random_numbers();
        batch_size::run(self.trainer, module, data, options)
    }
}
