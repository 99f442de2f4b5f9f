//! Metrics are values that can be merged: [`Metric::merge`] joins batches, ranks and loaders.

use std::{any::Any, fmt};

use burn::tensor::{Int, Tensor};

use stormfire_values::Scalar;

/// A quantity over many batches, as a value that can be merged with another part.
///
/// A step creates one from its batch and logs it. The framework merges the values of an epoch and computes the result
/// at its end. Everything stays on the device. [`Scalar`]s add up many batches in a type with sufficient precision.
/// Pass counts as integers. Implement this trait for a custom metric:
///
/// ```
/// use burn::tensor::{Bool, Tensor};
/// use stormfire_metrics::Metric;
/// use stormfire_values::Scalar;
///
/// /// The F1 score of two classes.
/// #[derive(Clone, Debug)]
/// struct F1 { hits: Scalar, predicted: Scalar, actual: Scalar }
///
/// impl F1 {
///     fn new(predicted: Tensor<1, Bool>, actual: Tensor<1, Bool>) -> Self {
///         let count = |items: Tensor<1, Bool>| items.int().sum().into();
///         Self { hits: count(predicted.clone().bool_and(actual.clone())), predicted: count(predicted), actual: count(actual) }
///     }
/// }
///
/// impl Metric for F1 {
///     fn merge(&mut self, other: &Self) {
///         let [hits, predicted, actual] = [(&self.hits, &other.hits), (&self.predicted, &other.predicted), (&self.actual, &other.actual)]
///             .map(|(ours, theirs)| ours.clone().plus(theirs.clone()));
///         *self = Self { hits, predicted, actual };
///     }
///     fn compute(&self) -> Scalar {
///         self.hits.clone().times(2.0).over(self.predicted.clone().plus(self.actual.clone()))
///     }
///     fn parts(&self) -> Vec<Scalar> {
///         vec![self.hits.clone(), self.predicted.clone(), self.actual.clone()]
///     }
///     fn with_parts(&self, parts: &[Scalar]) -> Option<Self> {
///         let [hits, predicted, actual] = parts else { return None };
///         Some(Self { hits: hits.clone(), predicted: predicted.clone(), actual: actual.clone() })
///     }
/// }
///
/// # use burn::tensor::Device;
/// # let yes_if = |items: [i32; 3]| Tensor::<1, burn::tensor::Int>::from_ints(items, &Device::flex()).equal_elem(1);
/// let mut f1 = F1::new(yes_if([1, 1, 0]), yes_if([1, 0, 0]));
/// f1.merge(&F1::new(yes_if([1, 0, 0]), yes_if([1, 1, 0])));
/// # let share = stormfire_values::read::read(&[f1.compute()])?[0];
/// # assert!((share - 2.0 / 3.0).abs() < 1e-6, "{share}");
/// # Ok::<(), stormfire_values::ReadError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Metric`",
    label = "values of this type cannot be merged over batches",
    note = "use a metric such as `accuracy` or `Mean`, or implement `merge`, `compute`, `parts` and `with_parts`"
)]
pub trait Metric: Clone + Send + Sync + fmt::Debug + 'static {
    /// Merges another part into this one. Must be associative.
    fn merge(&mut self, other: &Self);

    /// The current result, without a device read.
    fn compute(&self) -> Scalar;

    /// The state as scalars, for checkpoints and other ranks.
    fn parts(&self) -> Vec<Scalar>;

    /// A metric of the same kind with the state from [`Metric::parts`]. Each scalar has its original location (host or
    /// device) and type. `None` if the state does not match, for example in a checkpoint of another program version.
    fn with_parts(&self, parts: &[Scalar]) -> Option<Self>;
}

/// A [`Metric`] of any type.
pub trait AnyMetric: Send + Sync + fmt::Debug {
    /// As [`Metric::merge`]. Returns `false` if the other metric has another type.
    fn merge_any(&mut self, other: &dyn AnyMetric) -> bool;
    /// As [`Metric::compute`].
    fn compute_any(&self) -> Scalar;
    /// As [`Metric::parts`].
    fn parts_any(&self) -> Vec<Scalar>;
    /// As [`Metric::with_parts`].
    fn with_parts_any(&self, parts: &[Scalar]) -> Option<Box<dyn AnyMetric>>;
    /// A boxed copy.
    fn clone_any(&self) -> Box<dyn AnyMetric>;
    /// For the type test in `merge_any`.
    fn as_any(&self) -> &dyn Any;
}

