//! Checkpoints of a fit: what goes into one, and how a fit continues from it.
//!
//! A save costs the training thread almost nothing: it notes the handles of all tensors and the small state as JSON
//! ([`save`]); a thread of its own waits for the device and for the loggers, and writes the file (`checkpoint_writer`). The
//! file format is [`stormfire_checkpoint`]'s.

mod locate;
mod logs;
mod restore;
mod save;
mod state;

pub use locate::CkptPath;
pub(crate) use locate::Places;
pub(crate) use logs::Part;
pub(crate) use restore::Resume;
pub(crate) use save::{in_memory, settle, write_kept, write_requested, write_state};
pub(crate) use state::{go_back, keep, keep_place, run_state, unfinished_epoch};
