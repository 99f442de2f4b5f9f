//! What stands in for stores in a program without the cargo feature `remote`.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use super::{Entry, Reader};
use crate::{Error, Result};

/// There is none.
pub(super) enum Object {}

impl Object {
    pub(super) fn new(scheme: &str, bucket: &str, key: &str) -> Result<Self> {
        Err(Error::Url {
            url: format!("{scheme}://{bucket}/{key}"),
            reason: "this program was built without remote folders".into(),
            hint: "turn on the cargo feature `remote` of `stormfire`".into(),
        })
    }

    pub(super) fn path(&self) -> PathBuf {
        match *self {}
    }

    pub(super) fn exists(&self) -> io::Result<bool> {
        match *self {}
    }

    pub(super) fn list(&self) -> io::Result<Vec<Entry>> {
        match *self {}
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn write(&self, _len: u64, _write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
        match *self {}
    }

    pub(super) fn open(&self) -> io::Result<(Reader, u64)> {
        match *self {}
    }

    pub(super) fn copy_within(&self, _to: &Self) -> io::Result<bool> {
        match *self {}
    }
}
