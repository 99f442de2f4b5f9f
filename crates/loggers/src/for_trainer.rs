//! What a training loop, the command line and the viewer need of this crate, beyond the interface of loggers: versions
//! that loggers share, folders of runs that have not started, the positions of running logs, the step of a run, its
//! options and its state, logins in addresses, paths in messages, new folders.
//!
//! The crate `stormfire` does not export it, and any release may change it.

pub use stormfire_store::folder::{from_here, missing, remove_empty};

pub use crate::{
    logger::share_versions,
    loggers::DriveLoggers,
    run_dir::DriveRunDir,
    trainer_yaml::{RunState, TRAINER_YAML, defaults_of, state_of, write_options},
    value::{AddressParts, split_login},
    writer::{DriveBackground, PendingPosition},
};
