//! Encodes a manifest and tensors as the bytes of a checkpoint.

use std::{
    borrow::Cow,
    collections::HashSet,
    io::{self, BufWriter, Write},
    path::Path,
};

use burn::tensor::{BoolStore, DType, TensorData};
use serde_json::{Map, Value};
use xxhash_rust::xxh3::Xxh3Default;

use crate::{
    Error, Manifest, Result, Snapshot, dtype,
    header::{CHECKSUM, CHECKSUM_LEN, Entry, MAX_LEN, METADATA, Metadata},
    storage,
    weights_error::WeightsError,
};

/// Size of a piece in bytes. A piece is hashed and then written while it is in the processor's cache.
pub(crate) const CHUNK: usize = 1 << 20;

/// Writes a checkpoint to a file or a URL, and replaces an existing file. Creates the folder if it is missing. The file
/// is durable when this returns. If several writers use one path, the last one wins.
///
/// # Errors
/// Those of [`Encoder::new`]. With [`Error::StorageFull`], [`Error::Permission`], [`Error::Url`] or [`Error::Io`], the
/// old file still exists.
pub fn write(path: impl AsRef<Path>, manifest: &Manifest, tensors: &[(String, TensorData)]) -> Result<()> {
    let encoder = Encoder::new(manifest, tensors)?;
    storage::write(path.as_ref(), encoder.len(), |out| encoder.write_to(out))
}

/// As [`write()`], with tensors on their device. Each piece is written before the next one is read, so the disk works
/// from the first piece on.
///
/// `is_good` checks each tensor before it is written. Once it has rejected a tensor, nothing more is written, the
/// remaining tensors are only passed to it, and the old file stays. Returns whether a new file was written.
///
/// # Errors
/// As [`write()`], and [`WeightsError::Read`] if the device fails.
pub fn write_snapshot<E: From<Error> + From<WeightsError>>(
    path: impl AsRef<Path>,
    manifest: &Manifest,
    snapshot: &Snapshot,
    mut is_good: impl FnMut(&str, &TensorData) -> bool,
) -> Result<bool, E> {
    let plan = Plan::of_checkpoint(manifest, described(snapshot))?;
    write_planned(path.as_ref(), &plan, snapshot, |name, data| Ok(is_good(name, data).then_some(Cow::Borrowed(data))))
}

/// Writes a safetensors file for other programs, without a manifest and a checksum. `prepare` converts a tensor as
/// `shape` says.
pub(crate) fn write_foreign<E: From<Error> + From<WeightsError>>(
    path: &Path,
    metadata: &Metadata,
    snapshot: &Snapshot,
    shape: impl Fn(&str, &[usize]) -> Vec<usize>,
    prepare: impl for<'a> Fn(&str, &'a TensorData) -> Result<Cow<'a, TensorData>, WeightsError>,
) -> Result<(), E> {
    let shapes: Vec<_> = described(snapshot).map(|(name, dtype, own)| (name, dtype, shape(name, own))).collect();
    let plan = Plan::new(metadata, shapes.iter().map(|(name, dtype, shape)| (*name, *dtype, shape.as_slice())), false)?;
    write_planned(path, &plan, snapshot, |name, data| prepare(name, data).map(Some)).map(drop)
}

fn described(snapshot: &Snapshot) -> impl Iterator<Item = (&str, DType, &[usize])> {
    snapshot.entries().iter().map(|entry| (entry.name.as_str(), entry.dtype, entry.shape.as_slice()))
}

