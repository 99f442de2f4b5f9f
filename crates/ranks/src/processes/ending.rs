//! The end of the process.

use std::sync::mpsc::{self, Sender};

use super::{engine::Job, pulse::Watch};

/// Ends the connection with the other ranks when it is dropped.
///
/// A variable of the main thread holds it, so it is dropped after `main` has returned or panicked, and in
/// `std::process::exit`. Without a failure it waits until all ranks are there, and finalizes MPI. After a failure it
/// waits until the others have ended, too, a few seconds at most.
pub(crate) struct Ending {
    pub(super) jobs: Sender<Job>,
    pub(super) watch: Watch,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let (sender, done) = mpsc::sync_channel(1);
        if self.jobs.send(Job::End { done: sender }).is_ok() {
            // An error means that MPI does not return. Then there is nothing left to end.
            let _ = self.watch.receive(&done);
        }
    }
}
