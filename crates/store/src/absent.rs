//! What stands in for stores in a program without the cargo feature `remote`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use crate::entry::{Entry, Reader};
use crate::url::BadUrl;

/// There is none.
#[derive(Debug)]
pub enum Object {}

impl Object {
    pub(crate) fn new(scheme: &str, bucket: &str, key: &str) -> Result<Self, BadUrl> {
        Err(BadUrl {
            url: format!("{scheme}://{bucket}/{key}"),
            reason: "this program was built without remote folders".into(),
            hint: "turn on the cargo feature `remote` of `stormfire`".into(),
        })
    }

    /// Its URL.
    pub fn path(&self) -> PathBuf {
        match *self {}
    }

    /// Whether it is there.
    ///
    /// # Errors
    /// What the store says.
    pub fn exists(&self) -> io::Result<bool> {
        match *self {}
    }

    /// What lies below its name.
    ///
    /// # Errors
    /// What the store says.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        match *self {}
    }

    /// Removes it.
    ///
    /// # Errors
    /// `NotFound` where the store says so, and what else it says.
    pub fn remove(&self) -> io::Result<()> {
        match *self {}
    }

    /// Writes `len` bytes. Until all are there, readers see the old object.
    ///
    /// # Errors
    /// What the store or `write` says.
    pub fn write(&self, _len: u64, _write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match *self {}
    }

    /// A reader, and the length.
    ///
    /// # Errors
    /// `NotFound`, and what else the store says.
    pub fn open(&self) -> io::Result<(Reader, u64)> {
        match *self {}
    }

    /// Copies without a detour through this machine, or says that it cannot be done.
    ///
    /// # Errors
    /// What the store says.
    pub fn copy_within(&self, _to: &Self) -> io::Result<bool> {
        match *self {}
    }
}
