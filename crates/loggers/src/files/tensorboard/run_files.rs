//! The event files of one run of `TensorBoard`: the main run or one of a group.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::cut_back::{Extent, cut_back};
use super::file::EventFile;
use crate::Result;
use crate::parts::position;

/// The files of a run in the order of creation: those of earlier processes, and the open one.
#[derive(Debug, Default)]
pub(super) struct Run {
    earlier: Vec<Extent>,
    file: Option<EventFile>,
    /// The tags whose plugin is named in the open file.
    described: BTreeSet<String>,
}

/// The lengths of a run's files.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Extents {
    /// The files in the order of creation.
    pub(super) files: Vec<Extent>,
    pub(super) last_step: Option<i64>,
}

impl Run {
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(EventFile::path)
    }

    /// The open file. Calls `create` if there is none.
    pub(super) fn file(&mut self, create: impl FnOnce() -> Result<EventFile>) -> Result<&mut EventFile> {
        let file = match self.file.take() {
            Some(file) => file,
            None => create()?,
        };
        Ok(self.file.insert(file))
    }

    /// The name of the run's first file. Later files refer to it.
    pub(super) fn first(&self) -> Option<String> {
        self.earlier.first().map(|file| file.name.clone()).or_else(|| Some(name_of(self.path()?)))
    }

    /// Whether a tag is new to the open file. `TensorBoard` needs the metadata of a tag once.
    pub(super) fn describe(&mut self, tag: &str) -> bool {
        self.described.insert(tag.to_owned())
    }

    pub(super) fn save(&mut self) -> Result<()> {
        self.file.as_mut().map_or(Ok(()), EventFile::flush)
    }

    /// The current lengths of the files. Everything up to them survives a power failure.
    pub(super) fn extents(&mut self) -> Result<Extents> {
        let mut extents = Extents { files: self.earlier.clone(), last_step: None };
        if let Some(file) = &mut self.file {
            let bytes = file.sync()?;
            extents.last_step = file.last_step();
            extents.files.push(Extent { name: name_of(file.path()), bytes });
        }
        Ok(extents)
    }

    /// Rolls the files back to `extents` and continues in a new file. Removes later files, which contain `message`.
    pub(super) fn resume(&mut self, folder: &Path, extents: Extents, message: String) -> Result<()> {
        self.discard_empty()?;
        self.earlier = extents.files;
        if let Some(name) = cut_back(folder, &self.earlier, &message)? {
            position::misfit(&folder.join(name), "events of the checkpoint are missing");
            self.earlier.clear();
        }
        self.described.clear();
        self.file(|| EventFile::create(folder))?.continues(extents.last_step, message)
    }

    /// Closes the event file. Removes it if it contains no value.
    fn discard_empty(&mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let path = file.last_step().is_none().then(|| file.path().to_owned());
        drop(file);
        path.map_or(Ok(()), |path| Ok(fs_err::remove_file(path)?))
    }
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
