//! The names of a saved state. They are completed even after a kill.
//!
//! A file gets its further names one after the other. Then the replaced files are removed. The file itself contains
//! this plan, so that a fit resumed from it can complete the plan.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::tensor::TensorData;
use serde::{Deserialize, Serialize};
use stormfire_checkpoint::{
    Checkpoint, Error as FileError, Manifest,
    storage::{self, link_or_copy, symlink_or_copy},
    tensor_names::{IN_FORCE, is_trained_weight},
    write,
};
use stormfire_module::{
    Result,
    requests::{AlsoKind, SaveRequest},
};

/// The further names of a saved state, and the files that they replace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Names {
    file: PathBuf,
    /// In order of creation.
    further: Vec<Further>,
    replaced: Vec<PathBuf>,
    /// The names of the weights-only file of this state, which is written afterwards.
    #[serde(skip_serializing_if = "Option::is_none")]
    weights: Option<Box<Names>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Further {
    of: PathBuf,
    name: PathBuf,
    is_link: bool,
}

impl Further {
    fn make(&self) -> Result<(), FileError> {
        if self.is_link { symlink_or_copy(&self.of, &self.name) } else { link_or_copy(&self.of, &self.name) }
    }
}

impl Names {
    /// The names of all requests for one state.
    pub(crate) fn of(requests: &[SaveRequest]) -> Self {
        let Some(first) = requests.first() else { return Self::default() };
        let mut further = Vec::new();
        for (index, request) in requests.iter().enumerate() {
            if index > 0 {
                further.push(Further { of: first.path.clone(), name: request.path.clone(), is_link: false });
            }
            let also = request.also.iter();
            further.extend(also.map(|also| Further {
                of: request.path.clone(),
                name: also.path.clone(),
                is_link: also.kind == AlsoKind::Link,
            }));
        }
        let is_taken = |old: &PathBuf| requests.iter().any(|request| request.paths().any(|path| path == old));
        let replaced = requests.iter().flat_map(|request| &request.then_remove).filter(|old| !is_taken(old)).cloned().collect();
        Self { file: first.path.clone(), further, replaced, weights: None }
    }

    /// Adds the names of the weights-only file.
    pub(crate) fn and_weights(self, requests: &[SaveRequest]) -> Self {
        Self { weights: (!requests.is_empty()).then(|| Box::new(Self::of(requests))), ..self }
    }

    /// The file that is written first.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Creates the further names of the file, and removes the replaced files.
    pub(crate) fn finish(&self) -> Result<()> {
        self.further.iter().try_for_each(Further::make)?;
        self.replaced.iter().for_each(|old| remove(old, &self.file));
        Ok(())
    }

    /// As [`finish`](Self::finish), for a fit that resumes from one of these names after a kill. Files that are newer
    /// than this checkpoint or belong to another run stay. `tensors` are those of the checkpoint.
    pub(crate) fn finish_after_a_kill(&self, from: &Path, manifest: &Manifest, tensors: &BTreeMap<String, TensorData>) {
        let from = storage::identity(from);
        let is_here = |name: &Path| storage::identity(name) == from;
        if !std::iter::once(&self.file).chain(self.further.iter().map(|further| &further.name)).any(|name| is_here(name)) {
            return;
        }
        self.finish_missing(manifest);
        let Some(weights) = &self.weights else { return };
        if is_missing(&weights.file, manifest)
            && let Err(error) = write_weights(&weights.file, manifest, tensors)
        {
            tracing::warn!("weights that a killed run had requested are still missing: {error}");
            return;
        }
        weights.finish_missing(manifest);
    }

    fn finish_missing(&self, manifest: &Manifest) {
        for further in &self.further {
            if is_missing(&further.name, manifest)
                && let Err(error) = further.make()
            {
                tracing::warn!("a name that a killed run had requested is still missing: {error}");
            }
        }
        for old in &self.replaced {
            if Checkpoint::read_manifest(old).is_ok_and(|theirs| is_older(&theirs, manifest)) {
                remove(old, &self.file);
            }
        }
    }
}

/// Whether this is an earlier state of the same run.
fn is_older(theirs: &Manifest, manifest: &Manifest) -> bool {
    theirs.run_id == manifest.run_id && theirs.order_in_run() < manifest.order_in_run()
}

/// Whether the name is unused or belongs to an earlier state of the run.
fn is_missing(name: &Path, manifest: &Manifest) -> bool {
    match Checkpoint::read_manifest(name) {
        Ok(theirs) => is_older(&theirs, manifest),
        Err(error) => matches!(error, FileError::NotFound { .. }),
    }
}

/// Writes the weights of a whole checkpoint as a separate file.
fn write_weights(path: &Path, whole: &Manifest, tensors: &BTreeMap<String, TensorData>) -> Result<(), FileError> {
    let is_weight = |name: &str| is_trained_weight(name) || name.starts_with(IN_FORCE);
    let weights: Vec<_> = tensors.iter().filter(|(name, _)| is_weight(name)).map(|(name, data)| (name.clone(), data.clone())).collect();
    write(path, &whole.of_weights(), &weights)
}

/// Removes a replaced file, and the folders that become empty: a name with a `/` creates folders.
fn remove(old: &Path, new: &Path) {
    if let Err(error) = storage::remove(old) {
        tracing::warn!("an old checkpoint could not be removed: {error}");
        return;
    }
    let Some(old) = storage::on_disk(old) else { return };
    for folder in old.ancestors().skip(1).take_while(|folder| !new.starts_with(folder)) {
        // This fails for a folder that is not empty.
        if std::fs::remove_dir(folder).is_err() {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same order decides from which checkpoint a fit resumes.
    #[test]
    fn a_checkpoint_with_a_date_in_the_future_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let manifest = |run: &str, batches: u64, saved_at: &str| {
            let progress = serde_json::json!({ "batches": batches, "global_step": batches, "epoch": 0 });
            Manifest { weights_only: true, run_id: run.into(), saved_at: saved_at.into(), progress, ..Manifest::default() }
        };
        let save = |name: &str, manifest: &Manifest| write(at(name), manifest, &[]).unwrap();
        save("step=4.ckpt", &manifest("a", 4, "2099-01-01T00:00:00Z"));
        save("other.ckpt", &manifest("b", 4, "2020-01-01T00:00:00Z"));
        save("later.ckpt", &manifest("a", 9, "2020-01-01T00:00:00Z"));
        link_or_copy(at("step=4.ckpt"), at("last.ckpt")).unwrap();
        // The kill came before the further names and the removals.
        let newest = manifest("a", 8, "2026-01-01T00:00:00Z");
        save("step=8.ckpt", &newest);
        let further = Further { of: at("step=8.ckpt"), name: at("last.ckpt"), is_link: false };
        let replaced = vec![at("step=4.ckpt"), at("other.ckpt"), at("later.ckpt")];
        let names = Names { file: at("step=8.ckpt"), further: vec![further], replaced, weights: None };
        names.finish_after_a_kill(&at("step=8.ckpt"), &newest, &BTreeMap::new());
        let batches = |name: &str| Checkpoint::read_manifest(at(name)).ok().and_then(|manifest| manifest.global_step());
        assert_eq!((batches("last.ckpt"), batches("step=4.ckpt")), (Some(8), None));
        assert_eq!((batches("other.ckpt"), batches("later.ckpt")), (Some(4), Some(9)));
    }
}
