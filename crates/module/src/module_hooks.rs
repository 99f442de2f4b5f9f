//! The module's own hooks, as a callback in the list.

use crate::{callback::Callback, context::Context, error::Result, hooks, module::LightningModule};

macro_rules! forwards {
    ($($(#[$doc:meta])* $method:ident => $event:ident $({ $($arg:ident: $ty:ty),* })?;)*) => {$(
        fn $method(&mut self, ctx: &mut Context<'_>, module: &mut M $($(, $arg: $ty)*)?) -> Result<()> {
            module.$method(ctx $($(, $arg)*)?)
        }
    )*};
}

/// Calls the module's hooks. Its position is after the ordinary callbacks and before those that watch and save.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModuleHooks;

impl<M: LightningModule> Callback<M> for ModuleHooks {
    fn name(&self) -> String {
        let path = std::any::type_name::<M>();
        path.rsplit("::").next().unwrap_or(path).to_string()
    }

    hooks!(forwards<'_, M::Batch>);
}
