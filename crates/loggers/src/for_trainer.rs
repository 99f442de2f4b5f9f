//! What a training loop and the command line need of this crate, beyond the interface of loggers: versions that loggers
//! share, folders of runs that have not started, the positions of running logs, the step of a run, logins in addresses,
//! paths in messages, new folders.
//!
//! The crate `stormfire` does not export it, and any release may change it.

pub use stormfire_store::folder::{from_here, missing, remove_empty};

pub use crate::{
    logger::share_versions,
    loggers::DriveLoggers,
    run_dir::DriveRunDir,
    value::split_login,
    writer::{DriveBackground, PendingPosition},
};
