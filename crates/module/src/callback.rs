//! The [`Callback`] trait: code that watches a run and may control it.

use std::any::Any;

use serde_json::Value;
use stormfire_checkpoint::Snapshot;

use crate::{
    context::Context, defaults, error::Result, event::Event, hook::Hook, hooks, module::LightningModule, moment::Stage, state::Saved,
};

macro_rules! hook_methods {
    ($($(#[$doc:meta])* $method:ident => $event:ident $({ $($arg:ident: $ty:ty),* })?;)*) => {$(
        $(#[$doc])*
        fn $method(&mut self, ctx: &mut Context<'_>, module: &mut M $($(, $arg: $ty)*)?) -> Result<()> {
            defaults::ran_hook::<Self>(Hook::$event);
            Ok(())
        }
    )*};
}

/// The position of a callback in the order of calls, for every event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// Before the module's own hook, in the order in which they were added.
    #[default]
    Ordinary,
    /// After the module's own hook. For callbacks that decide by values that the others logged, in the same event.
    Watch,
    /// As [`Order::Watch`], for callbacks that save. Their knowledge of their files is never replaced by an older
    /// state.
    Save,
}

/// Code that runs at named points of a run, with Lightning's names.
///
/// Implement the hooks that you need. State that must survive a restart is saved by [`state`](Self::state) and restored
/// by [`load_state`](Self::load_state), in every checkpoint.
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
///
#[doc = include_str!("../docs/callback.md")]
#[allow(unused_variables, reason = "the hooks do nothing unless implemented")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a callback for `{M}`",
    label = "does not implement `Callback<{M}>`",
    note = "write `impl<M: LightningModule> Callback<M> for ..` for modules of any type, or `impl Callback<Net> for ..` for one",
    note = "a closure goes into a `LambdaCallback`, at its hook: `LambdaCallback::new().on_train_epoch_end(|ctx, module| ..)`"
)]
pub trait Callback<M: LightningModule>: Any {
    /// The name in errors, profiles and checkpoints. Default: the type's name.
    fn name(&self) -> String {
        let path = std::any::type_name::<Self>();
        let base = path.split('<').next().unwrap_or(path);
        base.rsplit("::").next().unwrap_or(base).to_string()
    }

    /// The key of the state in a checkpoint. Two callbacks with state need different keys. Default: the name.
    fn state_key(&self) -> String {
        self.name()
    }

    /// The position in the order of calls.
    fn order(&self) -> Order {
        Order::Ordinary
    }

    /// Whether only rank 0 calls it, as it does callbacks that write files or to the screen. Default: those of
    /// [`Order::Save`].
    fn rank_zero_only(&self) -> bool {
        self.order() == Order::Save
    }

    /// Whether it calls [`Context::skip_step`]. Default `false`.
    fn may_skip_steps(&self) -> bool {
        false
    }

    /// Whether a run of this stage without a logger is refused at its start. Default `false`.
    fn needs_logger(&self, stage: Stage) -> bool {
        false
    }

    /// The state to restore after a restart: plain values, and tensors by name. Default: nothing.
    ///
    /// A checkpoint contains the tensors below `callbacks/KEY/`. They leave the device together with the weights.
    ///
    /// # Errors
    /// If the state cannot be written as JSON.
    fn state(&self) -> Result<Saved> {
        Ok(Saved::default())
    }

    /// Restores the result of [`state`](Self::state).
    ///
    /// # Errors
    /// If the state has another format.
    fn load_state(&mut self, state: Saved) -> Result<()> {
        Ok(())
    }

    /// Whether to withdraw the stop that this callback requested before the fit was resumed, because it would not
    /// request it with its current options. This is called before anything is restored: a fit that the stop ended
    /// within an epoch then resumes there, including its log files. `saved` is the state in the checkpoint.
    ///
    /// # Errors
    /// If the state has another format.
    fn withdraws_stop(&self, saved: &Value) -> Result<bool> {
        Ok(false)
    }

    /// The weights in force in place of the trained ones, such as their average: the current module with other values.
    /// `None` (default) if the trained weights are in force.
    ///
    /// A fit validates with this module. Then it restores the trained one, even after an error or a signal. Changes
    /// that hooks of the validation make to this module are dropped. This is called before each validation, for each
    /// checkpoint, and after each batch if another callback [keeps the state](Context::keep_state). So it should only
    /// cost handles of tensors. A checkpoint contains both. `validate`, `test`, `predict` and `load_from_checkpoint`
    /// use the weights in force, a resumed fit uses the trained ones. At most one callback of a Trainer may provide
    /// weights.
    ///
    /// # Errors
    /// If they cannot be computed.
    fn weights(&mut self, module: &M) -> Result<Option<M>> {
        Ok(None)
    }

    /// Whether the running statistics of batch normalizations have to be renewed for these [`weights`](Self::weights)
    /// when the training ends. The fit then passes the training data through `training_step` once, without gradients
    /// and logs, and calls [`take_statistics`](Self::take_statistics). Default `false`.
    fn renews_statistics(&self) -> bool {
        false
    }

    /// Receives the module in force with renewed running statistics.
    ///
    /// # Errors
    /// Any error ends the run.
    fn take_statistics(&mut self, module: &M) -> Result<()> {
        Ok(())
    }

    /// Whether it takes the state of the optimizers at logging steps. Default `false`.
    fn takes_optimizer_state(&self) -> bool {
        false
    }

    /// Receives the state of the optimizers, such as moments, after the step of a logged batch and before
    /// `on_train_batch_end`: `optimizer/NAME/PATH/FIELD`. These are handles. Drop what was made of them soon, because
    /// the next step would copy the tensors.
    ///
    /// # Errors
    /// Any error ends the run.
    fn take_optimizer_state(&mut self, state: &Snapshot) -> Result<()> {
        Ok(())
    }

    /// Receives every event. Override it to handle all events in one place. [`call_hook`] still calls the hooks.
    ///
    /// # Errors
    /// The error of the hook.
    fn on_event(&mut self, ctx: &mut Context<'_>, module: &mut M, event: &mut Event<'_, M::Batch>) -> Result<()> {
        defaults::ran_on_event::<Self>();
        call_hook(self, ctx, module, event)
    }

    hooks!(hook_methods<'_, M::Batch>);
}

macro_rules! hook_calls {
    ($($(#[$doc:meta])* $method:ident => $event:ident $({ $($arg:ident: $ty:ty),* })?;)*) => {
        /// Calls the hook of an event. This is the default of [`Callback::on_event`].
        pub fn call_hook<M: LightningModule, C: Callback<M> + ?Sized>(
            callback: &mut C,
            ctx: &mut Context<'_>,
            module: &mut M,
            event: &mut Event<'_, M::Batch>,
        ) -> Result<()> {
            match event {
                $(Event::$event $({ $($arg),* })? => callback.$method(ctx, module $($(, *$arg)*)?),)*
            }
        }
    };
}

hooks!(hook_calls<'_, M::Batch>);
