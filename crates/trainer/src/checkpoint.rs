//! Checkpoints of a fit: what goes into one, who writes it, how a fit continues from it.
//!
//! A save costs the training thread almost nothing: it notes the handles of all tensors and the small state as JSON
//! ([`save`]); a thread of its own waits for the device and for the loggers, and writes the file ([`writer`]). The file
//! format is [`stormfire_checkpoint`]'s.

mod gradients;
mod locate;
mod logs;
mod names;
mod restore;
mod save;
mod writer;

pub use locate::CkptPath;
pub(crate) use locate::locate;
pub(crate) use names::Names;
pub(crate) use restore::{DataFacts, Resume};
pub(crate) use save::{new_run_id, owner_of, settle, write_requested};
pub(crate) use writer::CheckpointWriter;
