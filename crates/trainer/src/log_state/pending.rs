//! Numbers and arrays of a state that are still on the device.

use burn::tensor::{Int, Tensor, TensorData};
use stormfire_checkpoint::Snapshot;
use stormfire_values::{
    Scalar,
    read::{Array, Part, Parts, Source, Values},
};

use super::{ArrayData, ArrayKind, LOG_FOLDER, SavedArray, SavedList, SavedPart, SavedScalar};

/// The tensors of a state that are not read yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending(Vec<PendingTensor>);

#[derive(Clone, Debug)]
enum PendingTensor {
    Floats(Tensor<1>),
    Ints(Tensor<1, Int>),
}

impl Pending {
    /// Adds a scalar.
    pub(crate) fn save(&mut self, scalar: &Scalar) -> SavedScalar {
        match scalar {
            Scalar::Host(value) => SavedScalar::Host(*value),
            Scalar::Device(value) => {
                let Parts { closed, open, values, host } = value.parts();
                let parts = match closed {
                    Some(closed) => Tensor::cat(vec![closed.clone(), open.clone()], 0),
                    None => open.clone(),
                };
                SavedScalar::Pending { index: self.push(parts), values: *values, host: *host }
            }
        }
    }

    /// Notes down what a reading is read from.
    pub(crate) fn save_source(&mut self, source: &Source) -> SavedScalar {
        match source {
            Source::One(scalar) => self.save(scalar),
            Source::Computed(parts, compute) => {
                SavedScalar::Computed { parts: parts.iter().map(|part| self.save_part(part)).collect(), compute: compute.clone() }
            }
        }
    }

    /// Adds a part of a metric.
    pub(crate) fn save_part(&mut self, part: &Part) -> SavedPart {
        match part {
            Part::Number(scalar) => SavedPart::Number(self.save(scalar)),
            Part::Array(array) => SavedPart::Array(self.save_array(array)),
        }
    }

    fn save_array(&mut self, array: &Array) -> SavedArray {
        let (kind, data) = match array.values() {
            Values::Host(values) => (ArrayKind::Host, ArrayData::Held { values: TensorData::from(values.as_slice()) }),
            Values::Floats(tensor) => (ArrayKind::Floats, ArrayData::Pending(self.push(tensor.clone()))),
            Values::Ints(tensor) => (ArrayKind::Ints, ArrayData::Pending(self.push_ints(tensor.clone()))),
            Values::Halves(tensor) => (ArrayKind::Halves, ArrayData::Pending(self.push_ints(tensor.clone()))),
        };
        SavedArray { dims: array.dims().to_vec(), kind, data }
    }

    /// Adds several values.
    pub(crate) fn save_list(&mut self, values: Tensor<1>) -> SavedList {
        SavedList::Pending(self.push(values))
    }

    fn push(&mut self, tensor: Tensor<1>) -> usize {
        self.0.push(PendingTensor::Floats(tensor));
        self.0.len() - 1
    }

    fn push_ints(&mut self, tensor: Tensor<1, Int>) -> usize {
        self.0.push(PendingTensor::Ints(tensor));
        self.0.len() - 1
    }

    /// Adds the tensors to a snapshot, in order, below [`LOG_FOLDER`].
    pub(crate) fn add_to(&self, snapshot: &mut Snapshot) {
        for (index, tensor) in self.0.iter().enumerate() {
            let name = format!("{LOG_FOLDER}{index}");
            match tensor {
                PendingTensor::Floats(tensor) => snapshot.add(name, tensor.clone()),
                PendingTensor::Ints(tensor) => snapshot.add_ints(name, tensor.clone()),
            }
        }
    }
}
