//! All reads of values from the device to the host.
//!
//! A read waits for the device, so the loop does not read between logging steps. Values are collected first and read in
//! one [`Transaction`]. [`device_reads`] counts the reads, so that tests can check the loop.

mod reading;
mod wide;

pub use reading::Reading;
pub use wide::{sum_dtype, widen};

use std::cell::Cell;

use burn::tensor::{Int, Tensor, TensorData, Transaction, kind};

/// A result with the error of a read by default.
pub type Result<T, E = ReadError> = std::result::Result<T, E>;

/// The device failed to return values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reading {count} values from the device failed: {reason}")]
pub struct ReadError {
    /// Number of requested values.
    pub count: usize,
    /// The error of the device.
    pub reason: String,
}

/// A number, on the host or still on the device.
///
/// Its arithmetic is that of long sums: on the device in `f64`, or in `f32` if the device does not support `f64`,
/// regardless of the tensors' own type. So counts are exact up to 2^53 (2^24 on a device without `f64`, such as Metal).
#[expect(clippy::large_enum_variant, reason = "a box would cost an allocation for every logged value")]
#[derive(Clone, Debug)]
pub enum Scalar {
    /// A number on the host.
    Host(f64),
    /// A tensor of one element, shape `[1]`, detached from autodiff.
    Device(Tensor<1>),
}

impl Scalar {
    /// The sum of two scalars. On the device if one of them is.
    #[must_use]
    pub fn plus(self, other: Scalar) -> Scalar {
        match (self, other) {
            (Scalar::Host(a), Scalar::Host(b)) => Scalar::Host(a + b),
            (Scalar::Device(a), Scalar::Device(b)) => Scalar::Device(widen(a) + widen(b)),
            (Scalar::Device(a), Scalar::Host(b)) | (Scalar::Host(b), Scalar::Device(a)) => Scalar::Device(widen(a) + b),
        }
    }

    /// The difference of two scalars. On the device if one of them is.
    #[must_use]
    pub fn minus(self, other: Scalar) -> Scalar {
        self.plus(other.times(-1.0))
    }

    /// The product with a number or another scalar. On the device if one of them is.
    #[must_use]
    pub fn times(self, factor: impl Into<Scalar>) -> Scalar {
        match (self, factor.into()) {
            (Scalar::Host(a), Scalar::Host(b)) => Scalar::Host(a * b),
            // Multiplying by one would be a needless kernel launch.
            (Scalar::Device(a), Scalar::Host(b)) | (Scalar::Host(b), Scalar::Device(a)) if (b - 1.0).abs() < f64::EPSILON => {
                Scalar::Device(a)
            }
            (Scalar::Device(a), Scalar::Host(b)) | (Scalar::Host(b), Scalar::Device(a)) => Scalar::Device(widen(a) * b),
            (Scalar::Device(a), Scalar::Device(b)) => Scalar::Device(widen(a) * widen(b)),
        }
    }

    /// The quotient of two scalars. On the device if one of them is.
    #[must_use]
    pub fn over(self, divisor: Scalar) -> Scalar {
        match (self, divisor) {
            (Scalar::Host(a), Scalar::Host(b)) => Scalar::Host(a / b),
            (Scalar::Device(a), Scalar::Device(b)) => Scalar::Device(widen(a) / widen(b)),
            (Scalar::Device(a), Scalar::Host(b)) if (b - 1.0).abs() < f64::EPSILON => Scalar::Device(a),
            (Scalar::Device(a), Scalar::Host(b)) => Scalar::Device(widen(a) / b),
            (Scalar::Host(a), Scalar::Device(b)) => Scalar::Device(widen(b).recip() * a),
        }
    }

    /// The maximum of two scalars. NaN if one is NaN, as in `torch.max`.
    #[must_use]
    pub fn max(self, other: Scalar) -> Scalar {
        self.pick(other, |a, b| if a.is_nan() || a > b { a } else { b }, |a, b| keep_nan(a.max_pair(b.clone()), b))
    }

    /// The minimum of two scalars. NaN if one is NaN, as in `torch.min`.
    #[must_use]
    pub fn min(self, other: Scalar) -> Scalar {
        self.pick(other, |a, b| if a.is_nan() || a < b { a } else { b }, |a, b| keep_nan(a.min_pair(b.clone()), b))
    }

    fn pick(self, other: Scalar, host: fn(f64, f64) -> f64, device: fn(Tensor<1>, Tensor<1>) -> Tensor<1>) -> Scalar {
        match (self, other) {
            (Scalar::Host(a), Scalar::Host(b)) => Scalar::Host(host(a, b)),
            (Scalar::Device(a), Scalar::Device(b)) if a.dtype() == b.dtype() => Scalar::Device(device(a, b)),
            (Scalar::Device(a), Scalar::Device(b)) => Scalar::Device(device(widen(a), widen(b))),
            (Scalar::Device(a), Scalar::Host(b)) | (Scalar::Host(b), Scalar::Device(a)) => {
                let a = widen(a);
                let b = a.full_like(b);
                Scalar::Device(device(a, b))
            }
        }
    }
}

