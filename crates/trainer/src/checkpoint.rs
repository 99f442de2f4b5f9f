//! A checkpoint: the whole state of a fit in one file.
//!
//! The file is in the safetensors format, so that other programs can open the weights: tensors by parameter path, and
//! under `optimizer_state/N` the bytes of each optimizer's record. Its metadata holds one JSON text, `stormfire`, with
//! everything else. It is written beside its place, synced, and renamed, so that a kill leaves the old file or the new
//! one.

use std::{
    borrow::Cow,
    collections::HashMap,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Bool, Bytes, DType, Int, Tensor, TensorData, Transaction},
};
use fs_err as fs;
use safetensors::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stormfire_loggers::CheckpointInfo;
use stormfire_module::{
    Error, Event, LightningModule, Optimizers, Result,
    moment::Progress,
    run::{Also, AlsoKind, Requests, SaveRequest},
};

use crate::{config::TrainerConfig, engine::Engine};

const FORMAT: u32 = 1;
const METADATA: &str = "stormfire";
const OPTIMIZER: &str = "optimizer_state/";

/// Everything in a checkpoint but the tensors.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Contents {
    format: u32,
    version: String,
    run_id: String,
    pub(crate) progress: Progress,
    config: TrainerConfig,
    hparams: Value,
    param_ids: HashMap<String, u64>,
    optimizers: Value,
    callbacks: Map<String, Value>,
    requests: Requests,
    /// What hooks added in `on_save_checkpoint`.
    extra: Map<String, Value>,
    weights_only: bool,
}

/// A tensor as bytes of little-endian numbers.
struct Blob {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for &Blob {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

fn bad(path: &Path, reason: impl std::fmt::Display, hint: &str) -> Error {
    Error::Checkpoint { path: path.into(), reason: reason.to_string(), hint: hint.into() }
}

/// Visits every parameter with its path; the tensors are read in one transaction afterwards.
#[derive(Default)]
struct Collect {
    path: Vec<String>,
    names: Vec<(String, u64)>,
    transaction: Transaction,
}

impl Collect {
    fn add(&mut self, id: ParamId, register: impl FnOnce(Transaction) -> Transaction) {
        self.names.push((self.path.join("."), id.val()));
        self.transaction = register(std::mem::take(&mut self.transaction));
    }
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.add(param.id, |t| t.register(param.val().inner()));
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.add(param.id, |t| t.register(param.val()));
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.add(param.id, |t| t.register(param.val()));
    }
}

fn dtype_of(dtype: DType) -> Option<Dtype> {
    Some(match dtype {
        DType::F64 => Dtype::F64,
        DType::F32 | DType::Flex32 => Dtype::F32,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::I64 => Dtype::I64,
        DType::I32 => Dtype::I32,
        DType::I16 => Dtype::I16,
        DType::I8 => Dtype::I8,
        DType::U64 => Dtype::U64,
        DType::U32 => Dtype::U32,
        DType::U16 => Dtype::U16,
        DType::U8 => Dtype::U8,
        DType::Bool(_) => Dtype::BOOL,
        DType::QFloat(_) => return None,
    })
}

fn dtype_from(dtype: Dtype) -> Option<DType> {
    Some(match dtype {
        Dtype::F64 => DType::F64,
        Dtype::F32 => DType::F32,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::I64 => DType::I64,
        Dtype::I32 => DType::I32,
        Dtype::I16 => DType::I16,
        Dtype::I8 => DType::I8,
        Dtype::U64 => DType::U64,
        Dtype::U32 => DType::U32,
        Dtype::U16 => DType::U16,
        Dtype::U8 => DType::U8,
        _ => return None,
    })
}

/// Writes the checkpoints that callbacks have asked for.
pub(crate) fn write_requested<M: LightningModule>(engine: &mut Engine<M>, module: &mut M, optimizers: &Optimizers) -> Result<()> {
    for request in std::mem::take(&mut engine.run.requests.saves) {
        let started = engine.profiler.start();
        save(engine, module, optimizers, &request)?;
        engine.stop_time(started, "save_checkpoint");
        let info = CheckpointInfo::new(&request.path);
        let info = match (request.monitor, request.score) {
            (Some(monitor), Some(score)) => info.scored(monitor, score, request.is_best),
            _ => info,
        };
        engine.after_save_checkpoint(&info)?;
    }
    Ok(())
}

/// Writes a checkpoint of the run as it stands; afterwards removes what it replaces.
fn save<M: LightningModule>(engine: &mut Engine<M>, module: &mut M, optimizers: &Optimizers, request: &SaveRequest) -> Result<()> {
    let path = &request.path;
    // A copy in evaluation mode: only that has the newest running statistics of BatchNorm.
    let mut collected = Collect::default();
    module.valid().visit(&mut collected);
    let data = collected.transaction.try_execute().map_err(|e| bad(path, e, "the device failed: the run cannot go on"))?;
    let mut blobs: Vec<(String, Blob)> = Vec::new();
    for ((name, _), data) in collected.names.iter().zip(data) {
        let dtype = dtype_of(data.dtype())
            .ok_or_else(|| bad(path, format!("`{name}` has the type {:?}", data.dtype()), "quantized parameters cannot be saved yet"))?;
        blobs.push((name.clone(), Blob { dtype, shape: data.shape().to_vec(), bytes: data.as_bytes().to_vec() }));
    }
    let mut contents = Contents {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").into(),
        run_id: engine.run.id.clone(),
        progress: engine.run.progress.clone(),
        config: engine.config.as_ref().clone(),
        hparams: module.hparams()?,
        param_ids: collected.names.into_iter().collect(),
        optimizers: Value::Null,
        callbacks: Map::new(),
        requests: engine.run.requests.clone(),
        extra: Map::new(),
        weights_only: request.weights_only,
    };
    if !request.weights_only {
        let (states, records) = optimizers.state()?;
        contents.optimizers = states;
        for (index, bytes) in records.into_iter().enumerate() {
            blobs.push((format!("{OPTIMIZER}{index}"), Blob { dtype: Dtype::U8, shape: vec![bytes.len()], bytes }));
        }
        for callback in engine.callbacks() {
            let state = callback.state()?;
            if !state.is_null() {
                contents.callbacks.insert(callback.state_key(), state);
            }
        }
        engine.fire(module, Event::SaveCheckpoint { checkpoint: &mut contents.extra })?;
    }
    write(path, &blobs, &contents)?;
    request.also.iter().try_for_each(|also| write_also(path, also))?;
    for old in &request.then_remove {
        if let Err(error) = fs::remove_file(old)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!("an old checkpoint stays: {error}");
        }
    }
    Ok(())
}

