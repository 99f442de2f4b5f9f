//! A number on the device, as a sum that stays exact.

use burn::tensor::{FloatDType, Tensor};

use super::widen;

/// Number of values in a complete partial sum on a device without `f64`. `f32` represents all integers up to 2^24,
/// which is this number times 4096.
const FULL: usize = 4096;

/// A number on the device: the sum of one or more elements and a number on the host.
///
/// On a device without `f64`, partial sums are kept separately. The host adds them in `f64` when they are read.
#[derive(Clone, Debug)]
pub struct OnDevice(Box<Parts>);

/// The parts of a number on the device. The number is the sum of all of them.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The complete partial sums, shape `[n]`.
    pub closed: Option<Tensor<1>>,
    /// The newest partial sum, shape `[1]`.
    pub open: Tensor<1>,
    /// Number of values in the newest partial sum.
    pub values: usize,
    /// A number on the host.
    pub host: f64,
}

impl OnDevice {
    /// One value, of shape `[1]`.
    pub(super) fn new(value: Tensor<1>) -> Self {
        Self(Box::new(Parts { closed: None, open: value.inner(), values: 1, host: 0.0 }))
    }

    /// The sum of several values.
    pub fn sum_of(values: Tensor<1>) -> Self {
        let [count] = values.dims();
        let open = if count == 1 { values } else { widen(values).sum() };
        Self(Box::new(Parts { closed: None, open, values: count, host: 0.0 }))
    }

    /// A number from its parts.
    pub fn from_parts(parts: Parts) -> Self {
        Self(Box::new(parts))
    }

    /// Its parts.
    pub fn parts(&self) -> &Parts {
        &self.0
    }

    /// The tensor of a single value.
    ///
    /// # Errors
    /// The number itself, if it is a sum.
    pub fn into_single(self) -> Result<Tensor<1>, Self> {
        match *self.0 {
            Parts { closed: None, open, values: 1, host: 0.0 } => Ok(open),
            parts => Err(Self::from_parts(parts)),
        }
    }

    /// A tensor of one element, shape `[1]`. A sum has the widest float type of the device.
    pub fn into_tensor(self) -> Tensor<1> {
        let Parts { closed, open, host, .. } = *self.0;
        let sum = match closed {
            Some(closed) => Tensor::cat(vec![closed, widen(open)], 0).sum(),
            None => open,
        };
        if host == 0.0 { sum } else { widen(sum) + host }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        let (a, b) = (*self.0, *other.0);
        let (first, second) = (widen(a.open), widen(b.open));
        let is_full = a.values + b.values > FULL && first.dtype() != FloatDType::F64.into();
        let (open, values, full) = if is_full { (second, b.values, Some(first)) } else { (first + second, a.values + b.values, None) };
        let mut closed: Vec<_> = [a.closed, b.closed, full].into_iter().flatten().collect();
        let closed = if closed.len() < 2 { closed.pop() } else { Some(Tensor::cat(closed, 0)) };
        Self(Box::new(Parts { closed, open, values, host: a.host + b.host }))
    }

    pub(super) fn plus_host(mut self, number: f64) -> Self {
        self.0.host += number;
        self
    }

    /// Applies a linear function to each part.
    pub(super) fn each(self, device: impl Fn(Tensor<1>) -> Tensor<1>, host: impl Fn(f64) -> f64) -> Self {
        let Parts { closed, open, values, host: number } = *self.0;
        let number = if number == 0.0 { 0.0 } else { host(number) };
        Self(Box::new(Parts { closed: closed.map(&device), open: device(widen(open)), values, host: number }))
    }
}
