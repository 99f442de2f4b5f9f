//! From the bytes of a checkpoint to its manifest and tensors, believing nothing that was not checked.

use std::{
    collections::BTreeMap,
    io::{self, BufRead},
    path::Path,
};

use burn::tensor::{DType, TensorData};
use serde::Deserialize;
use xxhash_rust::xxh3::Xxh3Default;

use crate::{
    Error, FORMAT_VERSION, FileKind, Manifest, Result, dtype,
    encode::{CHUNK, checksum},
    header::{CHECKSUM_LEN, Header, MAX_LEN, Slot},
    storage, tensor_names,
};

#[cfg(test)]
mod tests;

/// A checkpoint that was read whole and found to be what was written.
#[derive(Debug)]
pub struct Checkpoint {
    manifest: Manifest,
    tensors: BTreeMap<String, TensorData>,
}

impl Checkpoint {
    /// Reads a file, or what is behind a URL, and verifies all of it. Each tensor gets memory of its own, which burn takes over without a copy;
    /// there is no other copy of the file in memory.
    ///
    /// # Errors
    /// Says what is wrong with the file; every variant of [`Error`] but those for writing.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Source::open(path.as_ref())?.into_checkpoint()
    }

    /// Reads a checkpoint that lies in memory; `path` names it in errors.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn from_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Self> {
        Source::new(path.as_ref(), bytes, bytes.len() as u64).into_checkpoint()
    }

    /// Reads the manifest alone, without a look at the tensors and the checksum: for lists of many checkpoints.
    ///
    /// # Errors
    /// As [`Checkpoint::read`], but damage in the tensors goes unnoticed.
    pub fn read_manifest(path: impl AsRef<Path>) -> Result<Manifest> {
        Ok(Source::open(path.as_ref())?.header()?.0)
    }

    /// Everything but the tensors.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// All tensors that were not taken, by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorData> {
        &self.tensors
    }

    /// Takes one tensor out.
    pub fn take(&mut self, name: &str) -> Option<TensorData> {
        self.tensors.remove(name)
    }

    /// Takes out the weights that were in force: those beside the training weights if there are any (the average that was
    /// validated, say), else the training weights.
    pub fn take_weights(&mut self) -> BTreeMap<String, TensorData> {
        tensor_names::take_weights(&mut self.tensors)
    }

    /// Takes out the training weights: the tensors without a `/` in their names, which are the parameters' paths.
    pub fn take_training_weights(&mut self) -> BTreeMap<String, TensorData> {
        tensor_names::take_trained_weights(&mut self.tensors)
    }

    /// Takes out the tensors below a folder; `take_under("optimizer")` gives `optimizer/Adam/hidden.weight/moment_1` as
    /// `Adam/hidden.weight/moment_1`.
    pub fn take_under(&mut self, folder: &str) -> BTreeMap<String, TensorData> {
        tensor_names::take_under(&mut self.tensors, &format!("{folder}/"))
    }

    /// The manifest and all tensors that were not taken.
    pub fn into_parts(self) -> (Manifest, BTreeMap<String, TensorData>) {
        (self.manifest, self.tensors)
    }
}

/// Reads a file to its end in constant memory, and compares the checksum.
///
/// # Errors
/// As [`Checkpoint::read`].
pub fn verify(path: impl AsRef<Path>) -> Result<()> {
    examine(path.as_ref()).map(|_| ())
}

/// Verifies a file and gives its description: the size, the manifest, and the tensors in the order of the file.
pub(crate) fn examine(path: &Path) -> Result<(u64, Manifest, Vec<Slot>)> {
    let mut source = Source::open(path)?;
    let (manifest, slots) = source.header()?;
    let mut chunk = vec![0; CHUNK];
    let mut odd = None;
    for slot in &slots {
        let mut left = slot.len;
        while left > 0 {
            let len = left.min(CHUNK as u64) as usize;
            source.fill(&mut chunk[..len])?;
            if has_odd_bool(slot.dtype, &chunk[..len]) {
                odd.get_or_insert(&slot.name);
            }
            left -= len as u64;
        }
    }
    source.check_end()?;
    match odd {
        Some(name) => Err(source.odd_bool(name)),
        None => Ok((source.len, manifest, slots)),
    }
}

/// Whether there is a byte that no bool has.
fn has_odd_bool(dtype: DType, bytes: &[u8]) -> bool {
    matches!(dtype, DType::Bool(_)) && bytes.iter().any(|byte| *byte > 1)
}

/// Bytes that are hashed while they are read.
pub(crate) struct Source<'a, R> {
    path: &'a Path,
    reader: R,
    /// Of the whole file.
    len: u64,
    read: u64,
    hash: Xxh3Default,
}

impl<'a> Source<'a, storage::Reader> {
    pub(crate) fn open(path: &'a Path) -> Result<Self> {
        let (reader, len) = storage::open(path)?;
        Ok(Self::new(path, reader, len))
    }
}

impl<'a, R: BufRead> Source<'a, R> {
    fn new(path: &'a Path, reader: R, len: u64) -> Self {
        Self { path, reader, len, read: 0, hash: Xxh3Default::new() }
    }

    pub(crate) fn malformed(&self, reason: impl Into<String>) -> Error {
        Error::Malformed { path: self.path.into(), reason: reason.into() }
    }

    fn odd_bool(&self, name: &str) -> Error {
        self.malformed(format!("`{name}` holds a bool that is neither 0 nor 1"))
    }

