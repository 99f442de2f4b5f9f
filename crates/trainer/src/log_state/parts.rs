//! The parts of metrics in a checkpoint.

use std::{fmt, sync::Arc};

use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use stormfire_metrics::{Computed, Part};
use stormfire_values::{
    ReadError,
    read::{Array, Values},
};

use super::{SavedScalar, read_at};

/// A part of a metric.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum SavedPart {
    Number(SavedScalar),
    Array(SavedArray),
}

/// Numbers in a shape.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedArray {
    pub(super) dims: Vec<usize>,
    #[serde(rename = "place")]
    pub(super) kind: ArrayKind,
    #[serde(flatten)]
    pub(super) data: ArrayData,
}

/// The variant of [`Values`] that an array was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ArrayKind {
    Host,
    Floats,
    Ints,
    Halves,
}

/// The numbers of an array.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum ArrayData {
    /// A tensor in the file.
    InFile { tensor: usize },
    /// On the host. In the JSON between ranks only: a file has a tensor.
    Held {
        #[serde(with = "numbers")]
        values: TensorData,
    },
    /// Not read yet: the index in `Pending`. Never in a file.
    #[serde(skip)]
    Pending(usize),
}

/// Numbers with their type.
mod numbers {
    use burn::tensor::{DType, TensorData};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(data: &TensorData, serializer: S) -> Result<S::Ok, S::Error> {
        (data.dtype(), data.iter::<f64>().collect::<Vec<f64>>()).serialize(serializer)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<TensorData, D::Error> {
        let (dtype, values) = <(DType, Vec<f64>)>::deserialize(deserializer)?;
        Ok(TensorData::from(values.as_slice()).convert_dtype(dtype))
    }
}

impl SavedPart {
    /// Restores the part to its device and type.
    pub(crate) fn restore(&self, device: &Device) -> Part {
        match self {
            SavedPart::Number(scalar) => Part::Number(scalar.restore(device)),
            SavedPart::Array(array) => Part::Array(array.restore(Some(device))),
        }
    }

    /// Its numbers on the host.
    pub(super) fn on_host(&self) -> Part {
        match self {
            SavedPart::Number(scalar) => Part::Number(scalar.value().into()),
            SavedPart::Array(array) => Part::Array(array.restore(None)),
        }
    }

    pub(super) fn fill(&mut self, read: &[TensorData]) -> Result<(), ReadError> {
        match self {
            SavedPart::Number(scalar) => scalar.fill(read)?,
            SavedPart::Array(array) => {
                if let ArrayData::Pending(index) = array.data {
                    array.data = ArrayData::Held { values: read_at(read, index)?.clone() };
                }
            }
        }
        Ok(())
    }

    pub(super) fn array_mut(&mut self) -> Option<&mut SavedArray> {
        if let SavedPart::Array(array) = self { Some(array) } else { None }
    }
}

impl SavedArray {
    /// The array, on its device or on the host. Without its data it is empty: the metric then refuses it.
    fn restore(&self, device: Option<&Device>) -> Array {
        let empty = || Array::row(Vec::new());
        let ArrayData::Held { values: data } = &self.data else { return empty() };
        let ints = |device: &Device| Tensor::from_data(data.clone(), (device, data.dtype()));
        let values = match (device, self.kind) {
            (None, ArrayKind::Halves) => {
                // With the arithmetic of the device, on the CPU.
                let halves = Values::Halves(ints(&Device::flex()));
                let array = Array::from_values(self.dims.clone(), halves).unwrap_or_else(empty);
                return Array::new(array.dims(), array.numbers(data)).unwrap_or_else(empty);
            }
            (None, _) | (_, ArrayKind::Host) => Values::Host(Arc::new(data.iter::<f64>().collect())),
            (Some(device), ArrayKind::Floats) => Values::Floats(Tensor::from_data(data.clone(), (device, data.dtype()))),
            (Some(device), ArrayKind::Ints) => Values::Ints(ints(device)),
            (Some(device), ArrayKind::Halves) => Values::Halves(ints(device)),
        };
        Array::from_values(self.dims.clone(), values).unwrap_or_else(empty)
    }
}

type Function = dyn Fn(&[Part]) -> Computed + Send + Sync;

/// The function that computes a metric from its parts on the host.
#[derive(Clone)]
pub(crate) struct Compute(Arc<Function>);

impl Compute {
    pub(crate) fn new(compute: impl Fn(&[Part]) -> Computed + Send + Sync + 'static) -> Self {
        Self(Arc::new(compute))
    }
}

impl fmt::Debug for Compute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Compute")
    }
}

/// The result of a metric.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum SavedComputed {
    Read(Computed),
    /// Its parts are not read yet. Never in a file.
    #[serde(skip)]
    Pending {
        parts: Vec<SavedPart>,
        compute: Compute,
    },
}

impl SavedComputed {
    pub(crate) fn value(&self) -> Computed {
        match self {
            SavedComputed::Read(value) => value.clone(),
            SavedComputed::Pending { parts, compute } => (compute.0)(&parts.iter().map(SavedPart::on_host).collect::<Vec<_>>()),
        }
    }

    pub(super) fn fill(&mut self, read: &[TensorData]) -> Result<(), ReadError> {
        if let SavedComputed::Pending { parts, .. } = self {
            parts.iter_mut().try_for_each(|part| part.fill(read))?;
            *self = SavedComputed::Read(self.value());
        }
        Ok(())
    }
}
