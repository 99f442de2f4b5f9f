//! The hooks of the progress bar.

use std::any::Any;

use stormfire_module::{Callback, Context, Error, LightningModule, Result, Stage, StepOutput};

use super::{ProgressBar, Slot};

impl<M: LightningModule> Callback<M> for ProgressBar {
    fn rank_zero_only(&self) -> bool {
        true
    }

    fn setup(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _stage: Stage) -> Result<()> {
        self.finish_all();
        Ok(())
    }

    fn teardown(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _stage: Stage) -> Result<()> {
        self.finish_all();
        Ok(())
    }

    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        // A fit resumed in mid-epoch fires no second `on_train_epoch_start`.
        if ctx.progress().batch_in_epoch > 0 {
            self.start_epoch(ctx);
        }
        Ok(())
    }

    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.start_epoch(ctx);
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        self.advance(ctx, Slot::Train, batch_idx);
        Ok(())
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.end_epoch(ctx);
        Ok(())
    }

    fn on_train_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.end_train(ctx);
        Ok(())
    }

    fn on_validation_epoch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.pause_train(ctx);
        self.start_loader(ctx, 0);
        Ok(())
    }

    fn on_validation_batch_start(
        &mut self,
        ctx: &mut Context<'_>,
        _module: &mut M,
        _batch: &M::Batch,
        _: usize,
        loader: usize,
    ) -> Result<()> {
        self.start_eval_batch(ctx, loader);
        Ok(())
    }

    fn on_validation_batch_end(&mut self, ctx: &mut Context<'_>, _: &mut M, _: &StepOutput, batch_idx: usize, _: usize) -> Result<()> {
        self.advance(ctx, Slot::Eval, batch_idx);
        Ok(())
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.end_eval(ctx);
        Ok(())
    }

    fn on_test_epoch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.start_loader(ctx, 0);
        Ok(())
    }

    fn on_test_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, _: usize, loader: usize) -> Result<()> {
        self.start_eval_batch(ctx, loader);
        Ok(())
    }

    fn on_test_batch_end(&mut self, ctx: &mut Context<'_>, _: &mut M, _: &StepOutput, batch_idx: usize, _: usize) -> Result<()> {
        self.advance(ctx, Slot::Eval, batch_idx);
        Ok(())
    }

    fn on_test_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.end_eval(ctx);
        Ok(())
    }

    fn on_predict_epoch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.start_loader(ctx, 0);
        Ok(())
    }

    fn on_predict_batch_start(&mut self, ctx: &mut Context<'_>, _module: &mut M, _batch: &M::Batch, _: usize, loader: usize) -> Result<()> {
        self.start_eval_batch(ctx, loader);
        Ok(())
    }

    fn on_predict_batch_end(
        &mut self,
        ctx: &mut Context<'_>,
        _module: &mut M,
        _prediction: &dyn Any,
        batch_idx: usize,
        _dataloader_idx: usize,
    ) -> Result<()> {
        self.advance(ctx, Slot::Eval, batch_idx);
        Ok(())
    }

    fn on_predict_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.end_eval(ctx);
        Ok(())
    }

    fn on_exception(&mut self, ctx: &mut Context<'_>, _module: &mut M, _error: &Error) -> Result<()> {
        self.fail(ctx);
        Ok(())
    }
}
