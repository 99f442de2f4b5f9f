//! A folder with one file of tensors per batch.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use burn::tensor::TensorData;
use stormfire_checkpoint::{Encoder, Manifest};
use stormfire_module::{Error, Result, place::EvaluationPosition};
use stormfire_store::replacement::remove_leftovers;
use stormfire_values::clock;

use super::progress::Progress;

/// The note in the folder. It stays after the end, so that a complete prediction is known.
const NOTE: &str = "prediction.json";

pub(super) struct TensorFiles {
    folder: PathBuf,
    /// On rank 0.
    progress: Option<Progress>,
    sync_every: Duration,
    synced: Instant,
    is_noted: bool,
}

impl TensorFiles {
    pub(super) fn open(folder: &Path, identity: String, sync_every: Duration) -> Result<(Self, EvaluationPosition)> {
        fs_err::create_dir_all(folder)?;
        remove_leftovers(folder);
        let known = Progress::read(&folder.join(NOTE)).filter(|known| known.identity == identity);
        if known.is_none() && has_tensors(folder)? {
            return Err(Error::config(
                "PredictionWriter",
                format!("`{}` has files of a prediction with other weights, data or options", folder.display()),
                "remove them, or write to another folder",
            ));
        }
        let progress = known.unwrap_or(Progress { identity, position: EvaluationPosition::default(), bytes: 0, header: None });
        progress.write(&folder.join(NOTE))?;
        let position = progress.position;
        let files = Self { folder: folder.to_owned(), progress: Some(progress), sync_every, synced: clock::now(), is_noted: true };
        Ok((files, position))
    }

    pub(super) fn of_later_rank(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), progress: None, sync_every: Duration::ZERO, synced: clock::now(), is_noted: true }
    }

    /// Writes a file, which is durable afterwards.
    pub(super) fn write(&self, dataloader_idx: usize, batch_idx: usize, tensors: &[(String, TensorData)]) -> Result<()> {
        let path = self.folder.join(format!("{dataloader_idx}-{batch_idx:08}.safetensors"));
        Ok(stormfire_checkpoint::write(&path, &Manifest::default(), tensors)?)
    }

    /// The files before this position are complete.
    pub(super) fn reached(&mut self, position: EvaluationPosition) -> Result<()> {
        if let Some(progress) = &mut self.progress {
            progress.position = position;
            self.is_noted = false;
            if clock::since(self.synced) >= self.sync_every {
                return self.note();
            }
        }
        Ok(())
    }

    fn note(&mut self) -> Result<()> {
        if let Some(progress) = &self.progress {
            progress.write(&self.folder.join(NOTE))?;
        }
        (self.synced, self.is_noted) = (clock::now(), true);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<()> {
        self.note()
    }
}

impl Drop for TensorFiles {
    fn drop(&mut self) {
        if !self.is_noted
            && let Err(error) = self.note()
        {
            tracing::warn!("the newest predictions in `{}` will be made again: {error}", self.folder.display());
        }
    }
}

fn has_tensors(folder: &Path) -> Result<bool> {
    for entry in fs_err::read_dir(folder)? {
        if entry?.path().extension().is_some_and(|extension| extension == "safetensors") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Tensors as bytes for rank 0.
pub(super) fn to_bytes(tensors: &[(String, TensorData)]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    Encoder::new(&Manifest::default(), tensors)?.write_to(&mut bytes)?;
    Ok(bytes)
}
