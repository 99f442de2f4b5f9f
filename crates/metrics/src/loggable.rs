//! The values that can be logged: numbers, tensors of one element, metrics.

use burn::tensor::{Int, Tensor, kind};

use stormfire_values::{
    Scalar,
    read::{only_number, sum_dtype, values_at_hand, without_halves},
};

use crate::metric::{AnyMetric, Metric};

/// A value as it was logged.
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
            Scalar::Device(value) => match value.into_single() {
                Ok(tensor) => tensor.into_logged(),
                Err(sum) => Logged::Scalar(Scalar::Device(sum)),
            },
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

/// The one element of a tensor: its number if it is at hand, otherwise the tensor that `keep` returns.
fn logged<const D: usize, K: kind::Basic>(tensor: Tensor<D, K>, keep: impl FnOnce(Tensor<D, K>) -> Tensor<1>) -> Logged {
    let invalid = |dims: &[usize]| Logged::Invalid(format!("a tensor of shape {dims:?}, but only one element can be logged"));
    match values_at_hand(tensor) {
        Ok(data) => match only_number(&data) {
            Some(number) => Logged::Scalar(Scalar::Host(number)),
            None => invalid(data.shape().as_slice()),
        },
        Err(tensor) if tensor.shape().num_elements() == 1 => Logged::Scalar(keep(tensor).into()),
        Err(tensor) => invalid(&tensor.dims()),
    }
}

macro_rules! log_tensors {
    ($($rank:literal),*) => {$(
        impl Loggable for Tensor<$rank> {
            fn into_logged(self) -> Logged {
                logged(self, |tensor| {
                    // A mean over many batches does not fit the few digits of a half float.
                    without_halves(tensor.inner()).reshape([1])
                })
            }
        }

        impl Loggable for Tensor<$rank, Int> {
            fn into_logged(self) -> Logged {
                logged(self, |tensor| {
                    let tensor = tensor.inner();
                    // The device's default type for floats may have no room for a count.
                    let dtype = sum_dtype(&tensor.device());
                    tensor.cast(dtype).reshape([1])
                })
            }
        }
    )*};
}
log_tensors!(1, 2, 3, 4);

impl<const D: usize> Loggable for &Tensor<D, Int>
where
    Tensor<D, Int>: Loggable,
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
