//! Files that `torch.save` wrote, also those of PyTorch Lightning. Their pickle is parsed, never executed.

use std::{
    collections::BTreeMap,
    io::{self, BufReader},
    path::Path,
};

use burn::tensor::{BoolStore, Bytes, DType, TensorData};
use pytorch_reader::{DType as PyTorchDType, PickleValue, PytorchError, PytorchReader, Tensor};
use zip::ZipArchive;

use crate::{
    text::list,
    unread::Unread,
    weights_error::{Result, WeightsError},
};

/// The keys under which PyTorch programs store the weights if the file contains more than weights.
const STATE_DICTS: [&str; 2] = ["state_dict", "model_state_dict"];

/// The tensors under a key. Their values are not read yet.
pub(crate) fn read(path: &Path, key: Option<&str>) -> Result<BTreeMap<String, Unread>> {
    check_sums(path)?;
    let keys = top_level_keys(path)?;
    let has = |key: &str| keys.iter().any(|k| k == key);
    if let Some(key) = key.filter(|key| !has(key)) {
        return Err(WeightsError::PyTorch {
            path: path.into(),
            reason: format!("it has no key `{key}`; its keys are {}", list(&keys)),
            hint: "name one of them with `LoadOptions::key`, or none".into(),
        });
    }
    let key = key.or_else(|| STATE_DICTS.into_iter().find(|key| has(key)));
    let reader = match key {
        Some(key) => PytorchReader::with_top_level_key(path, key),
        None => PytorchReader::new(path),
    };
    let reader = reader.map_err(|e| refused(path, &e))?;
    if reader.is_empty() {
        let place = key.map_or_else(|| "the file".into(), |key| format!("`{key}`"));
        return Err(WeightsError::PyTorch {
            path: path.into(),
            reason: format!("{place} contains no named tensors; the keys of the file are {}", list(&keys)),
            hint: "name the one that contains the weights with `LoadOptions::key`".into(),
        });
    }
    Ok(reader.into_tensors().into_iter().map(|(name, tensor)| (name, unread(tensor))).collect())
}

fn unread(tensor: Tensor) -> Unread {
    let (_, dtype, shape, read) = tensor.into_parts();
    let (dtype, read_shape) = (burns(dtype), shape.clone());
    Unread::new(dtype, shape, move || {
        let bytes = Bytes::from_bytes_vec(read().map_err(|error| error.to_string())?);
        TensorData::try_from_bytes(bytes, read_shape.clone(), dtype).map_err(|error| error.to_string())
    })
}

fn burns(dtype: PyTorchDType) -> DType {
    match dtype {
        PyTorchDType::F64 => DType::F64,
        PyTorchDType::F32 => DType::F32,
        PyTorchDType::F16 => DType::F16,
        PyTorchDType::BF16 => DType::BF16,
        PyTorchDType::I64 => DType::I64,
        PyTorchDType::I32 => DType::I32,
        PyTorchDType::I16 => DType::I16,
        PyTorchDType::I8 => DType::I8,
        PyTorchDType::U64 => DType::U64,
        PyTorchDType::U32 => DType::U32,
        PyTorchDType::U16 => DType::U16,
        PyTorchDType::U8 => DType::U8,
        PyTorchDType::Bool => DType::Bool(BoolStore::Native),
    }
}

/// Compares the checksums of an archive with its bytes. A file of an old `torch.save` is not an archive and has no
/// checksums.
fn check_sums(path: &Path) -> Result<()> {
    let file = fs_err::File::open(path).map_err(|error| refused(path, &PytorchError::Io(error)))?;
    let Ok(mut archive) = ZipArchive::new(BufReader::new(file)) else { return Ok(()) };
    for index in 0..archive.len() {
        let damaged = |error: &dyn std::fmt::Display| WeightsError::PyTorch {
            path: path.into(),
            reason: format!("it is damaged: {error}"),
            hint: "was the file copied completely?".into(),
        };
        let mut entry = archive.by_index(index).map_err(|error| damaged(&error))?;
        // `torch.serialization.set_crc32_options(False)` omits the checksum.
        if entry.crc32() != 0 {
            let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
            io::copy(&mut entry, &mut io::sink()).map_err(|error| damaged(&format!("`{name}`: {error}")))?;
        }
    }
    Ok(())
}

fn top_level_keys(path: &Path) -> Result<Vec<String>> {
    match PytorchReader::read_pickle_data(path, None).map_err(|e| refused(path, &e))? {
        PickleValue::Dict(values) => {
            let mut keys: Vec<_> = values.into_keys().collect();
            keys.sort();
            Ok(keys)
        }
        _ => Ok(Vec::new()),
    }
}

fn refused(path: &Path, error: &PytorchError) -> WeightsError {
    let (reason, hint) = match error {
        PytorchError::Io(error) => (format!("it cannot be read: {error}"), "check the path"),
        PytorchError::InvalidFormat(reason) => (
            format!("it is damaged, or not a file of PyTorch: {reason}"),
            "give a complete file that `torch.save` wrote: `.pt`, `.pth` or Lightning's `.ckpt`",
        ),
        PytorchError::Pickle(error) => (
            format!("its pickle cannot be read without executing it: {error}"),
            "save only the weights in Python: `torch.save(model.state_dict(), path)`",
        ),
        error => (format!("it is damaged: {error}"), "was the file copied completely?"),
    };
    WeightsError::PyTorch { path: path.into(), reason, hint: hint.into() }
}

#[cfg(test)]
mod tests;
