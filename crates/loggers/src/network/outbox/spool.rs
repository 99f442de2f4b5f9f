//! Records on the disk, one JSON line each, from the oldest that is still needed to the newest.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::ACKED;
use crate::{Error, Result};
use stormfire_store::append::Append;
use stormfire_store::{folder, private};

/// A file of records is closed at this length; it is removed as soon as nobody needs it any more.
const SEGMENT: u64 = 16 << 20;

/// The writing end. Positions count bytes from the first record of the run, whatever has been removed since.
pub(super) struct Spool {
    folder: PathBuf,
    file: Append,
    /// Where the last segment begins.
    base: u64,
    /// Where the earlier segments begin, in order.
    earlier: VecDeque<u64>,
}

impl Spool {
    /// Opens a spool, with what an earlier process has left in it. A half line at its end is cut off.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let mut bases = bases(folder)?;
        let base = bases.pop().unwrap_or_else(|| noted(folder, ACKED).unwrap_or(0));
        let mut spool = Self { folder: folder.to_owned(), file: open_segment(folder, base)?, base, earlier: bases.into() };
        let whole = spool.whole_lines()?;
        spool.file.cut(whole)?;
        Ok(spool)
    }

    fn whole_lines(&self) -> io::Result<u64> {
        let mut file = BufReader::new(fs_err::File::open(self.file.path())?);
        let (mut whole, mut line) = (0, Vec::new());
        loop {
            line.clear();
            let length = file.read_until(b'\n', &mut line)? as u64;
            if !line.ends_with(b"\n") {
                return Ok(whole);
            }
            whole += length;
        }
    }

    /// The position behind everything that was pushed.
    pub(super) fn pushed(&mut self) -> u64 {
        self.end() + self.file.buffer().len() as u64
    }

    /// The position behind everything that was flushed.
    pub(super) fn end(&self) -> u64 {
        self.base + self.file.end()
    }

    /// Adds a record; it is in memory until [`Spool::flush`].
    pub(super) fn push(&mut self, record: &impl Serialize) -> Result<()> {
        let buffer = self.file.buffer();
        let before = buffer.len();
        if let Err(error) = serde_json::to_writer(&mut *buffer, record) {
            buffer.truncate(before);
            return Err(Error::other(error));
        }
        buffer.push(b'\n');
        Ok(self.file.pushed()?)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.flush(b"")?;
        if self.file.end() >= SEGMENT {
            let next = self.end();
            let file = open_segment(&self.folder, next)?;
            self.earlier.push_back(self.base);
            self.file = file;
            self.base = next;
        }
        Ok(())
    }

    pub(super) fn sync(&self) -> Result<()> {
        Ok(self.file.sync()?)
    }

    /// Removes segments that end at or before a position.
    pub(super) fn forget(&mut self, before: u64) {
        while let Some(&base) = self.earlier.front() {
            let end = self.earlier.get(1).copied().unwrap_or(self.base);
            if end > before {
                return;
            }
            // One that cannot be removed takes room and does no other harm.
            let _ = fs_err::remove_file(segment(&self.folder, base));
            self.earlier.pop_front();
        }
    }

    /// Drops every record behind a position.
    pub(super) fn cut(&mut self, to: u64) -> Result<()> {
        while to < self.base {
            let Some(base) = self.earlier.pop_back() else { break };
            let file = open_segment(&self.folder, base)?;
            let dropped = std::mem::replace(&mut self.file, file);
            fs_err::remove_file(dropped.path())?;
            self.base = base;
        }
        Ok(self.file.cut(to.saturating_sub(self.base).min(self.file.end()))?)
    }

    /// Removes the whole spool, once nothing in it is needed.
    pub(super) fn remove(self) -> Result<()> {
        let folder = self.folder.clone();
        drop(self);
        Ok(fs_err::remove_dir_all(folder)?)
    }
}

fn segment(folder: &Path, base: u64) -> PathBuf {
    folder.join(format!("records-{base:020}.jsonl"))
}

fn base_of(name: &str) -> Option<u64> {
    name.strip_prefix("records-")?.strip_suffix(".jsonl")?.parse().ok()
}

fn open_segment(folder: &Path, base: u64) -> Result<Append> {
    let path = segment(folder, base);
    let file = private::options().create(true).read(true).write(true).truncate(false).open(&path)?;
    let length = file.metadata()?.len();
    Ok(Append::new(file.into_parts().0, path, length))
}

/// A position that a process has noted under a name.
pub(super) fn noted(folder: &Path, name: &str) -> Option<u64> {
    fs_err::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
}

/// Makes the folder of a spool again that somebody has removed.
pub(super) fn make_anew(folder: &Path) -> io::Result<()> {
    folder::make_anew(folder)?;
    private::folder(folder)
}

/// Notes a position. One write of a fixed length: a kill leaves the old number or the new one.
pub(super) struct Mark {
    folder: PathBuf,
    file: PathBuf,
}

impl Mark {
    pub(super) fn of(folder: &Path, name: &str) -> Self {
        Self { folder: folder.to_owned(), file: folder.join(name) }
    }