fn write(path: &Path, blobs: &[(String, Blob)], contents: &Contents) -> Result<()> {
    let hint = "free some space, or save to another folder";
    let json = serde_json::to_string(contents).map_err(|e| bad(path, e, hint))?;
    let metadata = HashMap::from([("format".to_string(), "stormfire".to_string()), (METADATA.to_string(), json)]);
    let bytes = safetensors::serialize(blobs.iter().map(|(name, blob)| (name, blob)), Some(metadata)).map_err(|e| bad(path, e, hint))?;
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = new_file(folder)?;
        file.write_all(&bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|e| bad(path, e, hint))
}

/// Gives a file just written a further name.
fn write_also(path: &Path, also: &Also) -> Result<()> {
    let folder = also.path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(".saving-");
        let linked = match also.kind {
            AlsoKind::Copy => builder.make_in(folder, |temporary| fs::hard_link(path, temporary)),
            AlsoKind::Link => builder.make_in(folder, |temporary| symlink(&relative(folder, path), temporary)),
        };
        let file = linked.or_else(|_| builder.make_in(folder, |temporary| fs::copy(path, temporary).map(drop)))?;
        file.into_temp_path().persist(&also.path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|e| bad(&also.path, e, "free some space, or save to another folder"))
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_target: &Path, _link: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// The way from a folder to a file.
fn relative(folder: &Path, file: &Path) -> PathBuf {
    let shared = folder.components().zip(file.components()).take_while(|(a, b)| a == b).count();
    let up = folder.components().skip(shared).map(|_| "..");
    up.map(Path::new).chain(file.components().skip(shared).map(|part| Path::new(part.as_os_str()))).collect()
}

/// An id that no other run has.
pub(crate) fn new_run_id() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{:x}", now.as_nanos(), std::process::id())
}

/// The id of the run that wrote a checkpoint.
pub(crate) fn owner_of(path: &Path) -> Option<String> {
    load(path).ok().map(|loaded| loaded.contents.run_id)
}

fn new_file(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    // A temporary file is private by default; a checkpoint is a file like any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.prefix(".saving-").tempfile_in(folder)
}

/// A checkpoint that was read, and checked as far as its format goes.
pub(crate) struct Loaded {
    pub(crate) contents: Contents,
    tensors: HashMap<String, TensorData>,
    optimizers: Vec<Vec<u8>>,
}

