//! The module's own hooks, as one more callback in the list.

use std::any::Any;

use burn::{optim::GradientsParams, tensor::Tensor};
use serde_json::{Map, Value};
use stormfire_data::Stage;

use crate::{
    callback::Callback,
    context::Context,
    error::{Error, Result},
    module::LightningModule,
    stepper::StepOutput,
};

/// Calls the module's hooks. It stands between the ordinary callbacks and those that save, and that is the whole order.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModuleHooks;

impl<M: LightningModule> Callback<M> for ModuleHooks {
    fn name(&self) -> String {
        let path = std::any::type_name::<M>();
        path.rsplit("::").next().unwrap_or(path).to_string()
    }

    fn prepare_data(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.prepare_data(ctx)
    }

    fn setup(&mut self, ctx: &mut Context<'_>, module: &mut M, stage: Stage) -> Result<()> {
        module.setup(ctx, stage)
    }

    fn teardown(&mut self, ctx: &mut Context<'_>, module: &mut M, stage: Stage) -> Result<()> {
        module.teardown(ctx, stage)
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_fit_start(ctx)
    }

    fn on_fit_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_fit_end(ctx)
    }

    fn on_sanity_check_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_sanity_check_start(ctx)
    }

    fn on_sanity_check_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_sanity_check_end(ctx)
    }

    fn on_train_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_train_start(ctx)
    }

    fn on_train_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_train_end(ctx)
    }

    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_train_epoch_start(ctx)
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_train_epoch_end(ctx)
    }

    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, module: &mut M, batch: &M::Batch, batch_idx: usize) -> Result<()> {
        module.on_train_batch_start(ctx, batch, batch_idx)
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut M, output: &StepOutput, batch_idx: usize) -> Result<()> {
        module.on_train_batch_end(ctx, output, batch_idx)
    }

    fn on_before_zero_grad(&mut self, ctx: &mut Context<'_>, module: &mut M, optimizer: &str) -> Result<()> {
        module.on_before_zero_grad(ctx, optimizer)
    }

    fn on_before_backward(&mut self, ctx: &mut Context<'_>, module: &mut M, loss: &Tensor<1>) -> Result<()> {
        module.on_before_backward(ctx, loss)
    }

    fn on_after_backward(&mut self, ctx: &mut Context<'_>, module: &mut M, gradients: &mut GradientsParams) -> Result<()> {
        module.on_after_backward(ctx, gradients)
    }

    fn on_before_optimizer_step(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        optimizer: &str,
        gradients: &mut GradientsParams,
    ) -> Result<()> {
        module.on_before_optimizer_step(ctx, optimizer, gradients)
    }

    fn on_validation_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_validation_start(ctx)
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_validation_end(ctx)
    }

    fn on_validation_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_validation_epoch_start(ctx)
    }

    fn on_validation_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_validation_epoch_end(ctx)
    }

    fn on_validation_batch_start(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        batch: &M::Batch,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        module.on_validation_batch_start(ctx, batch, batch_idx, dataloader_idx)
    }

    fn on_validation_batch_end(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        output: &StepOutput,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        module.on_validation_batch_end(ctx, output, batch_idx, dataloader_idx)
    }

    fn on_test_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_test_start(ctx)
    }

    fn on_test_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_test_end(ctx)
    }

    fn on_test_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_test_epoch_start(ctx)
    }

    fn on_test_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_test_epoch_end(ctx)
    }

    fn on_test_batch_start(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        batch: &M::Batch,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        module.on_test_batch_start(ctx, batch, batch_idx, dataloader_idx)
    }

    fn on_test_batch_end(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        output: &StepOutput,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        module.on_test_batch_end(ctx, output, batch_idx, dataloader_idx)
    }

    fn on_predict_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_predict_start(ctx)
    }

    fn on_predict_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_predict_end(ctx)
    }

    fn on_predict_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_predict_epoch_start(ctx)
    }

    fn on_predict_epoch_end(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        module.on_predict_epoch_end(ctx)
    }

    fn on_predict_batch_start(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        batch: &M::Batch,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        module.on_predict_batch_start(ctx, batch, batch_idx, dataloader_idx)
    }

    fn on_predict_batch_end(
        &mut self,
        ctx: &mut Context<'_>,
        module: &mut M,
        prediction: &dyn Any,
        batch_idx: usize,
        dataloader_idx: usize,
    ) -> Result<()> {
        module.on_predict_batch_end(ctx, prediction, batch_idx, dataloader_idx)
    }

    fn on_save_checkpoint(&mut self, ctx: &mut Context<'_>, module: &mut M, checkpoint: &mut Map<String, Value>) -> Result<()> {
        module.on_save_checkpoint(ctx, checkpoint)
    }

    fn on_load_checkpoint(&mut self, ctx: &mut Context<'_>, module: &mut M, checkpoint: &Map<String, Value>) -> Result<()> {
        module.on_load_checkpoint(ctx, checkpoint)
    }

    fn on_exception(&mut self, ctx: &mut Context<'_>, module: &mut M, error: &Error) -> Result<()> {
        module.on_exception(ctx, error)
    }
}
