//! The destination of a spool.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use stormfire_store::replacement::Replacement;

use super::spool;

use crate::{Delivery, Error, Result};

const FILE: &str = "run.json";

/// Opens the file of the route in a folder.
pub(super) fn open(folder: &Path) -> Option<File> {
    File::open(folder.join(FILE)).ok()
}

/// Restores the file of the route from an open handle.
pub(super) fn put_back(folder: &Path, mut was: &File) -> Result<()> {
    let mut text = Vec::new();
    was.seek(SeekFrom::Start(0))?;
    was.read_to_end(&mut text)?;
    let mut file = Replacement::private(&folder.join(FILE))?;
    file.write_all(&text)?;
    file.commit()?;
    Ok(())
}

/// The run of a spool and its server, with everything that another process needs to send the records. It is stored next
/// to the records. It contains no secrets: these come from the environment.
pub(crate) trait Route: Serialize + DeserializeOwned {
    /// The name of the run and its project, for messages.
    fn run(&self) -> String;

    /// The address of the server.
    fn server(&self) -> String;

    /// Sends the records in the folder from which this was loaded. Undelivered records are an error.
    ///
    /// # Errors
    /// [`Error::Missing`] if the run had a login that is missing in the environment.
    fn deliver(self, folder: &Path, patience: Duration) -> Result<Delivery>;

    /// Number of waiting records.
    fn waiting(folder: &Path) -> Result<u64> {
        Ok(spool::waiting(folder)?.0)
    }

    fn save(&self, folder: &Path) -> Result<()> {
        Ok(Replacement::private(&folder.join(FILE))?.commit_json(self)?)
    }

    /// # Errors
    /// [`Error::Io`] if the folder contains no route, another error if it cannot be parsed.
    fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = fs_err::read(&path)?;
        serde_json::from_slice(&text).map_err(|error| Error::other(format!("`{}` cannot be read: {error}", path.display())))
    }
}
