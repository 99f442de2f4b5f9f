//! The gradients of a step as one flat buffer, which the ranks of a run add up.

use std::collections::HashSet;

use burn::{
    module::{Module, Param, ParamId},
    optim::GradientsParams,
    tensor::{DType, Device, Shape, Tensor, TensorData},
};
use stormfire_checkpoint::{NamedTensors, Snapshot, WeightsError};

use crate::float_params::{EachFloat, walk};

/// A flat buffer of numbers, in which the same place means the same on every rank.
#[derive(Debug)]
pub enum Bucket<'a> {
    /// The usual one.
    Singles(&'a mut [f32]),
    /// For a module with parameters in double precision.
    Doubles(&'a mut [f64]),
}

/// A trained parameter, in the order of the module. The list is the same on every rank.
struct Place {
    id: ParamId,
    shape: Shape,
    dtype: DType,
    device: Device,
}

/// The trained parameters of a module, each once, and the gradients that this rank has of them.
pub(crate) struct Places {
    places: Vec<Place>,
    /// The gradients by the number of their parameter, on the host.
    values: Vec<Option<TensorData>>,
}

struct Collect<'a> {
    gradients: Option<&'a GradientsParams>,
    places: Vec<Place>,
    present: Vec<bool>,
    snapshot: Snapshot,
    seen: HashSet<ParamId>,
}

impl EachFloat for Collect<'_> {
    fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        let value = param.val();
        // Whether a parameter is trained is the same on all ranks. Whether this batch gave it a gradient is not.
        if !value.is_require_grad() || !self.seen.insert(param.id) {
            return;
        }
        let gradient = self.gradients.and_then(|gradients| gradients.get::<D>(param.id));
        // The sum of half floats is wider. The type must not depend on which rank has a gradient.
        let dtype = match gradient.as_ref().map_or(value.dtype(), Tensor::dtype) {
            DType::F16 | DType::BF16 => DType::F32,
            dtype => dtype,
        };
        self.places.push(Place { id: param.id, shape: value.shape(), dtype, device: value.device().inner() });
        self.present.push(gradient.is_some());
        if let Some(gradient) = gradient {
            self.snapshot.add(String::new(), gradient);
        }
    }
}

/// Makes gradients of the numbers in a bucket.
struct Unpack<'a, N> {
    bucket: &'a Packed<N>,
    places: &'a [Place],
    next: usize,
    start: usize,
    gradients: GradientsParams,
}

impl<N: Number> EachFloat for Unpack<'_, N> {
    fn call<const D: usize>(&mut self, _path: &str, param: &Param<Tensor<D>>) {
        let Some(place) = self.places.get(self.next).filter(|place| place.id == param.id) else { return };
        let end = self.start + place.shape.num_elements();
        if self.bucket.is_present(self.next) {
            let data = N::data(self.bucket.numbers[self.start..end].to_vec(), place.shape.clone());
            let data = if data.dtype() == place.dtype { data } else { data.convert_dtype(place.dtype) };
            self.gradients.register(param.id, Tensor::<D>::from_data(data, (&place.device, place.dtype)));
        }
        (self.next, self.start) = (self.next + 1, end);
    }
}

/// The type of the numbers in a bucket.
pub(crate) trait Number: Copy + Default {
    fn of(value: f64) -> Self;
    fn value(self) -> f64;
    fn data(numbers: Vec<Self>, shape: Shape) -> TensorData;
    fn append(data: &TensorData, to: &mut Vec<Self>);
    fn bucket(numbers: &mut [Self]) -> Bucket<'_>;
}

