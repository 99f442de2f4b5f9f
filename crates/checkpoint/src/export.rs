//! Writes the weights of a module for PyTorch and the programs of Hugging Face.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Bool, DType, Int, Shape, Tensor, TensorData},
};
use serde_json::json;

use crate::{
    Error, Manifest, Snapshot, WeightLayout, WeightsError,
    encode::{write_foreign, write_snapshot},
    header::Metadata,
    load_options::Names,
    pytorch_names::{Way, is_saved_transposed},
    storage,
    unread::transpose,
};

#[cfg(test)]
mod tests;

/// The size of a shard in Hugging Face's programs.
const SHARD: u64 = 5_000_000_000;

/// Options for [`export`](fn@export). The default is the whole module in files of at most 5 GB.
///
/// ```
/// use stormfire_checkpoint::ExportOptions;
///
/// // The names that Hugging Face's BERT has.
/// let options = ExportOptions::new().only(r"^encoder\.").rename(r"^encoder\.", "bert.").shard_bytes(2_000_000_000);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportOptions {
    only: Vec<String>,
    except: Vec<String>,
    rename: Vec<(String, String)>,
    layout: WeightLayout,
    shard: u64,
}

impl Default for ExportOptions {
    fn default() -> Self {
        Self { only: Vec::new(), except: Vec::new(), rename: Vec::new(), layout: WeightLayout::PyTorch, shard: SHARD }
    }
}

impl ExportOptions {
    /// The default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Exports only parameters whose path matches this regular expression. With several calls, one match suffices.
    pub fn only(mut self, pattern: impl Into<String>) -> Self {
        self.only.push(pattern.into());
        self
    }

    /// Does not export parameters whose path matches this regular expression. Can be called several times.
    pub fn except(mut self, pattern: impl Into<String>) -> Self {
        self.except.push(pattern.into());
        self
    }

    /// Replaces every match of a regular expression in the names of the file (`$1` is its first group). Can be called
    /// several times. The replacements are applied in the order of the calls.
    pub fn rename(mut self, pattern: impl Into<String>, replacement: impl Into<String>) -> Self {
        self.rename.push((pattern.into(), replacement.into()));
        self
    }

    /// Sets the layout. [`WeightLayout::Burn`] is a checkpoint of weights for Stormfire, with a checksum and in one
    /// file, which may also contain adapters. Default: [`WeightLayout::PyTorch`].
    pub fn layout(mut self, layout: WeightLayout) -> Self {
        self.layout = layout;
        self
    }

    /// Sets the number of bytes above which the weights are written as several files and an index. Default: 5 GB.
    pub fn shard_bytes(mut self, bytes: u64) -> Self {
        self.shard = bytes;
        self
    }
}

/// Writes the weights of a module into a safetensors file (or URL) with the names and the layout of PyTorch. Returns
/// the paths of the written files.
///
/// `torch`, `safetensors` and Hugging Face's programs read it, and so does [`WeightsFile`](crate::WeightsFile). Weights
/// of `Linear` are transposed, those of normalization layers are renamed, variants of an enum are removed from the
/// names, and a `BatchNorm` gets PyTorch's counter of batches (0). The numbers keep their dtype. The memory for it is a
/// few tensors.
///
/// Above [`shard_bytes`](ExportOptions::shard_bytes), `model.safetensors` becomes `model-00001-of-00003.safetensors`
/// and so on, with the index `model.safetensors.index.json`. A file or an index of an earlier export under this name is
/// removed, because other programs would prefer it.
///
/// ```
/// use burn::{nn::LinearConfig, tensor::Device};
/// use stormfire_checkpoint::{ExportOptions, export};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("model.safetensors");
/// let layer = LinearConfig::new(2, 3).init(&Device::flex());
/// let files = export::<Box<dyn std::error::Error>>(&layer, &path, &ExportOptions::new())?;
/// assert_eq!(files, [path]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// * [`Error::Unwritable`] for PyTorch's layout and a path without the extension `safetensors`, otherwise as
///   [`write()`](crate::write()).
/// * [`WeightsError::Quantized`], [`WeightsError::Adapter`], [`WeightsError::RenamedTwice`], [`WeightsError::Pattern`],
///   [`WeightsError::NothingSelected`] and [`WeightsError::Read`].
pub fn export<E: From<Error> + From<WeightsError>>(
    module: &impl Module,
    path: impl AsRef<Path>,
    options: &ExportOptions,
) -> Result<Vec<PathBuf>, E> {
    let path = path.as_ref();
    if options.layout == WeightLayout::Burn {
        let (snapshot, _) = collect(module, options)?;
        write_snapshot::<E>(path, &Manifest::default().of_weights(), &snapshot, |_, _| true)?;
        return Ok(vec![path.into()]);
    }
    let Some(stem) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".safetensors")) else {
        return Err(Error::Unwritable { reason: format!("`{}` must end with `.safetensors`", path.display()) }.into());
    };
    let (snapshot, transposed) = collect(module, options)?;
    let index = path.with_file_name(format!("{stem}.safetensors.index.json"));
    let total: usize = snapshot.entries().iter().map(|entry| entry.shape.num_elements() * entry.dtype.size()).sum();
    if total as u64 <= options.shard {
        write::<E>(path, &snapshot, &transposed)?;
        storage::remove(&index)?;
        return Ok(vec![path.into()]);
    }
    let shards = snapshot.shards(options.shard);
    let (mut files, mut map) = (Vec::new(), BTreeMap::new());
    for (number, shard) in shards.iter().enumerate() {
        let name = format!("{stem}-{:05}-of-{:05}.safetensors", number + 1, shards.len());
        let file = path.with_file_name(&name);
        write::<E>(&file, shard, &transposed)?;
        map.extend(shard.entries().iter().map(|entry| (entry.name.clone(), name.clone())));
        files.push(file);
    }
    let json = json!({ "metadata": { "total_size": total }, "weight_map": map });
    storage::write_bytes(&index, format!("{json:#}\n").as_bytes())?;
    storage::remove(path)?;
    files.push(index);
    Ok(files)
}

