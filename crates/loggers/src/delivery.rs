//! What became of the records of a tracker.

use std::fmt;

/// How many records reached a tracking server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Delivery {
    /// The server has them.
    pub delivered: u64,
    /// They wait on the disk.
    pub spooled: u64,
    /// The server did not want them, or they could not be sent, or as much waited as may wait (`spool_limit`).
    pub refused: u64,
    /// Lines on the disk that are no records any more. They are kept in the file `damaged.jsonl` of the spool's folder.
    pub damaged: u64,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delivered, spooled, refused, damaged } = self;
        write!(f, "{delivered} delivered, {spooled} spooled, {refused} refused")?;
        if *damaged > 0 { write!(f, ", {damaged} damaged") } else { Ok(()) }
    }
}
