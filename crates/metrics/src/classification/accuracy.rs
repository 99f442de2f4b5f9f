//! The share of right classes, in one call.

use burn::tensor::{Bool, Int, Tensor};

use super::cells::{int_dtype, plain_targets};
use crate::aggregation::Mean;

/// Multiclass accuracy: the share of items whose largest logit is that of their target, in `0..=1`.
///
/// `logits` has shape `[batch, classes]`, `targets` has shape `[batch]` with class indices. The merge weights it by the
/// number of items, so a shorter last batch has its correct weight. For ignored targets, averages and other scores, see
/// [`Multiclass`](super::Multiclass).
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use stormfire_metrics::{Metric, accuracy};
///
/// let device = Device::flex();
/// let logits = Tensor::<2>::from_floats([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], &device);
/// let targets = Tensor::from_ints([1, 0, 0], &device);
/// let share = accuracy(&logits, &targets).read()?;
/// assert!((share - 2.0 / 3.0).abs() < 1e-6);
/// # Ok::<(), stormfire_values::ReadError>(())
/// ```
pub fn accuracy(logits: &Tensor<2>, targets: &Tensor<1, Int>) -> Mean {
    let [items, _] = logits.dims();
    let targets = plain_targets(targets);
    let predicted = logits.clone().inner().argmax(1).flatten::<1>(0, 1).cast(int_dtype(&targets));
    let hits = predicted.equal(targets);
    // Counted as integers, because the default float type of the device may have a low precision.
    Mean::from_sum(hits.int().sum(), items)
}

/// Top-k accuracy: the share of items whose target is among the `k` largest logits, in `0..=1`.
///
/// Shapes as in [`accuracy`]. If logits are equal, the lower class comes first. If `k` is at least the number of
/// classes, the result is 1.
pub fn top_k_accuracy(logits: &Tensor<2>, targets: &Tensor<1, Int>, k: usize) -> Mean {
    let [items, _] = logits.dims();
    Mean::from_sum(is_among_first(logits.clone().inner(), plain_targets(targets), k).int().sum(), items)
}

/// Whether the score of the target is one of the `k` largest.
pub(super) fn is_among_first(scores: Tensor<2>, targets: Tensor<1, Int>, k: usize) -> Tensor<1, Bool> {
    let [items, classes] = scores.dims();
    let targets = targets.reshape([items, 1]);
    let own = scores.clone().gather(1, targets.clone());
    let class = Tensor::<1, Int>::arange(0..classes as i64, &scores.device()).cast(int_dtype(&targets)).reshape([1, classes]);
    // Otherwise a model with equal scores for all classes would always be right.
    let is_before = scores.clone().equal(own.clone()).bool_and((targets.zeros_like() + class).lower(targets));
    let before = scores.greater(own).bool_or(is_before).int().sum_dim(1).reshape([items]);
    before.lower_elem(i64::try_from(k).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{Merge, Metric};

    #[test]
    fn accuracy_weighs_batches_by_their_items() {
        let device = Device::flex();
        let mut all =
            accuracy(&Tensor::from_floats([[1., 0., 0.], [0., 1., 0.], [0., 0., 1.]], &device), &Tensor::from_ints([0, 1, 1], &device));
        all.merge(&accuracy(&Tensor::from_floats([[1., 0., 0.]], &device), &Tensor::from_ints([2], &device))).unwrap();
        assert!((all.read().unwrap() - 0.5).abs() < 1e-6);
    }

    #[test]
    fn top_k_counts_the_first_k() {
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[0.1, 0.5, 0.4], [0.6, 0.3, 0.1]], &device);
        let targets = Tensor::from_ints([2, 2], &device);
        for (k, share) in [(1, 0.0), (2, 0.5), (3, 1.0), (10, 1.0)] {
            assert!((top_k_accuracy(&logits, &targets, k).read().unwrap() - share).abs() < 1e-6, "k = {k}");
        }
        // A model that knows nothing is right by chance only.
        let same = Tensor::<2>::ones([3, 3], &device);
        for (k, share) in [(1, 1.0 / 3.0), (2, 2.0 / 3.0), (3, 1.0)] {
            let all = top_k_accuracy(&same, &Tensor::from_ints([0, 1, 2], &device), k);
            assert!((all.read().unwrap() - share).abs() < 1e-6, "k = {k}");
        }
    }

    #[test]
    fn targets_may_have_any_integer_type() {
        use burn::tensor::IntDType;
        let device = Device::flex();
        let logits = Tensor::<2>::from_floats([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], &device);
        for dtype in [IntDType::I64, IntDType::I32, IntDType::I16, IntDType::I8, IntDType::U64, IntDType::U32, IntDType::U8] {
            let targets = Tensor::<1, Int>::from_ints([1, 0, 0], &device).cast(dtype);
            let shares = [accuracy(&logits, &targets), top_k_accuracy(&logits, &targets, 1)];
            for share in shares {
                assert!((share.read().unwrap() - 2.0 / 3.0).abs() < 1e-6, "{dtype:?}");
            }
        }
    }
}
