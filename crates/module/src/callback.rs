//! Code that watches a run and may steer it: the [`Callback`] trait.

use std::any::Any;

use burn::{optim::GradientsParams, tensor::Tensor};
use serde_json::{Map, Value};
use stormfire_data::Stage;

use crate::{
    context::Context,
    error::{Error, Result},
    event::Event,
    module::LightningModule,
    state::Saved,
    stepper::StepOutput,
};

/// When a callback is called among the others, in every event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Before the module's own hook, in the order in which they were added.
    #[default]
    Ordinary,
    /// After the module's own hook: callbacks that decide by what the others logged, in this very event.
    Watch,
    /// As [`Order::Watch`], for callbacks that save: what they know of their files is never forgotten for an older state.
    Save,
}

/// Code that runs at named points of a run, with Lightning's names.
///
/// Implement the hooks you need. State that must survive a restart goes through [`state`](Self::state) and
/// [`load_state`](Self::load_state) into every checkpoint.
///
/// ```
/// use stormfire_module::{Callback, Context, LightningModule, Result, state::{self, Saved}};
///
/// struct GoodEnough { threshold: f64, checks: u32 }
///
/// impl<M: LightningModule> Callback<M> for GoodEnough {
///     fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
///         self.checks += 1;
///         if ctx.metric("val_acc")? >= self.threshold { ctx.stop("val_acc is good enough"); }
///         Ok(())
///     }
///     fn state(&self) -> Result<Saved> { state::save(&self.checks) }
///     fn load_state(&mut self, state: Saved) -> Result<()> { state::load(&mut self.checks, state) }
/// }
/// ```
#[allow(unused_variables, reason = "the hooks do nothing unless implemented")]
pub trait Callback<M: LightningModule>: Any {
    /// The name in errors, profiles and checkpoints. Default: the type's name.
    fn name(&self) -> String {
        let path = std::any::type_name::<Self>();
        let base = path.split('<').next().unwrap_or(path);
        base.rsplit("::").next().unwrap_or(base).to_string()
    }

    /// The key of its state in a checkpoint: two callbacks with state need two keys. Default: the name.
    fn state_key(&self) -> String {
        self.name()
    }

    /// When it is called among the others.
    fn order(&self) -> Order {
        Order::Ordinary
    }

    /// What it wants to find again after a restart: plain values, and tensors by name. Default: nothing.
    ///
    /// A checkpoint holds the tensors below `callbacks/KEY/`; they leave the device together with the weights.
    ///
    /// # Errors
    /// When the state cannot be written as JSON.
    fn state(&self) -> Result<Saved> {
        Ok(Saved::default())
    }

    /// Takes back what [`state`](Self::state) gave.
    ///
    /// # Errors
    /// When the state is of another kind.
    fn load_state(&mut self, state: Saved) -> Result<()> {
        Ok(())
    }

    /// Whether it takes back the stop that it asked for before the fit was continued, because it would not ask for it with its
    /// present options. It is asked before anything is restored: a fit that a stop ended in the middle of an epoch then
    /// continues there, log files included. `saved` is its state in the checkpoint.
    ///
    /// # Errors
    /// When the state is of another kind.
    fn withdraws_stop(&self, saved: &Value) -> Result<bool> {
        Ok(false)
    }

    /// The weights that are in force in place of the trained ones, such as their average: the module of this moment with other
    /// values, or `None` (default) where the trained ones are.
    ///
    /// A fit validates with this module, and puts the trained one back, also after an error or a signal; what hooks of the validation
    /// change in it is dropped. It is asked for before each validation and with each checkpoint, and after each batch if another
    /// callback [keeps the state](Context::keep_state), so it should cost no more than handles of tensors. A checkpoint holds both;
    /// `validate`, `test`, `predict` and `load_from_checkpoint` take those in force, a fit that continues the trained ones. At
    /// most one callback of a Trainer may give some.
    ///
    /// # Errors
    /// When they cannot be made.
    fn weights(&mut self, module: &M) -> Result<Option<M>> {
        Ok(None)
    }

