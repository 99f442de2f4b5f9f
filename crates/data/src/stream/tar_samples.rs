use std::{
    collections::BTreeMap,
    io::{BufRead, Read, copy, sink},
};

use super::record::{Counted, Place, Raw, Records, Sample};
use crate::BoxError;

const BLOCK: u64 = 512;

/// The samples of a tar archive: files that follow each other and have the same name up to its first dot.
pub(super) struct TarSamples {
    reader: Counted<Box<dyn BufRead + Send>>,
    /// The first file of the next sample.
    ahead: Option<File>,
    is_at_end: bool,
    /// Where the sample starts, or the file that cannot be read.
    start: u64,
}

struct File {
    key: String,
    extension: String,
    content: Vec<u8>,
    start: u64,
}

impl TarSamples {
    pub(super) fn new(reader: Box<dyn BufRead + Send>) -> Self {
        Self { reader: Counted { inner: reader, bytes: 0 }, ahead: None, is_at_end: false, start: 0 }
    }

    /// The next file with a key and an extension. `None` at the end of the archive.
    fn file(&mut self) -> Result<Option<File>, BoxError> {
        if self.ahead.is_some() {
            return Ok(self.ahead.take());
        }
        while !self.is_at_end {
            let start = self.reader.bytes;
            match self.entry() {
                Ok(Some((name, content))) => {
                    if let Some((key, extension)) = split(&name) {
                        return Ok(Some(File { key, extension, content, start }));
                    }
                }
                Ok(None) => self.is_at_end = true,
                Err(error) => {
                    self.start = start;
                    return Err(error);
                }
            }
        }
        Ok(None)
    }

    /// The name and the content of the next entry. A folder or a link has no name here. `None` at the end of the
    /// archive.
    ///
    /// Each entry is read as a separate archive, because the iterator of `tar` borrows its archive. An entry includes
    /// the headers before it that contain a long name.
    fn entry(&mut self) -> Result<Option<(String, Vec<u8>)>, BoxError> {
        let start = self.reader.bytes;
        let mut archive = tar::Archive::new(&mut self.reader);
        let Some(entry) = archive.entries()?.next() else {
            // An archive ends with blocks of zeros, which a truncated one lacks.
            if self.reader.bytes == start {
                return Err("the archive is truncated: its end is missing".into());
            }
            // The checksum of a packed archive comes after its last byte.
            copy(&mut self.reader, &mut sink())?;
            return Ok(None);
        };
        let mut entry = entry?;
        let kind = entry.header().entry_type();
        let is_file = kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse();
        let name = if is_file { String::from_utf8_lossy(&entry.path_bytes()).into_owned() } else { String::new() };
        let (size, mut content) = (entry.size(), Vec::new());
        let read = if is_file { entry.read_to_end(&mut content)? as u64 } else { copy(&mut entry, &mut sink())? };
        let padding = self.reader.bytes.next_multiple_of(BLOCK) - self.reader.bytes;
        if read < size || copy(&mut (&mut self.reader).take(padding), &mut sink())? < padding {
            return Err(format!("the archive is truncated: it ends at byte {}", self.reader.bytes).into());
        }
        Ok(Some((name, content)))
    }
}

impl Records for TarSamples {
    fn place(&self) -> Place {
        Place::Byte(self.start)
    }

    fn next(&mut self) -> Result<Option<Raw>, BoxError> {
        let Some(first) = self.file()? else { return Ok(None) };
        self.start = first.start;
        let mut sample = Sample { key: first.key, files: BTreeMap::from([(first.extension, first.content)]) };
        while let Some(file) = self.file()? {
            if file.key != sample.key {
                self.ahead = Some(file);
                break;
            }
            if sample.files.contains_key(&file.extension) {
                self.start = file.start;
                return Err(format!("the sample `{}` has two files `.{}`", file.key, file.extension).into());
            }
            sample.files.insert(file.extension, file.content);
        }
        Ok(Some(Raw::Sample(sample)))
    }
}

/// The key and the extension of a file. `None` for a file without one of them, such as `.hidden` or `README`.
fn split(path: &str) -> Option<(String, String)> {
    let name = path.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name + path[name..].find('.')?;
    let (key, extension) = (&path[..dot], &path[dot + 1..]);
    (dot > name && !extension.is_empty()).then(|| (key.to_owned(), extension.to_lowercase()))
}