macro_rules! number {
    ($ty:ty, $dtype:ident, $bucket:ident) => {
        impl Number for $ty {
            fn of(value: f64) -> Self {
                value as Self
            }
            fn value(self) -> f64 {
                self.into()
            }
            fn data(numbers: Vec<Self>, shape: Shape) -> TensorData {
                TensorData::new(numbers, shape)
            }
            fn append(data: &TensorData, to: &mut Vec<Self>) {
                match data.as_slice::<Self>() {
                    Ok(numbers) => to.extend_from_slice(numbers),
                    Err(_) => to.extend(data.iter::<Self>()),
                }
            }
            fn bucket(numbers: &mut [Self]) -> Bucket<'_> {
                Bucket::$bucket(numbers)
            }
        }
    };
}
number!(f32, F32, Singles);
number!(f64, F64, Doubles);

/// A bucket: the gradients, for each parameter whether there is one, and further numbers.
struct Packed<N> {
    numbers: Vec<N>,
    elements: usize,
    places: usize,
}

impl<N: Number> Packed<N> {
    fn is_present(&self, place: usize) -> bool {
        self.numbers[self.elements + place].value() > 0.0
    }

    /// The further numbers.
    fn extra(&self) -> Vec<f64> {
        let extra = self.numbers[self.elements + self.places..].chunks_exact(2);
        extra.map(|parts| parts[0].value() + parts[1].value()).collect()
    }
}

impl Places {
    /// Reads the gradients from the device, in one transaction.
    pub(crate) fn read<M: Module>(gradients: Option<&GradientsParams>, module: &M) -> Result<Self, WeightsError> {
        let start = Collect { gradients, places: Vec::new(), present: Vec::new(), snapshot: Snapshot::default(), seen: HashSet::new() };
        let Collect { places, present, snapshot, .. } = walk(module, start);
        let read: NamedTensors = if snapshot.is_empty() { Vec::new() } else { snapshot.read()? };
        let mut read = read.into_iter().map(|(_, data)| data);
        let values = present.into_iter().map(|is_present| is_present.then(|| read.next()).flatten()).collect();
        Ok(Self { places, values })
    }

    /// Adds up the gradients of all ranks, and `extra`. Each number of `extra` keeps twice the digits of the bucket's
    /// type. Returns `None` for the gradients if no rank has any.
    pub(crate) fn sum<M: Module, E>(
        self,
        module: &M,
        extra: &[f64],
        reduce: impl FnOnce(Bucket<'_>) -> Result<(), E>,
    ) -> Result<(Option<GradientsParams>, Vec<f64>), E> {
        let is_double = self.places.iter().any(|place| place.dtype == DType::F64);
        if is_double { self.sum_as::<M, f64, E>(module, extra, reduce) } else { self.sum_as::<M, f32, E>(module, extra, reduce) }
    }

    fn sum_as<M: Module, N: Number, E>(
        self,
        module: &M,
        extra: &[f64],
        reduce: impl FnOnce(Bucket<'_>) -> Result<(), E>,
    ) -> Result<(Option<GradientsParams>, Vec<f64>), E> {
        let mut bucket: Packed<N> = self.pack(extra);
        drop(self.values);
        reduce(N::bucket(&mut bucket.numbers))?;
        let start = Unpack { bucket: &bucket, places: &self.places, next: 0, start: 0, gradients: GradientsParams::new() };
        let gradients = walk(module, start).gradients;
        Ok(((!gradients.is_empty()).then_some(gradients), bucket.extra()))
    }

    fn pack<N: Number>(&self, extra: &[f64]) -> Packed<N> {
        let elements = self.places.iter().map(|place| place.shape.num_elements()).sum();
        let mut numbers: Vec<N> = Vec::with_capacity(elements + self.places.len() + 2 * extra.len());
        for (place, value) in self.places.iter().zip(&self.values) {
            let end = numbers.len() + place.shape.num_elements();
            if let Some(data) = value {
                N::append(data, &mut numbers);
            }
            numbers.resize(end, N::default());
        }
        numbers.extend(self.values.iter().map(|value| N::of(f64::from(u8::from(value.is_some())))));
        for &number in extra {
            let high = N::of(number);
            let low = number - high.value();
            numbers.extend([high, N::of(if low.is_finite() { low } else { 0.0 })]);
        }
        Packed { numbers, elements, places: self.places.len() }
    }
}
