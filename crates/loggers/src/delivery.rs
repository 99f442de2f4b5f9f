//! Delivery counts of a tracker's records.

use std::fmt;

/// Number of records by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Delivery {
    /// Accepted by the server.
    pub delivered: u64,
    /// Waiting on the disk.
    pub spooled: u64,
    /// Lost: rejected by the server, impossible to send, or over the limit of waiting records (`spool_limit`).
    pub refused: u64,
    /// Lines on the disk that are not valid records. They are kept in the file `damaged.jsonl` of the spool's folder.
    pub damaged: u64,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { delivered, spooled, refused, damaged } = self;
        write!(f, "{delivered} delivered, {spooled} spooled, {refused} refused")?;
        if *damaged > 0 { write!(f, ", {damaged} damaged") } else { Ok(()) }
    }
}