/// Writes what `prepare` makes of each tensor. Once it has returned `None`, nothing more is written.
fn write_planned<E: From<Error> + From<WeightsError>>(
    path: &Path,
    plan: &Plan,
    snapshot: &Snapshot,
    mut prepare: impl for<'a> FnMut(&str, &'a TensorData) -> Result<Option<Cow<'a, TensorData>>, WeightsError>,
) -> Result<bool, E> {
    let (mut all_good, mut unread) = (true, None);
    let written = storage::write(path, plan.len, |out| {
        let mut out = Hashing::new(out);
        out.put(&plan.header)?;
        let read = snapshot.read_in_pieces(&plan.order, |name, data| {
            let prepared = prepare(name, data)?;
            all_good &= prepared.is_some();
            match prepared.filter(|_| all_good) {
                Some(data) => out.put_tensor(&data).map_err(Failure::Disk),
                None => Ok(()),
            }
        });
        match read {
            Err(Failure::Disk(error)) => Err(error),
            Err(Failure::Device(error)) => {
                unread = Some(error);
                Err(io::Error::other("the device failed"))
            }
            Ok(()) if all_good && plan.has_checksum => out.finish(),
            Ok(()) if all_good => out.flush(),
            Ok(()) => Err(io::Error::other("refused")),
        }
    });
    match (unread, all_good) {
        (Some(error), _) => Err(error.into()),
        (None, false) => Ok(false),
        (None, true) => Ok(written.map(|()| true)?),
    }
}

/// The reasons that stop the transfer of a tensor to a file.
enum Failure {
    Disk(io::Error),
    Device(WeightsError),
}

impl From<WeightsError> for Failure {
    fn from(error: WeightsError) -> Self {
        Self::Device(error)
    }
}

/// A checkpoint that can be written to a file, a socket or a buffer.
///
/// It borrows the tensors. Their bytes go to the writer in one pass, without a copy.
pub struct Encoder<'a> {
    plan: Plan,
    tensors: &'a [(String, TensorData)],
}

impl<'a> Encoder<'a> {
    /// Plans the file. The weights are named by the parameters' paths (`hidden.weight`). All other names contain a `/`
    /// (`optimizer/Adam/hidden.weight/moment_1`).
    ///
    /// # Errors
    /// * [`Error::UnsupportedDtype`] for quantized tensors.
    /// * [`Error::Unwritable`] for two tensors with one name, the reserved names `__metadata__` and
    ///   `stormfire/checksum`, and a header of more than 100 MB.
    pub fn new(manifest: &Manifest, tensors: &'a [(String, TensorData)]) -> Result<Self> {
        let entries = tensors.iter().map(|(name, data)| (name.as_str(), data.dtype(), data.shape().as_slice()));
        Ok(Self { plan: Plan::of_checkpoint(manifest, entries)?, tensors })
    }

    /// The size of the file in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a checkpoint has a header at least")]
    pub fn len(&self) -> u64 {
        self.plan.len
    }

    /// Writes the file in pieces of 1 MiB.
    ///
    /// # Errors
    /// An error of the writer, or of burn if the bytes of a tensor cannot be read from its device.
    pub fn write_to(&self, out: impl Write) -> io::Result<()> {
        let mut out = Hashing::new(out);
        out.put(&self.plan.header)?;
        self.plan.order.iter().filter_map(|&index| self.tensors.get(index)).try_for_each(|(_, data)| out.put_tensor(data))?;
        out.finish()
    }
}

/// The layout of a file, known before its tensors are read.
struct Plan {
    /// The length of the JSON, the JSON, and spaces up to a multiple of 8 bytes.
    header: Vec<u8>,
    /// The order of the tensors, as indices.
    order: Vec<usize>,
    len: u64,
    has_checksum: bool,
}

