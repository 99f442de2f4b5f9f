//! Checkpoints of a fit: their contents, and resuming from them.
//!
//! A save costs the training thread almost nothing. It takes the handles of all tensors and the small state as JSON
//! ([`save`]). A separate thread waits for the device and for the loggers, and writes the file (`checkpoint_writer`).
//! The file format is that of [`stormfire_checkpoint`].

mod at_boundary;
mod locate;
mod logs;
mod of_ranks;
mod restore;
mod save;

pub(crate) use at_boundary::{go_back, keep, keep_place, run_state, unfinished_epoch};
pub(crate) use locate::SearchFolders;
pub use locate::{CkptPath, has_checkpoint};
pub(crate) use logs::Part;
pub(crate) use of_ranks::gather;
pub(crate) use restore::Resume;
pub(crate) use save::{in_memory, settle, write_kept, write_requested, write_state};
