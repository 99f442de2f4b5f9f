//! Fills the parameters of a module with tensors, by path.

use std::{any::TypeId, collections::BTreeMap};

use burn::{
    module::{Module, ModuleMapper, ModuleVisitor, Param},
    tensor::{Bool, DType, Device, Float, Int, Tensor, TensorData, kind::Basic},
};

use crate::{
    load_options::{LoadOptions, Names},
    load_report::{Cast, LoadReport, Misfit},
    origin,
    weights_error::{Result, WeightsError},
};

/// [`restore`](fn@crate::restore) for tensors with the names of the module. `unexpected` are further names in the file.
pub(crate) fn fill<M: Module>(
    module: M,
    mut tensors: BTreeMap<String, TensorData>,
    unexpected: Vec<String>,
    options: &LoadOptions,
    names: &Names,
) -> Result<(M, LoadReport)> {
    // `valid` also applies the statistics of the last batch, which BatchNorm keeps pending. Otherwise they would later
    // overwrite the loaded ones.
    let current = module.valid();
    let mut slots = Slots::default();
    current.visit(&mut slots);

    let mut report = LoadReport { unexpected, ..LoadReport::default() };
    let mut fitting = BTreeMap::new();
    for slot in slots.found.into_iter().filter(|slot| names.selects(&slot.path)) {
        let Some(data) = tensors.remove(&slot.path) else {
            report.missing.push(slot.path);
            continue;
        };
        let takes_values = !matches!(slot.dtype, DType::QFloat(_)) && slot.kind.holds(data.dtype());
        if !takes_values || data.shape().as_slice() != slot.shape {
            let file = (data.dtype(), data.shape().to_vec());
            report.mismatched.push(Misfit { path: slot.path, file, module: (slot.dtype, slot.shape) });
            continue;
        }
        let adopts = options.adopts_dtype() && slot.device.supports_dtype(data.dtype());
        let dtype = if adopts || slot.kind == Kind::Bool { data.dtype() } else { slot.dtype };
        if dtype != data.dtype() {
            report.cast.push(Cast { path: slot.path.clone(), file: data.dtype(), module: dtype });
        }
        report.loaded.push(slot.path.clone());
        fitting.insert(slot.path, (data, dtype));
    }
    report.unexpected.extend(tensors.into_keys());
    report.unexpected.retain(|path| names.selects(path));

    if options.is_strict() {
        if !report.is_complete() {
            return Err(WeightsError::Misfit(Box::new(report)));
        }
        if report.loaded.is_empty() && names.any() {
            return Err(WeightsError::NothingSelected { patterns: names.to_string() });
        }
    }
    Ok((module.map(&mut Fill { path: Vec::new(), tensors: fitting }), report))
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
    fn add<const D: usize, K: Basic>(&mut self, kind: Kind, tensor: &Tensor<D, K>) {
        let (path, shape) = (self.path.join("."), tensor.dims().to_vec());
        self.found.push(Slot { path, kind, shape, dtype: tensor.dtype(), device: tensor.device() });
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
        self.add(Kind::Float, &param.transform_for_save().val());
    }
    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.add(Kind::Int, &param.transform_for_save().val());
    }
    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.add(Kind::Bool, &param.transform_for_save().val());
    }
}

/// Fills parameters with checked tensors.
struct Fill {
    path: Vec<String>,
    tensors: BTreeMap<String, (TensorData, DType)>,
}

impl Fill {
    fn take<const D: usize, K: Basic>(&mut self, device: &Device) -> Option<Tensor<D, K>> {
        let (data, dtype) = self.tensors.remove(&self.path.join("."))?;
        Some(Tensor::from_data(data, (device, dtype)))
    }
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