impl Plan {
    fn of_checkpoint<'a>(manifest: &Manifest, tensors: impl Iterator<Item = (&'a str, DType, &'a [usize])>) -> Result<Self> {
        let json = serde_json::to_string(manifest)
            .map_err(|error| Error::Unwritable { reason: format!("the manifest is not valid JSON: {error}") })?;
        let metadata = Metadata { format: Some("stormfire".to_owned()), stormfire: Some(json), producer: None };
        Self::new(&metadata, tensors, true)
    }

    fn new<'a>(metadata: &Metadata, tensors: impl Iterator<Item = (&'a str, DType, &'a [usize])>, has_checksum: bool) -> Result<Self> {
        let unwritable = |reason: String| Error::Unwritable { reason };
        let mut ordered: Vec<_> = tensors.enumerate().collect();
        // Large elements come first, so that each tensor starts at a multiple of its element's size. Memory maps need
        // this alignment.
        ordered.sort_by_key(|(_, (_, dtype, _))| std::cmp::Reverse(dtype::stored_size(*dtype)));
        let mut header = Map::from_iter([(METADATA.to_owned(), to_value(metadata)?)]);
        let mut names = HashSet::from([METADATA, CHECKSUM]);
        let mut end = 0;
        for &(_, (name, dtype, shape)) in &ordered {
            let known = dtype::name(dtype);
            let known = known.ok_or_else(|| Error::UnsupportedDtype { tensor: name.to_owned(), dtype: dtype.name().to_owned() })?;
            if !names.insert(name) {
                return Err(unwritable(format!("the name `{name}` is taken")));
            }
            let begin = end;
            end += (shape.iter().product::<usize>() * dtype::stored_size(dtype)) as u64;
            let entry = Entry { dtype: known.to_owned(), shape: shape.to_vec(), data_offsets: (begin, end) };
            header.insert(name.to_owned(), to_value(&entry)?);
        }
        if has_checksum {
            let begin = end;
            end += CHECKSUM_LEN as u64;
            let checksum = Entry { dtype: "U8".to_owned(), shape: vec![CHECKSUM_LEN], data_offsets: (begin, end) };
            header.insert(CHECKSUM.to_owned(), to_value(&checksum)?);
        }
        let header = framed(&Value::Object(header))?;
        let len = header.len() as u64 + end;
        Ok(Self { header, order: ordered.into_iter().map(|(index, _)| index).collect(), len, has_checksum })
    }
}

/// The checksum in the canonical byte order of this hash, as other programs print it.
pub(crate) fn checksum(hash: &Xxh3Default) -> [u8; CHECKSUM_LEN] {
    hash.digest128().to_be_bytes()
}

fn to_value(value: &impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| Error::Unwritable { reason: error.to_string() })
}

fn framed(header: &Value) -> Result<Vec<u8>> {
    let json = header.to_string();
    let padded = json.len().next_multiple_of(8);
    if padded > MAX_LEN {
        return Err(Error::Unwritable { reason: format!("its header has {padded} bytes, and {MAX_LEN} are allowed") });
    }
    let mut bytes = (padded as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.resize(8 + padded, b' ');
    Ok(bytes)
}

struct Hashing<W: Write> {
    out: BufWriter<W>,
    hash: Xxh3Default,
}

impl<W: Write> Hashing<W> {
    fn new(out: W) -> Self {
        Self { out: BufWriter::with_capacity(CHUNK, out), hash: Xxh3Default::new() }
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        for chunk in bytes.chunks(CHUNK) {
            self.hash.update(chunk);
            self.out.write_all(chunk)?;
        }
        Ok(())
    }

    fn put_tensor(&mut self, data: &TensorData) -> io::Result<()> {
        #[expect(clippy::default_trait_access, reason = "burn does not export the type")]
        let bytes = data.bytes().read(Default::default()).map_err(io::Error::other)?;
        match data.dtype() {
            DType::Bool(BoolStore::U8) => self.put(&bytes.iter().map(|byte| u8::from(*byte != 0)).collect::<Vec<_>>()),
            DType::Bool(BoolStore::U32) => self.put(&bytes.chunks(4).map(|word| u8::from(word != [0; 4])).collect::<Vec<_>>()),
            _ => self.put(bytes),
        }
    }

    fn finish(mut self) -> io::Result<()> {
        let checksum = checksum(&self.hash);
        self.out.write_all(&checksum)?;
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
