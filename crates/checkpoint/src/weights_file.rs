//! Weight files: checkpoints, safetensors files of other programs, and PyTorch files, as one file or in shards.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read as _,
    path::{Component, Path, PathBuf},
};

use burn::{module::Module, tensor::TensorData};
use serde::Deserialize;

use crate::{
    Checkpoint, Error, FileKind, LoadOptions, LoadReport, Result, WeightLayout, WeightsError,
    decode::Source,
    header::{MAX_LEN, Metadata},
    restore::restore_unread,
    storage,
    unread::Unread,
    unread_file,
};

#[cfg(test)]
mod tests;

/// The files that a folder of Hugging Face has, in the order in which its programs take them.
const IN_A_FOLDER: [&str; 4] = ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"];

/// Weights by name in a file. Their values are read when a module takes them, one tensor at a time.
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
    content: Content,
    layout: Option<WeightLayout>,
}

#[derive(Debug)]
enum Content {
    Tensors(BTreeMap<String, Unread>),
    /// PyTorch files and the keys in them are read by `restore`, whose options name the key.
    #[cfg(feature = "pytorch")]
    PyTorch,
    #[cfg(feature = "pytorch")]
    PyTorchShards(Index),
}

/// The shard of each tensor.
type Index = BTreeMap<String, String>;

impl WeightsFile {
    /// Reads the description of the weights in one of these:
    ///
    /// * a checkpoint, which is verified by its checksum,
    /// * a safetensors file of another program, whose lengths, names and shapes are checked,
    /// * a file of `torch.save`, old or new, also Lightning's checkpoint (cargo feature `pytorch`), on a disk,
    /// * `model.safetensors.index.json` or `pytorch_model.bin.index.json` of Hugging Face, with the shards in the same
    ///   folder,
    /// * a folder on a disk with one of these of Hugging Face's names.
    ///
    /// The path may be a URL. The file must not be changed before [`restore`](Self::restore).
    ///
    /// # Errors
    /// As [`Checkpoint::read`], except [`Error::Foreign`]. [`Error::UnsupportedDtype`] for dtypes that burn does not
    /// have.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        if storage::on_disk(path).is_some_and(Path::is_dir) {
            let inside = IN_A_FOLDER.into_iter().map(|name| path.join(name)).find(|file| file.exists());
            return Self::read(inside.ok_or_else(|| Error::NotACheckpoint { path: path.into(), kind: FileKind::Folder })?);
        }
        if path.extension().is_some_and(|extension| extension == "json") {
            return Self::read_shards(path);
        }
        Self::read_one(path)
    }

    fn read_one(path: &Path) -> Result<Self> {
        let of = |tensors, layout| Ok(Self { path: path.into(), content: Content::Tensors(tensors), layout });
        let checkpoint = if storage::is_url(path) {
            Checkpoint::read(path).map(|mut checkpoint| unread(checkpoint.take_weights()))
        } else {
            unread_file::weights_of_checkpoint(path)
        };
        match checkpoint {
            Ok(tensors) => of(tensors, Some(WeightLayout::Burn)),
            Err(Error::Foreign { .. }) if storage::is_url(path) => {
                let (metadata, tensors) = Source::open(path)?.into_foreign()?;
                of(unread(tensors), layout_of(&metadata))
            }
            Err(Error::Foreign { .. }) => {
                let (metadata, tensors) = unread_file::foreign(path)?;
                of(tensors, layout_of(&metadata))
            }
            #[cfg(feature = "pytorch")]
            Err(Error::NotACheckpoint { kind: FileKind::Zip | FileKind::Pickle | FileKind::Tar, .. }) if !storage::is_url(path) => {
                Ok(Self { path: path.into(), content: Content::PyTorch, layout: Some(WeightLayout::PyTorch) })
            }
            Err(error) => Err(error),
        }
    }

    #[cfg_attr(not(feature = "pytorch"), allow(clippy::unnecessary_filter_map, reason = "with `pytorch` there are other contents"))]
    fn read_shards(path: &Path) -> Result<Self> {
        let index = read_index(path)?;
        let mut shards = Vec::new();
        for name in index.values().collect::<BTreeSet<_>>() {
            let file = Self::read_one(&path.with_file_name(name)).map_err(|error| match error {
                Error::NotFound { .. } => Error::Malformed { path: path.into(), reason: format!("its folder has no shard `{name}`") },
                error => error,
            })?;
            shards.push((name.as_str(), file));
        }
        let layout =
            shards.first().and_then(|(_, file)| file.layout).filter(|known| shards.iter().all(|(_, file)| file.layout == Some(*known)));
        #[cfg(feature = "pytorch")]
        if shards.iter().any(|(_, file)| matches!(file.content, Content::PyTorch)) {
            return Ok(Self { path: path.into(), content: Content::PyTorchShards(index), layout });
        }
        let shards = shards.into_iter().filter_map(|(name, file)| match file.content {
            Content::Tensors(tensors) => Some((name, tensors)),
            #[cfg(feature = "pytorch")]
            _ => None,
        });
        let tensors = merge(&index, shards).map_err(|reason| Error::Malformed { path: path.into(), reason })?;
        Ok(Self { path: path.into(), content: Content::Tensors(tensors), layout })
    }

    /// Loads the weights into a module, as [`restore`](fn@crate::restore), with the layout of the options or of the
    /// file.
    ///
    /// # Errors
    /// As [`restore`](fn@crate::restore). [`WeightsError::Layout`] if neither the options nor the file declare the
    /// layout. [`WeightsError::PyTorch`] for a PyTorch file that cannot be read, and [`WeightsError::Values`] for a
    /// tensor that cannot.
    #[cfg_attr(not(feature = "pytorch"), allow(clippy::infallible_destructuring_match, reason = "with `pytorch` there are other contents"))]
    pub fn restore<M: Module>(self, module: M, options: &LoadOptions) -> Result<(M, LoadReport), WeightsError> {
        let Self { path, content, layout } = self;
        let tensors = match content {
            Content::Tensors(tensors) => tensors,
            #[cfg(feature = "pytorch")]
            Content::PyTorch => crate::pytorch::read(storage::on_disk(&path).unwrap_or(&path), options.own_key())?,
            #[cfg(feature = "pytorch")]
            Content::PyTorchShards(index) => {
                let read = |name| Ok((name, crate::pytorch::read(&path.with_file_name(name), options.own_key())?));
                let names: BTreeSet<&str> = index.values().map(String::as_str).collect();
                let shards = names.into_iter().map(read).collect::<Result<Vec<_>, WeightsError>>()?;
                let hint = "download the folder again".to_owned();
                merge(&index, shards).map_err(|reason| WeightsError::PyTorch { path: path.clone(), reason, hint })?
            }
        };
        let layout = options.own_layout().or(layout).ok_or_else(|| WeightsError::Layout {
            reason: format!("`{}` does not say whether its weights are laid out as in PyTorch or as in burn", path.display()),
            hint: "set it with `LoadOptions::layout`: `WeightLayout::PyTorch` for a file from Hugging Face".into(),
        })?;
        restore_unread(module, tensors, &options.clone().layout(layout))
    }
}

