//! A callback made of closures.

use std::{any::Any, fmt};

use burn::{optim::GradientsParams, tensor::Tensor};
use serde_json::{Map, Value};
use stormfire_module::{Callback, Context, Error, LightningModule, Order, Result, Stage, StepOutput};

macro_rules! lambda_callback {
    ($($(#[$doc:meta])* $hook:ident($($arg:ident: $ty:ty),*);)*) => {
        /// A callback made of closures, for a few lines that do not need a separate type.
        ///
        /// Each setter has the name of a hook and takes a closure for it. Several closures for one hook run in the
        /// given order, up to the first error. The callback has no state in checkpoints.
        ///
        /// ```
        /// use stormfire_callbacks::LambdaCallback;
        /// # use stormfire_module::{Context, LightningModule};
        /// # use burn::{module::Module, nn::Linear, tensor::Tensor};
        /// # #[derive(Module, Debug)]
        /// # struct Net { layer: Linear }
        /// # impl LightningModule for Net { type Batch = Tensor<2>; }
        ///
        /// let callback: LambdaCallback<Net> = LambdaCallback::new()
        ///     .on_train_start(|ctx, _module| {
        ///         ctx.log("started", 1.0);
        ///         Ok(())
        ///     })
        ///     .on_train_epoch_end(|ctx, _module| {
        ///         if ctx.metric("val_acc")? > 0.99 {
        ///             ctx.stop("val_acc is good enough");
        ///         }
        ///         Ok(())
        ///     });
        /// ```
        pub struct LambdaCallback<M: LightningModule> {
            name: String,
            order: Order,
            $($hook: Vec<Box<dyn FnMut(&mut Context<'_>, &mut M $(, $ty)*) -> Result<()>>>,)*
        }

        impl<M: LightningModule> LambdaCallback<M> {
            /// A callback without closures, which does nothing.
            pub fn new() -> Self {
                Self { name: "LambdaCallback".into(), order: Order::Ordinary, $($hook: Vec::new(),)* }
            }

            /// The name in errors and profiles. Default: `LambdaCallback`.
            pub fn named(mut self, name: impl Into<String>) -> Self {
                self.name = name.into();
                self
            }

            /// The order of this callback among the others. Default: [`Order::Ordinary`].
            pub fn in_order(mut self, order: Order) -> Self {
                self.order = order;
                self
            }

            $($(#[$doc])*
            pub fn $hook(mut self, code: impl FnMut(&mut Context<'_>, &mut M $(, $ty)*) -> Result<()> + 'static) -> Self {
                self.$hook.push(Box::new(code));
                self
            })*

            /// The number of closures of each hook that has any.
            fn used(&self) -> Vec<(&'static str, usize)> {
                [$((stringify!($hook), self.$hook.len()),)*].into_iter().filter(|(_, count)| *count > 0).collect()
            }
        }

        impl<M: LightningModule> Callback<M> for LambdaCallback<M> {
            fn name(&self) -> String {
                self.name.clone()
            }

            fn order(&self) -> Order {
                self.order
            }

            $(fn $hook(&mut self, ctx: &mut Context<'_>, module: &mut M $(, $arg: $ty)*) -> Result<()> {
                for code in &mut self.$hook {
                    code(ctx, module $(, $arg)*)?;
                }
                Ok(())
            })*
        }
    };
}

lambda_callback! {
    /// Runs before anything else, once a machine.
    prepare_data();
    /// Runs when a stage starts, before the optimizers are configured.
    setup(stage: Stage);
    /// Runs when a stage ends, also after an error.
    teardown(stage: Stage);
    /// Runs when the fit starts.
    on_fit_start();
    /// Runs when the fit ends.
    on_fit_end();
    /// Runs when the sanity check starts.
    on_sanity_check_start();
    /// Runs when the sanity check ends.
    on_sanity_check_end();
    /// Runs when training starts.
    on_train_start();
    /// Runs when training ends.
    on_train_end();
    /// Runs when a training epoch starts.
    on_train_epoch_start();
    /// Runs when a training epoch ends.
    on_train_epoch_end();
    /// Runs when a training batch starts: the batch, and its 0-based number in the epoch.
    on_train_batch_start(batch: &M::Batch, batch_idx: usize);
    /// Runs when a training batch ends: what the step returned, and the batch's number.
    on_train_batch_end(output: &StepOutput, batch_idx: usize);
    /// Runs when a new window of gradients starts: the optimizer's name.
    on_before_zero_grad(optimizer: &str);
    /// Runs before the gradients are computed: the loss, shape `[1]`.
    on_before_backward(loss: &Tensor<1>);
    /// Runs when the gradients of a batch are known.
    on_after_backward(gradients: &mut GradientsParams);
    /// Runs before an optimizer steps: its name and the gradients, not clipped yet.
    on_before_optimizer_step(optimizer: &str, gradients: &mut GradientsParams);
    /// Runs when validation starts.
    on_validation_start();
    /// Runs when validation ends and its metrics are known.
    on_validation_end();
    /// Runs when a pass over the validation loaders starts.
    on_validation_epoch_start();
    /// Runs when a pass over the validation loaders ends.
    on_validation_epoch_end();
    /// Runs when a validation batch starts: the batch, its number, and the loader's.
    on_validation_batch_start(batch: &M::Batch, batch_idx: usize, dataloader_idx: usize);
    /// Runs when a validation batch ends: what the step returned, the batch's number, and the loader's.
    on_validation_batch_end(output: &StepOutput, batch_idx: usize, dataloader_idx: usize);
    /// Runs when a test starts.
    on_test_start();
    /// Runs when a test ends and its metrics are known.
    on_test_end();
    /// Runs when a pass over the test loaders starts.
    on_test_epoch_start();
    /// Runs when a pass over the test loaders ends.
    on_test_epoch_end();
    /// Runs when a test batch starts: the batch, its number, and the loader's.
    on_test_batch_start(batch: &M::Batch, batch_idx: usize, dataloader_idx: usize);
    /// Runs when a test batch ends: what the step returned, the batch's number, and the loader's.
    on_test_batch_end(output: &StepOutput, batch_idx: usize, dataloader_idx: usize);
    /// Runs when prediction starts.
    on_predict_start();
    /// Runs when prediction ends.
    on_predict_end();
    /// Runs when a pass over the predict loaders starts.
    on_predict_epoch_start();
    /// Runs when a pass over the predict loaders ends.
    on_predict_epoch_end();
    /// Runs when a predict batch starts: the batch, its number, and the loader's.
    on_predict_batch_start(batch: &M::Batch, batch_idx: usize, dataloader_idx: usize);
    /// Runs when a predict batch ends: the prediction (downcast it), the batch's number, and the loader's.
    on_predict_batch_end(prediction: &dyn Any, batch_idx: usize, dataloader_idx: usize);
    /// Runs before a checkpoint is written: its JSON, to add to.
    on_save_checkpoint(checkpoint: &mut Map<String, Value>);
    /// Runs when a checkpoint was read: its JSON.
    on_load_checkpoint(checkpoint: &Map<String, Value>);
    /// Runs when the run failed or was interrupted.
    on_exception(error: &Error);
}

impl<M: LightningModule> Default for LambdaCallback<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: LightningModule> fmt::Debug for LambdaCallback<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LambdaCallback")
            .field("name", &self.name)
            .field("order", &self.order)
            .field("hooks", &self.used())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