    fn truncated(&self, expected: u64) -> Error {
        Error::Truncated { path: self.path.into(), found: self.len, expected }
    }

    /// The next bytes, not hashed.
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.reader.read_exact(bytes).map_err(|error| match error.kind() {
            // The file became shorter while it was read.
            io::ErrorKind::UnexpectedEof => Error::Truncated { path: self.path.into(), found: self.read, expected: self.len },
            _ => Error::io(self.path, error),
        })?;
        self.read += bytes.len() as u64;
        Ok(())
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        for chunk in bytes.chunks_mut(CHUNK) {
            self.next(chunk)?;
            self.hash.update(chunk);
        }
        Ok(())
    }

    /// The manifest and the tensors, whose bytes follow and have the size that the header says.
    fn header(&mut self) -> Result<(Manifest, Vec<Slot>)> {
        let header = self.description()?;
        let Some(manifest) = &header.metadata.stormfire else {
            return Err(Error::Foreign { path: self.path.into() });
        };
        let manifest = self.manifest(manifest)?;
        let slots = header.into_slots().map_err(|reason| self.malformed(reason))?;
        self.check_len(&slots, CHECKSUM_LEN)?;
        Ok((manifest, slots))
    }

    /// The header, as it stands in the file.
    pub(crate) fn description(&mut self) -> Result<Header> {
        let mut json = vec![0; self.header_length()?];
        self.fill(&mut json)?;
        Header::parse(&json).map_err(|reason| self.malformed(reason))
    }

    /// Whether the bytes of these tensors follow, and then so many others.
    pub(crate) fn check_len(&self, slots: &[Slot], others: usize) -> Result<()> {
        // The sum of all lengths was found not to overflow when the slots were checked one after the other.
        let tensors: u64 = slots.iter().map(|slot| slot.len).sum();
        let expected = tensors.checked_add(self.read + others as u64).ok_or_else(|| self.malformed("its tensors are too large"))?;
        if self.len < expected {
            return Err(self.truncated(expected));
        }
        if self.len > expected {
            return Err(self.malformed(format!("{} bytes follow its end", self.len - expected)));
        }
        Ok(())
    }

    fn header_length(&mut self) -> Result<usize> {
        const FRAME: u64 = 8;
        if self.len == 0 {
            return Err(Error::Empty { path: self.path.into() });
        }
        let start = self.reader.fill_buf().map_err(|error| Error::io(self.path, error))?;
        let kind = FileKind::guess(start);
        if start.get(FRAME as usize).is_some_and(|byte| *byte != b'{') {
            return Err(Error::NotACheckpoint { path: self.path.into(), kind });
        }
        if self.len <= FRAME {
            return Err(self.truncated(FRAME + 1));
        }
        let mut length = [0; FRAME as usize];
        self.fill(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > MAX_LEN as u64 {
            return Err(Error::NotACheckpoint { path: self.path.into(), kind });
        }
        // Checked before room is made for it.
        if FRAME + length > self.len {
            return Err(self.truncated(FRAME + length));
        }
        Ok(length as usize)
    }

    fn manifest(&self, json: &str) -> Result<Manifest> {
        #[derive(Deserialize)]
        struct Version {
            format_version: u32,
        }
        let invalid = |error: serde_json::Error| self.malformed(format!("its manifest is not valid: {error}"));
        let Version { format_version: found } = serde_json::from_str(json).map_err(invalid)?;
        if found != FORMAT_VERSION {
            return Err(Error::Version { path: self.path.into(), found });
        }
        Manifest::from_fields(serde_json::from_str(json).map_err(invalid)?).map_err(|reason| self.malformed(reason))
    }

    fn check_end(&mut self) -> Result<()> {
        let mut found = [0; CHECKSUM_LEN];
        self.next(&mut found)?;
        if found == checksum(&self.hash) { Ok(()) } else { Err(Error::Checksum { path: self.path.into() }) }
    }

    fn into_checkpoint(mut self) -> Result<Checkpoint> {
        let (manifest, slots) = self.header()?;
        let tensors = self.tensors(slots)?;
        self.check_end()?;
        if let Some((name, _)) = tensors.iter().find(|(_, data)| has_odd_bool(data.dtype(), data.as_bytes())) {
            return Err(self.odd_bool(name));
        }
        Ok(Checkpoint { manifest, tensors })
    }

    /// The tensors, which come next. What a bool may be is not checked: a checksum comes first.
    fn tensors(&mut self, slots: Vec<Slot>) -> Result<BTreeMap<String, TensorData>> {
        let mut tensors = BTreeMap::new();
        for slot in slots {
            let mut bytes = dtype::zeroed(slot.dtype, slot.elements());
            self.fill(&mut bytes)?;
            let data = TensorData::try_from_bytes(bytes, slot.shape, slot.dtype).map_err(|error| self.malformed(error.to_string()))?;
            tensors.insert(slot.name, data);
        }
        Ok(tensors)
    }

    /// The tensors of a file that has no checksum.
    pub(crate) fn into_tensors(mut self, slots: Vec<Slot>) -> Result<BTreeMap<String, TensorData>> {
        self.check_len(&slots, 0)?;
        let tensors = self.tensors(slots)?;
        match tensors.iter().find(|(_, data)| has_odd_bool(data.dtype(), data.as_bytes())) {
            Some((name, _)) => Err(self.odd_bool(name)),
            None => Ok(tensors),
        }
    }
}
