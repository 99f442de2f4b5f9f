//! Means of errors.

use burn::tensor::Tensor;
use stormfire_derive::Merge;
use stormfire_values::{
    ConfigError, Scalar,
    read::{sum_dtype, widen},
};

use crate::{aggregation::Mean, metric::Metric};

/// The smallest denominator of a relative error, as in torchmetrics.
const EPSILON: f64 = 1.17e-6;

/// Two tensors of one shape, flat, off the tape and in the widest float type.
pub(crate) fn pair<const D: usize>(
    what: &str,
    predictions: &Tensor<D>,
    targets: &Tensor<D>,
) -> Result<(Tensor<1>, Tensor<1>), ConfigError> {
    let (ours, theirs) = (predictions.dims(), targets.dims());
    if ours != theirs {
        let reason = format!("the predictions have shape {ours:?}, the targets {theirs:?}");
        return Err(ConfigError::new(
            what,
            reason,
            "give one prediction for each target, in the same shape; a shape of `[n, 1]` is not `[n]`",
        ));
    }
    let flat = |tensor: &Tensor<D>| {
        let tensor: Tensor<1> = tensor.clone().inner().flatten(0, D - 1);
        let dtype = sum_dtype(&tensor.device());
        tensor.cast(dtype)
    };
    Ok((flat(predictions), flat(targets)))
}

/// The sum of a tensor, which may be empty.
pub(crate) fn sum(values: Tensor<1>) -> Scalar {
    if values.dims() == [0] { Scalar::Host(0.0) } else { widen(values).sum().into() }
}

fn mean_of<const D: usize>(
    what: &str,
    predictions: &Tensor<D>,
    targets: &Tensor<D>,
    error: impl FnOnce(Tensor<1>, Tensor<1>) -> Tensor<1>,
) -> Result<Mean, ConfigError> {
    let (predictions, targets) = pair(what, predictions, targets)?;
    let [count] = targets.dims();
    Ok(Mean::from_sum(sum(error(predictions, targets)), count))
}

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident: |$p:ident, $t:ident| $error:expr;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// The shapes differ.
        pub fn $name<const D: usize>(predictions: &Tensor<D>, targets: &Tensor<D>) -> Result<Mean, ConfigError> {
            mean_of(stringify!($name), predictions, targets, |$p, $t| $error)
        }
    )*};
}

errors! {
    /// The mean squared error, `Σ (p - t)² / n`.
    mse: |p, t| (p - t).square();
    /// The mean absolute error, `Σ |p - t| / n`.
    mae: |p, t| (p - t).abs();
    /// The mean absolute percentage error, `Σ |p - t| / max(|t|, 1.17e-6) / n`. It is a fraction, not percent.
    mape: |p, t| (p - t.clone()).abs() / t.abs().clamp_min(EPSILON);
    /// The symmetric mean absolute percentage error, `Σ 2·|p - t| / max(|t| + |p|, 1.17e-6) / n`. It is a fraction, not
    /// percent.
    smape: |p, t| (p.clone() - t.clone()).abs() * 2.0 / (t.abs() + p.abs()).clamp_min(EPSILON);
    /// The mean of `log(cosh(p - t))`.
    log_cosh: |p, t| {
        // In a form that does not overflow: |x| + ln(1 + e^(-2|x|)) - ln 2.
        let distance = (p - t).abs();
        distance.clone() + (distance * -2.0).exp().log1p() - std::f64::consts::LN_2
    };
}

/// The weighted mean absolute percentage error, `Σ |p - t| / Σ |t|`, of all batches together.
///
/// # Errors
/// The shapes differ.
pub fn wmape<const D: usize>(predictions: &Tensor<D>, targets: &Tensor<D>) -> Result<Mean, ConfigError> {
    let (predictions, targets) = pair("wmape", predictions, targets)?;
    Ok(Mean::from_sum(sum((predictions - targets.clone()).abs()), sum(targets.abs())))
}

/// The square root of another mean, of all batches together. A mean of the roots of batches is another number.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Root(Mean);

impl Root {
    /// The root of a mean.
    pub fn new(mean: Mean) -> Self {
        Self(mean)
    }
}

impl Metric for Root {
    type Value = f64;

    fn compute(&self) -> f64 {
        self.0.compute().sqrt()
    }
}

/// The root of the mean squared error of all batches together.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use stormfire_metrics::{Merge, Metric, regression::rmse};
///
/// let tensor = |values: [f32; 2]| Tensor::<1>::from_floats(values, &Device::flex());
/// let mut all = rmse(&tensor([1.0, 2.0]), &tensor([1.0, 2.0]))?;
/// all.merge(&rmse(&tensor([4.0, 0.0]), &tensor([0.0, 0.0]))?)?;
/// assert_eq!(all.read()?, 2.0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The shapes differ.
pub fn rmse<const D: usize>(predictions: &Tensor<D>, targets: &Tensor<D>) -> Result<Root, ConfigError> {
    mse(predictions, targets).map(Root)
}
