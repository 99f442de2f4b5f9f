//! The state of burn's optimizers as plain data: tensors and numbers by parameter path.
//!
//! burn keeps values such as moments and step counters for each parameter under a random id, and exposes them only in
//! its own file format. Here, tensors have names `optimizer/<name>/<path>/<field>`, such as
//! `optimizer/Adam/hidden.weight/momentum.moment_1`. Numbers are a JSON object by path: `{"hidden.weight": {"__rank":
//! 2, "momentum.time": 5}}`.

mod composed;
mod fields;
mod transparent;
mod visible;

use std::collections::{BTreeMap, BTreeSet};

use burn::{
    module::ParamId,
    optim::{ModuleOptimizer, OptimizerRecord},
    tensor::{Bytes, DType, TensorData},
};
use burn_pack::{Reader, Scalar, Tensor, Writer};
use serde_json::{Map, Value};

pub use composed::{Destination, ada_grad, muon, rms_prop, sgd, show};
pub use transparent::{Transparent, TransparentState};

use crate::{
    Snapshot,
    param_paths::ParamPaths,
    scalars::{from_json, to_json},
    tensor_names::OPTIMIZER,
    text::list,
    weights_error::{Result, WeightsError},
};

/// burn's name for the number of dimensions of a parameter.
const RANK: &str = "__rank";

fn prefix(optimizer: &str) -> String {
    format!("{OPTIMIZER}{optimizer}/")
}

/// Adds the tensors of an optimizer's state to a snapshot, and returns its numbers by parameter path.
///
/// | optimizer | cost |
/// |---|---|
/// | in [`Transparent`], with a state that burn exposes | handles, which leave the device together with the rest of the snapshot |
/// | [`sgd`], [`muon`], [`rms_prop`], [`ada_grad`] | the same |
/// | another state in [`Transparent`] | a blocking device read for each tensor |
/// | not transparent | a blocking device read for each tensor, and a second copy on the host |
///
/// burn's own [`Sgd`](burn::optim::Sgd) with momentum, `Muon`, `RmsProp` and `AdaGrad` do not expose their state, so
/// the functions in the second row implement the same algorithms. The state of a parameter that the module no longer
/// has is skipped.
///
/// # Errors
/// [`WeightsError::Record`] if burn cannot write its record.
pub fn save(optimizer: &ModuleOptimizer, name: &str, paths: &ParamPaths, snapshot: &mut Snapshot) -> Result<Map<String, Value>> {
    let folder = prefix(name);
    let burns = transparent::collecting(&folder, paths, snapshot, || optimizer.to_record());
    let reader = unpack(burns)?;
    let mut numbers: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for (key, scalar) in reader.scalars() {
        if let Some((path, field)) = split(key, paths) {
            numbers.entry(path).or_default().insert(field.into(), to_json(*scalar));
        }
    }
    let numbers = numbers.into_iter().map(|(path, fields)| (path.into(), Value::Object(fields))).collect();
    // The tensors of algorithms that are not transparent.
    for tensor in reader.into_tensors().map_err(record)? {
        let (key, dtype, shape, _, bytes) = tensor.into_parts().map_err(record)?;
        if let Some((path, field)) = split(&key, paths) {
            snapshot.add_read(format!("{folder}{path}/{field}"), TensorData::from_bytes(bytes, shape, dtype));
        }
    }
    Ok(numbers)
}

