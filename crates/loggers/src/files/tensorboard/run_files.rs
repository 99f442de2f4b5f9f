//! The event files of one run of `TensorBoard`: the main one, or one of a group's.

use std::collections::BTreeSet;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::cut_back::{Extent, cut_back};
use super::file::EventFile;
use crate::Result;
use crate::parts::position;

/// The files of a run in the order of their making: those of earlier processes, and the one that is open.
#[derive(Debug, Default)]
pub(super) struct Run {
    earlier: Vec<Extent>,
    file: Option<EventFile>,
    /// The tags whose plugin the open file names.
    described: BTreeSet<String>,
}

/// How far the files of a run reach.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Extents {
    /// The files in the order of their making.
    pub(super) files: Vec<Extent>,
    pub(super) last_step: Option<i64>,
}

impl Run {
    pub(super) fn path(&self) -> Option<&Path> {
        self.file.as_ref().map(EventFile::path)
    }

    /// The open file, which `create` makes where there is none.
    pub(super) fn file(&mut self, create: impl FnOnce() -> Result<EventFile>) -> Result<&mut EventFile> {
        let file = match self.file.take() {
            Some(file) => file,
            None => create()?,
        };
        Ok(self.file.insert(file))
    }

    /// The name of the run's first file, by which the later ones know what they belong to.
    pub(super) fn first(&self) -> Option<String> {
        self.earlier.first().map(|file| file.name.clone()).or_else(|| Some(name_of(self.path()?)))
    }

    /// Whether a tag is new to the open file. `TensorBoard` wants to know once what a tag is.
    pub(super) fn describe(&mut self, tag: &str) -> bool {
        self.described.insert(tag.to_owned())
    }

    pub(super) fn save(&mut self) -> Result<()> {
        self.file.as_mut().map_or(Ok(()), EventFile::flush)
    }

    /// How far the files reach. So much of them outlives a power cut.
    pub(super) fn extents(&mut self) -> Result<Extents> {
        let mut extents = Extents { files: self.earlier.clone(), last_step: None };
        if let Some(file) = &mut self.file {
            let bytes = file.sync()?;
            extents.last_step = file.last_step();
            extents.files.push(Extent { name: name_of(file.path()), bytes });
        }
        Ok(extents)
    }

    /// Takes the files back to `extents`, and goes on in a new one. The files that `message` belongs to and that are not
    /// among them are removed.
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

    /// Closes the event file. One that was only opened is removed.
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
