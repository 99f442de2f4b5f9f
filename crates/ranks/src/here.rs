//! The communicator of the caller.

use std::{
    cell::RefCell,
    sync::{Mutex, PoisonError},
};

use crate::{
    error::Result,
    launched::{Launched, launched},
    shared::Shared,
};

thread_local! {
    static OF_THREAD: RefCell<Option<Shared>> = const { RefCell::new(None) };
}

/// The communicator of this process, once it was requested.
static OF_PROCESS: Mutex<Option<Result<Shared>>> = Mutex::new(None);

/// The communicator of this thread, if it is a rank of [`threads::run`](crate::threads::run), else that of the process:
/// one of several ranks, if [a launcher](crate::launched) started them, else a single rank.
///
/// A thread that a rank of `threads::run` starts is not a rank. Give it the handle.
///
/// The first call of a process connects it with the other ranks, and waits for them. It must come from the thread that
/// ends last, which is the main thread: when that thread ends, the process waits until the other ranks end, too.
///
/// # Errors
/// Fails if a launcher started several processes, and they cannot be connected.
pub fn here() -> Result<Shared> {
    if let Some(communicator) = OF_THREAD.with_borrow(Clone::clone) {
        return Ok(communicator);
    }
    let mut of_process = OF_PROCESS.lock().unwrap_or_else(PoisonError::into_inner);
    of_process
        .get_or_insert_with(|| launched().filter(|launched| launched.world > 1).map_or_else(|| Ok(Shared::default()), connect))
        .clone()
}

#[cfg(feature = "mpi")]
fn connect(launched: Launched) -> Result<Shared> {
    use crate::{processes, silence::silence};

    thread_local! {
        static ENDING: RefCell<Option<processes::Ending>> = const { RefCell::new(None) };
    }
    let (rank, ending) = processes::start(&launched, silence()?)?;
    ENDING.set(Some(ending));
    Ok(Shared::new(rank))
}

#[cfg(not(feature = "mpi"))]
fn connect(launched: Launched) -> Result<Shared> {
    Err(crate::Error::NotBuilt(launched))
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
