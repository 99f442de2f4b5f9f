//! Default bodies of hooks. They do nothing, so the Trainer does not have to call them again.

use std::{any::TypeId, cell::Cell};

use crate::hook::Hook;

thread_local! {
    static ON_EVENT: Cell<Option<TypeId>> = const { Cell::new(None) };
    static HOOK: Cell<Option<(TypeId, Hook)>> = const { Cell::new(None) };
}

/// The default of `Callback::on_event` runs, for this type of callback.
#[inline]
pub(crate) fn ran_on_event<C: ?Sized + 'static>() {
    ON_EVENT.set(Some(TypeId::of::<C>()));
}

/// The default of a hook runs, for this type of callback or module.
#[inline]
pub(crate) fn ran_hook<T: ?Sized + 'static>(hook: Hook) {
    HOOK.set(Some((TypeId::of::<T>(), hook)));
}

/// Forgets what has run on this thread.
#[inline]
pub fn forget() {
    ON_EVENT.set(None);
    HOOK.set(None);
}

/// Whether `on_event` of this type of callback did nothing but call the default of this hook, which belongs to the
/// callback or module of the type `owner`. It then never does anything else at this hook.
#[inline]
pub fn did_nothing(callback: TypeId, owner: TypeId, hook: Hook) -> bool {
    // A callback may call hooks of other callbacks, or its other hooks. The called hooks are then the newest.
    ON_EVENT.get() == Some(callback) && HOOK.get() == Some((owner, hook))
}
