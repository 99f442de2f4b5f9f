//! A callback made of closures.

use std::fmt;

use stormfire_module::{Callback, Context, Event, LightningModule, Order, Result, callback::call_hook, hooks};

type EveryEvent<M> = dyn FnMut(&mut Context<'_>, &mut M, &mut Event<'_, <M as LightningModule>::Batch>) -> Result<()>;

macro_rules! lambda_callback {
    ($($(#[$doc:meta])* $hook:ident => $event:ident $({ $($arg:ident: $ty:ty),* })?;)*) => {
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
        ///     })
        ///     .on_event(|ctx, _module, event| {
        ///         ctx.print(event.hook());
        ///         Ok(())
        ///     });
        /// ```
        pub struct LambdaCallback<M: LightningModule> {
            name: String,
            order: Order,
            on_event: Vec<Box<EveryEvent<M>>>,
            $($hook: Vec<Box<dyn FnMut(&mut Context<'_>, &mut M $($(, $ty)*)?) -> Result<()>>>,)*
        }

        impl<M: LightningModule> LambdaCallback<M> {
            /// A callback without closures, which does nothing.
            pub fn new() -> Self {
                Self { name: "LambdaCallback".into(), order: Order::Ordinary, on_event: Vec::new(), $($hook: Vec::new(),)* }
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

            /// Every event. Its closures run before those of the event's own hook, which are left out if one of these
            /// fails.
            ///
            /// The closure gets `ctx`, `module`, `event`.
            pub fn on_event(
                mut self,
                code: impl FnMut(&mut Context<'_>, &mut M, &mut Event<'_, M::Batch>) -> Result<()> + 'static,
            ) -> Self {
                self.on_event.push(Box::new(code));
                self
            }

            $($(#[$doc])*
            #[doc = concat!("\n\nThe closure gets `ctx`, `module`" $($(, ", `", stringify!($arg), "`")*)?, ".")]
            pub fn $hook(mut self, code: impl FnMut(&mut Context<'_>, &mut M $($(, $ty)*)?) -> Result<()> + 'static) -> Self {
                self.$hook.push(Box::new(code));
                self
            })*

            /// The number of closures of each hook that has any.
            fn used(&self) -> Vec<(&'static str, usize)> {
                let all = [("on_event", self.on_event.len()), $((stringify!($hook), self.$hook.len()),)*];
                all.into_iter().filter(|(_, count)| *count > 0).collect()
            }
        }

        impl<M: LightningModule> Callback<M> for LambdaCallback<M> {
            fn name(&self) -> String {
                self.name.clone()
            }

            fn order(&self) -> Order {
                self.order
            }

            fn on_event(&mut self, ctx: &mut Context<'_>, module: &mut M, event: &mut Event<'_, M::Batch>) -> Result<()> {
                for code in &mut self.on_event {
                    code(ctx, module, event)?;
                }
                call_hook(self, ctx, module, event)
            }

            $(fn $hook(&mut self, ctx: &mut Context<'_>, module: &mut M $($(, $arg: $ty)*)?) -> Result<()> {
                for code in &mut self.$hook {
                    code(ctx, module $($(, $arg)*)?)?;
                }
                Ok(())
            })*
        }
    };
}

hooks!(lambda_callback<'_, M::Batch>);

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
