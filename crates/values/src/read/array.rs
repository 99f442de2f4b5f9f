//! Several numbers in a shape, on the host or on the device.

use std::sync::Arc;

use burn::tensor::{DType, Device, Int, IntDType, Tensor, TensorData};

use super::{Result, Tensors, next_read, sum_dtype, values_at_hand, wide::count_dtype, widen, without_halves};

/// Numbers in a shape, on the host or still on the device: what [`Scalar`](super::Scalar) is for one number.
///
/// A tensor of the CPU becomes numbers on the host at once, because its read does not wait. Sums are made in the widest
/// type of the device. Integers stay integers: a cell counts to 2^53, also on a device that has integers of 32 bits
/// only.
#[derive(Clone, Debug)]
pub struct Array {
    dims: Vec<usize>,
    values: Values,
}

/// Where the numbers of an [`Array`] are, in row-major order.
#[derive(Clone, Debug)]
pub enum Values {
    /// On the host.
    Host(Arc<Vec<f64>>),
    /// Floats on a device, shape `[n]`.
    Floats(Tensor<1>),
    /// Integers on a device, shape `[n]`.
    Ints(Tensor<1, Int>),
    /// Integers on a device without integers of 64 bits, shape `[2n]`: `n` times the low 30 bits, then `n` times the
    /// rest.
    Halves(Tensor<1, Int>),
}

/// Bits of the low half in [`Values::Halves`]. The sum of two such halves fits 32 bits.
const LOW_BITS: i32 = 30;

impl Array {
    /// Numbers on the host, in row-major order. `None` if there are not as many as the shape says.
    pub fn new(dims: impl Into<Vec<usize>>, values: Vec<f64>) -> Option<Self> {
        Self::from_values(dims.into(), Values::Host(Arc::new(values)))
    }

    /// One row of numbers on the host.
    pub fn row(values: Vec<f64>) -> Self {
        Self { dims: vec![values.len()], values: Values::Host(Arc::new(values)) }
    }

    /// Numbers wherever they are. `None` if there are not as many as the shape says.
    pub fn from_values(dims: Vec<usize>, values: Values) -> Option<Self> {
        let count = match &values {
            Values::Host(values) => values.len(),
            Values::Floats(tensor) => tensor.dims()[0],
            Values::Ints(tensor) => tensor.dims()[0],
            Values::Halves(tensor) => tensor.dims()[0] / 2,
        };
        (count == dims.iter().product::<usize>()).then_some(Self { dims, values })
    }

    /// The same numbers in another shape of the same size. Otherwise it stays as it is.
    pub fn reshaped(mut self, dims: Vec<usize>) -> Self {
        debug_assert_eq!(dims.iter().product::<usize>(), self.len(), "another number of elements");
        if dims.iter().product::<usize>() == self.len() {
            self.dims = dims;
        }
        self
    }

    /// The shape.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Where the numbers are.
    pub const fn values(&self) -> &Values {
        &self.values
    }

    /// How many numbers there are.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers, if they are on the host.
    pub fn on_host(&self) -> Option<&[f64]> {
        match &self.values {
            Values::Host(values) => Some(values),
            _ => None,
        }
    }

    /// Returns the numbers. Reads the device if they are on it. They are NaN if the read fails. To read several arrays,
    /// read the parts of the whole state ([`read_parts`](super::read_parts)), which takes one read.
    pub fn to_vec(&self) -> Vec<f64> {
        self.read().unwrap_or_else(|error| {
            tracing::error!("numbers of a device cannot be read, and become NaN: {error}");
            vec![f64::NAN; self.len()]
        })
    }

    /// The numbers. Reads the device if they are there.
    ///
    /// # Errors
    /// As [`read`](super::read).
    pub fn read(&self) -> Result<Vec<f64>> {
        let mut tensors = Tensors::new();
        self.register(&mut tensors);
        let mut read = tensors.read()?.into_iter();
        self.take_read(&mut read)
    }

    /// Adds what has to be read to a transaction.
    pub(super) fn register(&self, tensors: &mut Tensors) {
        match &self.values {
            Values::Host(_) => {}
            Values::Floats(tensor) => tensors.add(tensor.clone()),
            Values::Ints(tensor) | Values::Halves(tensor) => tensors.add(tensor.clone()),
        }
    }

    /// The numbers from what was read.
    pub(super) fn take_read(&self, read: &mut impl Iterator<Item = TensorData>) -> Result<Vec<f64>> {
        if let Values::Host(values) = &self.values {
            return Ok(values.to_vec());
        }
        Ok(self.numbers(&next_read(read, self.len())?))
    }

