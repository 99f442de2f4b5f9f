//! Hits and misses of each class. One value of counts has many views.

use burn::tensor::{Int, Tensor};
use stormfire_derive::Merge;
use stormfire_values::read::Array;

use super::{
    cells::{BELOW, EXTRA, above, count, ignored, int_dtype, target_cells},
    class_counts::ClassCounts,
    task::{Binary, Multiclass, Multilabel, Names, Task},
};
use crate::{
    computed::{Named, Outline},
    metric::Metric,
};

/// True and false positives and negatives of each class, counted as integers on the device.
///
/// Its views are the usual scores: [`precision`](Self::precision), [`recall`](Self::recall), [`f1`](Self::f1) and so
/// on. They share the counts of a batch.
///
/// A target outside of the classes, unless it is the ignored one, makes every result NaN.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Counts {
    /// Multiclass: `[3, classes + 3]`: hits, predictions, targets. Otherwise `[labels, 5, 2]`: target (see `cells`),
    /// prediction.
    #[merge(sum)]
    cells: Array,
    #[merge(same)]
    task: Task,
    #[merge(same)]
    top_k: usize,
    #[merge(same)]
    ignore_index: Option<i64>,
    #[merge(same)]
    names: Names,
}

impl Binary {
    /// Counts hits and misses.
    pub fn counts(&self) -> Counts {
        let names = ["positive".to_owned()].into();
        Counts { cells: self.cells(), task: Task::Binary, top_k: 1, ignore_index: self.ignore_index, names }
    }

    /// Counts of `[1, 5, 2]`: target, prediction.
    pub(super) fn cells(&self) -> Array {
        let predicted = self.scores.sigmoid().greater_elem(self.threshold).int();
        pair_cells(predicted, self.targets.clone(), None, self.ignore_index)
    }
}

impl Multilabel {
    /// Counts hits and misses of each label.
    pub fn counts(&self) -> Counts {
        let (ignore_index, names) = (self.ignore_index, self.names.clone());
        Counts { cells: self.cells(), task: Task::Multilabel, top_k: 1, ignore_index, names }
    }

    /// Counts of `[labels, 5, 2]`: target, prediction.
    pub(super) fn cells(&self) -> Array {
        let predicted = self.scores.sigmoid().greater_elem(self.threshold).int();
        let [items, labels] = predicted.dims();
        let label = Tensor::<1, Int>::arange(0..labels as i64, &predicted.device()).cast(int_dtype(&predicted));
        let label = (predicted.zeros_like() + label.reshape([1, labels])).reshape([items * labels]);
        let [predicted, targets] = [predicted, self.targets.clone()].map(|tensor| tensor.reshape([items * labels]));
        pair_cells(predicted, targets, Some((label, labels)), self.ignore_index)
    }
}

/// Counts of `[labels, 5, 2]`: target, prediction.
pub(crate) fn pair_cells(
    predicted: Tensor<1, Int>,
    targets: Tensor<1, Int>,
    label: Option<(Tensor<1, Int>, usize)>,
    ignore_index: Option<i64>,
) -> Array {
    let targets = target_cells(targets, 2, ignore_index);
    let dtype = int_dtype(&targets);
    let cells = targets * 2 + predicted.cast(dtype);
    let (cells, labels) = match label {
        Some((label, labels)) => (label.cast(dtype) * (2 * PAIR as i64) + cells, labels),
        None => (cells, 1),
    };
    count(cells, labels * PAIR * 2).reshaped(vec![labels, PAIR, 2])
}

/// The cells of a target that is 0 or 1.
pub(crate) const PAIR: usize = 2 + EXTRA;

impl Multiclass {
    /// Counts hits and misses of each class.
    pub fn counts(&self) -> Counts {
        let classes = self.classes();
        let width = (classes + EXTRA) as i64;
        let predicted = self.predicted();
        let cells = target_cells(self.targets.clone(), classes, self.ignore_index);
        let predicted = predicted.cast(int_dtype(&cells)) + 1;
        let trash = ignored(classes) as i64;
        let hits = cells.clone().mask_fill(cells.clone().not_equal(predicted.clone()), trash);
        let predicted = match self.ignore_index {
            Some(_) => predicted.mask_fill(cells.clone().equal_elem(trash), trash),
            None => predicted,
        };
        let all = Tensor::cat(vec![hits, predicted + width, cells + 2 * width], 0);
        let cells = count(all, 3 * width as usize).reshaped(vec![3, width as usize]);
        Counts { cells, task: Task::Multiclass, top_k: self.top_k, ignore_index: self.ignore_index, names: self.names.clone() }
    }
}

