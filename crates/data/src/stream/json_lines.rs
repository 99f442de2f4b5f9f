use std::io::BufRead;

use super::record::{Place, Raw, Records};
use crate::BoxError;

/// The lines of a file. Lines without content are not records.
pub(super) struct JsonLines {
    reader: Box<dyn BufRead + Send>,
    /// The lines that were read.
    lines: u64,
}

impl JsonLines {
    pub(super) fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self { reader, lines: 0 }
    }
}

impl Records for JsonLines {
    fn place(&self) -> Place {
        Place::Line(self.lines)
    }

    fn next(&mut self) -> Result<Option<Raw>, BoxError> {
        loop {
            let mut line = Vec::new();
            let read = self.reader.read_until(b'\n', &mut line);
            self.lines += 1;
            if read? == 0 {
                return Ok(None);
            }
            // Programs of Windows may write a byte order mark.
            if self.lines == 1 && line.starts_with(b"\xef\xbb\xbf") {
                line.drain(..3);
            }
            if !line.trim_ascii().is_empty() {
                return Ok(Some(Raw::Line(std::str::from_utf8(line.trim_ascii())?.to_owned())));
            }
        }
    }
}