    /// Every event comes through here. Override it to see them all.
    ///
    /// # Errors
    /// What the hook returned.
    fn on_event(&mut self, ctx: &mut Context<'_>, module: &mut M, event: &mut Event<'_, M::Batch>) -> Result<()> {
        match event {
            Event::PrepareData => self.prepare_data(ctx, module),
            Event::Setup { stage } => self.setup(ctx, module, *stage),
            Event::Teardown { stage } => self.teardown(ctx, module, *stage),
            Event::FitStart => self.on_fit_start(ctx, module),
            Event::FitEnd => self.on_fit_end(ctx, module),
            Event::SanityCheckStart => self.on_sanity_check_start(ctx, module),
            Event::SanityCheckEnd => self.on_sanity_check_end(ctx, module),
            Event::TrainStart => self.on_train_start(ctx, module),
            Event::TrainEnd => self.on_train_end(ctx, module),
            Event::TrainEpochStart => self.on_train_epoch_start(ctx, module),
            Event::TrainEpochEnd => self.on_train_epoch_end(ctx, module),
            Event::TrainBatchStart { batch, batch_idx } => self.on_train_batch_start(ctx, module, batch, *batch_idx),
            Event::TrainBatchEnd { output, batch_idx } => self.on_train_batch_end(ctx, module, output, *batch_idx),
            Event::BeforeZeroGrad { optimizer } => self.on_before_zero_grad(ctx, module, optimizer),
            Event::BeforeBackward { loss } => self.on_before_backward(ctx, module, loss),
            Event::AfterBackward { gradients } => self.on_after_backward(ctx, module, gradients),
            Event::BeforeOptimizerStep { optimizer, gradients } => self.on_before_optimizer_step(ctx, module, optimizer, gradients),
            Event::ValidationStart => self.on_validation_start(ctx, module),
            Event::ValidationEnd => self.on_validation_end(ctx, module),
            Event::ValidationEpochStart => self.on_validation_epoch_start(ctx, module),
            Event::ValidationEpochEnd => self.on_validation_epoch_end(ctx, module),
            Event::ValidationBatchStart { batch, batch_idx, dataloader_idx } => {
                self.on_validation_batch_start(ctx, module, batch, *batch_idx, *dataloader_idx)
            }
            Event::ValidationBatchEnd { output, batch_idx, dataloader_idx } => {
                self.on_validation_batch_end(ctx, module, output, *batch_idx, *dataloader_idx)
            }
            Event::TestStart => self.on_test_start(ctx, module),
            Event::TestEnd => self.on_test_end(ctx, module),
            Event::TestEpochStart => self.on_test_epoch_start(ctx, module),
            Event::TestEpochEnd => self.on_test_epoch_end(ctx, module),
            Event::TestBatchStart { batch, batch_idx, dataloader_idx } => {
                self.on_test_batch_start(ctx, module, batch, *batch_idx, *dataloader_idx)
            }
            Event::TestBatchEnd { output, batch_idx, dataloader_idx } => {
                self.on_test_batch_end(ctx, module, output, *batch_idx, *dataloader_idx)
            }
            Event::PredictStart => self.on_predict_start(ctx, module),
            Event::PredictEnd => self.on_predict_end(ctx, module),
            Event::PredictEpochStart => self.on_predict_epoch_start(ctx, module),
            Event::PredictEpochEnd => self.on_predict_epoch_end(ctx, module),
            Event::PredictBatchStart { batch, batch_idx, dataloader_idx } => {
                self.on_predict_batch_start(ctx, module, batch, *batch_idx, *dataloader_idx)
            }
            Event::PredictBatchEnd { prediction, batch_idx, dataloader_idx } => {
                self.on_predict_batch_end(ctx, module, *prediction, *batch_idx, *dataloader_idx)
            }
            Event::SaveCheckpoint { checkpoint } => self.on_save_checkpoint(ctx, module, checkpoint),
            Event::LoadCheckpoint { checkpoint } => self.on_load_checkpoint(ctx, module, checkpoint),
            Event::Exception { error } => self.on_exception(ctx, module, error),
        }
    }

