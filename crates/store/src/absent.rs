//! Stands in for stores in a program without the cargo feature `remote`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use crate::entry::{Entry, Reader};
use crate::url::BadUrl;

/// An object in a store. It has no values in this build.
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

    /// The URL.
    pub fn path(&self) -> PathBuf {
        match *self {}
    }

    /// Whether it exists.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn exists(&self) -> io::Result<bool> {
        match *self {}
    }

    /// Lists the entries below its name.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn list(&self) -> io::Result<Vec<Entry>> {
        match *self {}
    }

    /// Removes the object.
    ///
    /// # Errors
    /// `NotFound` if the store reports it, and other errors of the store.
    pub fn remove(&self) -> io::Result<()> {
        match *self {}
    }

    /// Writes `len` bytes. Until all have arrived, readers see the old object.
    ///
    /// # Errors
    /// Errors of the store or of `write`.
    pub fn write(&self, _len: u64, _write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match *self {}
    }

    /// Returns a reader and the length.
    ///
    /// # Errors
    /// `NotFound`, and other errors of the store.
    pub fn open(&self) -> io::Result<(Reader, u64)> {
        match *self {}
    }

    /// Copies inside the store, not through this machine. Returns false if the store cannot do that.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn copy_within(&self, _to: &Self) -> io::Result<bool> {
        match *self {}
    }
}
