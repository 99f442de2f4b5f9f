//! The share of right classes, in one call.

use burn::tensor::{Int, Tensor};

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
    let hits = logits.clone().inner().argmax(1).flatten::<1>(0, 1).equal(targets.clone().inner());
    // Counted as integers, because the default float type of the device may have a low precision.
    Mean::from_sum(hits.int().sum(), items)
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
    Mean::from_sum(larger.lower_elem(k).int().sum(), items)
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
    }
}
