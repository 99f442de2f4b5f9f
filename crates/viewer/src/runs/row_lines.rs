//! The lines of a file that grows by lines, and whose last line may still change.

/// The ends of the lines that are complete, and of those that will not change: the last complete line may.
pub(super) fn ends(bytes: &[u8], is_open: bool) -> (usize, usize) {
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let content = bytes[..end].trim_ascii_end().len();
    let last = bytes[..content].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (end, if is_open { last } else { end })
}

/// The lines without their ends, and without empty ones.
pub(super) fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
}
