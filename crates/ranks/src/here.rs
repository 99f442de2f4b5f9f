//! The communicator of the caller.

use std::cell::RefCell;

use crate::{error::Result, shared::Shared};

thread_local! {
    static OF_THREAD: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// The communicator of this thread, if it is a rank of [`threads::run`](crate::threads::run), else a single rank.
///
/// A thread that a rank starts is not a rank. Give it the handle.
pub fn here() -> Result<Shared> {
    Ok(OF_THREAD.with_borrow(Clone::clone).unwrap_or_default())
}

/// Makes a communicator that of this thread, until the returned value is dropped.
pub(crate) fn enter(communicator: Shared) -> Entered {
    Entered(OF_THREAD.replace(Some(communicator)))
}

/// A thread that is a rank. It holds what the thread was before.
pub(crate) struct Entered(Option<Shared>);

impl Drop for Entered {
    fn drop(&mut self) {
        OF_THREAD.set(self.0.take());
    }
}
