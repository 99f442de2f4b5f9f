//! Fills the parameters of a module with tensors, by path.

use std::{any::TypeId, collections::BTreeMap};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId},
    tensor::{Bool, DType, Device, Float, Int, Tensor, TensorData, kind::Basic},
};

use crate::{
    load_options::{LoadOptions, Names},
    load_report::{Cast, LoadReport, Misfit},
    origin,
    pytorch_names::Translated,
    similar_names::{Wanted, most_similar, rename_rule},
    unread::Unread,
    weights_error::{Result, WeightsError},
};

/// [`restore`](fn@crate::restore) for tensors with the names of the module. The tensors are read one at a time, so that
/// the memory holds the module's parameters, and one of them twice.
pub(crate) fn fill<M: Module>(module: M, tensors: Translated, options: &LoadOptions, names: &Names) -> Result<(M, LoadReport)> {
    let Translated { mut found, mut others, wanted } = tensors;
    let mut slots = slots_of(&module);
    share_tied(&slots, &mut found);
    slots.retain(|slot| names.selects(&slot.path));

    let mut report = LoadReport::default();
    let mut fitting = BTreeMap::new();
    let mut lacking = Vec::new();
    for slot in &slots {
        let path = slot.path.clone();
        let Some(tensor) = found.remove(&path) else {
            lacking.push(slot);
            report.missing.push(path);
            continue;
        };
        let takes_values = !matches!(slot.dtype, DType::QFloat(_)) && slot.kind.holds(tensor.dtype);
        if !takes_values || tensor.shape != slot.shape {
            lacking.push(slot);
            report.mismatched.push(Misfit { path, file: (tensor.dtype, tensor.shape), module: (slot.dtype, slot.shape.clone()) });
            continue;
        }
        let adopts = options.adopts_dtype() && slot.device.supports_dtype(tensor.dtype);
        let dtype = if adopts || slot.kind == Kind::Bool { tensor.dtype } else { slot.dtype };
        if dtype != tensor.dtype {
            report.cast.push(Cast { path: path.clone(), file: tensor.dtype, module: dtype });
        }
        report.loaded.push(path.clone());
        fitting.insert(path, (tensor, dtype));
    }
    others.append(&mut found);
    others.retain(|name, _| names.selects(name));
    propose(&mut report, &lacking, &others, &wanted);
    report.unexpected.extend(others.into_keys());

    if options.is_strict() {
        if !report.is_complete() {
            return Err(WeightsError::Misfit(Box::new(report)));
        }
        if report.loaded.is_empty() && names.any() {
            return Err(WeightsError::NothingSelected { patterns: names.to_string() });
        }
    }
    drop(slots);
    let mut fill = Fill { path: Vec::new(), tensors: fitting, failed: None };
    let module = module.map(&mut fill);
    fill.failed.map_or(Ok((module, report)), Err)
}

fn slots_of<M: Module>(module: &M) -> Vec<Slot> {
    // `valid` also applies the statistics of the last batch, which BatchNorm keeps pending. Otherwise they would later
    // overwrite the loaded ones.
    let mut slots = Slots::default();
    module.valid().visit(&mut slots);
    slots.found
}

/// A parameter with several paths (tied weights) may have one name in the file.
fn share_tied(slots: &[Slot], found: &mut BTreeMap<String, Unread>) {
    for slot in slots.iter().filter(|slot| slots.iter().filter(|other| other.id == slot.id).count() > 1) {
        if !found.contains_key(&slot.path) {
            let tied = slots.iter().filter(|other| other.id == slot.id).find_map(|other| found.get(&other.path).cloned());
            found.extend(tied.map(|tensor| (slot.path.clone(), tensor)));
        }
    }
}

/// Adds the tensors of the file that may be meant for the parameters that it lacks.
fn propose(report: &mut LoadReport, lacking: &[&Slot], others: &BTreeMap<String, Unread>, wanted: &BTreeMap<String, Vec<String>>) {
    let lacking: Vec<Wanted<'_>> = lacking
        .iter()
        .map(|slot| {
            let names = wanted.get(&slot.path).map_or(std::slice::from_ref(&slot.path), Vec::as_slice);
            Wanted { path: &slot.path, names: names.iter().map(String::as_str).collect(), shape: &slot.shape }
        })
        .collect();
    let others: Vec<(&str, &[usize])> = others.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())).collect();
    report.rename = rename_rule(&lacking, &others);
    // A rule says more than single names.
    if report.rename.is_none() {
        report.similar = most_similar(&lacking, &others);
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Float,
    Int,
    Bool,
}

