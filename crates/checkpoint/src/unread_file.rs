//! The tensors of a safetensors file on a disk, which are read at their use.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use burn::tensor::TensorData;

use crate::{
    Error, Result,
    decode::{Source, has_odd_bool},
    dtype,
    encode::CHUNK,
    header::{Metadata, Slot},
    storage, tensor_names,
    unread::Unread,
};

/// The weights in a checkpoint, those in force if it has them. All of it is verified first, in constant memory.
pub(crate) fn weights_of_checkpoint(path: &Path) -> Result<BTreeMap<String, Unread>> {
    let (mut source, file) = open(path)?;
    let (_, slots) = source.header()?;
    let start = source.position();
    source.examine(&slots)?;
    Ok(tensor_names::take_weights(&mut unread(&file, start, slots)))
}

/// The tensors in a file of another program.
pub(crate) fn foreign(path: &Path) -> Result<(Metadata, BTreeMap<String, Unread>)> {
    let (mut source, file) = open(path)?;
    let (metadata, slots) = source.foreign_header()?;
    Ok((metadata, unread(&file, source.position(), slots)))
}

/// Another program may replace the file between two reads. An open file stays the same.
type Shared = Arc<Mutex<File>>;

fn open(path: &Path) -> Result<(Source<'_, BufReader<File>>, Shared)> {
    let (file, len) = storage::open_on_disk(storage::on_disk(path).unwrap_or(path))?;
    let again = file.try_clone().map_err(|error| Error::io(path, error))?;
    Ok((Source::new(path, BufReader::with_capacity(CHUNK, file), len), Arc::new(Mutex::new(again))))
}

fn unread(file: &Shared, start: u64, slots: Vec<Slot>) -> BTreeMap<String, Unread> {
    let mut at = start;
    let place = |slot: Slot| {
        let (file, begin) = (Arc::clone(file), at);
        at += slot.len;
        let (name, dtype, shape) = (slot.name.clone(), slot.dtype, slot.shape.clone());
        (name, Unread::new(dtype, shape, move || read(&file, begin, &slot)))
    };
    slots.into_iter().map(place).collect()
}

fn read(file: &Shared, begin: u64, slot: &Slot) -> Result<TensorData, String> {
    let mut bytes = dtype::zeroed(slot.dtype, slot.elements());
    {
        let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(begin)).and_then(|_| file.read_exact(&mut bytes)).map_err(|error| error.to_string())?;
    }
    if has_odd_bool(slot.dtype, &bytes) {
        return Err("it contains a bool that is neither 0 nor 1".into());
    }
    TensorData::try_from_bytes(bytes, slot.shape.clone(), slot.dtype).map_err(|error| error.to_string())
}
