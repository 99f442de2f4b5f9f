//! A file of rows that grows while the batches are predicted.

use std::{
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use stormfire_module::{Error, Result, place::EvaluationPosition};
use stormfire_store::{
    append::Append,
    folder,
    replacement::{remove_leftovers, rename_durably},
};
use stormfire_values::clock;

use super::{
    progress::{Progress, longer},
    rows::Columns,
    table,
};

pub(super) struct Grown {
    path: PathBuf,
    /// Whether the rows become a table at the end.
    is_table: bool,
    note: PathBuf,
    /// The `.part` file. It is locked while this lives.
    file: Append,
    progress: Progress,
    sync_every: Duration,
    synced: Instant,
    is_synced: bool,
}

impl Grown {
    /// Opens the file, and finds out where to continue. `columns` are those of a new file.
    pub(super) fn open(
        (path, is_table): (&Path, bool),
        identity: String,
        sync_every: Duration,
        columns: Columns,
    ) -> Result<(Self, Columns, EvaluationPosition)> {
        let (part, note) = (longer(path, ".part"), longer(path, ".part.json"));
        fs_err::create_dir_all(folder::of(path))?;
        remove_leftovers(folder::of(path));
        let opened = fs_err::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&part)?;
        let (file, _) = opened.into_parts();
        lock(&file, &part)?;
        let len = file.metadata()?.len();
        let known = Progress::read(&note).filter(|known| known.identity == identity && known.bytes <= len);
        if known.is_none() && len > 0 {
            tracing::warn!(
                "`{}` is of a prediction with other weights, data or options, or it is damaged: the prediction starts from scratch",
                part.display()
            );
        }
        let begin = Progress { identity, position: EvaluationPosition::default(), bytes: 0, header: None };
        let columns = match &known {
            Some(known) => columns.continued(known.header.clone()),
            None => columns,
        };
        let progress = known.unwrap_or(begin);
        let mut file = Append::new(file, part.clone(), len);
        file.cut(progress.bytes)?;
        let position = progress.position;
        if position != EvaluationPosition::default() {
            tracing::info!("`{}` continues at batch {} of loader {}", part.display(), position.batch_idx, position.dataloader_idx);
        }
        // A folder in which this note cannot be written is found now.
        progress.write(&note)?;
        let grown = Self { path: path.to_owned(), is_table, note, file, progress, sync_every, synced: clock::now(), is_synced: true };
        Ok((grown, columns, position))
    }

    /// Adds the rows of some batches. `position` is the one after them.
    pub(super) fn add<'a>(
        &mut self,
        columns: &Columns,
        batches: impl Iterator<Item = &'a [u8]>,
        position: EvaluationPosition,
    ) -> Result<()> {
        for rows in batches {
            if self.progress.header.is_none()
                && let Some(header) = columns.header()
            {
                self.file.buffer().extend_from_slice(header.as_bytes());
                self.progress.header = Some(header.to_owned());
            }
            self.file.buffer().extend_from_slice(rows);
        }
        self.file.flush(b"")?;
        self.progress.position = position;
        self.is_synced = false;
        if clock::since(self.synced) >= self.sync_every { self.sync() } else { Ok(()) }
    }

    /// Makes the rows durable, then the note about them.
    fn sync(&mut self) -> Result<()> {
        self.file.sync()?;
        self.progress.bytes = self.file.end();
        self.progress.write(&self.note)?;
        (self.synced, self.is_synced) = (clock::now(), true);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.sync()?;
        if self.is_table {
            let lines = || Ok(BufReader::new(fs_err::File::open(self.file.path())?));
            if let Err(error) = table::write(&self.path, lines) {
                // Rows that are not a table must be made again.
                if matches!(error, Error::Config(_)) {
                    fs_err::remove_file(&self.note)?;
                }
                return Err(error);
            }
            fs_err::remove_file(self.file.path())?;
        } else {
            rename_durably(self.file.path(), &self.path)?;
        }
        fs_err::remove_file(&self.note)?;
        self.is_synced = true;
        Ok(())
    }
}

impl Drop for Grown {
    /// A prediction that fails or is interrupted keeps what it has.
    fn drop(&mut self) {
        if !self.is_synced
            && let Err(error) = self.sync()
        {
            tracing::warn!("the newest rows of `{}` may be lost: {error}", self.file.path().display());
        }
    }
}

/// Two processes must not write one file.
pub(super) fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::config(
            "PredictionWriter",
            format!("another prediction is writing `{}`", path.display()),
            "wait for it, or write to another file",
        )),
        // Some file systems have no locks.
        _ => Ok(()),
    }
}
