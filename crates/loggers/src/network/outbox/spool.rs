//! Records on the disk as JSON lines, from the oldest that is still needed to the newest.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use stormfire_store::append::Append;
use stormfire_store::{folder, private};

use super::ACKED;
use crate::{Error, Result};

/// Length at which a file of records is closed, in bytes. The file is removed once it is not needed.
const SEGMENT: u64 = 16 << 20;

/// The writing end. Positions count bytes from the first record of the run, including removed ones.
pub(super) struct Spool {
    folder: PathBuf,
    file: Append,
    /// The start of the last segment.
    base: u64,
    /// The starts of the earlier segments, in order.
    earlier: VecDeque<u64>,
}

impl Spool {
    /// Opens a spool with the records of an earlier process. Removes an incomplete line at its end.
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

    /// The position after all pushed records.
    pub(super) fn pushed(&mut self) -> u64 {
        self.end() + self.file.buffer().len() as u64
    }

    /// The position after all flushed records.
    pub(super) fn end(&self) -> u64 {
        self.base + self.file.end()
    }

    /// Adds a record, which stays in memory until [`Spool::flush`].
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
            // A segment that cannot be removed wastes space, but does no other harm.
            let _ = fs_err::remove_file(segment(&self.folder, base));
            self.earlier.pop_front();
        }
    }

    /// Drops every record after a position.
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

    /// Removes the whole spool. Nothing in it may be needed.
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

/// A position that was stored under a name.
pub(super) fn noted(folder: &Path, name: &str) -> Option<u64> {
    fs_err::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
}

/// Recreates the removed folder of a spool.
pub(super) fn recreate(folder: &Path) -> io::Result<()> {
    folder::recreate(folder)?;
    private::folder(folder)
}

/// Stores a position. It is a single write of a fixed length, so a kill leaves the old or the new number.
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
        // The file is opened each time. A handle of a removed file would write to an unreachable one.
        let file =
            open().or_else(
                |error| {
                    if error.kind() == io::ErrorKind::NotFound { recreate(&self.folder).and_then(|()| open()) } else { Err(error) }
                },
            );
        Ok(file?.write_all(format!("{position:020}\n").as_bytes())?)
    }

    /// Stores a position unless one is stored.
    pub(super) fn note_first(&self, position: u64) -> Result<()> {
        if self.file.exists() { Ok(()) } else { self.note(position) }
    }
}

/// Records, each with the position after it.
pub(super) struct Batch<R> {
    pub(super) records: Vec<R>,
    pub(super) ends: Vec<u64>,
    /// A damaged line in place of records, and the position after it. The disk was damaged, or another version wrote
    /// the line.
    pub(super) damaged: Option<(Vec<u8>, u64)>,
}

impl<R> Default for Batch<R> {
    fn default() -> Self {
        Self { records: Vec::new(), ends: Vec::new(), damaged: None }
    }
}

/// Reads records from a position up to another one, to a number of records, to about `bytes` bytes, or to a damaged
/// line.
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
            // A file is missing or was truncated.
            let behind = bases(folder)?.into_iter().find(|base| *base > at).map_or(to, |base| base.min(to));
            let missing = format!("bytes {at} to {behind} of the spool are missing").into_bytes();
            found.damaged = found.records.is_empty().then_some((missing, behind));
            return Ok(found);
        }
    }
    Ok(found)
}

/// All records between two positions, except damaged lines.
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

/// The lines from a position to the end of its file.
fn lines_from(folder: &Path, at: u64, to: u64) -> Result<Option<BufReader<io::Take<fs_err::File>>>> {
    let Some(base) = bases(folder)?.into_iter().rfind(|base| *base <= at) else { return Ok(None) };
    let mut file = fs_err::File::open(segment(folder, base))?;
    file.seek(SeekFrom::Start(at - base))?;
    Ok(Some(BufReader::with_capacity(1 << 16, file.take(to - at))))
}

/// The number of lines after a position, and the position after all of them. An incomplete line does not count, because
/// another process may be writing it. The lines are not kept in memory, because a server may have been unreachable for
/// days.
pub(crate) fn count(folder: &Path, from: u64) -> Result<(u64, u64)> {
    let bases = bases(folder)?;
    let (mut count, mut end) = (0, from);
    for (at, &base) in bases.iter().enumerate() {
        if bases.get(at + 1).is_some_and(|next| *next <= from) {
            continue;
        }
        let mut file = match fs_err::File::open(segment(folder, base)) {
            Ok(file) => file,
            // The segment was delivered and removed in the meantime.
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

/// The number of waiting records in a spool, and the position after all of them.
pub(crate) fn waiting(folder: &Path) -> Result<(u64, u64)> {
    count(folder, noted(folder, ACKED).unwrap_or(0))
}

/// The starts of a spool's segments, in order.
pub(super) fn bases(folder: &Path) -> Result<Vec<u64>> {
    let mut bases = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        bases.extend(entry?.file_name().to_str().and_then(base_of));
    }
    bases.sort_unstable();
    Ok(bases)
}
