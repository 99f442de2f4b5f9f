//! Items whose labels are all right.

use stormfire_values::Scalar;

use super::{cells::int_dtype, task::Multilabel};
use crate::aggregation::Mean;

/// The share of items of which every label is right. Labels that are ignored count as right.
pub fn exact_match(labels: &Multilabel) -> Mean {
    let predicted = labels.scores.sigmoid().greater_elem(labels.threshold).int();
    let [items, _] = predicted.dims();
    let targets = labels.targets.clone();
    let wrong = predicted.cast(int_dtype(&targets)).not_equal(targets.clone());
    let wrong = match labels.ignore_index {
        Some(index) => wrong.bool_and(targets.not_equal_elem(index)),
        None => wrong,
    };
    let right = wrong.int().sum_dim(1).equal_elem(0).int().sum();
    Mean::from_sum(Scalar::from(right), items)
}
