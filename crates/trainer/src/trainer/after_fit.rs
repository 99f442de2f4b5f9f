//! Operations on a completed fit: saving it, or training further.

use std::path::PathBuf;

use stormfire_data::DataModule;
use stormfire_module::{Error, LightningModule, Result, for_trainer::OuterRun, requests::SaveRequest};

use super::{Fit, Trainer, inside_another_run, on_all_ranks};
use crate::session::Start;

impl<M: LightningModule> Trainer<M> {
    /// Continues the newest fit, with the module that it returned, up to new limits: call `trainer.set_max_epochs(20)`
    /// before.
    ///
    /// Optimizers, schedules, callbacks, metrics, the position in the data, random numbers and logs have the state at
    /// the end of that fit. On the CPU both fits together equal one longer fit bit for bit. The effect is that of
    /// resuming from a checkpoint of its end, without a file. If the fit had to end within an epoch, the logs are
    /// rolled back to that point. This also removes the values that a `test` or `validate` has logged since.
    ///
    /// # Errors
    /// As [`Trainer::fit`], and [`Error::Config`] if no fit of this Trainer has completed.
    pub fn fit_further<D: DataModule<Batch = M::Batch>>(&mut self, module: M, data: D) -> Result<Fit<M>> {
        on_all_ranks(|| {
            let _outer = inside_another_run()?;
            let hint = "call `Trainer::fit` first";
            let session = self.session.as_mut().ok_or_else(|| Error::config("fit_further", "there was no fit yet", hint))?;
            self.config.check()?;
            let start = Start { drawn_seed: None, new_rates: self.new_rates.clone() };
            let mut resume = session.newest_fit(&module)?;
            session.take_up_epoch(&mut resume)?;
            session.begin_new_logs(Some(&resume))?;
            session.fit(module, data, Some(resume), start)
        })
    }

    /// The module that the newest fit has returned, with the weights in force: those of a callback such as an average,
    /// in evaluation mode. Without such a callback, and for another module, its own weights.
    ///
    /// [`validate`](Self::validate), [`test`](Self::test) and [`predict`](Self::predict) use them for that module.
    ///
    /// # Errors
    /// If the callback fails, or the device.
    pub fn weights_in_force(&mut self, module: &M) -> Result<M> {
        let in_force = self.session.as_mut().map_or(Ok(None), |session| session.in_force(module))?;
        Ok(in_force.unwrap_or_else(|| module.valid()))
    }

    /// As [`max_epochs`](Self::max_epochs), for later runs of a Trainer that has already run.
    pub fn set_max_epochs(&mut self, epochs: usize) {
        self.config.max_epochs = Some(epochs);
        self.apply_limits();
    }

    /// As [`max_steps`](Self::max_steps), for later runs of a Trainer that has already run.
    pub fn set_max_steps(&mut self, steps: u64) {
        self.config.max_steps = Some(steps);
        self.apply_limits();
    }

    /// Later fits train with this learning rate in place of that of `configure_optimizers`. `optimizer` is the name of
    /// an optimizer, or `None` for the only one.
    ///
    /// All rates of the optimizer are multiplied by the same factor. So parameter groups keep their proportions, and a
    /// schedule keeps its shape: its highest rate in the fit becomes `rate`. A fit that does not know its length
    /// compares the first 100,000 rates of a schedule. Checkpoints do not contain the factor: a resumed fit needs the
    /// same call.
    pub fn set_learning_rate<'a>(&mut self, optimizer: impl Into<Option<&'a str>>, rate: f64) {
        self.new_rates.set(optimizer.into().map(String::from), rate);
    }

    fn apply_limits(&mut self) {
        if let Some(session) = &mut self.session {
            session.set_limits(self.config.max_epochs, self.config.max_steps);
        }
    }

    /// Writes the state at the end of the newest fit, with the module that it returned, and waits until it is durable.
    /// In a hook, use [`Context::save_checkpoint`](stormfire_module::Context::save_checkpoint) instead.
    ///
    /// # Errors
    /// * [`Error::Config`] before the first fit.
    /// * An error for a file that cannot be written.
    /// * [`Error::NonFinite`] with `on_non_finite` at `"error"` or `"stop"`. Then nothing is written.
    pub fn save_checkpoint(&mut self, module: &M, path: impl Into<PathBuf>) -> Result<()> {
        self.save(module, SaveRequest { path: path.into(), ..SaveRequest::default() })
    }

    /// As [`save_checkpoint`](Self::save_checkpoint), for the weights alone. A fit cannot resume from such a file.
    ///
    /// # Errors
    /// As [`save_checkpoint`](Self::save_checkpoint).
    pub fn save_weights(&mut self, module: &M, path: impl Into<PathBuf>) -> Result<()> {
        self.save(module, SaveRequest { path: path.into(), weights_only: true, ..SaveRequest::default() })
    }

    fn save(&mut self, module: &M, request: SaveRequest) -> Result<()> {
        let _outer = OuterRun::set_aside();
        match &mut self.session {
            Some(session) => session.save_checkpoint(module, request),
            None => Err(Error::config("save_checkpoint", "there was no fit yet", "call it after `Trainer::fit`, or use `ModelCheckpoint`")),
        }
    }
}
