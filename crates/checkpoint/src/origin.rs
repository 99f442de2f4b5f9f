//! Parameters with chosen values: they were loaded, or were drawn by a fit.
//!
//! burn initializes a parameter at its first use, and does not expose where a value came from. A seeded run must know
//! which parameters were drawn before the seed was set. The parameters noted here were not.

use std::{
    collections::HashSet,
    sync::{LazyLock, Mutex, PoisonError},
};

use burn::module::ParamId;

static CHOSEN: LazyLock<Mutex<HashSet<ParamId>>> = LazyLock::new(Mutex::default);

/// Marks the values of these parameters as chosen.
pub fn choose(ids: impl IntoIterator<Item = ParamId>) {
    CHOSEN.lock().unwrap_or_else(PoisonError::into_inner).extend(ids);
}

/// Whether a parameter was marked by [`choose`]. [`restore`](crate::restore::restore) marks the parameters that it
/// loads.
pub fn is_chosen(id: ParamId) -> bool {
    CHOSEN.lock().unwrap_or_else(PoisonError::into_inner).contains(&id)
}
