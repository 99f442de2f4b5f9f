//! Imports weights of PyTorch and PyTorch Lightning.

use std::{
    collections::BTreeMap,
    io::{self, BufReader},
    path::Path,
};

use burn::{
    module::{Module, ModuleVisitor, Param},
    tensor::{Bool, Int, Tensor, TensorData},
};
use burn_pack::Tensor as FileTensor;
use burn_store::{
    ModuleAdapter, ModuleContext, PyTorchToBurnAdapter, bridge, map_indices_contiguous,
    pytorch_reader::{PickleValue, PytorchError, PytorchReader},
};

use zip::ZipArchive;

use crate::{
    fill::fill,
    load_options::LoadOptions,
    load_report::LoadReport,
    text::list,
    weights_error::{Result, WeightsError},
};

/// The keys under which PyTorch programs store the weights if the file contains more than weights.
const STATE_DICTS: [&str; 2] = ["state_dict", "model_state_dict"];

/// A counter of PyTorch's batch normalization that burn does not have. PyTorch uses it only with `momentum=None`.
const BATCH_COUNTER: &str = "num_batches_tracked";

/// Options for importing weights of PyTorch into a module.
///
/// ```
/// use stormfire_checkpoint::{ImportOptions, LoadOptions};
///
/// // A LightningModule whose network is `self.net`.
/// let options = ImportOptions::new().load(LoadOptions::new().rename(r"^net\.", ""));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    key: Option<String>,
    load: LoadOptions,
    renumber: bool,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self { key: None, load: LoadOptions::default(), renumber: true }
    }
}

impl ImportOptions {
    /// The default options: strict, from `state_dict` if it exists.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the key of the weights in the file's dictionary. Default: `state_dict` or `model_state_dict` if one exists
    /// (a checkpoint of Lightning has the first), otherwise the whole file.
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets which weights are loaded, and their names. Patterns of `rename` match PyTorch's names, all others match the
    /// module's.
    pub fn load(mut self, options: LoadOptions) -> Self {
        self.load = options;
        self
    }

    /// Whether the layers of a list are counted without the gaps of layers without weights (default): the layers `0`,
    /// `2` and `4` of an `nn.Sequential` become `0`, `1` and `2` of a `Vec`.
    pub fn renumber(mut self, renumber: bool) -> Self {
        self.renumber = renumber;
        self
    }
}

/// Loads the weights of a PyTorch file (`.pt`, `.pth`, Lightning's `.ckpt`) into a module, by parameter path.
///
/// The weights of `Linear` are transposed. Those of normalization layers are renamed to burn's names. Variants of an
/// enum are removed from the paths. The pickle in the file is parsed, never executed. The checksums of the file are
/// checked first.
///
/// # Errors
/// [`WeightsError::PyTorch`] for a file that cannot be read. Otherwise as [`restore`](fn@crate::restore).
pub fn import_pytorch<M: Module>(module: M, path: impl AsRef<Path>, options: &ImportOptions) -> Result<(M, LoadReport)> {
    let path = path.as_ref();
    let tensors = read(path, options.key.as_deref())?;
    import(module, tensors, options).map_err(|e| e.at(path))
}

/// As [`import_pytorch`], for tensors of PyTorch from another source. [`WeightsFile`](crate::WeightsFile) reads
/// `.safetensors` files.
///
/// # Errors
/// As [`restore`](fn@crate::restore).
pub fn import_tensors<M: Module>(
    module: M,
    tensors: impl IntoIterator<Item = (String, TensorData)>,
    options: &ImportOptions,
) -> Result<(M, LoadReport)> {
    let tensors = tensors.into_iter().map(|(name, data)| bridge::from_data(data, name, None)).collect();
    import(module, tensors, options).map_err(|e| e.at(Path::new("tensors")))
}

enum Failure {
    Weights(WeightsError),
    Tensor { name: String, error: burn_pack::Error },
}

impl Failure {
    fn at(self, path: &Path) -> WeightsError {
        match self {
            Self::Weights(error) => error,
            Self::Tensor { name, error } => WeightsError::PyTorch {
                path: path.into(),
                reason: format!("the values of `{name}` cannot be read: {error}"),
                hint: "was the file copied completely?".into(),
            },
        }
    }
}

