//! Neptune's queue on the disk: a folder with numbered operations.

use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;
use stormfire_store::append::Append;
use stormfire_store::names;
use stormfire_store::replacement::{self, Replacement};

use super::operation::{Element, Operation};
use crate::parts::identity::{now_ms, now_s};
use crate::parts::random::{random_hex, random_id};
use crate::{Error, Result};

/// Approximate length at which a file of operations is closed, as in Neptune's client.
const FILE: u64 = 64 << 20;
const UPLOADS: &str = "upload_path";

/// The writing end.
pub(super) struct Queue {
    folder: PathBuf,
    file: Append,
    /// The number of the last operation.
    version: u64,
    last_put: fs_err::File,
}

/// A position in a queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Position {
    pub(super) folder: PathBuf,
    file: String,
    length: u64,
    version: u64,
}

/// The id of a new run, and the name of its folder in the format of Neptune's client.
pub(super) fn names() -> (String, String) {
    let part = random_hex;
    let id = format!("{}-{}-4{}-8{}-{}", part(8), part(4), part(3), part(3), part(12));
    let folder = format!("run__{id}__{}__{}", std::process::id(), random_id(8));
    (id, folder)
}

impl Queue {
    /// Creates the folder of a new run.
    pub(super) fn create(folder: &Path, id: &str) -> Result<Self> {
        fs_err::create_dir_all(folder.join(UPLOADS))?;
        let created = jiff::Timestamp::from_millisecond(now_ms().cast_signed()).unwrap_or_default();
        let metadata = json!({
            "mode": "offline", "containerId": id, "containerType": "run", "structureVersion": 3, "os": std::env::consts::OS,
            "pythonVersion": "none", "neptuneClientVersion": concat!("stormfire ", env!("CARGO_PKG_VERSION")),
            "createdAt": created.strftime("%Y-%m-%dT%H:%M:%S.%6f+00:00").to_string(),
        });
        let mut file = Replacement::new(&folder.join("metadata.json"))?;
        serde_json::to_writer_pretty(&mut file, &metadata).map_err(Error::other)?;
        file.commit()?;
        fs_err::write(folder.join("last_ack_version"), "")?;
        Self::at(folder, "data-1.log", 0, 0)
    }

    /// Continues after a position and drops later operations. Returns `None` if the position is missing.
    pub(super) fn reopen(position: &Position) -> Result<Option<Self>> {
        let Position { folder, file, length, version } = position;
        if fs_err::metadata(folder.join(file)).map_or(0, |metadata| metadata.len()) < *length {
            return Ok(None);
        }
        replacement::remove_leftovers(folder);
        let keep = number_of(file).unwrap_or(0);
        for (number, path) in files(folder)? {
            if number > keep {
                fs_err::remove_file(path)?;
            }
        }
        let mut queue = Self::at(folder, file, *length, *version)?;
        queue.file.cut(*length)?;
        queue.flush()?;
        Ok(Some(queue))
    }

    fn at(folder: &Path, name: &str, length: u64, version: u64) -> Result<Self> {
        let options = || {
            let mut options = fs_err::OpenOptions::new();
            options.create(true).read(true).write(true).truncate(false);
            options
        };
        let path = folder.join(name);
        let file = Append::new(options().open(&path)?.into_parts().0, path, length);
        let last_put = options().open(folder.join("last_put_version"))?;
        Ok(Self { folder: folder.to_owned(), file, version, last_put })
    }

    /// Whether the queue is empty.
    pub(super) const fn is_new(&self) -> bool {
        self.version == 0
    }

    pub(super) fn put(&mut self, operation: Operation) -> Result<()> {
        if self.file.end() + self.file.buffer().len() as u64 >= FILE {
            self.flush()?;
            *self = Self::at(&self.folder, &format!("data-{}.log", self.version + 1), 0, self.version)?;
        }
        let element = Element { obj: operation, version: self.version + 1, at: Some(now_s()) };
        let buffer = self.file.buffer();
        let before = buffer.len();
        if let Err(error) = serde_json::to_writer(&mut *buffer, &element) {
            buffer.truncate(before);
            return Err(Error::other(error));
        }
        buffer.push(b'\n');
        self.version += 1;
        Ok(self.file.pushed()?)
    }

    /// The path for the bytes of an upload, and its name in operations.
    pub(super) fn upload(&self, path: &[String], extension: &str) -> (PathBuf, String) {
        let dot = if extension.is_empty() { "" } else { "." };
        let clean: String = path.join("_").chars().map(|c| if c.is_alphanumeric() || "-_=.".contains(c) { c } else { '_' }).collect();
        // A file name has a limited length. The number makes it unique.
        let (clean, extension) = (names::fit(&clean, 80, |_| true), names::fit(extension, 40, names::in_path));
        let extension = if dot.is_empty() { "" } else { &*extension };
        let name = format!("{clean}-{:08}{dot}{extension}", self.version + 1);
        (self.folder.join(UPLOADS).join(&name), name)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        self.file.flush(b"")?;
        let text = self.version.to_string();
        self.last_put.seek(SeekFrom::Start(0))?;
        self.last_put.write_all(text.as_bytes())?;
        Ok(self.last_put.set_len(text.len() as u64)?)
    }

    pub(super) fn position(&mut self) -> Result<Position> {
        self.flush()?;
        self.file.sync()?;
        let file = self.file.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Position { folder: self.folder.clone(), file, length: self.file.end(), version: self.version })
    }

    /// Removes the folder of a run without operations.
    pub(super) fn close(mut self) -> Result<()> {
        self.flush()?;
        let Self { folder, file, version, last_put } = self;
        drop((file, last_put));
        if version == 0 { Ok(fs_err::remove_dir_all(folder)?) } else { Ok(()) }
    }
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("data-")?.strip_suffix(".log")?.parse().ok()
}

/// The files of operations, in order.
fn files(folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        found.extend(entry.file_name().to_str().and_then(number_of).map(|number| (number, entry.path())));
    }
    found.sort();
    Ok(found)
}

/// Whether a folder contains operations.
pub(super) fn is_run(folder: &Path) -> Result<bool> {
    Ok(!files(folder)?.is_empty())
}

pub(super) fn no_run(folder: &Path) -> Error {
    let reason = format!("`{}` contains no Neptune run: it has no `data-*.log`", folder.display());
    std::io::Error::new(std::io::ErrorKind::NotFound, reason).into()
}

/// The path of the bytes of an upload.
pub(super) fn upload_of(folder: &Path, name: &str) -> PathBuf {
    folder.join(UPLOADS).join(name)
}

/// Passes every operation to a closure, in order. An incomplete operation at the end is skipped.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be read, another error if a line in it is not a valid operation.
pub(super) fn read(folder: &Path, mut each: impl FnMut(Operation)) -> Result<()> {
    let files = files(folder)?;
    if files.is_empty() {
        return Err(no_run(folder));
    }
    for (_, path) in files {
        let mut lines = BufReader::new(fs_err::File::open(&path)?);
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 {
            match serde_json::from_str::<Element>(&line) {
                Ok(element) => each(element.obj),
                Err(_) if !line.ends_with('\n') => break,
                Err(error) => {
                    let reason = format!("a line of `{}` is not a Neptune operation: {error}", path.display());
                    return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, reason).into());
                }
            }
            line.clear();
        }
    }
    Ok(())
}
