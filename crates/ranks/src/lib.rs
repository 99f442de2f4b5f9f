//! The ranks of one training: processes or threads that do the same work on different batches, and agree on the result.
//!
//! [`here`] returns the [`Communicator`] of the caller: of one process among several, which `mpirun` or `srun` started
//! (cargo feature `mpi`), of one thread among several ([`threads::run`]), or of [a single rank](SingleRank).
//!
//! # Failures
//!
//! No collective call waits for a rank that has died. On all other ranks it fails with an error that names the rank:
//!
//! | a rank | the others know it |
//! |---|---|
//! | calls [`Communicator::abort`] | at once, with its reason |
//! | ends before the others | at their next call |
//! | is killed, on the same machine | within a fraction of a second |
//! | is stopped, or its machine is unreachable | after 30 s without a sign of life, or `STORMFIRE_RANK_TIMEOUT` seconds |
//!
//! A separate thread sends the signs of life, so a long step does not count as silence. A process that fails leaves the
//! others three seconds to notice and then up to the time above to end, because `mpirun` kills all processes after the
//! first one that fails.

pub mod communicator;
mod error;
mod here;
mod launched;
#[cfg(feature = "mpi")]
mod processes;
mod shared;
#[cfg(feature = "mpi")]
mod silence;
mod single;
mod strategy;
pub mod threads;

pub use communicator::Communicator;
pub use error::{Error, Result};
pub use here::here;
pub use launched::{Launched, Launcher, launched};
pub use shared::Shared;
pub use single::SingleRank;
pub use strategy::{Division, Strategy};
