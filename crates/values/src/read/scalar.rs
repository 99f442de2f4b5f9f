//! A number, on the host or on the device.

use burn::tensor::{Int, Tensor, TensorData};

use super::{OnDevice, Parts, Result, Tensors, at_hand, next_read, read, sum_dtype, widen};

/// A number, on the host or still on the device.
///
/// A tensor of the CPU becomes a number on the host at once, because its read does not wait.
///
/// The arithmetic is that of long sums, regardless of the tensors' own type: in `f64`, also on a device that supports
/// it. A device without `f64`, such as Metal, adds up to 4096 values in `f32`. The host adds these partial sums in
/// `f64` when they are read. So counts are exact up to 2^53 if each added value is at most 4096.
#[derive(Clone, Debug)]
pub enum Scalar {
    /// A number on the host.
    Host(f64),
    /// A number on the device, detached from autodiff.
    Device(OnDevice),
}

impl Scalar {
    /// The number. Reads the device if it is there; NaN if that fails. For several numbers, use
    /// [`read()`](super::read()), which waits once.
    pub fn value(&self) -> f64 {
        let read = if let Scalar::Host(value) = self { Ok(vec![*value]) } else { read(std::slice::from_ref(self)) };
        read.map_or_else(
            |error| {
                tracing::error!("a number of a device cannot be read, and becomes NaN: {error}");
                f64::NAN
            },
            |values| values.into_iter().sum(),
        )
    }

    /// Adds what has to be read to a transaction.
    pub(super) fn register(&self, tensors: &mut Tensors) {
        if let Scalar::Device(value) = self {
            let Parts { closed, open, .. } = value.parts();
            closed.iter().chain([open]).for_each(|part| tensors.add(part.clone()));
        }
    }

    /// The number from what was read.
    pub(super) fn take_read(&self, read: &mut impl Iterator<Item = TensorData>) -> Result<f64> {
        let mut sum = || next_read(read, 1).map(|data| data.iter::<f64>().sum::<f64>());
        match self {
            Scalar::Host(value) => Ok(*value),
            Scalar::Device(value) => {
                let Parts { closed, host, .. } = value.parts();
                let closed = if closed.is_some() { sum()? } else { 0.0 };
                Ok(closed + sum()? + host)
            }
        }
    }

    /// The sum of two scalars. On the device if one of them is.
    #[must_use]
    pub fn plus(self, other: Scalar) -> Scalar {
        match (self, other) {
            (Scalar::Host(a), Scalar::Host(b)) => Scalar::Host(a + b),
            (Scalar::Device(a), Scalar::Device(b)) => Scalar::Device(a.plus(b)),
            (Scalar::Device(a), Scalar::Host(b)) | (Scalar::Host(b), Scalar::Device(a)) => Scalar::Device(a.plus_host(b)),
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
            (Scalar::Device(a), Scalar::Host(b)) | (Scalar::Host(b), Scalar::Device(a)) => {
                Scalar::Device(a.each(|part| part * b, |number| number * b))
            }
            (Scalar::Device(a), Scalar::Device(b)) => (widen(a.into_tensor()) * widen(b.into_tensor())).into(),
        }
    }

    /// The quotient of two scalars. On the device if one of them is.
    #[must_use]
    pub fn over(self, divisor: Scalar) -> Scalar {
        match (self, divisor) {
            (Scalar::Host(a), Scalar::Host(b)) => Scalar::Host(a / b),
            (Scalar::Device(a), Scalar::Device(b)) => (widen(a.into_tensor()) / widen(b.into_tensor())).into(),
            (Scalar::Device(a), Scalar::Host(b)) if (b - 1.0).abs() < f64::EPSILON => Scalar::Device(a),
            (Scalar::Device(a), Scalar::Host(b)) => Scalar::Device(a.each(|part| part / b, |number| number / b)),
            (Scalar::Host(a), Scalar::Device(b)) => (widen(b.into_tensor()).recip() * a).into(),
        }
    }