    /// The numbers from the data of the tensor in [`Array::values`].
    pub fn numbers(&self, data: &TensorData) -> Vec<f64> {
        let all: Vec<f64> = data.iter::<f64>().collect();
        match &self.values {
            Values::Halves(_) => {
                let (low, high) = all.split_at(all.len() / 2);
                low.iter().zip(high).map(|(low, high)| low + high * f64::from(1 << LOW_BITS)).collect()
            }
            _ => all,
        }
    }

    /// The sum, cell by cell. `None` if the shapes differ.
    #[must_use]
    pub fn plus(self, other: &Self) -> Option<Self> {
        self.join(other, |a, b| a + b, |a, b| widen(a) + widen(b), |a, b| a + b)
    }

    /// The larger of each two cells. NaN if one is NaN. `None` if the shapes differ.
    #[must_use]
    pub fn max(self, other: &Self) -> Option<Self> {
        let floats = |a: Tensor<1>, b: Tensor<1>| a.max_pair(b.clone()).mask_where(b.clone().is_nan(), b);
        self.join(other, |a, b| if a.is_nan() || a > b { a } else { b }, floats, Tensor::max_pair)
    }

    /// The smaller of each two cells. NaN if one is NaN. `None` if the shapes differ.
    #[must_use]
    pub fn min(self, other: &Self) -> Option<Self> {
        let floats = |a: Tensor<1>, b: Tensor<1>| a.min_pair(b.clone()).mask_where(b.clone().is_nan(), b);
        self.join(other, |a, b| if a.is_nan() || a < b { a } else { b }, floats, Tensor::min_pair)
    }

    fn join(
        self,
        other: &Self,
        host: impl Fn(f64, f64) -> f64,
        floats: impl Fn(Tensor<1>, Tensor<1>) -> Tensor<1>,
        ints: impl Fn(Tensor<1, Int>, Tensor<1, Int>) -> Tensor<1, Int>,
    ) -> Option<Self> {
        if self.dims != other.dims {
            return None;
        }
        let values = match (self.values, &other.values) {
            (Values::Host(mut ours), Values::Host(theirs)) => {
                // In place, unless a checkpoint or a logger still has the numbers.
                for (our, their) in Arc::make_mut(&mut ours).iter_mut().zip(theirs.iter()) {
                    *our = host(*our, *their);
                }
                Values::Host(ours)
            }
            (Values::Ints(a), Values::Ints(b)) => Values::Ints(ints(a, b.clone())),
            (Values::Halves(a), Values::Halves(b)) => Values::Halves(carried(ints(a, b.clone()))),
            (ours, theirs) => {
                let device = [&ours, theirs].into_iter().find_map(Values::device)?;
                let [a, b] = [&ours, theirs].map(|values| values.to_floats(&device));
                Values::Floats(floats(a, b))
            }
        };
        Some(Self { dims: self.dims, values })
    }

    /// The first `index` numbers and the others, as two rows. `None` if there are not as many.
    pub fn split_at(&self, index: usize) -> Option<(Self, Self)> {
        let rest = self.len().checked_sub(index)?;
        let (first, second) = match &self.values {
            Values::Host(values) => {
                let (first, second) = values.split_at_checked(index)?;
                (Values::Host(Arc::new(first.to_vec())), Values::Host(Arc::new(second.to_vec())))
            }
            Values::Floats(tensor) => {
                (Values::Floats(tensor.clone().slice(0..index)), Values::Floats(tensor.clone().slice(index..index + rest)))
            }
            Values::Ints(tensor) => {
                let (first, second) = (tensor.clone().slice(0..index), tensor.clone().slice(index..index + rest));
                (Values::Ints(first), Values::Ints(second))
            }
            Values::Halves(tensor) => {
                let (low, high) = halves_of(tensor.clone(), index + rest);
                let part = |from: usize, to: usize| Tensor::cat(vec![low.clone().slice(from..to), high.clone().slice(from..to)], 0);
                (Values::Halves(part(0, index)), Values::Halves(part(index, index + rest)))
            }
        };
        Some((Self { dims: vec![index], values: first }, Self { dims: vec![rest], values: second }))
    }

