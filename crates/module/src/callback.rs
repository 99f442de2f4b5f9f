//! Code that watches a run and may steer it: the [`Callback`] trait.

use std::any::Any;

use serde_json::Value;

use crate::{context::Context, error::Result, event::Event, hooks, module::LightningModule, state::Saved};

macro_rules! hook_methods {
    ($($(#[$doc:meta])* $method:ident => $event:ident $({ $($arg:ident: $ty:ty),* })?;)*) => {$(
        $(#[$doc])*
        fn $method(&mut self, ctx: &mut Context<'_>, module: &mut M $($(, $arg: $ty)*)?) -> Result<()> {
            Ok(())
        }
    )*};
}

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

    /// Every event comes through here. Override it to see them all; [`call_hook`] still calls the hooks.
    ///
    /// # Errors
    /// What the hook returned.
    fn on_event(&mut self, ctx: &mut Context<'_>, module: &mut M, event: &mut Event<'_, M::Batch>) -> Result<()> {
        call_hook(self, ctx, module, event)
    }

    hooks!(hook_methods<'_, M::Batch>);
}

macro_rules! hook_calls {
    ($($(#[$doc:meta])* $method:ident => $event:ident $({ $($arg:ident: $ty:ty),* })?;)*) => {
        /// Calls the hook of an event: what [`Callback::on_event`] does unless it is overridden.
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
