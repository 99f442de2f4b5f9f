//! Parameters whose values somebody has chosen: they were loaded, or were drawn by a fit.
//!
//! burn initialises a parameter when it is first looked at, and shows nobody where a value came from. Whoever seeds a run wants to
//! know which parameters were drawn before the seed held; those that are noted here were not.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
};

use burn::module::ParamId;

static CHOSEN: LazyLock<Mutex<HashSet<ParamId>>> = LazyLock::new(Mutex::default);

/// Notes that these parameters have the values they are to have.
pub fn choose(ids: impl IntoIterator<Item = ParamId>) {
    CHOSEN.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
}

/// Whether [`choose`] was told of a parameter. [`restore`](crate::restore::restore) tells it of those that it has loaded.
pub fn is_chosen(id: ParamId) -> bool {
    CHOSEN.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
}
