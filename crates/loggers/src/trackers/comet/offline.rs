//! An offline run in a folder, which becomes an archive for `comet upload`.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use stormfire_store::append::Append;
use stormfire_store::{
    files, folder,
    replacement::{self, Replacement},
};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::message::Message;
use crate::parts::identity::now_ms;
use crate::parts::random::random_hex;
use crate::{Error, Result};

const EXPERIMENT: &str = "experiment.json";
const MESSAGES: &str = "messages.json";
/// Larger files need other headers in the archive.
const LARGE: u64 = 1 << 31;

/// The content of `experiment.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Experiment {
    pub(super) offline_id: String,
    pub(super) project_name: Option<String>,
    pub(super) workspace: Option<String>,
    /// Milliseconds since 1970.
    pub(super) start_time: u64,
    pub(super) stop_time: u64,
    pub(super) tags: Vec<String>,
    pub(super) resume_strategy: String,
    pub(super) customer_error_reported: bool,
    pub(super) customer_error_message: Option<String>,
    pub(super) user_provided_experiment_key: bool,
    pub(super) comet_start_sourced: bool,
}

/// The folder `KEY`. The archive `KEY.zip` is created next to it.
pub(super) struct Folder {
    path: PathBuf,
    messages: Append,
    experiment: Experiment,
    /// The length of the messages in the archive.
    packed: Option<u64>,
}

impl Folder {
    /// Opens a folder with the contents of an earlier process. If only the archive exists, it is unpacked.
    pub(super) fn open(path: &Path, experiment: Experiment) -> Result<Self> {
        let archive = archive_of(path);
        // Removes incomplete files of a killed process.
        replacement::remove_leftovers(folder::of(&archive));
        replacement::remove_leftovers(path);
        if !path.join(EXPERIMENT).exists() && archive.exists() {
            unpack(&archive, path)?;
        }
        fs_err::create_dir_all(path)?;
        let found = fs_err::read(path.join(EXPERIMENT)).ok().and_then(|text| serde_json::from_slice::<Experiment>(&text).ok());
        let experiment = Experiment { start_time: found.map_or(experiment.start_time, |found| found.start_time), ..experiment };
        let file = path.join(MESSAGES);
        let whole = whole_lines(&file)?;
        let open = fs_err::OpenOptions::new().create(true).read(true).write(true).truncate(false).open(&file)?;
        let mut messages = Append::new(open.into_parts().0, file, whole);
        messages.cut(whole)?;
        let folder = Self { path: path.to_owned(), messages, experiment, packed: None };
        folder.write_experiment()?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn archive(&self) -> PathBuf {
        archive_of(&self.path)
    }

    pub(super) fn push(&mut self, message: &Message) -> Result<()> {
        let buffer = self.messages.buffer();
        let before = buffer.len();
        if let Err(error) = serde_json::to_writer(&mut *buffer, message) {
            buffer.truncate(before);
            return Err(Error::other(error));
        }
        buffer.push(b'\n');
        self.packed = None;
        Ok(self.messages.pushed()?)
    }

    /// Stores bytes as an entry of the archive. Returns the entry's name.
    pub(super) fn keep(&self, bytes: &[u8]) -> Result<PathBuf> {
        let name = PathBuf::from(random_hex(32));
        fs_err::write(self.path.join(&name), bytes)?;
        Ok(name)
    }

    /// Stores the current content of a file, as a link if the file is never modified. Returns the entry's name.
    pub(super) fn keep_file(&self, file: &Path, is_fixed: bool) -> Result<PathBuf> {
        let name = PathBuf::from(random_hex(32));
        let place = self.path.join(&name);
        if is_fixed {
            files::link_or_copy(file, place)?;
        } else {
            fs_err::copy(file, place)?;
        }
        Ok(name)
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        Ok(self.messages.flush(b"")?)
    }

    /// The length of the messages. From now on they survive a crash of the machine.
    pub(super) fn position(&mut self) -> Result<u64> {
        self.flush()?;
        self.messages.sync()?;
        Ok(self.messages.end())
    }

    /// Drops the messages after a position. Returns false if the position is after the end.
    pub(super) fn rewind(&mut self, to: u64) -> Result<bool> {
        self.flush()?;
        let fits = to <= self.messages.end();
        if fits {
            self.messages.cut(to)?;
            self.packed = None;
        }
        Ok(fits)
    }

    /// Creates the archive.
    pub(super) fn pack(&mut self, error: Option<String>) -> Result<PathBuf> {
        self.flush()?;
        self.experiment.stop_time = now_ms();
        self.experiment.customer_error_reported = error.is_some();
        self.experiment.customer_error_message = error;
        self.write_experiment()?;
        let archive = archive_of(&self.path);
        write_archive(&self.path, &self.experiment, &archive)?;
        self.packed = Some(self.messages.end());
        Ok(archive)
    }

    /// Removes the folder of an empty run, or of one with a complete archive.
    pub(super) fn close(mut self) -> Result<()> {
        self.flush()?;
        let end = self.messages.end();
        let Self { path, messages, packed, .. } = self;
        drop(messages);
        if end == 0 || packed == Some(end) { Ok(fs_err::remove_dir_all(path)?) } else { Ok(()) }
    }

    fn write_experiment(&self) -> Result<()> {
        Ok(Replacement::new(&self.path.join(EXPERIMENT))?.commit_json(&self.experiment)?)
    }
}

/// Creates the archive of a folder that a killed run left. It is named after the folder and created next to it. The
/// folder stays.
pub(super) fn pack(folder: &Path) -> Result<PathBuf> {
    let text = fs_err::read(folder.join(EXPERIMENT))?;
    let mut experiment: Experiment = serde_json::from_slice(&text).map_err(Error::other)?;
    let written = fs_err::metadata(folder.join(MESSAGES))?.modified()?;
    let age = written.elapsed().unwrap_or_default().as_millis() as u64;
    experiment.stop_time = experiment.stop_time.max(now_ms().saturating_sub(age));
    let archive = archive_of(folder);
    write_archive(folder, &experiment, &archive)?;
    Ok(archive)
}

fn archive_of(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_owned();
    name.push(".zip");
    folder.with_file_name(name)
}

fn write_archive(folder: &Path, experiment: &Experiment, archive: &Path) -> Result<()> {
    let mut zip = ZipWriter::new(Replacement::new(archive)?);
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    zip.start_file(EXPERIMENT, options).map_err(Error::other)?;
    serde_json::to_writer(&mut zip, experiment).map_err(Error::other)?;
    let messages = folder.join(MESSAGES);
    let length = whole_lines(&messages)?;
    zip.start_file(MESSAGES, options.large_file(length > LARGE)).map_err(Error::other)?;
    std::io::copy(&mut fs_err::File::open(&messages)?.take(length), &mut zip)?;
    for name in kept(&messages, length)? {
        let mut file = match fs_err::File::open(folder.join(&name)) {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(%error, "a file is missing in an archive for Comet");
                continue;
            }
        };
        zip.start_file(name, options.large_file(file.metadata()?.len() > LARGE)).map_err(Error::other)?;
        std::io::copy(&mut file, &mut zip)?;
    }
    zip.finish().map_err(Error::other)?.commit()?;
    Ok(())
}