/// Restores the state taken by [`save`], for the parameters that now have the same paths.
///
/// The tensors of this optimizer are removed from `tensors`. A parameter without saved state starts without state, as
/// it did before. burn puts the state on `Device::default()` first, and moves it to the parameter's device at the next
/// step.
///
/// # Errors
/// * [`WeightsError::Optimizer`] for the state of parameters that the module does not have, of another algorithm, or in
///   a dtype that is not the default of the device, which burn cannot restore.
/// * [`WeightsError::Scalar`] and [`WeightsError::Record`] for a damaged state.
pub fn load(
    optimizer: ModuleOptimizer,
    name: &str,
    numbers: &Map<String, Value>,
    tensors: &mut BTreeMap<String, TensorData>,
    paths: &ParamPaths,
) -> Result<ModuleOptimizer> {
    let state = State::collect(name, numbers, tensors, paths)?;
    // burn silently skips fields that it cannot use and casts others. So a small copy of the state is loaded first, and
    // must come back unchanged.
    let kept = fields(unpack(optimizer.clone().load_record(state.outline()?).to_record())?)?;
    let those = |fits: fn(Option<DType>, Option<&Option<DType>>) -> bool| {
        let saved = state.fields().into_iter().filter(|(key, dtype)| !fits(*dtype, kept.get(key)));
        saved.map(|(key, _)| readable(&key, paths)).collect::<BTreeSet<_>>()
    };
    let refuse = |reason, hint: &str| Err(WeightsError::Optimizer { optimizer: name.into(), reason, hint: hint.into() });
    let lost = those(|_, kept| kept.is_some());
    if !lost.is_empty() {
        let hint = "configure the algorithm, its options and its parameter groups as they were when the state was saved";
        return refuse(format!("it does not use the saved {}", list(lost)), hint);
    }
    let cast = those(|saved, kept| kept == Some(&saved));
    if !cast.is_empty() {
        let hint = "burn restores states in the default type of the device: set it with `Device::configure` when the program starts";
        return refuse(format!("burn would change the number type of {}", list(cast)), hint);
    }
    Ok(optimizer.load_record(state.into_record()?))
}

/// A state with burn's keys: `<id>.<field>`.
struct State {
    tensors: Vec<(String, u64, TensorData)>,
    scalars: BTreeMap<String, Scalar>,
    /// The paths of the parameters, by id. burn chooses the group of a parameter by its path.
    paths: BTreeMap<u64, String>,
}

impl State {
    fn collect(name: &str, numbers: &Map<String, Value>, tensors: &mut BTreeMap<String, TensorData>, paths: &ParamPaths) -> Result<Self> {
        let mut state = Self { tensors: Vec::new(), scalars: BTreeMap::new(), paths: BTreeMap::new() };
        let mut unknown = BTreeSet::new();
        for (path, fields) in numbers {
            let Some(id) = paths.id(path).map(|id| id.val()) else {
                unknown.insert(path.clone());
                continue;
            };
            let fields = fields.as_object().ok_or_else(|| WeightsError::Scalar { name: path.clone(), value: fields.to_string() })?;
            for (field, value) in fields {
                state.scalars.insert(format!("{id}.{field}"), from_json(&format!("{path}/{field}"), value)?);
            }
            state.paths.insert(id, path.clone());
        }
        let prefix = prefix(name);
        let own: Vec<_> = tensors.keys().filter(|key| own_parts(key, &prefix).is_some()).cloned().collect();
        for (key, data) in own.into_iter().filter_map(|key| tensors.remove_entry(&key)) {
            let Some((path, field)) = own_parts(&key, &prefix) else { continue };
            let Some(id) = paths.id(path).map(|id| id.val()) else {
                unknown.insert(path.into());
                continue;
            };
            state.tensors.push((format!("{id}.{field}"), id, data));
        }
        if !unknown.is_empty() {
            return Err(WeightsError::Optimizer {
                optimizer: name.into(),
                reason: format!("the checkpoint has state for parameters that the module does not have: {}", list(unknown)),
                hint: "build the module as it was when it was saved, or load its weights alone".into(),
            });
        }
        state.check_ranks(name, paths)?;
        Ok(state)
    }

    /// burn panics if a state has another number of dimensions than its parameter.
    fn check_ranks(&self, name: &str, paths: &ParamPaths) -> Result<()> {
        for (_, id, data) in &self.tensors {
            let path = self.paths.get(id).map_or_else(|| paths.path((*id).into()).unwrap_or_default(), String::as_str);
            if !self.paths.contains_key(id) || paths.rank(path) != Some(data.shape().rank()) {
                return Err(misranked(name, path));
            }
        }
        for (id, path) in &self.paths {
            let rank = self.scalars.get(&format!("{id}.{RANK}")).and_then(|rank| usize::try_from(*rank).ok());
            if rank.is_none() || rank != paths.rank(path) {
                return Err(misranked(name, path));
            }
        }
        Ok(())
    }

