//! The hooks that callbacks and the module leave to their default, which does nothing.
//!
//! An event with a hook around it costs more than the work of most hooks. A hook of a batch is called once. If its
//! default ran, it is not called again.

use std::any::TypeId;

use stormfire_module::{
    Callback, Hook, LightningModule,
    for_trainer::{ModuleHooks, defaults},
};

/// Hooks, one bit for each.
#[derive(Clone, Copy, Debug, Default)]
struct Hooks(u64);

const _: () = assert!(Hook::ALL.len() <= 64, "each hook needs a bit");

impl Hooks {
    #[inline]
    fn contains(self, hook: Hook) -> bool {
        self.0 & (1 << hook as u32) != 0
    }
}

/// The hooks that need no call, of each callback.
#[derive(Debug)]
pub(super) struct IdleHooks {
    of_each: Vec<Hooks>,
    of_all: Hooks,
}

impl IdleHooks {
    /// Nothing is known about this number of callbacks.
    pub(super) fn of(callbacks: usize) -> Self {
        Self { of_each: vec![Hooks::default(); callbacks], of_all: Hooks::default() }
    }

    /// Whether no callback does anything at this hook.
    #[inline]
    pub(super) fn for_all(&self, hook: Hook) -> bool {
        self.of_all.contains(hook)
    }

    /// Whether this callback does nothing at this hook.
    #[inline]
    pub(super) fn for_one(&self, index: usize, hook: Hook) -> bool {
        self.of_each[index].contains(hook)
    }

    /// Calls a callback, and notes whether it did nothing.
    pub(super) fn watch<M: LightningModule, R>(
        &mut self,
        index: usize,
        hook: Hook,
        callback: &mut Box<dyn Callback<M>>,
        call: impl FnOnce(&mut dyn Callback<M>) -> R,
    ) -> R {
        // The other hooks are too rare to matter.
        if !hook.is_of_batch() {
            return call(&mut **callback);
        }
        defaults::forget();
        let result = call(&mut **callback);
        let callback = (**callback).type_id();
        let owner = if callback == TypeId::of::<ModuleHooks>() { TypeId::of::<M>() } else { callback };
        if defaults::did_nothing(callback, owner, hook) {
            self.of_each[index].0 |= 1 << hook as u32;
            self.of_all = Hooks(self.of_each.iter().fold(u64::MAX, |all, hooks| all & hooks.0));
        }
        result
    }
}