/// The names of the files in the messages.
fn kept(messages: &Path, length: u64) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for line in BufReader::new(fs_err::File::open(messages)?.take(length)).lines() {
        if let Ok(Message::FileUpload(upload)) = serde_json::from_str(&line?) {
            names.extend(upload.file_path.to_str().map(str::to_owned));
        }
    }
    Ok(names)
}

fn unpack(archive: &Path, folder: &Path) -> Result<()> {
    let mut zip = ZipArchive::new(BufReader::new(fs_err::File::open(archive)?)).map_err(Error::other)?;
    fs_err::create_dir_all(folder)?;
    // The experiment is unpacked last: a folder without it is incomplete.
    for index in (0..zip.len()).rev() {
        let mut entry = zip.by_index(index).map_err(Error::other)?;
        let Some(name) = entry.enclosed_name() else { continue };
        std::io::copy(&mut entry, &mut fs_err::File::create(folder.join(name))?)?;
    }
    Ok(())
}

/// The length of a file without an incomplete line at its end.
fn whole_lines(path: &Path) -> Result<u64> {
    let mut file = match fs_err::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error.into()),
    };
    let mut end = file.metadata()?.len();
    let mut block = vec![0; 1 << 16];
    while end > 0 {
        let length = end.min(block.len() as u64);
        file.seek(std::io::SeekFrom::Start(end - length))?;
        file.read_exact(&mut block[..length as usize])?;
        if let Some(at) = block[..length as usize].iter().rposition(|byte| *byte == b'\n') {
            return Ok(end - length + at as u64 + 1);
        }
        end -= length;
    }
    Ok(0)
}