fn import<M: Module>(module: M, tensors: Vec<FileTensor>, options: &ImportOptions) -> Result<(M, LoadReport), Failure> {
    let names = options.load.compile().map_err(Failure::Weights)?;
    let tensors = tensors.into_iter().filter(|tensor| tensor.name.rsplit('.').next() != Some(BATCH_COUNTER));
    let tensors = names.rename(tensors.map(|tensor| (tensor.name.clone(), tensor))).map_err(Failure::Weights)?;
    let renamed = tensors.into_iter().map(|(name, mut tensor)| {
        tensor.name = name;
        tensor
    });
    let tensors = if options.renumber { map_indices_contiguous(renamed.collect()).0 } else { renamed.collect() };

    let tensors = tensors.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
    let mut translate = Translate { steps: Vec::new(), tensors, found: BTreeMap::new() };
    module.visit(&mut translate);
    let Translate { tensors: unexpected, found, .. } = translate;
    let found = found.into_iter().map(|(path, tensor)| match bridge::into_data(tensor) {
        Ok(data) => Ok((path, data)),
        Err(error) => Err(Failure::Tensor { name: path, error }),
    });
    let found = found.collect::<Result<_, _>>()?;
    fill(module, found, unexpected.into_keys().collect(), &options.load, &names).map_err(Failure::Weights)
}

/// Finds the PyTorch tensor of each parameter and converts it to burn's layout.
struct Translate {
    /// The name and container type of each level.
    steps: Vec<(String, String)>,
    /// By PyTorch's path.
    tensors: BTreeMap<String, FileTensor>,
    /// By the module's path.
    found: BTreeMap<String, FileTensor>,
}

/// Whether a parameter is saved in the transposed form, such as the weight of a `Linear` in column layout.
fn is_saved_transposed<const D: usize>(param: &Param<Tensor<D>>) -> bool {
    let Ok(shape) = <[usize; D]>::try_from([1, 2].as_slice()) else { return false };
    // Loading a small probe tensor shows it even for a square weight.
    let probe = Tensor::<D>::zeros(shape, &param.lazy_device().inner());
    param.clone().transform_for_load(probe, param.id).val().dims() != shape
}

impl Translate {
    /// Finds the tensor for a parameter. A parameter that burn saves transposed already has PyTorch's layout.
    fn visit(&mut self, is_as_in_pytorch: bool) {
        let containers: Vec<String> = self.steps.iter().map(|(_, container)| container.clone()).collect();
        let context = ModuleContext::new(&containers);
        // PyTorch has no enums.
        let steps = self.steps.iter().filter(|(_, container)| !container.starts_with("Enum:"));
        let path: Vec<&str> = steps.map(|(name, _)| name.as_str()).collect();
        let own = path.join(".");
        let tensor = self.tensors.remove(&own).or_else(|| {
            let (name, parents) = path.split_last()?;
            let other = PyTorchToBurnAdapter.get_alternative_param_name(name, context.module_type()?)?;
            self.tensors.remove(&[parents, &[&other]].concat().join("."))
        });
        if let Some(mut tensor) = tensor {
            // The adapter expects burn's name of the parameter.
            tensor.name = own;
            let full = self.steps.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(".");
            let adapted = if is_as_in_pytorch { tensor } else { PyTorchToBurnAdapter.adapt(tensor, context) };
            self.found.insert(full, adapted);
        }
    }
}

impl ModuleVisitor for Translate {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.steps.push((name.into(), container_type.into()));
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.steps.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.visit(is_saved_transposed(param));
    }
    fn visit_int<const D: usize>(&mut self, _param: &Param<Tensor<D, Int>>) {
        self.visit(false);
    }
    fn visit_bool<const D: usize>(&mut self, _param: &Param<Tensor<D, Bool>>) {
        self.visit(false);
    }
}

/// Compares the checksums of an archive with its bytes. A file of an old `torch.save` is not an archive and has no
/// checksums.
fn check_sums(path: &Path) -> Result<()> {
    let cannot = |error: io::Error| refused(path, &PytorchError::Io(error));
    // Opening a pipe would block until another process writes to it.
    if !fs_err::metadata(path).map_err(cannot)?.is_file() {
        return Err(refused(path, &PytorchError::InvalidFormat("it is a folder, a pipe or a device".into())));
    }
    let Ok(mut archive) = ZipArchive::new(BufReader::new(fs_err::File::open(path).map_err(cannot)?)) else { return Ok(()) };
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

/// The tensors under a key. Their values are not read yet.
fn read(path: &Path, key: Option<&str>) -> Result<Vec<FileTensor>> {
    check_sums(path)?;
    let keys = top_level_keys(path)?;
    let has = |key: &str| keys.iter().any(|k| k == key);
    if let Some(key) = key.filter(|key| !has(key)) {
        return Err(WeightsError::PyTorch {
            path: path.into(),
            reason: format!("it has no key `{key}`; its keys are {}", list(&keys)),
            hint: "name one of them with `ImportOptions::key`, or none".into(),
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
            hint: "name the one that contains the weights with `ImportOptions::key`".into(),
        });
    }
    Ok(reader.into_tensors().into_values().map(bridge::from_pytorch).collect())
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
        PytorchError::InvalidFormat(reason) => {
            (format!("it is not a PyTorch file: {reason}"), "give a file that `torch.save` wrote, as `.pt`, `.pth` or Lightning's `.ckpt`")
        }
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