fn unread(tensors: BTreeMap<String, TensorData>) -> BTreeMap<String, Unread> {
    tensors.into_iter().map(|(name, data)| (name, data.into())).collect()
}

fn read_index(path: &Path) -> Result<Index> {
    #[derive(Deserialize)]
    struct File {
        weight_map: Index,
    }
    let malformed = |reason: String| Error::Malformed { path: path.into(), reason };
    let (reader, _) = storage::open(path)?;
    let mut json = Vec::new();
    reader.take(MAX_LEN as u64).read_to_end(&mut json).map_err(|error| Error::io(path, error))?;
    let File { weight_map } =
        serde_json::from_slice(&json).map_err(|error| malformed(format!("it is not an index of model shards: {error}")))?;
    for shard in weight_map.values() {
        // A name with a folder could be any file of this machine.
        let mut parts = Path::new(shard).components();
        if !matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == shard.as_str()) {
            return Err(malformed(format!("`{shard}` is not the name of a file in its folder")));
        }
    }
    Ok(weight_map)
}

/// The tensors of all shards, which must be where the index says.
fn merge<'a>(
    index: &Index,
    shards: impl IntoIterator<Item = (&'a str, BTreeMap<String, Unread>)>,
) -> Result<BTreeMap<String, Unread>, String> {
    let mut whole = BTreeMap::new();
    let mut places: BTreeMap<String, &str> = BTreeMap::new();
    for (shard, tensors) in shards {
        for (name, tensor) in tensors {
            if let Some(first) = places.insert(name.clone(), shard) {
                return Err(format!("`{name}` is in two of its shards, `{first}` and `{shard}`"));
            }
            whole.insert(name, tensor);
        }
    }
    match index.iter().find(|(name, shard)| places.get(*name) != Some(&shard.as_str())) {
        Some((name, shard)) => Err(format!("`{name}` is not in `{shard}`")),
        None => Ok(whole),
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