impl<M: Metric> AnyMetric for M {
    fn merge_any(&mut self, other: &dyn AnyMetric) -> bool {
        other.as_any().downcast_ref::<M>().map(|other| self.merge(other)).is_some()
    }
    fn compute_any(&self) -> Scalar {
        self.compute()
    }
    fn parts_any(&self) -> Vec<Scalar> {
        self.parts()
    }
    fn with_parts_any(&self, parts: &[Scalar]) -> Option<Box<dyn AnyMetric>> {
        self.with_parts(parts).map(|metric| Box::new(metric) as Box<dyn AnyMetric>)
    }
    fn clone_any(&self) -> Box<dyn AnyMetric> {
        Box::new(self.clone())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Clone for Box<dyn AnyMetric> {
    fn clone(&self) -> Self {
        self.as_ref().clone_any()
    }
}

/// A weighted mean: `Σ value·weight / Σ weight`.
#[derive(Clone, Debug)]
pub struct Mean {
    sum: Scalar,
    weight: f64,
}

impl Mean {
    /// The mean of one part: its `value`, and the number of items that it represents.
    pub fn new(value: impl Into<Scalar>, weight: f64) -> Self {
        Self { sum: value.into().times(weight), weight }
    }

    /// A mean from a sum over `weight` items.
    pub fn from_sum(sum: impl Into<Scalar>, weight: f64) -> Self {
        Self { sum: sum.into(), weight }
    }
}

impl Metric for Mean {
    fn merge(&mut self, other: &Self) {
        self.sum = self.sum.clone().plus(other.sum.clone());
        self.weight += other.weight;
    }
    fn compute(&self) -> Scalar {
        self.sum.clone().times(1.0 / self.weight)
    }
    fn parts(&self) -> Vec<Scalar> {
        vec![self.sum.clone(), self.weight.into()]
    }
    fn with_parts(&self, parts: &[Scalar]) -> Option<Self> {
        let [sum, Scalar::Host(weight)] = parts else { return None };
        Some(Self { sum: sum.clone(), weight: *weight })
    }
}

/// The metrics with one scalar. They differ only in how two scalars are joined.
macro_rules! one_scalar_metric {
    ($(#[$doc:meta])* $name:ident, $join:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(Scalar);

        impl $name {
            /// Creates a metric from the value of one part.
            pub fn new(value: impl Into<Scalar>) -> Self {
                Self(value.into())
            }
        }

        impl Metric for $name {
            fn merge(&mut self, other: &Self) {
                self.0 = self.0.clone().$join(other.0.clone());
            }
            fn compute(&self) -> Scalar {
                self.0.clone()
            }
            fn parts(&self) -> Vec<Scalar> {
                vec![self.0.clone()]
            }
            fn with_parts(&self, parts: &[Scalar]) -> Option<Self> {
                let [value] = parts else { return None };
                Some(Self(value.clone()))
            }
        }
    };
}

one_scalar_metric!(
    /// A sum, without weights.
    Sum,
    plus
);
one_scalar_metric!(
    /// The maximum. NaN if a value is NaN.
    Max,
    max
);
one_scalar_metric!(
    /// The minimum. NaN if a value is NaN.
    Min,
    min
);

/// Multiclass accuracy: the share of items whose largest logit is that of their target, in `0..=1`.
///
/// `logits` has shape `[batch, classes]`, `targets` has shape `[batch]` with class indices. The merge weights it by the
/// number of items, so a shorter last batch has its correct weight.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use stormfire_metrics::{Metric, accuracy};
/// use stormfire_values::read::read;
///
/// let device = Device::flex();
/// let logits = Tensor::<2>::from_floats([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], &device);
/// let targets = Tensor::from_ints([1, 0, 0], &device);
/// let share = read(&[accuracy(&logits, &targets).compute()]).unwrap()[0];
/// assert!((share - 2.0 / 3.0).abs() < 1e-6);
/// ```
pub fn accuracy(logits: &Tensor<2>, targets: &Tensor<1, Int>) -> Mean {
    let [items, _] = logits.dims();
    let hits = logits.clone().inner().argmax(1).flatten::<1>(0, 1).equal(targets.clone().inner());
    // Counted as integers, because the default float type of the device may have a low precision.
    Mean::from_sum(hits.int().sum(), items as f64)
}

/// Top-k accuracy: the share of items whose target is among the `k` largest logits, in `0..=1`.
///
/// Shapes as in [`accuracy`]. A logit equal to the target's counts as smaller. If `k` is at least the number of
/// classes, the result is 1.
pub fn top_k_accuracy(logits: &Tensor<2>, targets: &Tensor<1, Int>, k: usize) -> Mean {
    let [items, _] = logits.dims();
    let logits = logits.clone().inner();
    let own = logits.clone().gather(1, targets.clone().inner().unsqueeze_dim(1));
    let larger = logits.greater(own).int().sum_dim(1).flatten::<1>(0, 1);
    let k = i64::try_from(k).unwrap_or(i64::MAX);
    Mean::from_sum(larger.lower_elem(k).int().sum(), items as f64)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use stormfire_values::read::read;

    use super::*;

    fn value(metric: &impl Metric) -> f64 {
        read(&[metric.compute()]).unwrap()[0]
    }

    #[test]
    fn a_mean_weighs_its_parts() {
        let mut mean = Mean::new(1.0, 3.0);
        mean.merge(&Mean::new(5.0, 1.0));
        assert!((value(&mean) - 2.0).abs() < 1e-12);
        assert!((value(&mean.with_parts(&[9.0.into(), 2.0.into()]).unwrap()) - 4.5).abs() < 1e-12);
        assert!(mean.with_parts(&[9.0.into()]).is_none());
    }

    #[test]
    fn accuracy_weighs_batches_by_their_items() {
        let device = Device::flex();
        let mut all =
            accuracy(&Tensor::from_floats([[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], &device), &Tensor::from_ints([0, 1, 1], &device));
        all.merge(&accuracy(&Tensor::from_floats([[1., 0., 0.]], &device), &Tensor::from_ints([2], &device)));
        assert!((value(&all) - 0.5).abs() < 1e-6);
    }

    #[test]
    fn top_k_counts_the_first_k() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[0.1, 0.5, 0.4], [0.6, 0.3, 0.1]], &device);
        let targets = Tensor::from_ints([2, 2], &device);
        for (k, share) in [(1, 0.0), (2, 0.5), (3, 1.0), (10, 1.0)] {
            assert!((value(&top_k_accuracy(&logits, &targets, k)) - share).abs() < 1e-6, "k = {k}");
        }
    }

    #[test]
    fn metrics_of_two_kinds_do_not_merge() {
        let mut any: Box<dyn AnyMetric> = Box::new(Sum::new(1.0));
        assert!(!any.merge_any(&Max::new(2.0)));
        assert!(any.merge_any(&Sum::new(2.0)));
        assert_eq!(read(&[any.compute_any()]).unwrap(), [3.0]);
    }
}
