//! All reads of values from the device to the host.
//!
//! A read waits for the device, so the loop does not read between logging steps. Values are collected first and read in
//! one [`Transaction`]. [`device_reads`] counts the reads, so that tests can check the loop.
//!
//! The values of the CPU are at hand: nothing waits for them, so taking one does not count as a read.

mod array;
mod on_device;
mod part;
mod reading;
mod scalar;
mod wide;

pub use array::{Array, Values};
pub use on_device::{OnDevice, Parts};
pub use part::{Part, read_parts};
pub use reading::{OnHost, Reading, Source};
pub use scalar::Scalar;
pub use wide::{is_half, sum_dtype, widen, without_halves};

use std::cell::Cell;

use burn::tensor::{DType, Device, Tensor, TensorData, Transaction, kind};

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

thread_local! {
    static READS: Cell<u64> = const { Cell::new(0) };
    static FORBIDDEN: Cell<u32> = const { Cell::new(0) };
    static CPU: Cell<Cpu> = const { Cell::new(Cpu::AtHand) };
}

/// How reads of the CPU are treated.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Cpu {
    AtHand,
    Distant,
    DistantWithoutF64,
}

/// While it exists, a read of the CPU counts as one that waits for a device, on this thread. For tests of the loop.
#[derive(Debug)]
pub struct DistantCpu(Cpu);

impl DistantCpu {
    /// Starts it.
    #[must_use]
    pub fn new() -> Self {
        Self(CPU.replace(Cpu::Distant))
    }

    /// Like [`new`](Self::new), for a device without `f64`.
    #[must_use]
    pub fn without_f64() -> Self {
        Self(CPU.replace(Cpu::DistantWithoutF64))
    }
}

impl Default for DistantCpu {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for DistantCpu {
    fn drop(&mut self) {
        CPU.set(self.0);
    }
}

/// Whether a read of this device's values does not wait.
pub fn is_at_hand(device: &Device) -> bool {
    CPU.get() == Cpu::AtHand && *device == Device::flex()
}

/// The values of a tensor whose read does not wait, or the tensor. If the CPU fails, it is one NaN, with a message.
///
/// An operation on the CPU (burn's `flex`) is complete when it returns. Copying a number costs less than keeping the
/// tensor, and much less than joining it with others later.
///
/// # Errors
/// The tensor, if its read may wait.
#[expect(clippy::result_large_err, reason = "the tensor is returned to the caller")]
pub fn values_at_hand<const D: usize, K: kind::Basic>(tensor: Tensor<D, K>) -> Result<TensorData, Tensor<D, K>> {
    if !is_at_hand(&tensor.device()) {
        return Err(tensor);
    }
    Ok(tensor.try_into_data().unwrap_or_else(|error| {
        tracing::error!("a value of the CPU cannot be read, and becomes NaN: {error}");
        TensorData::from([f64::NAN])
    }))
}

/// The number of a tensor of one element whose read does not wait, or the tensor.
#[expect(clippy::result_large_err, reason = "the tensor is returned to the caller")]
fn at_hand<K: kind::Basic>(element: Tensor<1, K>) -> Result<f64, Tensor<1, K>> {
    let data = values_at_hand(element)?;
    // The caller reports the wrong shape.
    only_number(&data).ok_or_else(|| Tensor::from_data(data, &Device::flex()))
}

/// The number of a tensor of one element. `None` if it has another shape.
pub fn only_number(data: &TensorData) -> Option<f64> {
    let mut numbers = data.iter::<f64>();
    let first = numbers.next()?;
    numbers.next().is_none().then_some(first)
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

/// A function of several values (shape `[n]`) that returns one element (shape `[1]`).
pub type Reduce = fn(Tensor<1>) -> Tensor<1>;

/// Applies the function on the CPU in `f64`. NaN, with a message, if it does not return one element.
pub fn reduce_on_host(values: &[f64], reduce: Reduce) -> f64 {
    let all = Tensor::from_data(TensorData::from(values), (&Device::flex(), DType::F64));
    let reduced = reduce(all);
    let count = reduced.shape().num_elements();
    let number = reduced.try_into_data().ok().and_then(|data| only_number(&data));
    number.unwrap_or_else(|| {
        tracing::error!("the function of a `reduce_fx` returned {count} elements instead of one, so the value becomes NaN");
        f64::NAN
    })
}

/// Reads scalars in one transaction. Does not access the device if all are on the host.
///
/// # Errors
/// [`ReadError`] if the device fails, or in debug builds under [`ForbidReads`].
pub fn read(scalars: &[Scalar]) -> Result<Vec<f64>> {
    let mut tensors = Tensors::new();
    for scalar in scalars {
        scalar.register(&mut tensors);
    }
    let mut data = tensors.read()?.into_iter();
    scalars.iter().map(|scalar| scalar.take_read(&mut data)).collect()
}

/// The next one of the tensors that were read, with `count` values.
fn next_read(read: &mut impl Iterator<Item = TensorData>, count: usize) -> Result<TensorData> {
    read.next().ok_or_else(|| ReadError { count, reason: "the device returned nothing".into() })
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
        let data = transaction.try_execute().map_err(|e| ReadError { count, reason: e.to_string() })?;
        if data.len() != count {
            return Err(ReadError { count, reason: format!("it returned {}", data.len()) });
        }
        Ok(data)
    }
}

impl std::fmt::Debug for Tensors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tensors").field("len", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_device(value: f32) -> Scalar {
        Tensor::<1>::from_floats([value], &Device::flex()).into()
    }

    #[test]
    fn many_values_are_one_read() {
        let _distant = DistantCpu::new();
        let before = device_reads();
        assert_eq!(read(&[on_device(1.0), Scalar::Host(2.0), on_device(3.0)]).unwrap(), [1.0, 2.0, 3.0]);
        assert_eq!(device_reads() - before, 1);
        assert_eq!(read(&[Scalar::Host(4.0)]).unwrap(), [4.0]);
        assert_eq!(device_reads() - before, 1);
    }

    #[test]
    fn a_function_of_several_elements_gives_nan() {
        assert!((reduce_on_host(&[1.0, 2.0], Tensor::sum) - 3.0).abs() < 1e-12);
        assert!(reduce_on_host(&[1.0, 2.0], |all| all).is_nan());
    }

    #[test]
    fn a_forbidden_read_is_an_error() {
        let _distant = DistantCpu::new();
        let guard = ForbidReads::new();
        let error = read(&[on_device(1.0)]).unwrap_err();
        insta::assert_snapshot!(error, @"reading 1 values from the device failed: the loop must not read the device here");
        drop(guard);
        assert!(read(&[on_device(1.0)]).is_ok());
    }

    #[test]
    fn values_on_the_host_take_no_device_read() {
        let before = device_reads();
        let _guard = ForbidReads::new();
        assert_eq!(read(&[on_device(0.5)]).unwrap(), [0.5]);
        assert_eq!(device_reads(), before);
        assert!(matches!(on_device(0.5), Scalar::Host(_)));
        let _distant = DistantCpu::new();
        assert!(matches!(on_device(0.5), Scalar::Device(_)));
    }
}