/// burn's `max_pair` and `min_pair` keep a NaN of the first tensor, but lose one of the second.
fn keep_nan(picked: Tensor<1>, second: Tensor<1>) -> Tensor<1> {
    picked.mask_where(second.clone().is_nan(), second)
}

impl From<f64> for Scalar {
    fn from(value: f64) -> Self {
        Scalar::Host(value)
    }
}

/// A count.
impl From<usize> for Scalar {
    fn from(count: usize) -> Self {
        Scalar::Host(count as f64)
    }
}

/// Detaches the tensor from autodiff.
impl From<Tensor<1>> for Scalar {
    fn from(element: Tensor<1>) -> Self {
        Scalar::Device(element.inner())
    }
}

/// A count from the device, exact within the precision of its arithmetic.
impl From<Tensor<1, Int>> for Scalar {
    fn from(count: Tensor<1, Int>) -> Self {
        let dtype = sum_dtype(&count.device());
        Scalar::Device(count.inner().cast(dtype))
    }
}

thread_local! {
    static READS: Cell<u64> = const { Cell::new(0) };
    static FORBIDDEN: Cell<u32> = const { Cell::new(0) };
}

/// The number of times that this thread has waited for values from a device through [`read`].
pub fn device_reads() -> u64 {
    READS.get()
}

/// While this value lives, a device read on this thread is an error in debug builds. The loop uses it during its own
/// bookkeeping, so that tests find unintended reads.
#[derive(Debug)]
pub struct ForbidReads(());

impl ForbidReads {
    /// Forbids reads until the value is dropped.
    #[must_use]
    pub fn new() -> Self {
        FORBIDDEN.set(FORBIDDEN.get() + 1);
        ForbidReads(())
    }
}

impl Default for ForbidReads {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ForbidReads {
    fn drop(&mut self) {
        FORBIDDEN.set(FORBIDDEN.get() - 1);
    }
}

/// Lifts the ban on reads of this thread, until a run inside the current one ends.
#[derive(Debug)]
pub struct SetAside(u32);

impl SetAside {
    /// This thread may read until the value is dropped.
    #[must_use]
    pub fn new() -> Self {
        Self(FORBIDDEN.take())
    }
}

impl Default for SetAside {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for SetAside {
    fn drop(&mut self) {
        FORBIDDEN.set(self.0);
    }
}

/// Reads scalars in one transaction. Does not access the device if all are on the host.
///
/// # Errors
/// [`ReadError`] if the device fails, or in debug builds under [`ForbidReads`].
pub fn read(scalars: &[Scalar]) -> Result<Vec<f64>> {
    let mut tensors = Tensors::new();
    for scalar in scalars {
        if let Scalar::Device(tensor) = scalar {
            tensors.add(tensor.clone());
        }
    }
    let mut values = tensors.read()?.into_iter().map(|data| data.iter::<f64>().next().unwrap_or(f64::NAN));
    Ok(scalars.iter().map(|s| if let Scalar::Host(v) = s { *v } else { values.next().unwrap_or(f64::NAN) }).collect())
}

/// Tensors of any shape and type that are read together, in one transaction.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use stormfire_values::read::Tensors;
///
/// let device = Device::flex();
/// let mut tensors = Tensors::new();
/// tensors.add(Tensor::<1>::from_floats([0.5, 1.5], &device));
/// tensors.add(Tensor::<2, burn::tensor::Int>::from_ints([[7]], &device));
/// let data = tensors.read()?;
/// assert_eq!(data[0].iter::<f32>().collect::<Vec<_>>(), [0.5, 1.5]);
/// assert_eq!(data[1].iter::<i64>().collect::<Vec<_>>(), [7]);
/// # Ok::<(), stormfire_values::ReadError>(())
/// ```
#[derive(Default)]
pub struct Tensors {
    transaction: Transaction,
    count: usize,
}

impl Tensors {
    /// Creates an empty collection.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor at the end, without its autodiff graph.
    pub fn add<const D: usize, K: kind::Transaction + kind::Autodiff>(&mut self, tensor: Tensor<D, K>) {
        self.transaction = std::mem::take(&mut self.transaction).register(tensor.inner());
        self.count += 1;
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether the collection is empty.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Waits for the device and returns the values in order. Without tensors it costs nothing.
    ///
    /// # Errors
    /// As [`read`].
    pub fn read(self) -> Result<Vec<TensorData>> {
        let Self { transaction, count } = self;
        if count == 0 {
            return Ok(Vec::new());
        }
        if cfg!(debug_assertions) && FORBIDDEN.get() > 0 {
            return Err(ReadError { count, reason: "the loop must not read the device here".into() });
        }
        READS.set(READS.get() + 1);
        transaction.try_execute().map_err(|e| ReadError { count, reason: e.to_string() })
    }
}

impl std::fmt::Debug for Tensors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tensors").field("len", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device};

