//! Decodes the bytes of a checkpoint into its manifest and tensors. Trusts nothing that was not checked.

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
    header::{CHECKSUM_LEN, Header, MAX_LEN, Metadata, Slot},
    storage, tensor_names,
};

#[cfg(test)]
mod tests;

/// A checkpoint that was read completely and verified.
#[derive(Debug)]
pub struct Checkpoint {
    manifest: Manifest,
    tensors: BTreeMap<String, TensorData>,
}

impl Checkpoint {
    /// Reads a file or URL and verifies all of it. Each tensor has separate memory, which burn takes over without a
    /// copy. Memory contains no other copy of the file.
    ///
    /// # Errors
    /// Describes what is wrong with the file. All variants of [`Error`] are possible, except those for writing.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        Source::open(path.as_ref())?.into_checkpoint()
    }

    /// Reads a checkpoint in memory. `path` names it in errors.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn from_bytes(path: impl AsRef<Path>, bytes: &[u8]) -> Result<Self> {
        Source::new(path.as_ref(), bytes, bytes.len() as u64).into_checkpoint()
    }

    /// Reads only the manifest, for lists of many checkpoints. Does not check the tensors and the checksum.
    ///
    /// # Errors
    /// As [`Checkpoint::read`], but damage in the tensors is not detected.
    pub fn read_manifest(path: impl AsRef<Path>) -> Result<Manifest> {
        Ok(Source::open(path.as_ref())?.header()?.0)
    }

    /// Everything except the tensors.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The remaining tensors, by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorData> {
        &self.tensors
    }

    /// Takes a tensor.
    pub fn take(&mut self, name: &str) -> Option<TensorData> {
        self.tensors.remove(name)
    }

    /// Takes the weights in force: those stored next to the training weights, such as a validated average. Without such
    /// weights, takes the training weights.
    pub fn take_weights(&mut self) -> BTreeMap<String, TensorData> {
        tensor_names::take_weights(&mut self.tensors)
    }

    /// Takes the training weights: the tensors without a `/` in their names, which are the parameters' paths.
    pub fn take_training_weights(&mut self) -> BTreeMap<String, TensorData> {
        tensor_names::take_trained_weights(&mut self.tensors)
    }

    /// Takes the tensors below a folder. `take_under("optimizer")` returns `optimizer/Adam/hidden.weight/moment_1` as
    /// `Adam/hidden.weight/moment_1`.
    pub fn take_under(&mut self, folder: &str) -> BTreeMap<String, TensorData> {
        tensor_names::take_under(&mut self.tensors, &format!("{folder}/"))
    }

    /// The manifest and the remaining tensors.
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

/// Verifies a file. Returns its size, its manifest, and its tensors in the order of the file.
pub(crate) fn examine(path: &Path) -> Result<(u64, Manifest, Vec<Slot>)> {
    let mut source = Source::open(path)?;
    let (manifest, slots) = source.header()?;
    let len = source.len;
    source.examine(&slots)?;
    Ok((len, manifest, slots))
}

/// Whether a byte is not a valid bool.
pub(crate) fn has_odd_bool(dtype: DType, bytes: &[u8]) -> bool {
    matches!(dtype, DType::Bool(_)) && bytes.iter().any(|byte| *byte > 1)
}

/// A reader that hashes the bytes.
pub(crate) struct Source<'a, R> {
    path: &'a Path,
    reader: R,
    /// The length of the whole file.
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
    pub(crate) fn new(path: &'a Path, reader: R, len: u64) -> Self {
        Self { path, reader, len, read: 0, hash: Xxh3Default::new() }
    }

    fn malformed(&self, reason: impl Into<String>) -> Error {
        Error::Malformed { path: self.path.into(), reason: reason.into() }
    }

    fn odd_bool(&self, name: &str) -> Error {
        self.malformed(format!("`{name}` contains a bool that is neither 0 nor 1"))
    }

    fn truncated(&self, expected: u64) -> Error {
        Error::Truncated { path: self.path.into(), found: self.len, expected }
    }

    /// Reads the next bytes without hashing them.
    fn next(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.reader.read_exact(bytes).map_err(|error| match error.kind() {
            // The file was truncated while it was read.
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

    /// The manifest and the tensors. Checks that the bytes that follow have the size in the header.
    pub(crate) fn header(&mut self) -> Result<(Manifest, Vec<Slot>)> {
        let header = self.description()?;
        let Some(manifest) = &header.metadata.stormfire else {
            return Err(Error::Foreign { path: self.path.into() });
        };
        let manifest = self.manifest(manifest)?;
        let slots = header.into_slots().map_err(|reason| self.malformed(reason))?;
        self.check_len(&slots, CHECKSUM_LEN)?;
        Ok((manifest, slots))
    }

    /// Reads the rest in constant memory and verifies it.
    pub(crate) fn examine(mut self, slots: &[Slot]) -> Result<()> {
        let mut chunk = vec![0; CHUNK];
        let mut odd = None;
        for slot in slots {
            let mut left = slot.len;
            while left > 0 {
                let len = left.min(CHUNK as u64) as usize;
                self.fill(&mut chunk[..len])?;
                if has_odd_bool(slot.dtype, &chunk[..len]) {
                    odd.get_or_insert(&slot.name);
                }
                left -= len as u64;
            }
        }
        self.check_end()?;
        odd.map_or(Ok(()), |name| Err(self.odd_bool(name)))
    }

    /// Number of bytes that were read.
    pub(crate) fn position(&self) -> u64 {
        self.read
    }

    /// The header of the file.
    fn description(&mut self) -> Result<Header> {
        let mut json = vec![0; self.header_length()?];
        self.fill(&mut json)?;
        Header::parse(&json).map_err(|reason| self.malformed(reason))
    }

    /// The metadata and the tensors of a file of another program, which has no checksum.
    pub(crate) fn foreign_header(&mut self) -> Result<(Metadata, Vec<Slot>)> {
        let mut header = self.description()?;
        if let Some((tensor, dtype)) = header.unknown_dtype() {
            return Err(Error::UnsupportedDtype { tensor: tensor.to_owned(), dtype: dtype.to_owned() });
        }
        let metadata = std::mem::take(&mut header.metadata);
        let slots = header.into_foreign_slots().map_err(|reason| self.malformed(reason))?;
        self.check_len(&slots, 0)?;
        Ok((metadata, slots))
    }

    /// Checks that the bytes of these tensors and `others` further bytes follow, and nothing else.
    fn check_len(&self, slots: &[Slot], others: usize) -> Result<()> {
        // The sum of all lengths cannot overflow: this was checked with the offsets of the slots.
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
        // Checked before memory is allocated for it.
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

    /// Reads the tensors. Does not check the values of bools, because the checksum is checked first.
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

    /// The metadata and the tensors of a file of another program.
    pub(crate) fn into_foreign(mut self) -> Result<(Metadata, BTreeMap<String, TensorData>)> {
        let (metadata, slots) = self.foreign_header()?;
        let tensors = self.tensors(slots)?;
        match tensors.iter().find(|(_, data)| has_odd_bool(data.dtype(), data.as_bytes())) {
            Some((name, _)) => Err(self.odd_bool(name)),
            None => Ok((metadata, tensors)),
        }
    }
}
