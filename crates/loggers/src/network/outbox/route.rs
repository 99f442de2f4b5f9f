//! What a spool is for.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::spool;
use stormfire_store::replacement::Replacement;

use crate::{Delivery, Error, Result};

const FILE: &str = "run.json";

/// What is in a folder now.
pub(super) fn open(folder: &Path) -> Option<File> {
    File::open(folder.join(FILE)).ok()
}

/// Puts it there again as it was when it was opened.
pub(super) fn put_back(folder: &Path, mut was: &File) -> Result<()> {
    let mut text = Vec::new();
    was.seek(SeekFrom::Start(0))?;
    was.read_to_end(&mut text)?;
    let mut file = Replacement::private(&folder.join(FILE))?;
    file.write_all(&text)?;
    file.commit()?;
    Ok(())
}

/// The run of a spool and the way to its server, as far as another process has to know them to send what waits there. It
/// lies beside the records. Secrets are not in it; they come from the environment.
pub(crate) trait Route: Serialize + DeserializeOwned {
    /// The run and its project, for people.
    fn run(&self) -> String;

    /// The address of the server.
    fn server(&self) -> String;

    /// Sends what waits in the folder that this was loaded from. What is not delivered is an error.
    ///
    /// # Errors
    /// [`Error::Missing`] if the run had a login that the environment does not hold.
    fn deliver(self, folder: &Path, patience: Duration) -> Result<Delivery>;

    /// How many records wait.
    fn waiting(folder: &Path) -> Result<u64> {
        Ok(spool::waiting(folder)?.0)
    }

    fn save(&self, folder: &Path) -> Result<()> {
        Ok(Replacement::private(&folder.join(FILE))?.commit_json(self)?)
    }

    /// # Errors
    /// [`Error::Io`] if there is none in the folder, another one if it cannot be understood.
    fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = fs_err::read(&path)?;
        serde_json::from_slice(&text).map_err(|error| Error::other(format!("`{}` cannot be read: {error}", path.display())))
    }
}