    /// The square root. On the device if the scalar is.
    #[must_use]
    pub fn sqrt(self) -> Scalar {
        match self {
            Scalar::Host(value) => Scalar::Host(value.sqrt()),
            Scalar::Device(value) => widen(value.into_tensor()).sqrt().into(),
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
            (Scalar::Device(a), Scalar::Device(b)) => {
                let (a, b) = (a.into_tensor(), b.into_tensor());
                if a.dtype() == b.dtype() { device(a, b) } else { device(widen(a), widen(b)) }.into()
            }
            (Scalar::Device(a), Scalar::Host(b)) | (Scalar::Host(b), Scalar::Device(a)) => {
                let a = widen(a.into_tensor());
                let b = a.full_like(b);
                device(a, b).into()
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

/// The tensor has one element, shape `[1]`. It is detached from autodiff.
impl From<Tensor<1>> for Scalar {
    fn from(element: Tensor<1>) -> Self {
        at_hand(element).map_or_else(|element| Scalar::Device(OnDevice::new(element)), Scalar::Host)
    }
}

/// A count from the device, exact within the precision of its arithmetic.
impl From<Tensor<1, Int>> for Scalar {
    fn from(count: Tensor<1, Int>) -> Self {
        at_hand(count).map_or_else(
            |count| {
                let dtype = sum_dtype(&count.device());
                Scalar::Device(OnDevice::new(count.cast(dtype)))
            },
            Scalar::Host,
        )
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, Device, TensorData};

    use super::*;
    use crate::read::{DistantCpu, read};

    fn on_device(value: f32) -> Scalar {
        Tensor::<1>::from_floats([value], &Device::flex()).into()
    }

    #[test]
    fn a_quotient_is_on_the_device_if_one_part_is() {
        let _distant = DistantCpu::new();
        let (host, device) = (Scalar::Host(6.0), on_device(4.0));
        let quotients =
            [host.clone().over(2.0.into()), host.clone().over(device.clone()), device.clone().over(host), device.clone().over(device)];
        assert!(matches!(quotients, [Scalar::Host(_), Scalar::Device(_), Scalar::Device(_), Scalar::Device(_)]));
        let values = read(&quotients).unwrap();
        assert!(values.iter().zip([3.0, 1.5, 2.0 / 3.0, 1.0]).all(|(value, right)| (value - right).abs() < 1e-6), "{values:?}");
    }

    #[test]
    fn differences_and_products_are_on_the_device_if_one_part_is() {
        let _distant = DistantCpu::new();
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
        let _distant = DistantCpu::new();
        let Scalar::Device(element) = Scalar::from(tracked) else { panic!("not on the device") };
        assert!(!element.into_tensor().is_tracked());
    }

    #[test]
    fn nan_wins_in_max_and_min() {
        for (a, b) in [(f64::NAN, 1.0), (1.0, f64::NAN)] {
            assert!(read(&[Scalar::Host(a).max(b.into()), Scalar::Host(a).min(b.into())]).unwrap().iter().all(|v| v.is_nan()));
        }
        let _distant = DistantCpu::new();
        for (a, b) in [(f32::NAN, 1.0), (1.0, f32::NAN)] {
            let (a, b) = (on_device(a), on_device(b));
            assert!(read(&[a.clone().max(b.clone()), a.min(b)]).unwrap().iter().all(|v| v.is_nan()));
        }
        assert_eq!(read(&[on_device(1.0).max(2.0.into()), on_device(1.0).min(on_device(2.0))]).unwrap(), [2.0, 1.0]);
    }

    /// `2^24 + 1` is the first integer that `f32` cannot represent, `2^8 + 1` the first that `bf16` cannot.
    #[test]
    fn sums_are_made_in_a_wide_type() {
        let _distant = DistantCpu::new();
        let of = |value: f32, dtype| Scalar::from(Tensor::<1>::from_data(TensorData::from([value]), (&Device::flex(), dtype)));
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

    /// Adds `2^24` as counts of at most 4096, and one more.
    fn count(add: impl Fn(&mut Scalar, Scalar)) -> f64 {
        let of = |count: i32| Scalar::from(Tensor::<1, Int>::from_ints([count], &Device::flex()));
        let mut sum = of(1);
        for _ in 0..4096 {
            add(&mut sum, of(4096));
        }
        read(&[sum]).unwrap()[0]
    }

    #[test]
    fn counts_are_exact_also_on_a_device_without_f64() {
        let join = |sum: &mut Scalar, more: Scalar| *sum = sum.clone().plus(more);
        let turned = |sum: &mut Scalar, more: Scalar| *sum = more.plus(sum.clone());
        let counts = || vec![count(join), count(turned)];
        assert_eq!(counts(), [16_777_217.0; 2], "at hand");
        {
            let _distant = DistantCpu::new();
            assert_eq!(counts(), [16_777_217.0; 2], "f64");
        }
        let _distant = DistantCpu::without_f64();
        assert_eq!(counts(), [16_777_217.0; 2], "f32");
        // Arithmetic on such a sum.
        let join = |a: f64| count(move |sum, more| *sum = sum.clone().plus(more.times(a)).minus(0.0.into()));
        assert_eq!(vec![join(0.5), join(-1.0)], [8_388_609.0, -16_777_215.0]);
        let sum = (0..5000).fold(on_device(0.0), |sum, _| sum.plus(on_device(1.0)));
        let results = [sum.clone().over(2.0.into()), sum.clone().over(on_device(2.0)), sum.clone().plus(0.5.into()), sum.max(1.0.into())];
        assert_eq!(read(&results).unwrap(), [2500.0, 2500.0, 5000.5, 5000.0]);
    }
}
