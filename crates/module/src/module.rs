//! The trait that a user implements: [`LightningModule`].

use std::{
    borrow::Cow,
    fmt::Display,
    path::{Path, PathBuf},
};

use burn::module::Module;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stormfire_checkpoint::{ExportOptions, LoadOptions, LoadReport};
use stormfire_loggers::Loggers;

use stormfire_metrics::Loggable;
use stormfire_optim::Optimizers;

use crate::{
    context::Context,
    defaults,
    error::{Error, Result},
    hook::Hook,
    hooks, load,
    log::{self, Entries, Entry},
    print, scope,
    step_output::StepOutput,
    stepper::Stepper,
};

macro_rules! hook_methods {
    ($($(#[$doc:meta])* $method:ident => $event:ident $({ $($arg:ident: $ty:ty),* })?;)*) => {$(
        $(#[$doc])*
        fn $method(&mut self, ctx: &mut Context<'_> $($(, $arg: $ty)*)?) -> Result<()> {
            let _ = (ctx, $($($arg),*)?);
            defaults::ran_hook::<Self>(Hook::$event);
            Ok(())
        }
    )*};
}

/// A burn module with everything needed for its training: the steps, the optimizers, and optional hooks.
///
/// A fit requires only [`training_step`](Self::training_step) and [`configure_optimizers`](Self::configure_optimizers).
/// Steps and hooks have Lightning's names and meanings. [`Event`](crate::Event) documents the order of their calls. All
/// of them return a [`Result`]: an error ends the run. Its message contains the step or hook, the epoch and the batch.
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
///
#[doc = include_str!("../docs/lightning_module.md")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `LightningModule`",
    label = "a module of this type cannot be trained",
    note = "derive burn's `Module` for it, and write `impl LightningModule for {Self}` with its `Batch` and its steps"
)]
pub trait LightningModule: Module + 'static {
    /// The type that a loader yields and a step takes.
    type Batch: Send + 'static;

    /// The forward pass and loss of one training batch, as `Ok(loss.into())`. The Trainer does the rest.
    ///
    /// The loss has one element, so its shape does not reveal mistakes before the reduction: `[n, 1] - [1, n]` is `[n,
    /// n]`, which trains towards the mean of the targets. burn broadcasts silently. Compare the `dims()` of predictions
    /// and targets, and return an error if they differ.
    ///
    /// # Errors
    /// Any error of the batch. It ends the run.
    fn training_step(&self, batch: Self::Batch, batch_idx: usize) -> Result<StepOutput> {
        let _ = (batch, batch_idx);
        scope::mark_not_implemented(Hook::TrainingStep);
        Ok(StepOutput::none())
    }

    /// The processing of one training batch. The default is automatic optimization: `training_step`, backward,
    /// clipping, and a step of the only optimizer.
    ///
    /// Override it for manual optimization, with any number of optimizers: see [`Stepper::step`].
    ///
    /// # Errors
    /// Any error of your steps. It ends the run.
    fn training_batch(&mut self, batch: Self::Batch, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        opt.default_batch(self, batch, move |module, batch| module.training_step(batch, batch_idx))
    }

    /// One validation batch. The module is in evaluation mode: no autodiff, no dropout.
    ///
    /// With several validation loaders, [`LightningModule::dataloader_idx`] returns the current one. The result is
    /// passed to [`on_validation_batch_end`](Self::on_validation_batch_end) of module and callbacks.
    /// [`StepOutput::none`] suffices.
    ///
    /// # Errors
    /// Any error of the batch. It ends the run.
    fn validation_step(&self, batch: Self::Batch, batch_idx: usize) -> Result<StepOutput> {
        let _ = (batch, batch_idx);
        scope::mark_not_implemented(Hook::ValidationStep);
        Ok(StepOutput::none())
    }

    /// One test batch, as [`validation_step`](Self::validation_step).
    ///
    /// # Errors
    /// Any error of the batch. It ends the run.
    fn test_step(&self, batch: Self::Batch, batch_idx: usize) -> Result<StepOutput> {
        let _ = (batch, batch_idx);
        scope::mark_not_implemented(Hook::TestStep);
        Ok(StepOutput::none())
    }

    /// The optimizers, with their learning rates and schedules. Called once per fit, on the training device.
    ///
    /// # Errors
    /// [`Error::NotImplemented`] by default, because a fit needs optimizers. [`Optimizers::none`] trains nothing.
    fn configure_optimizers(&self) -> Result<Optimizers> {
        Err(Error::NotImplemented {
            what: "configure_optimizers".into(),
            hint: "return `Ok(Optimizer::new(AdamConfig::new(), 1e-3).into())`, or `Ok(Optimizers::none())` to train nothing".into(),
        })
    }

    /// Hyperparameters for the loggers and checkpoints: any serializable value, converted by
    /// [`state::save`](crate::state::save). By default there are none. In a program with a command line, the options of
    /// the model then take their place.
    ///
    /// # Errors
    /// If the value cannot be written as JSON.
    fn hparams(&self) -> Result<Value> {
        Ok(Value::Null)
    }

    /// A module with the weights of a checkpoint. `build` creates it from the hyperparameters that
    /// [`hparams`](Self::hparams) saved, as in the example at [`crate::load`].
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that cannot be read or has no matching hyperparameters. [`Error::WeightsOf`]
    /// if its weights do not match the module exactly.
    fn load_from_checkpoint<H: DeserializeOwned>(path: impl AsRef<Path>, build: impl FnOnce(H) -> Self) -> Result<Self> {
        load::from_checkpoint(path.as_ref(), build)
    }

    /// This module with all or some of the weights of a file, for fine-tuning. The report lists the loaded parameters.
    ///
    /// The file may be a checkpoint, or of another program: a safetensors file, one of `torch.save` or Lightning (cargo
    /// feature `pytorch`), or a folder of Hugging Face with weights in one file or in shards with an index:
    /// [`WeightsFile::read`](stormfire_checkpoint::WeightsFile::read). The layouts of PyTorch and burn differ.
    /// [`LoadOptions::layout`] explains how the layout is detected. Numbers are cast to the module's own dtypes, and
    /// the report lists the casts. Apart from the module's parameters, one tensor of the file is in memory at a time.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] for a file that cannot be read. [`Error::WeightsOf`] with all mismatches, unless the
    /// options are not strict.
    fn load_weights(self, path: impl AsRef<Path>, options: &LoadOptions) -> Result<(Self, LoadReport)> {
        load::weights(self, path.as_ref(), options)
    }

    /// Writes all or some of the weights into a safetensors file for PyTorch and the programs of Hugging Face:
    /// [`export`](fn@stormfire_checkpoint::export). Returns the paths of the written files.
    ///
    /// # Errors
    /// [`Error::CheckpointFile`] for a file that cannot be written. [`Error::Weights`] for weights that other programs
    /// cannot read.
    fn export_weights(&self, path: impl AsRef<Path>, options: &ExportOptions) -> Result<Vec<PathBuf>> {
        load::export_weights(self, path.as_ref(), options)
    }

    /// The number of items in a batch: the weight of its metrics in a mean over the epoch.
    ///
    /// `None` (default) uses the size from the loader. Implement it for batches from a plain iterator.
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

    /// Prints a line on stdout, above the progress bars: `self.print(format!("{loss:.3}"))`. A line of `println!` is
    /// overwritten by a bar on a terminal.
    ///
    /// Only rank 0 prints, and of threads that share a batch (`Trainer::devices`) the one with its first part. With
    /// several runs in the process, the line starts with the name of its run. Outside of a run, it is a line of
    /// `println!`.
    fn print(&self, line: impl Display) {
        print::line(self.global_rank(), &line);
    }

    /// The loggers of the run, for values other than numbers: `self.loggers().log_image("digits", image, None)`.
    /// Without a step, a value belongs to the current step. Empty outside of a run and on threads other than the run's.
    fn loggers(&self) -> Loggers {
        scope::loggers()
    }

    /// The 0-based number of the epoch. 0 outside of a run.
    fn current_epoch(&self) -> usize {
        scope::moment().epoch
    }

    /// Number of optimizer steps so far: training batches after which the parameters changed. 0 outside of a run.
    fn global_step(&self) -> u64 {
        scope::moment().global_step
    }

    /// Optimizer steps in a full fit: the length of a schedule (see [`Schedule`](stormfire_optim::Schedule)). It is
    /// computed from `max_epochs`, `max_steps`, `accumulate_grad_batches` and the number of batches. `None` if these
    /// set no limit, and outside of a fit.
    fn estimated_stepping_batches(&self) -> Option<u64> {
        scope::moment().fit_steps
    }

    /// The number of this rank: the process among those that train together, from 0. 0 outside of a run, and without
    /// other ranks.
    fn global_rank(&self) -> usize {
        scope::moment().rank
    }

    /// Number of ranks: the processes that train together. 1 outside of a run. Threads that share a batch
    /// (`Trainer::devices` on the CPU) are one rank.
    fn world_size(&self) -> usize {
        scope::moment().world.max(1)
    }

    /// Whether this is rank 0, which writes the logs and checkpoints.
    fn is_global_zero(&self) -> bool {
        self.global_rank() == 0
    }

    /// The 0-based number of the current evaluation loader.
    fn dataloader_idx(&self) -> usize {
        scope::moment().dataloader_idx
    }

    hooks!(hook_methods<'_, Self::Batch>);
}