    /// The rows of several arrays in one, along the first dimension. `None` without arrays, or if the other dimensions
    /// differ.
    pub fn concatenated(arrays: &[Self]) -> Option<Self> {
        let (first, others) = arrays.split_first()?;
        if others.is_empty() {
            return Some(first.clone());
        }
        let (_, row) = first.dims.split_first()?;
        let mut rows = 0;
        for array in arrays {
            let (own, rest) = array.dims.split_first()?;
            (rest == row).then_some(())?;
            rows += own;
        }
        let dims = std::iter::once(rows).chain(row.iter().copied()).collect();
        let on_host: Option<Vec<&[f64]>> = arrays.iter().map(Self::on_host).collect();
        let values = match (on_host, arrays.iter().find_map(|array| array.values.device())) {
            (Some(parts), _) => Values::Host(Arc::new(parts.concat())),
            (None, Some(device)) => {
                let ints: Option<Vec<_>> = arrays.iter().map(|array| array.values.ints(&device)).collect();
                let halves: Option<Vec<_>> = arrays.iter().map(|array| array.values.halves(&device)).collect();
                match (ints, halves) {
                    (Some(ints), _) => Values::Ints(Tensor::cat(ints, 0)),
                    (None, Some(halves)) => {
                        let (low, high): (Vec<_>, Vec<_>) = halves.into_iter().unzip();
                        Values::Halves(Tensor::cat(low.into_iter().chain(high).collect(), 0))
                    }
                    (None, None) => Values::Floats(Tensor::cat(arrays.iter().map(|array| array.values.to_floats(&device)).collect(), 0)),
                }
            }
            (None, None) => return None,
        };
        Self::from_values(dims, values)
    }
}

impl Values {
    fn device(&self) -> Option<Device> {
        match self {
            Values::Host(_) => None,
            Values::Floats(tensor) => Some(tensor.device()),
            Values::Ints(tensor) | Values::Halves(tensor) => Some(tensor.device()),
        }
    }

    /// The numbers on the host, if all are integers.
    fn integers_on_host(&self) -> Option<Vec<i64>> {
        let Values::Host(values) = self else { return None };
        let is_integer = |value: &f64| value.fract() == 0.0 && value.abs() < 9e15;
        values.iter().all(is_integer).then(|| values.iter().map(|value| *value as i64).collect())
    }

    fn ints(&self, device: &Device) -> Option<Tensor<1, Int>> {
        if let Values::Ints(tensor) = self {
            return Some(tensor.clone());
        }
        Some(Tensor::from_data(TensorData::from(self.integers_on_host()?.as_slice()), (device, DType::I64)))
    }

    fn halves(&self, device: &Device) -> Option<(Tensor<1, Int>, Tensor<1, Int>)> {
        if let Values::Halves(tensor) = self {
            return Some(halves_of(tensor.clone(), tensor.dims()[0] / 2));
        }
        let values = self.integers_on_host()?;
        let half = |of: fn(i64) -> i64| {
            let halves: Vec<i32> = values.iter().map(|value| of(*value) as i32).collect();
            Tensor::from_data(TensorData::from(halves.as_slice()), (device, DType::I32))
        };
        Some((half(|value| value % (1 << LOW_BITS)), half(|value| value / (1 << LOW_BITS))))
    }

    /// As floats of the widest type of the device.
    fn to_floats(&self, device: &Device) -> Tensor<1> {
        let wide = sum_dtype(device);
        match self {
            Values::Host(values) => {
                Tensor::from_data(TensorData::from(values.as_slice()).convert_dtype(wide.into()), (device, DType::from(wide)))
            }
            Values::Floats(tensor) => widen(tensor.clone()),
            Values::Ints(tensor) => tensor.clone().cast(wide),
            Values::Halves(tensor) => {
                let count = tensor.dims()[0] / 2;
                let (low, high) = halves_of(tensor.clone(), count);
                low.cast(wide) + high.cast(wide) * f64::from(1 << LOW_BITS)
            }
        }
    }
}

fn halves_of(halves: Tensor<1, Int>, count: usize) -> (Tensor<1, Int>, Tensor<1, Int>) {
    (halves.clone().slice(0..count), halves.slice(count..2 * count))
}

/// Moves what does not fit the low halves to the high ones.
fn carried(halves: Tensor<1, Int>) -> Tensor<1, Int> {
    let count = halves.dims()[0] / 2;
    let (low, high) = halves_of(halves, count);
    // Towards 0, so that a small negative number has a small low half.
    let over = low.clone() / (1 << LOW_BITS);
    Tensor::cat(vec![low - over.clone() * (1 << LOW_BITS), high + over], 0)
}

/// Floats of any shape, detached from autodiff. Half floats become `f32`.
impl<const D: usize> From<Tensor<D>> for Array {
    fn from(tensor: Tensor<D>) -> Self {
        let dims = tensor.dims().to_vec();
        let values = match values_at_hand(tensor) {
            Ok(data) => Values::Host(Arc::new(data.iter::<f64>().collect())),
            Err(tensor) => {
                let tensor = tensor.inner();
                let count = dims.iter().product::<usize>();
                Values::Floats(without_halves(tensor).reshape([count]))
            }
        };
        Self { dims, values }
    }
}