    pub(super) fn note(&self, position: u64) -> Result<()> {
        let open = || private::options().create(true).write(true).truncate(false).open(&self.file);
        // Kept open, a file that was removed would be written to where nobody finds it.
        let file = open().or_else(|error| {
            if error.kind() == io::ErrorKind::NotFound { make_anew(&self.folder).and_then(|()| open()) } else { Err(error) }
        });
        Ok(file?.write_all(format!("{position:020}\n").as_bytes())?)
    }

    /// Notes a position where none is noted.
    pub(super) fn note_first(&self, position: u64) -> Result<()> {
        if self.file.exists() { Ok(()) } else { self.note(position) }
    }
}

/// Records that were read, each with the position behind it.
pub(super) struct Batch<R> {
    pub(super) records: Vec<R>,
    pub(super) ends: Vec<u64>,
    /// In the place of records: a line that is none, and the position behind it. The disk was damaged, or another version
    /// wrote it.
    pub(super) damaged: Option<(Vec<u8>, u64)>,
}

impl<R> Default for Batch<R> {
    fn default() -> Self {
        Self { records: Vec::new(), ends: Vec::new(), damaged: None }
    }
}

/// Reads records from a position on, up to a position, a count and about so many bytes, and up to a line that is none.
pub(super) fn read<R: DeserializeOwned>(folder: &Path, from: u64, to: u64, count: usize, bytes: u64) -> Result<Batch<R>> {
    let mut found = Batch::default();
    let (mut at, mut line) = (from, Vec::new());
    while at < to && found.records.len() < count && at - from < bytes {
        let before = at;
        if let Some(mut lines) = lines_from(folder, at, to)? {
            while found.records.len() < count && at - from < bytes {
                line.clear();
                let length = lines.read_until(b'\n', &mut line)? as u64;
                if length == 0 {
                    break;
                }
                at += length;
                let Ok(record) = serde_json::from_slice(&line) else {
                    found.damaged = found.records.is_empty().then_some((line, at));
                    return Ok(found);
                };
                found.records.push(record);
                found.ends.push(at);
            }
        }
        if at == before {
            // A file is gone, or shorter than it was.
            let behind = bases(folder)?.into_iter().find(|base| *base > at).map_or(to, |base| base.min(to));
            let missing = format!("bytes {at} to {behind} of the spool are missing").into_bytes();
            found.damaged = found.records.is_empty().then_some((missing, behind));
            return Ok(found);
        }
    }
    Ok(found)
}

/// All records between two positions, but for damaged lines.
pub(super) fn read_all<R: DeserializeOwned>(folder: &Path, mut from: u64, to: u64) -> Result<Vec<R>> {
    let mut all = Vec::new();
    while from < to {
        let batch = read(folder, from, to, usize::MAX, u64::MAX)?;
        let damaged = batch.damaged.map(|(_, behind)| behind);
        let Some(behind) = damaged.or_else(|| batch.ends.last().copied()) else { break };
        all.extend(batch.records);
        from = behind;
    }
    Ok(all)
}

/// The lines of the file that a position lies in, from there on.
fn lines_from(folder: &Path, at: u64, to: u64) -> Result<Option<BufReader<io::Take<fs_err::File>>>> {
    let Some(base) = bases(folder)?.into_iter().rfind(|base| *base <= at) else { return Ok(None) };
    let mut file = fs_err::File::open(segment(folder, base))?;
    file.seek(SeekFrom::Start(at - base))?;
    Ok(Some(BufReader::with_capacity(1 << 16, file.take(to - at))))
}

/// How many lines there are from a position on, and the position behind all. A half line counts for nothing, and another
/// process may be writing. None of them is in memory: a server may have been away for days.
pub(crate) fn count(folder: &Path, from: u64) -> Result<(u64, u64)> {
    let bases = bases(folder)?;
    let (mut count, mut end) = (0, from);
    for (at, &base) in bases.iter().enumerate() {
        if bases.get(at + 1).is_some_and(|next| *next <= from) {
            continue;
        }
        let mut file = match fs_err::File::open(segment(folder, base)) {
            Ok(file) => file,
            // It was delivered and removed in this moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let before = from.saturating_sub(base);
        file.seek(SeekFrom::Start(before))?;
        let mut lines = BufReader::with_capacity(1 << 16, file);
        let mut line = Vec::new();
        end = base + before;
        while lines.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            count += 1;
            end += line.len() as u64;
            line.clear();
        }
    }
    Ok((count, end))
}

/// How many records wait in a spool, and the position behind all.
pub(crate) fn waiting(folder: &Path) -> Result<(u64, u64)> {
    count(folder, noted(folder, ACKED).unwrap_or(0))
}

/// Where the segments of a spool begin, in order.
pub(super) fn bases(folder: &Path) -> Result<Vec<u64>> {
    let mut bases = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        bases.extend(entry?.file_name().to_str().and_then(base_of));
    }
    bases.sort_unstable();
    Ok(bases)
}