    /// Before anything else, once a machine: download or write data.
    fn prepare_data(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A run of some stage begins, before the optimizers are configured.
    fn setup(&mut self, ctx: &mut Context<'_>, module: &mut M, stage: Stage) -> Result<()> {
        Ok(())
    }

    /// A run of some stage is over, also after an error.
    fn teardown(&mut self, ctx: &mut Context<'_>, module: &mut M, stage: Stage) -> Result<()> {
        Ok(())
    }

    /// The fit begins: optimizers are there, the sanity check comes next.
    fn on_fit_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// The fit is over.
    fn on_fit_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// The sanity check begins.
    fn on_sanity_check_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// The sanity check is over; its metrics are forgotten.
    fn on_sanity_check_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// Training begins, after the sanity check.
    fn on_train_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// Training is over.
    fn on_train_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A training epoch begins.
    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A training epoch is over. What is logged here is part of the epoch's metrics.
    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A training batch begins; [`Context::skip_epoch`] leaves it and the rest of the epoch out.
    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, module: &mut M, batch: &M::Batch, batch_idx: usize) -> Result<()> {
        Ok(())
    }

    /// A training batch is over: what the step returned, its loss detached. The batch itself was given to the step.
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut M, output: &StepOutput, batch_idx: usize) -> Result<()> {
        Ok(())
    }

    /// A new window of gradients begins (automatic optimization).
    fn on_before_zero_grad(&mut self, ctx: &mut Context<'_>, module: &mut M, optimizer: &str) -> Result<()> {
        Ok(())
    }

    /// The loss is known as the step returned it, its gradients are not.
    fn on_before_backward(&mut self, ctx: &mut Context<'_>, module: &mut M, loss: &Tensor<1>) -> Result<()> {
        Ok(())
    }

    /// The gradients of this loss are known: neither clipped, nor accumulated, nor divided by a weight yet.
    fn on_after_backward(&mut self, ctx: &mut Context<'_>, module: &mut M, gradients: &mut GradientsParams) -> Result<()> {
        Ok(())
    }

    /// An optimizer is about to step with these gradients, the mean of their window; clipping comes after.
    fn on_before_optimizer_step(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        optimizer: &str,
        gradients: &mut GradientsParams,
    ) -> Result<()> {
        Ok(())
    }

    /// Validation begins.
    fn on_validation_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// Validation is over and its metrics are known.
    fn on_validation_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A pass over the validation loaders begins.
    fn on_validation_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A pass over the validation loaders is over. What is logged here is part of its metrics.
    fn on_validation_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A validation batch begins.
    fn on_validation_batch_start(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        batch: &M::Batch,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        Ok(())
    }

    /// A validation batch is over: what the step returned.
    fn on_validation_batch_end(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        output: &StepOutput,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        Ok(())
    }

    /// Test begins.
    fn on_test_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// Test is over and its metrics are known.
    fn on_test_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A pass over the test loaders begins.
    fn on_test_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A pass over the test loaders is over. What is logged here is part of its metrics.
    fn on_test_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A test batch begins.
    fn on_test_batch_start(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        batch: &M::Batch,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        Ok(())
    }

    /// A test batch is over: what the step returned.
    fn on_test_batch_end(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        output: &StepOutput,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        Ok(())
    }

    /// Prediction begins.
    fn on_predict_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// Prediction is over.
    fn on_predict_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A pass over the predict loaders begins.
    fn on_predict_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A pass over the predict loaders is over.
    fn on_predict_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        Ok(())
    }

    /// A predict batch begins.
    fn on_predict_batch_start(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        batch: &M::Batch,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        Ok(())
    }

    /// A predict batch is over: what the step returned (downcast it to the module's `Prediction`).
    fn on_predict_batch_end(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        prediction: &dyn Any,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        Ok(())
    }

    /// A checkpoint is about to be written: add what you need to its JSON.
    fn on_save_checkpoint(&mut self, ctx: &mut Context<'_>, module: &mut M, checkpoint: &mut Map<String, Value>) -> Result<()> {
        Ok(())
    }

    /// A checkpoint was read: take what you added.
    fn on_load_checkpoint(&mut self, ctx: &mut Context<'_>, module: &mut M, checkpoint: &Map<String, Value>) -> Result<()> {
        Ok(())
    }

    /// The run failed or was interrupted.
    fn on_exception(&mut self, ctx: &mut Context<'_>, module: &mut M, error: &Error) -> Result<()> {
        Ok(())
    }
}