/// Integers of any shape.
impl<const D: usize> From<Tensor<D, Int>> for Array {
    fn from(tensor: Tensor<D, Int>) -> Self {
        let dims = tensor.dims().to_vec();
        let values = match values_at_hand(tensor) {
            Ok(data) => Values::Host(Arc::new(data.iter::<f64>().collect())),
            Err(tensor) => {
                let count = dims.iter().product::<usize>();
                let tensor = tensor.inner().reshape([count]);
                match count_dtype(&tensor.device()) {
                    IntDType::I64 => Values::Ints(tensor.cast(IntDType::I64)),
                    narrow => {
                        let tensor = tensor.cast(narrow);
                        let none = tensor.zeros_like();
                        Values::Halves(carried(Tensor::cat(vec![tensor, none], 0)))
                    }
                }
            }
        };
        Self { dims, values }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::{DistantCpu, device_reads};

    fn ints(values: &[i32]) -> Array {
        Tensor::<1, Int>::from_ints(values, &Device::flex()).into()
    }

    fn floats(values: &[f32]) -> Array {
        Tensor::<1>::from_floats(values, &Device::flex()).into()
    }

    fn everywhere(check: impl Fn(&str)) {
        check("host");
        {
            let _distant = DistantCpu::new();
            check("device");
        }
        let _narrow = DistantCpu::without_f64();
        check("narrow device");
    }

    #[test]
    fn counts_are_exact_beyond_the_floats_and_integers_of_a_device() {
        everywhere(|place| {
            let mut sum = ints(&[16_777_216, -3, i32::MAX]);
            for _ in 0..5 {
                sum = sum.plus(&ints(&[1, -1, i32::MAX])).unwrap();
            }
            let twice = sum.clone().plus(&sum).unwrap();
            assert_eq!(sum.to_vec(), [16_777_221.0, -8.0, 6.0 * f64::from(i32::MAX)], "{place}");
            assert_eq!(twice.to_vec(), [33_554_442.0, -16.0, 12.0 * f64::from(i32::MAX)], "{place}");
        });
    }

    #[test]
    fn arrays_join_cell_by_cell_wherever_they_are() {
        everywhere(|place| {
            let host = Array::row(vec![1.0, f64::NAN]);
            for (a, b) in [(floats(&[3.0, 2.0]), host.clone()), (host, floats(&[3.0, 2.0]))] {
                assert_eq!(a.clone().plus(&b).unwrap().to_vec()[..1], [4.0], "{place}");
                let (max, min) = (a.clone().max(&b).unwrap().to_vec(), a.min(&b).unwrap().to_vec());
                assert_eq!((&max[..1], &min[..1]), (&[3.0][..], &[1.0][..]), "{place}");
                assert!(max[1].is_nan() && min[1].is_nan(), "{place}: {max:?} {min:?}");
            }
            assert!(ints(&[1]).plus(&ints(&[1, 2])).is_none());
            let all = Array::concatenated(&[ints(&[1, -2]), ints(&[]), ints(&[i32::MAX])]).unwrap();
            assert_eq!((all.to_vec(), all.dims()), (vec![1.0, -2.0, f64::from(i32::MAX)], &[3][..]), "{place}");
            assert_eq!(Array::row(vec![0.5]).plus(&ints(&[-1])).unwrap().to_vec(), [-0.5], "{place}");
            let large = 5.0 * f64::from(1 << LOW_BITS) + 1.0;
            let mixed = Array::concatenated(&[Array::row(vec![large, -large]), ints(&[16_777_217])]).unwrap();
            assert_eq!(mixed.to_vec(), [large, -large, 16_777_217.0], "{place}");
            let (first, second) = all.split_at(1).unwrap();
            assert_eq!((first.to_vec(), second.to_vec()), (vec![1.0], vec![-2.0, f64::from(i32::MAX)]), "{place}");
            assert!(all.split_at(4).is_none());
            let table = |rows: usize| Array::from(Tensor::<2>::ones([rows, 2], &Device::flex()));
            assert_eq!(Array::concatenated(&[table(1), table(2)]).unwrap().dims(), [3, 2]);
            assert!(Array::concatenated(&[table(1), floats(&[1.0])]).is_none());
        });
    }

    #[test]
    fn only_a_read_of_a_distant_array_counts() {
        let before = device_reads();
        assert_eq!(floats(&[0.5]).plus(&floats(&[0.25])).unwrap().to_vec(), [0.75]);
        assert_eq!(device_reads(), before);
        let _distant = DistantCpu::new();
        let sum = floats(&[0.5]).plus(&floats(&[0.25])).unwrap();
        assert_eq!(device_reads(), before);
        assert_eq!(sum.to_vec(), [0.75]);
        assert_eq!(device_reads(), before + 1);
    }
}