    fn fields(&self) -> BTreeMap<String, Option<DType>> {
        let tensors = self.tensors.iter().map(|(key, _, data)| (key.clone(), Some(data.dtype())));
        tensors.chain(self.scalars.keys().map(|key| (key.clone(), None))).collect()
    }

    /// The same state with tensors of one element.
    fn outline(&self) -> Result<OptimizerRecord> {
        let dot = |data: &TensorData| {
            let bytes = Bytes::from_bytes_vec(vec![0; data.dtype().size()]);
            TensorData::from_bytes(bytes, vec![1; data.shape().rank()], data.dtype())
        };
        let tensors = self.tensors.iter().map(|(key, id, data)| (key.clone(), *id, dot(data))).collect();
        pack(tensors, &self.scalars, &self.paths)
    }

    fn into_record(self) -> Result<OptimizerRecord> {
        pack(self.tensors, &self.scalars, &self.paths)
    }
}

fn pack(
    tensors: Vec<(String, u64, TensorData)>,
    scalars: &BTreeMap<String, Scalar>,
    paths: &BTreeMap<u64, String>,
) -> Result<OptimizerRecord> {
    let tensors = tensors.into_iter().map(|(key, id, data)| {
        let (bytes, shape, dtype) = data.into_parts();
        Tensor::new(key, dtype, shape, Some(id), bytes)
    });
    let writer = Writer::new(tensors.collect());
    let writer = scalars.iter().fold(writer, |writer, (key, scalar)| writer.with_scalar(key, *scalar));
    let writer = paths.iter().fold(writer, |writer, (id, path)| writer.with_metadata(&id.to_string(), path));
    OptimizerRecord::from_bytes(writer.into_bytes().map_err(record)?).map_err(record)
}

/// burn exposes a record only as bytes.
fn unpack(state: OptimizerRecord) -> Result<Reader> {
    Reader::from_bytes(state.into_bytes().map_err(record)?).map_err(record)
}

/// The names in a record, with the dtype of each tensor.
fn fields(reader: Reader) -> Result<BTreeMap<String, Option<DType>>> {
    let scalars: Vec<_> = reader.scalars().keys().map(|key| (key.clone(), None)).collect();
    let tensors = reader.into_tensors().map_err(record)?;
    Ok(tensors.into_iter().map(|tensor| (tensor.name, Some(tensor.dtype))).chain(scalars).collect())
}

/// Parameter path and field of a key of burn.
fn split<'k, 'p>(key: &'k str, paths: &'p ParamPaths) -> Option<(&'p str, &'k str)> {
    let (id, field) = key.split_once('.')?;
    Some((paths.path(ParamId::from(id.parse::<u64>().ok()?))?, field))
}

/// Parameter path and field of a tensor's name, if it belongs to the optimizer with this prefix.
fn own_parts<'k>(key: &'k str, prefix: &str) -> Option<(&'k str, &'k str)> {
    key.strip_prefix(prefix)?.split_once('/').filter(|(_, field)| !field.contains('/'))
}

fn readable(key: &str, paths: &ParamPaths) -> String {
    split(key, paths).map_or_else(|| key.into(), |(path, field)| format!("{path}/{field}"))
}

fn misranked(name: &str, path: &str) -> WeightsError {
    WeightsError::Optimizer {
        optimizer: name.into(),
        reason: format!("the saved state of `{path}` has another number of dimensions than the parameter"),
        hint: "build the module as it was when it was saved, or load its weights alone".into(),
    }
}

fn record(error: impl std::fmt::Display) -> WeightsError {
    WeightsError::Record(error.to_string())
}

#[cfg(test)]
mod tests;
