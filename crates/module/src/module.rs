//! The one trait that a user implements: [`LightningModule`].

use std::{borrow::Cow, path::Path};

use burn::module::Module;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stormfire_checkpoint::{LoadOptions, LoadReport};
use stormfire_loggers::Loggers;

use stormfire_metrics::Loggable;
use stormfire_optim::Optimizers;

use crate::{
    context::Context,
    error::{Error, Result},
    hook::Hook,
    hooks, load,
    log::{self, Entries, Entry},
    scope,
    stepper::{StepOutput, Stepper},
};

macro_rules! hook_methods {
    ($($(#[$doc:meta])* $method:ident => $event:ident $({ $($arg:ident: $ty:ty),* })?;)*) => {$(
        $(#[$doc])*
        fn $method(&mut self, ctx: &mut Context<'_> $($(, $arg: $ty)*)?) -> Result<()> {
            let _ = (ctx, $($($arg),*)?);
            Ok(())
        }
    )*};
}

/// A burn module with everything that training it needs: the steps, the optimizers, and any hook you care for.
///
/// Only [`training_step`](Self::training_step) and [`configure_optimizers`](Self::configure_optimizers) are needed for a
/// fit; steps and hooks have Lightning's names and meanings. When they are called is written at
/// [`Event`](crate::Event). All of them return a [`Result`]: an error ends the run, and names the step or hook, the epoch
/// and the batch it came from.
///
/// ```
/// use burn::{nn::{Linear, LinearConfig, loss::{MseLoss, Reduction}}, optim::SgdConfig, prelude::*};
/// use stormfire_module::{LightningModule, Result, StepOutput};
/// use stormfire_optim::{Optimizer, Optimizers};
///
/// #[derive(Module, Debug)]
/// struct Line { layer: Linear }
///
/// impl LightningModule for Line {
///     type Batch = (Tensor<2>, Tensor<2>);
///
///     fn training_step(&self, (x, y): Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
///         let loss = MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean);
///         self.log("train_loss", &loss).prog_bar(true);
///         Ok(loss.into())
///     }
///
///     fn configure_optimizers(&self) -> Result<Optimizers> {
///         Ok(Optimizer::new(SgdConfig::new(), 0.1).into())
///     }
/// }
/// # let line = Line { layer: LinearConfig::new(1, 1).init(&Device::flex()) };
/// # let zeros = Tensor::<2>::zeros([4, 1], &Device::flex());
/// # assert!(line.training_step((zeros.clone(), zeros), 0)?.loss().is_some());
/// # Ok::<(), stormfire_module::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `LightningModule`",
    label = "a module of this type cannot be trained",
    note = "derive burn's `Module` for it, and write `impl LightningModule for {Self}` with its `Batch` and its steps"
)]
pub trait LightningModule: Module + 'static {
    /// What a loader yields and a step takes.
    type Batch: Send + 'static;

    /// The forward pass and loss of one training batch, `Ok(loss.into())`; the Trainer does the rest.
    ///
    /// The loss has one element, and its shape says nothing of how it came about: `[n, 1] - [1, n]` is `[n, n]`, which trains
    /// towards the mean of the targets. burn broadcasts without a word, so compare `dims()` where predictions meet targets; a
    /// difference can be returned as an error.
    ///
    /// # Errors
    /// Whatever is wrong with the batch; the run ends with it.
    fn training_step(&self, batch: Self::Batch, batch_idx: usize) -> Result<StepOutput> {
        let _ = (batch, batch_idx);
        scope::mark_not_implemented(Hook::TrainingStep);
        Ok(StepOutput::none())
    }

    /// What happens to one training batch. The default is automatic optimization: `training_step`, backward, clipping,
    /// and the one optimizer.
    ///
    /// Override it for manual optimization, with any number of optimizers: see [`Stepper::step`].
    ///
    /// # Errors
    /// Whatever your steps return; the run ends with it.
    fn training_batch(&mut self, batch: Self::Batch, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        let output = self.training_step(batch, batch_idx)?;
        opt.automatic(self, &output)?;
        Ok(output)
    }

    /// One validation batch. The module is in evaluation mode: no tape, no dropout.
    ///
    /// With several validation loaders, [`LightningModule::dataloader_idx`] tells which one. What it returns is for
    /// [`on_validation_batch_end`](Self::on_validation_batch_end) of module and callbacks; [`StepOutput::none`] is enough.
    ///
    /// # Errors
    /// Whatever is wrong with the batch; the run ends with it.
    fn validation_step(&self, batch: Self::Batch, batch_idx: usize) -> Result<StepOutput> {
        let _ = (batch, batch_idx);
        scope::mark_not_implemented(Hook::ValidationStep);
        Ok(StepOutput::none())
    }

    /// One test batch, as [`validation_step`](Self::validation_step).
    ///
    /// # Errors
    /// Whatever is wrong with the batch; the run ends with it.
    fn test_step(&self, batch: Self::Batch, batch_idx: usize) -> Result<StepOutput> {
        let _ = (batch, batch_idx);
        scope::mark_not_implemented(Hook::TestStep);
        Ok(StepOutput::none())
    }

    /// The optimizers, with their learning rates and schedules. Called once a fit, on the training device.
    ///
    /// # Errors
    /// [`Error::NotImplemented`] unless overridden: a fit needs it. [`Optimizers::none`] trains nothing.
    fn configure_optimizers(&self) -> Result<Optimizers> {
        Err(Error::NotImplemented {
            what: "configure_optimizers".into(),
            hint: "return `Ok(Optimizer::new(AdamConfig::new(), 1e-3).into())`, or `Ok(Optimizers::none())` to train nothing".into(),
        })
    }

    /// Hyperparameters for the loggers and checkpoints: any serializable value, through [`state::save`](crate::state::save).
    ///
    /// # Errors
    /// When the value cannot be written as JSON.
    fn hparams(&self) -> Result<Value> {
        Ok(Value::Null)
    }

    /// A module with the weights of a checkpoint: built from the hyperparameters that [`hparams`](Self::hparams) saved, as in
    /// the example at [`crate::load`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that cannot be read or holds no such hyperparameters, [`Error::Weights`] when its
    /// weights are not exactly those of the module.
    fn load_from_checkpoint<H: DeserializeOwned>(path: impl AsRef<Path>, build: impl FnOnce(H) -> Self) -> Result<Self> {
        load::from_checkpoint(path.as_ref(), build)
    }

    /// This module with the weights of a checkpoint, or with some of them: for fine-tuning. What went where is in the report.
    ///
    /// Files of other programs load, too: `model.safetensors` of Hugging Face, and `model.safetensors.index.json` of a model in
    /// shards. PyTorch lays weights out in another way than burn; [`LoadOptions::layout`] says how it is known which it is.
    /// Weights in `bf16` or `f16` become the module's own type.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that cannot be read; [`Error::Weights`], listing all that does not fit, unless the
    /// options are not strict.
    fn load_weights(self, path: impl AsRef<Path>, options: &LoadOptions) -> Result<(Self, LoadReport)> {
        load::weights(self, path.as_ref(), options)
    }

    /// The number of items in a batch, the weight of its metrics in a mean over the epoch.
    ///
    /// `None` (default) takes what the loader knows; say it yourself for batches from a plain iterator.
    fn batch_size(&self, batch: &Self::Batch) -> Option<usize> {
        let _ = batch;
        None
    }

    /// Records a value under a name: [`log`](fn@crate::log).
    fn log(&self, name: impl Into<Cow<'static, str>>, value: impl Loggable) -> Entry {
        log::log(name, value)
    }

    /// Records several values with the same options: [`log_dict`](crate::log_dict).
    fn log_dict<N: Into<Cow<'static, str>>, V: Loggable>(&self, values: impl IntoIterator<Item = (N, V)>) -> Entries {
        log::log_dict(values)
    }

    /// The loggers of the run, for what is more than a number: `self.loggers().log_image("digits", image, None)`. Without a
    /// step a value belongs to the current one. None outside of a run and on other threads than the run's.
    fn loggers(&self) -> Loggers {
        scope::loggers()
    }

    /// The 0-based number of the epoch; 0 outside of a run.
    fn current_epoch(&self) -> usize {
        scope::moment().epoch
    }

    /// Optimizer steps taken so far: training batches after which the parameters changed; 0 outside of a run.
    fn global_step(&self) -> u64 {
        scope::moment().global_step
    }

    /// How many optimizer steps the whole fit takes if nobody stops it: the length of a schedule (see [`Schedule`](stormfire_optim::Schedule)).
    /// It follows from `max_epochs`, `max_steps`, `accumulate_grad_batches` and the number of batches; `None` where these set no
    /// end, and outside of a fit.
    fn estimated_stepping_batches(&self) -> Option<u64> {
        scope::moment().fit_steps
    }

    /// The 0-based number of the evaluation loader that the batch came from.
    fn dataloader_idx(&self) -> usize {
        scope::moment().dataloader_idx
    }

    hooks!(hook_methods<'_, Self::Batch>);
}
