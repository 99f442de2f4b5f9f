//! The id of the run that a checkpoint belongs to.

use std::{path::Path, time::SystemTime};

use stormfire_checkpoint::Checkpoint;

/// A unique id.
pub(crate) fn new_run_id() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", now.as_nanos(), std::process::id())
}

/// The id of the run that wrote a checkpoint.
pub(crate) fn owner_of(path: &Path) -> Option<String> {
    Checkpoint::read_manifest(path).ok().map(|manifest| manifest.run_id)
}
