//! Counting on a device: each item goes to a cell, and nothing is read.

use burn::tensor::{DType, IndexingUpdateOp, Int, IntDType, Tensor};
use stormfire_values::read::{Array, sum_dtype, values_at_hand};

/// How a target is filed: one cell for each class, and three more.
pub(crate) const EXTRA: usize = 3;
/// The cell of targets below the first class.
pub(crate) const BELOW: usize = 0;

/// The cell of targets above the last class.
pub(crate) const fn above(classes: usize) -> usize {
    classes + 1
}

/// The cell of ignored targets.
pub(crate) const fn ignored(classes: usize) -> usize {
    classes + 2
}

/// The type of its integers.
pub(crate) fn int_dtype<const D: usize>(tensor: &Tensor<D, Int>) -> IntDType {
    match tensor.dtype() {
        DType::I64 => IntDType::I64,
        _ => IntDType::I32,
    }
}

/// Targets off the tape, with signed integers of 32 or 64 bits.
pub(crate) fn plain_targets<const D: usize>(targets: &Tensor<D, Int>) -> Tensor<D, Int> {
    let targets = targets.clone().inner();
    match targets.dtype() {
        DType::I32 | DType::I64 => targets,
        DType::U32 | DType::U64 => targets.cast(IntDType::I64),
        _ => targets.cast(IntDType::I32),
    }
}

/// The cell of each target: 1 for class 0 and so on. Targets outside of `0..classes` have separate cells, because a
/// device does not check indices.
pub(crate) fn target_cells(targets: Tensor<1, Int>, classes: usize, ignore_index: Option<i64>) -> Tensor<1, Int> {
    let is_ignored = ignore_index.map(|index| targets.clone().equal_elem(index));
    let cells = targets.clamp(-1, classes as i64) + 1;
    match is_ignored {
        Some(is_ignored) => cells.mask_fill(is_ignored, ignored(classes) as i64),
        None => cells,
    }
}

/// How often each number in `0..cells` occurs. All indices must be in this range.
pub(crate) fn count(indices: Tensor<1, Int>, cells: usize) -> Array {
    match values_at_hand(indices) {
        Ok(data) => {
            let mut counts = vec![0.0; cells];
            for index in data.iter::<i64>() {
                if let Some(count) = usize::try_from(index).ok().and_then(|index| counts.get_mut(index)) {
                    *count += 1.0;
                }
            }
            Array::row(counts)
        }
        Err(indices) => {
            let counts = Tensor::<1, Int>::zeros([cells], (&indices.device(), indices.dtype()));
            if indices.dims() == [0] {
                return counts.into();
            }
            let ones = indices.ones_like();
            counts.scatter(0, indices, ones, IndexingUpdateOp::Add).into()
        }
    }
}

/// The sum of the values of each cell, in the widest float type. All indices must be in `0..cells`.
pub(crate) fn sum_cells(indices: Tensor<1, Int>, values: Tensor<1>, cells: usize) -> Array {
    if let (Ok(indices), Ok(values)) = (values_at_hand(indices.clone()), values_at_hand(values.clone())) {
        let mut sums = vec![0.0; cells];
        for (index, value) in indices.iter::<i64>().zip(values.iter::<f64>()) {
            if let Some(sum) = usize::try_from(index).ok().and_then(|index| sums.get_mut(index)) {
                *sum += value;
            }
        }
        return Array::row(sums);
    }
    let (device, dtype) = (values.device(), sum_dtype(&values.device()));
    let sums = Tensor::<1>::zeros([cells], (&device, DType::from(dtype)));
    if indices.dims() == [0] {
        return sums.into();
    }
    sums.scatter(0, indices, values.cast(dtype), IndexingUpdateOp::Add).into()
}