/// Whether a tensor of this kind can contain elements of this dtype.
pub(crate) fn is_of_kind<K: 'static>(dtype: DType) -> bool {
    let kinds = [(TypeId::of::<Float>(), Kind::Float), (TypeId::of::<Int>(), Kind::Int), (TypeId::of::<Bool>(), Kind::Bool)];
    kinds.into_iter().any(|(id, kind)| id == TypeId::of::<K>() && kind.holds(dtype))
}

impl Kind {
    fn holds(self, dtype: DType) -> bool {
        match self {
            Kind::Float => dtype.is_float(),
            Kind::Int => dtype.is_int() || dtype.is_uint(),
            Kind::Bool => dtype.is_bool(),
        }
    }
}

/// The properties of a parameter.
struct Slot {
    path: String,
    id: ParamId,
    kind: Kind,
    shape: Vec<usize>,
    dtype: DType,
    device: Device,
}

#[derive(Default)]
struct Slots {
    path: Vec<String>,
    found: Vec<Slot>,
}

impl Slots {
    fn add<const D: usize, K: Basic>(&mut self, id: ParamId, kind: Kind, tensor: &Tensor<D, K>) {
        let (path, shape) = (self.path.join("."), tensor.dims().to_vec());
        self.found.push(Slot { path, id, kind, shape, dtype: tensor.dtype(), device: tensor.device() });
    }
}

// The tensors have the form in which burn saves them, as in a snapshot.
impl ModuleVisitor for Slots {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.add(param.id, Kind::Float, &param.transform_for_save().val());
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.add(param.id, Kind::Int, &param.transform_for_save().val());
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.add(param.id, Kind::Bool, &param.transform_for_save().val());
    }
}

/// Fills parameters with checked tensors.
struct Fill {
    path: Vec<String>,
    tensors: BTreeMap<String, (Unread, DType)>,
    /// The first error. The module is then useless.
    failed: Option<WeightsError>,
}

impl Fill {
    fn take<const D: usize, K: Basic>(&mut self, device: &Device) -> Option<Tensor<D, K>> {
        let path = self.path.join(".");
        let (tensor, dtype) = self.tensors.remove(&path).filter(|_| self.failed.is_none())?;
        match tensor.read() {
            Err(reason) => self.failed = Some(WeightsError::Values { path, reason }),
            Ok(data) => match too_large(&data, dtype) {
                None => return Some(Tensor::from_data(data, (device, dtype))),
                Some(value) => {
                    let (file, module) = (data.dtype().name(), dtype.name());
                    self.failed = Some(WeightsError::Overflow { path, value: value.to_string(), file, module });
                }
            },
        }
        None
    }
}

/// The first number that a narrower dtype cannot represent: as infinity, or as another integer.
fn too_large(data: &TensorData, dtype: DType) -> Option<f64> {
    // Half a step above the largest number, where rounding gives infinity.
    let (low, high) = match dtype {
        DType::F16 => (-65519.0, 65519.0),
        DType::BF16 => (-3.396_177e38, 3.396_177e38),
        DType::F32 | DType::Flex32 => (-3.402_823_5e38, 3.402_823_5e38),
        DType::I32 => (i32::MIN.into(), i32::MAX.into()),
        DType::I16 => (i16::MIN.into(), i16::MAX.into()),
        DType::I8 => (i8::MIN.into(), i8::MAX.into()),
        DType::U64 => (0.0, u64::MAX as f64),
        DType::U32 => (0.0, u32::MAX.into()),
        DType::U16 => (0.0, u16::MAX.into()),
        DType::U8 => (0.0, u8::MAX.into()),
        DType::I64 => (i64::MIN as f64, i64::MAX as f64),
        DType::F64 | DType::Bool(_) | DType::QFloat(_) => return None,
    };
    let is_narrower = data.dtype() != dtype && !matches!((data.dtype(), dtype), (DType::F16 | DType::BF16, DType::F32 | DType::Flex32));
    is_narrower.then(|| data.iter::<f64>().find(|value| value.is_finite() && !(low..=high).contains(value)))?
}

macro_rules! map_params {
    ($($method:ident: $kind:ty),*) => {$(
        fn $method<const D: usize>(&mut self, param: Param<Tensor<D, $kind>>) -> Param<Tensor<D, $kind>> {
            let id = param.id;
            match self.take(&param.lazy_device()) {
                Some(tensor) => {
                    origin::choose([id]);
                    param.transform_for_load(tensor, id)
                }
                None => param,
            }
        }
    )*};
}

impl ModuleMapper for Fill {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.into());
    }
    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }
    map_params!(map_float: Float, map_int: Int, map_bool: Bool);
}
