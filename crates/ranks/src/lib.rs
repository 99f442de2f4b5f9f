//! The ranks of one training: processes or threads that do the same work on different batches, and agree on the result.
//!
//! [`here`] returns the [`Communicator`] of the caller. [`threads::run`] makes several ranks in one process. A program
//! without any of it is [a single rank](SingleRank).

pub mod communicator;
mod error;
mod here;
mod shared;
mod single;
pub mod threads;

pub use communicator::Communicator;
pub use error::{Error, Result};
pub use here::here;
pub use shared::Shared;
pub use single::SingleRank;