/// Reads a checkpoint.
pub(crate) fn load(path: &Path) -> Result<Loaded> {
    let hint = "is it a checkpoint, and was it copied whole?";
    let bytes = fs::read(path).map_err(|e| bad(path, e, "check the path"))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| bad(path, e, hint))?;
    let json =
        header.metadata().as_ref().and_then(|m| m.get(METADATA)).ok_or_else(|| bad(path, "it was not written by Stormfire", hint))?;
    let contents: Contents = serde_json::from_str(json).map_err(|e| bad(path, e, "it was written by another version of Stormfire"))?;
    if contents.format != FORMAT {
        return Err(bad(path, format!("it has format {}, this version reads {FORMAT}", contents.format), "use the version that wrote it"));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(|e| bad(path, e, hint))?;
    let mut loaded = Loaded { contents, tensors: HashMap::new(), optimizers: Vec::new() };
    for (name, view) in file.iter() {
        if let Some(index) = name.strip_prefix(OPTIMIZER) {
            let index: usize = index.parse().map_err(|_| bad(path, format!("there is no optimizer `{index}`"), hint))?;
            loaded.optimizers.resize(loaded.optimizers.len().max(index + 1), Vec::new());
            loaded.optimizers[index] = view.data().to_vec();
        } else {
            let dtype = dtype_from(view.dtype()).ok_or_else(|| bad(path, format!("`{name}` has the type {:?}", view.dtype()), hint))?;
            loaded.tensors.insert(
                name.to_string(),
                TensorData::from_bytes(Bytes::from_bytes_vec(view.data().to_vec()), view.shape().to_vec(), dtype),
            );
        }
    }
    Ok(loaded)
}

/// Puts the tensors of a file in the place of a module's own.
struct Restore<'a> {
    path: Vec<String>,
    loaded: &'a Loaded,
    problems: Vec<String>,
}

impl Restore<'_> {
    fn take(&mut self, shape: &[usize]) -> Option<(TensorData, Option<ParamId>)> {
        let name = self.path.join(".");
        match self.loaded.tensors.get(&name) {
            None => self.problems.push(format!("`{name}` is missing")),
            Some(data) if **data.shape() != *shape => {
                self.problems.push(format!("`{name}` has the shape {:?} instead of {shape:?}", data.shape()));
            }
            Some(data) => return Some((data.clone(), self.loaded.contents.param_ids.get(&name).map(|&id| ParamId::from(id)))),
        }
        None
    }
}

impl ModuleMapper for Restore<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((data, id)) = self.take(&param.val().dims()) else { return param };
        let (own, old, mapper) = param.consume();
        let (is_autodiff, requires_grad, device) = (old.is_autodiff(), old.is_require_grad(), old.device());
        let tensor = Tensor::<D>::from_data(data, &device.inner());
        let tensor = if is_autodiff { Tensor::from_inner(tensor).set_require_grad(requires_grad) } else { tensor };
        Param::from_mapped_value(id.unwrap_or(own), tensor, mapper)
    }
    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        let Some((data, id)) = self.take(&param.val().dims()) else { return param };
        let (own, old, mapper) = param.consume();
        Param::from_mapped_value(id.unwrap_or(own), Tensor::from_data(data, &old.device()), mapper)
    }
}

impl Loaded {
    /// Puts the saved weights into a module of the same shape.
    pub(crate) fn restore_module<M: Module>(&self, module: M, path: &Path) -> Result<M> {
        let mut restore = Restore { path: Vec::new(), loaded: self, problems: Vec::new() };
        let module = module.map(&mut restore);
        if restore.problems.is_empty() {
            return Ok(module);
        }
        Err(bad(path, format!("the module does not fit: {}", restore.problems.join(", ")), "was it saved from another module?"))
    }

    /// Restores everything but the weights.
    pub(crate) fn restore_run<M: LightningModule>(
        self,
        engine: &mut Engine<M>,
        module: &mut M,
        optimizers: &mut Optimizers,
        path: &Path,
    ) -> Result<()> {
        if self.contents.weights_only {
            return Err(bad(path, "it holds weights only, so a fit cannot continue from it", "save without `save_weights_only`"));
        }
        optimizers.load_state(self.contents.optimizers, self.optimizers)?;
        engine.run.progress = self.contents.progress;
        engine.run.id = self.contents.run_id;
        engine.run.requests = self.contents.requests;
        let mut states = self.contents.callbacks;
        for callback in engine.callbacks_mut() {
            if let Some(saved) = states.remove(&callback.state_key()) {
                callback.load_state(saved)?;
            }
        }
        for key in states.keys() {
            tracing::warn!("the checkpoint holds the state of `{key}`, which this Trainer does not have");
        }
        engine.fire(module, Event::LoadCheckpoint { checkpoint: &self.contents.extra })
    }
}