fn write<E: From<Error> + From<WeightsError>>(path: &Path, shard: &Snapshot, transposed: &HashSet<String>) -> Result<(), E> {
    let metadata = Metadata { format: Some("pt".into()), ..Metadata::default() };
    let shape = |name: &str, own: &[usize]| if transposed.contains(name) { own.iter().rev().copied().collect() } else { own.to_vec() };
    write_foreign(path, &metadata, shard, shape, |name, data| {
        if !transposed.contains(name) {
            return Ok(Cow::Borrowed(data));
        }
        transpose(data).map(Cow::Owned).map_err(|reason| WeightsError::Values { path: name.into(), reason })
    })
}

/// The parameters under the names of the file, in the order of the module, and the names of those to be transposed.
fn collect(module: &impl Module, options: &ExportOptions) -> Result<(Snapshot, HashSet<String>), WeightsError> {
    let names = Names::compile(&options.only, &options.except, &options.rename)?;
    let is_burns = options.layout == WeightLayout::Burn;
    let mut collect =
        Collect { way: Way::default(), names: &names, is_burns, snapshot: Snapshot::default(), transposed: HashSet::new(), failed: None };
    // Only the copy in evaluation mode has the newest running statistics of `BatchNorm`.
    module.valid().visit(&mut collect);
    let Collect { mut snapshot, transposed, failed, .. } = collect;
    failed.map_or(Ok(()), Err)?;
    if snapshot.is_empty() && names.any() {
        return Err(WeightsError::NothingSelected { patterns: names.to_string() });
    }
    let renamed = names.rename(snapshot.entries().iter().enumerate().map(|(index, entry)| (entry.name.clone(), index)))?;
    for (name, index) in &renamed {
        if let Some(entry) = snapshot.entries_mut().get_mut(*index) {
            entry.name.clone_from(name);
        }
    }
    Ok((snapshot, renamed.into_iter().filter(|(_, index)| transposed.contains(index)).map(|(name, _)| name).collect()))
}

struct Collect<'a> {
    way: Way,
    names: &'a Names,
    /// Whether the file has burn's layout.
    is_burns: bool,
    snapshot: Snapshot,
    /// The indices of the parameters to be transposed.
    transposed: HashSet<usize>,
    failed: Option<WeightsError>,
}

impl Collect<'_> {
    fn name(&mut self) -> Option<String> {
        let way = self.way.clone();
        self.name_of(&way)
    }

    /// The name in the file. `None` for a parameter that is not exported.
    fn name_of(&mut self, way: &Way) -> Option<String> {
        let path = way.path();
        if !self.names.selects(&path) {
            return None;
        }
        if self.is_burns {
            return Some(path);
        }
        if way.is_reparameterization() {
            self.failed.get_or_insert(WeightsError::Adapter { path });
            return None;
        }
        way.in_pytorch().pop()
    }
}

impl ModuleVisitor for Collect<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.way.enter(name, container_type);
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.way.exit();
    }
    // The form in which burn saves a parameter, as in a snapshot.
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(name) = self.name() else { return };
        let tensor = param.transform_for_save().val();
        if matches!(tensor.dtype(), DType::QFloat(_)) {
            self.failed.get_or_insert(WeightsError::Quantized { path: self.way.path() });
            return;
        }
        if D == 2 && !self.is_burns && self.way.is_transposed() && !is_saved_transposed(param) {
            self.transposed.insert(self.snapshot.len());
        }
        self.snapshot.add(name, tensor);
        // Strict loaders of Hugging Face want it.
        if let Some(counter) = self.way.batch_counter().filter(|_| !self.is_burns).and_then(|way| self.name_of(&way)) {
            self.snapshot.add_read(counter, TensorData::new(vec![0_i64], Shape::from(Vec::<usize>::new())));
        }
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        if let Some(name) = self.name() {
            self.snapshot.register(name, param.transform_for_save().val());
        }
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        if let Some(name) = self.name() {
            self.snapshot.register(name, param.transform_for_save().val());
        }
    }
}