impl Counts {
    /// The kind of classification.
    pub fn task(&self) -> Task {
        self.task
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    pub(crate) fn ignore_index(&self) -> Option<i64> {
        self.ignore_index
    }

    /// Whether a class belongs to a mean over classes, as in torchmetrics.
    pub(crate) fn occurs(&self, class: &ClassCounts) -> bool {
        match self.task {
            Task::Multiclass if self.top_k == 1 => class.tp + class.fp + class.fn_ != 0.0,
            Task::Multiclass => class.support() != 0.0,
            Task::Binary | Task::Multilabel => true,
        }
    }

    /// The counts of each class, on the host. Reads the device if they are there.
    pub fn per_class(&self) -> Vec<ClassCounts> {
        let cells = self.cells.to_vec();
        let (classes, invalid) = match self.task {
            Task::Multiclass => multiclass(&cells, self.names.len()),
            Task::Binary | Task::Multilabel => pairs(&cells),
        };
        if invalid > 0.0 {
            let (name, expected) = (self.task, if self.task == Task::Multiclass { self.names.len() } else { 2 });
            tracing::error!(
                "{invalid} targets of {name:?} are outside of 0..{expected}, so its scores are NaN; `ignore_index` leaves targets out"
            );
            return vec![ClassCounts { tp: f64::NAN, fp: f64::NAN, tn: f64::NAN, fn_: f64::NAN }; classes.len()];
        }
        classes
    }

    /// The counts themselves, as named numbers: `tp`, `fp`, `tn`, `fn` and `support`, added over the classes.
    pub fn stat_scores(&self) -> StatScores {
        StatScores(self.clone())
    }
}

fn multiclass(cells: &[f64], classes: usize) -> (Vec<ClassCounts>, f64) {
    let row = |row: usize| cells.iter().skip(row * (classes + EXTRA)).take(classes + EXTRA).copied().collect::<Vec<f64>>();
    let [hits, predicted, actual] = [row(0), row(1), row(2)];
    let invalid = actual.get(BELOW).unwrap_or(&0.0) + actual.get(above(classes)).unwrap_or(&0.0);
    let total: f64 = actual.iter().skip(1).take(classes).sum();
    let of_class = |((tp, predicted), actual): ((&f64, &f64), &f64)| {
        let (fp, fn_) = (predicted - tp, actual - tp);
        ClassCounts { tp: *tp, fp, tn: total - tp - fp - fn_, fn_ }
    };
    (hits.iter().zip(&predicted).zip(&actual).skip(1).take(classes).map(of_class).collect(), invalid)
}

fn pairs(cells: &[f64]) -> (Vec<ClassCounts>, f64) {
    let mut invalid = 0.0;
    let of_label = |label: &[f64; PAIR * 2]| {
        let cell = |target: usize, predicted: usize| label[target * 2 + predicted];
        invalid += [BELOW, above(2)].into_iter().map(|target| cell(target, 0) + cell(target, 1)).sum::<f64>();
        ClassCounts { tp: cell(2, 1), fp: cell(1, 1), tn: cell(1, 0), fn_: cell(2, 0) }
    };
    (cells.as_chunks::<{ PAIR * 2 }>().0.iter().map(of_label).collect(), invalid)
}

/// The counts as named numbers, see [`Counts::stat_scores`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct StatScores(Counts);

const STATS: [&str; 5] = ["tp", "fp", "tn", "fn", "support"];

impl Metric for StatScores {
    type Value = Named;

    fn compute(&self) -> Named {
        let all = self.0.per_class().iter().fold(ClassCounts::default(), ClassCounts::plus);
        let values = [all.tp, all.fp, all.tn, all.fn_, all.support()];
        Named(STATS.into_iter().map(str::to_owned).zip(values).collect())
    }

    fn outline(&self) -> Outline {
        Outline::Named(STATS.map(str::to_owned).to_vec())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;
    use stormfire_values::read::DistantCpu;

    use super::*;
    use crate::merge::Merge;

    #[test]
    fn one_more_than_2_to_the_24_items_are_counted() {
        let of = |items: usize| {
            let (ones, targets) = (Tensor::<1>::ones([items], &Device::flex()), Tensor::<1, Int>::ones([items], &Device::flex()));
            Binary::from_probabilities(&ones, &targets).unwrap().counts()
        };
        for is_narrow in [false, true] {
            let _distant = if is_narrow { DistantCpu::without_f64() } else { DistantCpu::new() };
            let mut all = of(4096);
            for _ in 0..12 {
                all.merge(&all.clone()).unwrap();
            }
            all.merge(&of(1)).unwrap();
            assert_eq!(all.stat_scores().read().unwrap().get("tp"), Some(16_777_217.0));
        }
    }
}
