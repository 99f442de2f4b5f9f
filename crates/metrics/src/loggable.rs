//! The values that can be logged: numbers, tensors of one element, metrics.

use burn::tensor::{DType, FloatDType, Int, Tensor};

use stormfire_values::{Scalar, read::sum_dtype};

use crate::metric::{AnyMetric, Metric};

/// A value as it was logged.
#[expect(clippy::large_enum_variant, reason = "a box would cost an allocation for every logged value")]
#[derive(Clone, Debug)]
pub enum Logged {
    /// A number, on the host or the device.
    Scalar(Scalar),
    /// A metric that defines its own merge.
    Metric(Box<dyn AnyMetric>),
    /// Not a single number. The string describes the value.
    Invalid(String),
}

/// A value that can be logged: numbers, tensors of one element (by value or reference), and [`Metric`]s.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be logged",
    label = "not a number, a tensor of one element, or a `Metric`",
    note = "log a number, a `Tensor` with one element (`tensor.mean()`), or implement `stormfire::Metric`"
)]
pub trait Loggable {
    /// Detaches the value from the autodiff graph. It stays on its device.
    fn into_logged(self) -> Logged;
}

macro_rules! log_numbers {
    ($($number:ty),*) => {$(
        impl Loggable for $number {
            fn into_logged(self) -> Logged {
                #[allow(clippy::cast_lossless, reason = "one macro for all numbers; a 64-bit integer has no lossless form")]
                Logged::Scalar(Scalar::Host(self as f64))
            }
        }
    )*};
}
log_numbers!(f32, f64, u8, u16, u32, u64, usize, i8, i16, i32, i64, isize);

impl Loggable for bool {
    fn into_logged(self) -> Logged {
        u8::from(self).into_logged()
    }
}

impl Loggable for Scalar {
    fn into_logged(self) -> Logged {
        match self {
            Scalar::Device(tensor) => tensor.into_logged(),
            host @ Scalar::Host(_) => Logged::Scalar(host),
        }
    }
}

impl Loggable for Logged {
    fn into_logged(self) -> Logged {
        self
    }
}

impl<M: Metric> Loggable for M {
    fn into_logged(self) -> Logged {
        Logged::Metric(Box::new(self))
    }
}

#[expect(clippy::result_large_err, reason = "both variants are values on their way to the log")]
fn logged_tensor<const D: usize>(tensor: Tensor<D>) -> Result<Tensor<D>, Logged> {
    if tensor.shape().num_elements() != 1 {
        return Err(Logged::Invalid(format!("a tensor of shape {:?}, but only one element can be logged", tensor.dims())));
    }
    let tensor = tensor.inner();
    // The precision of a half float is too low for a mean over many batches.
    Ok(if matches!(tensor.dtype(), DType::F16 | DType::BF16) { tensor.cast(FloatDType::F32) } else { tensor })
}

impl Loggable for Tensor<1> {
    fn into_logged(self) -> Logged {
        logged_tensor(self).map_or_else(|invalid| invalid, |tensor| Logged::Scalar(Scalar::Device(tensor)))
    }
}

macro_rules! log_tensors {
    ($($rank:literal),*) => {$(
        impl Loggable for Tensor<$rank> {
            fn into_logged(self) -> Logged {
                logged_tensor(self).map_or_else(|invalid| invalid, |tensor| Logged::Scalar(Scalar::Device(tensor.reshape([1]))))
            }
        }
    )*};
}
log_tensors!(2, 3, 4);

impl<const D: usize> Loggable for Tensor<D, Int>
where
    Tensor<D>: Loggable,
{
    fn into_logged(self) -> Logged {
        // The precision of the device's default float type may be too low for a count.
        let dtype = sum_dtype(&self.device());
        self.cast(dtype).into_logged()
    }
}

impl<const D: usize> Loggable for &Tensor<D, Int>
where
    Tensor<D>: Loggable,
{
    fn into_logged(self) -> Logged {
        self.clone().into_logged()
    }
}

impl<const D: usize> Loggable for &Tensor<D>
where
    Tensor<D>: Loggable,
{
    fn into_logged(self) -> Logged {
        self.clone().into_logged()
    }
}
