//! Weight files: checkpoints, and safetensors files of other programs, as one file or in shards.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    path::{Component, Path, PathBuf},
};

use burn::{module::Module, tensor::TensorData};
use serde::Deserialize;

use crate::{
    Checkpoint, Error, LoadOptions, LoadReport, Result, WeightLayout, WeightsError,
    decode::Source,
    header::{MAX_LEN, Metadata},
    restore, storage,
};

#[cfg(test)]
mod tests;

/// Weights by name, read from a file.
///
/// ```no_run
/// # use burn::{nn::LinearConfig, tensor::Device};
/// use stormfire_checkpoint::{LoadOptions, WeightsFile};
///
/// # let layer = LinearConfig::new(2, 3).init(&Device::flex());
/// let file = WeightsFile::read("model.safetensors")?;
/// let (layer, report) = file.restore(layer, &LoadOptions::new().rename("^encoder.", ""))?;
/// println!("{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct WeightsFile {
    path: PathBuf,
    tensors: BTreeMap<String, TensorData>,
    layout: Option<WeightLayout>,
}

impl WeightsFile {
    /// Reads a checkpoint, a safetensors file of another program, or all shards of an index
    /// (`model.safetensors.index.json` of Hugging Face, with the shards in the same folder). The path may be a URL.
    ///
    /// A checkpoint is verified by its checksum. Other files have none: their lengths, names and shapes are checked.
    ///
    /// # Errors
    /// As [`Checkpoint::read`], except [`Error::Foreign`]. [`Error::UnsupportedDtype`] for dtypes that burn does not
    /// have.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if path.extension().is_some_and(|extension| extension == "json") {
            return Self::read_shards(path);
        }
        match Checkpoint::read(path) {
            Ok(mut checkpoint) => Ok(Self { path: path.into(), tensors: checkpoint.take_weights(), layout: Some(WeightLayout::Burn) }),
            Err(Error::Foreign { .. }) => Self::read_foreign(path),
            Err(error) => Err(error),
        }
    }

    fn read_foreign(path: &Path) -> Result<Self> {
        let mut source = Source::open(path)?;
        let header = source.description()?;
        if let Some((tensor, dtype)) = header.unknown_dtype() {
            return Err(Error::UnsupportedDtype { tensor: tensor.to_owned(), dtype: dtype.to_owned() });
        }
        let layout = layout_of(&header.metadata);
        let slots = header.into_foreign_slots().map_err(|reason| source.malformed(reason))?;
        Ok(Self { path: path.into(), tensors: source.into_tensors(slots)?, layout })
    }

    fn read_shards(path: &Path) -> Result<Self> {
        #[derive(Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        let malformed = |reason: String| Error::Malformed { path: path.into(), reason };
        let (reader, _) = storage::open(path)?;
        let mut json = Vec::new();
        reader.take(MAX_LEN as u64).read_to_end(&mut json).map_err(|error| Error::io(path, error))?;
        let Index { weight_map } =
            serde_json::from_slice(&json).map_err(|error| malformed(format!("it is not an index of model shards: {error}")))?;
        let mut whole = Self { path: path.into(), tensors: BTreeMap::new(), layout: None };
        for (number, shard) in weight_map.values().collect::<BTreeSet<_>>().into_iter().enumerate() {
            let mut parts = Path::new(shard).components();
            let (Some(Component::Normal(name)), None) = (parts.next(), parts.next()) else {
                return Err(malformed(format!("its folder has no file `{shard}`")));
            };
            let Self { tensors, layout, .. } = Self::read_foreign(&path.with_file_name(name))?;
            whole.layout = if number == 0 { layout } else { whole.layout.filter(|known| layout == Some(*known)) };
            for (name, data) in tensors {
                if whole.tensors.insert(name.clone(), data).is_some() {
                    return Err(malformed(format!("`{name}` is in two of its shards")));
                }
            }
        }
        match weight_map.iter().find(|(name, _)| !whole.tensors.contains_key(*name)) {
            Some((name, shard)) => Err(malformed(format!("`{name}` is not in `{shard}`"))),
            None => Ok(whole),
        }
    }

    /// Loads the weights into a module, as [`restore`](fn@crate::restore), with the layout of the options or of the
    /// file.
    ///
    /// # Errors
    /// As [`restore`](fn@crate::restore). [`WeightsError::Layout`] if neither the options nor the file declare the
    /// layout.
    pub fn restore<M: Module>(self, module: M, options: &LoadOptions) -> Result<(M, LoadReport), WeightsError> {
        let Self { path, tensors, layout } = self;
        let layout = options.own_layout().or(layout).ok_or_else(|| WeightsError::Layout {
            reason: format!("`{}` does not say whether its weights are laid out as in PyTorch or as in burn", path.display()),
            hint: "set it with `LoadOptions::layout`: `WeightLayout::PyTorch` for a file from Hugging Face".into(),
        })?;
        restore(module, tensors, &options.clone().layout(layout))
    }
}

/// The layout, according to the program that wrote a safetensors file.
fn layout_of(metadata: &Metadata) -> Option<WeightLayout> {
    match (metadata.producer.as_deref(), metadata.format.as_deref()) {
        (Some("burn"), _) => Some(WeightLayout::Burn),
        (_, Some("pt")) => Some(WeightLayout::PyTorch),
        _ => None,
    }
}