    use super::*;

    fn on_device(value: f32) -> Scalar {
        Scalar::Device(Tensor::from_floats([value], &Device::flex()))
    }

    #[test]
    fn many_values_are_one_read() {
        let before = device_reads();
        assert_eq!(read(&[on_device(1.0), Scalar::Host(2.0), on_device(3.0)]).unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(device_reads() - before, 1);
        assert_eq!(read(&[Scalar::Host(4.0)]).unwrap(), [4.0]);
        assert_eq!(device_reads() - before, 1);
    }

    #[test]
    fn a_quotient_is_on_the_device_if_one_part_is() {
        let (host, device) = (Scalar::Host(6.0), on_device(4.0));
        let quotients =
            [host.clone().over(2.0.into()), host.clone().over(device.clone()), device.clone().over(host), device.clone().over(device)];
        assert!(matches!(quotients, [Scalar::Host(_), Scalar::Device(_), Scalar::Device(_), Scalar::Device(_)]));
        let values = read(&quotients).unwrap();
        assert!(values.iter().zip([3.0, 1.5, 2.0 / 3.0, 1.0]).all(|(value, right)| (value - right).abs() < 1e-6), "{values:?}");
    }

    #[test]
    fn differences_and_products_are_on_the_device_if_one_part_is() {
        let (host, device) = (|| Scalar::Host(6.0), || on_device(4.0));
        let results = [
            (host().minus(2.0.into()), 4.0, false),
            (host().minus(device()), 2.0, true),
            (device().minus(host()), -2.0, true),
            (device().minus(on_device(1.5)), 2.5, true),
            (host().times(2.0), 12.0, false),
            (host().times(device()), 24.0, true),
            (device().times(host()), 24.0, true),
            (device().times(device()), 16.0, true),
            (device().times(1.0), 4.0, true),
        ];
        for (scalar, right, is_there) in results {
            assert_eq!(matches!(scalar, Scalar::Device(_)), is_there);
            assert!((read(&[scalar]).unwrap()[0] - right).abs() < 1e-6, "{right}");
        }
    }

    #[test]
    fn a_scalar_of_a_tensor_is_off_the_tape() {
        let tracked = Tensor::<1>::from_floats([2.0], &Device::flex().autodiff()).require_grad();
        let Scalar::Device(element) = Scalar::from(tracked) else { panic!("not on the device") };
        assert!(!element.is_tracked());
    }

    #[test]
    fn a_forbidden_read_is_an_error() {
        let guard = ForbidReads::new();
        let error = read(&[on_device(1.0)]).unwrap_err();
        assert!(error.to_string().contains("must not read"), "{error}");
        drop(guard);
        assert!(read(&[on_device(1.0)]).is_ok());
    }

    #[test]
    fn nan_wins_in_max_and_min() {
        for (a, b) in [(f64::NAN, 1.0), (1.0, f64::NAN)] {
            assert!(read(&[Scalar::Host(a).max(b.into()), Scalar::Host(a).min(b.into())]).unwrap().iter().all(|v| v.is_nan()));
        }
        for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN)] {
            let (a, b) = (on_device(a), on_device(b));
            assert!(read(&[a.clone().max(b.clone()), a.min(b)]).unwrap().iter().all(|v| v.is_nan()));
        }
        assert_eq!(read(&[on_device(1.0).max(2.0.into()), on_device(1.0).min(on_device(2.0))]).unwrap(), [2.0, 1.0]);
    }

    /// `2^24 + 1` is the first integer that `f32` cannot represent, `2^8 + 1` the first that `bf16` cannot.
    #[test]
    fn sums_are_made_in_a_wide_type() {
        let of = |value: f32, dtype| Scalar::Device(Tensor::from_data(TensorData::from([value]), (&Device::flex(), dtype)));
        for (dtype, large) in [(DType::F32, 16_777_216.0), (DType::F16, 2048.0), (DType::BF16, 256.0)] {
            let (one, many, right) = (of(1.0, dtype), of(large, dtype), f64::from(large) + 1.0);
            let sums = [
                many.clone().plus(one.clone()),
                one.clone().plus(many.clone()),
                many.clone().plus(1.0.into()),
                one.clone().times(right),
                many.clone().max(right.into()),
                one.over(Scalar::Host(1.0 / right)),
            ];
            let values = read(&sums).unwrap();
            assert!(values.iter().all(|value| (value - right).abs() < 1e-6), "{dtype:?}: {values:?} instead of {right}");
        }
        // Half floats are combined with other types, and integer counts stay exact.
        assert_eq!(read(&[of(1.5, DType::BF16).plus(on_device(2.0)), of(1.5, DType::F16).max(on_device(2.0))]).unwrap(), [3.5, 2.0]);
        let count = Scalar::from(Tensor::<1, Int>::from_ints([16_777_217], &Device::flex()));
        assert_eq!(read(&[count]).unwrap(), [16_777_217.0]);
    }
}
