//! How well scores rank the right answers above the wrong ones: the states behind ROC and precision-recall curves.

use burn::tensor::{Int, Tensor};
use stormfire_derive::Merge;
use stormfire_values::{ConfigError, read::Array};

use super::{
    cells::{count, int_dtype},
    spaced::{threshold, thresholds_below},
    task::{Binary, Multiclass, Multilabel, Names, refuse},
};
use crate::{merge::Merge, rows::Rows};

/// The positive predictions at a threshold: all scores that are not below it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The threshold.
    pub threshold: f64,
    /// Predicted, and right.
    pub tp: f64,
    /// Predicted, but wrong.
    pub fp: f64,
}

/// The points of one class, from the highest threshold to the lowest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ranked {
    /// The points.
    pub points: Vec<Point>,
    /// Number of items of the class.
    pub positives: f64,
    /// Number of other items.
    pub negatives: f64,
}

/// A state from which curves are made: [`Binned`] or [`Exact`].
pub trait Ranking: Merge {
    /// The points of each class, on the host.
    fn ranked(&self) -> Vec<Ranked>;
    /// The points of all classes as one: each class of each item is a separate prediction.
    fn pooled(&self) -> Ranked;
    /// The names of the classes.
    fn names(&self) -> &[String];
}

/// Scores counted between evenly spaced thresholds, as integers on the device. Its memory does not grow.
///
/// A result is that of scores which are rounded down to a threshold. Scores outside of 0..=1 count to the first or last
/// threshold.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Binned {
    /// `[classes, thresholds + 1, 2]`: scores by the number of thresholds that are not above them, wrong or right. Then
    /// ignored and invalid ones.
    #[merge(sum)]
    cells: Array,
    #[merge(same)]
    thresholds: usize,
    #[merge(same)]
    names: Names,
}

/// All scores and targets, for exact results. They need memory for each item, where they are.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Exact {
    /// `[items, classes]`.
    #[merge(cat)]
    scores: Rows,
    /// `[items]` with class indices, or `[items, classes]` with 0 and 1.
    #[merge(cat)]
    targets: Rows,
    #[merge(same)]
    one_of: bool,
    #[merge(same)]
    ignore_index: Option<i64>,
    #[merge(same)]
    names: Names,
}

/// Scores of classes with what was right, in one form for all tasks.
struct OneVsRest {
    /// `[items, classes]`.
    scores: Tensor<2>,
    /// `[items, classes]`: 0 or 1.
    is_right: Tensor<2, Int>,
    /// `[items, classes]`: 0, or what does not count: 1 ignored, 2 invalid.
    left_out: Tensor<2, Int>,
    names: Names,
}

/// 0, 1 or 2, see [`OneVsRest::left_out`].
fn left_out<const D: usize>(targets: &Tensor<D, Int>, classes: usize, ignore_index: Option<i64>) -> Tensor<D, Int> {
    let is_invalid = targets.clone().lower_elem(0).bool_or(targets.clone().greater_equal_elem(classes as i64));
    let out = targets.zeros_like().mask_fill(is_invalid, 2);
    match ignore_index {
        Some(index) => out.mask_fill(targets.clone().equal_elem(index), 1),
        None => out,
    }
}

impl OneVsRest {
    fn of_labels(scores: Tensor<2>, targets: &Tensor<2, Int>, ignore_index: Option<i64>, names: Names) -> Self {
        Self { scores, is_right: targets.clone().clamp(0, 1), left_out: left_out(targets, 2, ignore_index), names }
    }

    fn of_classes(scores: Tensor<2>, targets: &Tensor<1, Int>, ignore_index: Option<i64>, names: Names) -> Self {
        let [items, classes] = scores.dims();
        let column = targets.clone().reshape([items, 1]);
        let dtype = int_dtype(targets);
        let class = Tensor::<1, Int>::arange(0..classes as i64, &scores.device()).cast(dtype).reshape([1, classes]);
        let of_class = (column.zeros_like() + class).equal(column.clone()).int().cast(dtype);
        let out = left_out(&column, classes, ignore_index);
        Self { left_out: of_class.zeros_like() + out, is_right: of_class, scores, names }
    }

    fn binned(self, thresholds: usize) -> Result<Binned, ConfigError> {
        if thresholds < 2 {
            let hint = "use at least 2, such as 200; `exact_curves` needs none";
            return Err(refuse("curves", format!("{thresholds} thresholds"), hint));
        }
        let Self { scores, is_right, left_out, names } = self;
        let [items, classes] = scores.dims();
        let is_nan = scores.clone().is_nan();
        let dtype = int_dtype(&is_right);
        let bin = thresholds_below(scores, thresholds).cast(dtype);
        let class = Tensor::<1, Int>::arange(0..classes as i64, &bin.device()).cast(dtype).reshape([1, classes]);
        let width = 2 * (thresholds as i64 + 1);
        let cells = class * width + bin * 2 + is_right;
        let end = classes as i64 * width;
        let is_ignored = left_out.clone().equal_elem(1);
        let cells = cells.mask_fill(left_out.equal_elem(2).bool_or(is_nan), end + 1).mask_fill(is_ignored, end);
        Ok(Binned { cells: count(cells.reshape([items * classes]), end as usize + 2), thresholds, names })
    }
}

impl Binary {
    fn one_vs_rest(&self) -> OneVsRest {
        let items = self.targets.dims()[0];
        let targets = self.targets.clone().reshape([items, 1]);
        OneVsRest::of_labels(self.scores.sigmoid().reshape([items, 1]), &targets, self.ignore_index, ["positive".to_owned()].into())
    }

    /// ROC and precision-recall curves of `thresholds` thresholds, such as 200.
    ///
    /// # Errors
    /// Less than 2 thresholds.
    pub fn curves(&self, thresholds: usize) -> Result<Binned, ConfigError> {
        self.one_vs_rest().binned(thresholds)
    }

    /// Exact ROC and precision-recall curves. All scores are kept.
    pub fn exact_curves(&self) -> Exact {
        let items = self.targets.dims()[0];
        Exact {
            scores: Rows::new(self.scores.sigmoid().reshape([items, 1])),
            targets: Rows::new(self.targets.clone().reshape([items, 1])),
            one_of: false,
            ignore_index: self.ignore_index,
            names: ["positive".to_owned()].into(),
        }
    }
}

impl Multiclass {
    /// ROC and precision-recall curves of each class against the rest, of `thresholds` thresholds, such as 200.
    ///
    /// # Errors
    /// Less than 2 thresholds.
    pub fn curves(&self, thresholds: usize) -> Result<Binned, ConfigError> {
        OneVsRest::of_classes(self.scores.softmax(1), &self.targets, self.ignore_index, self.names.clone()).binned(thresholds)
    }

    /// Exact ROC and precision-recall curves of each class against the rest. All scores are kept.
    pub fn exact_curves(&self) -> Exact {
        let (scores, targets) = (Rows::new(self.scores.softmax(1)), Rows::new(self.targets.clone()));
        Exact { scores, targets, one_of: true, ignore_index: self.ignore_index, names: self.names.clone() }
    }
}

impl Multilabel {
    /// ROC and precision-recall curves of each label, of `thresholds` thresholds, such as 200.
    ///
    /// # Errors
    /// Less than 2 thresholds.
    pub fn curves(&self, thresholds: usize) -> Result<Binned, ConfigError> {
        OneVsRest::of_labels(self.scores.sigmoid(), &self.targets, self.ignore_index, self.names.clone()).binned(thresholds)
    }

    /// Exact ROC and precision-recall curves of each label. All scores are kept.
    pub fn exact_curves(&self) -> Exact {
        let (scores, targets) = (Rows::new(self.scores.sigmoid()), Rows::new(self.targets.clone()));
        Exact { scores, targets, one_of: false, ignore_index: self.ignore_index, names: self.names.clone() }
    }
}

fn warn_of_invalid(count: f64) {
    tracing::error!(
        "{count} scores are NaN, or have a target outside of the classes, so the curves are NaN; `ignore_index` leaves targets out"
    );
}

fn invalid() -> Ranked {
    Ranked { points: Vec::new(), positives: f64::NAN, negatives: f64::NAN }
}

/// Points of `[thresholds + 1, 2]` counts.
fn of_bins(cells: &[f64], thresholds: usize) -> Ranked {
    let mut all = Ranked::default();
    let (mut tp, mut fp) = (0.0, 0.0);
    for (bin, pair) in cells.chunks(2).enumerate().rev() {
        fp += pair.first().unwrap_or(&0.0);
        tp += pair.get(1).unwrap_or(&0.0);
        if let Some(index) = bin.checked_sub(1) {
            all.points.push(Point { threshold: threshold(index, thresholds), tp, fp });
        }
    }
    Ranked { positives: tp, negatives: fp, ..all }
}

impl Ranking for Binned {
    fn ranked(&self) -> Vec<Ranked> {
        let cells = self.cells.to_vec();
        let (classes, width) = (self.names.len(), 2 * (self.thresholds + 1));
        let wrong = cells.last().copied().unwrap_or(0.0);
        if wrong > 0.0 {
            warn_of_invalid(wrong);
            return vec![invalid(); classes];
        }
        cells.chunks(width).take(classes).map(|class| of_bins(class, self.thresholds)).collect()
    }

    fn pooled(&self) -> Ranked {
        let cells = self.cells.to_vec();
        let (classes, width) = (self.names.len(), 2 * (self.thresholds + 1));
        if self.ranked().iter().any(|class| class.positives.is_nan()) {
            return invalid();
        }
        let mut sum = vec![0.0; width];
        for class in cells.chunks(width).take(classes) {
            sum.iter_mut().zip(class).for_each(|(sum, cell)| *sum += cell);
        }
        of_bins(&sum, self.thresholds)
    }

    fn names(&self) -> &[String] {
        &self.names
    }
}

impl Exact {
    /// Scores with what was right, of each class. `None` if one is invalid.
    fn pairs(&self) -> Option<Vec<Vec<(f64, bool)>>> {
        let (scores, targets, classes) = (self.scores.to_vec(), self.targets.to_vec(), self.names.len());
        let width = if self.one_of { 1 } else { classes };
        let limit = if self.one_of { classes } else { 2 } as f64;
        let (mut pairs, mut wrong) = (vec![Vec::new(); classes], 0);
        for (scores, targets) in scores.chunks(classes).zip(targets.chunks(width)) {
            for (class, (score, pairs)) in scores.iter().zip(&mut pairs).enumerate() {
                let Some(&target) = targets.get(if self.one_of { 0 } else { class }) else {
                    wrong += 1;
                    continue;
                };
                if self.ignore_index.is_some_and(|index| (index as f64 - target).abs() < 0.5) {
                    continue;
                }
                wrong += usize::from(score.is_nan() || !(0.0..limit).contains(&target));
                pairs.push((*score, if self.one_of { target as usize == class } else { target > 0.5 }));
            }
        }
        if wrong > 0 {
            warn_of_invalid(wrong as f64);
        }
        (wrong == 0).then_some(pairs)
    }
}

/// A point for each distinct score.
fn of_pairs(mut pairs: Vec<(f64, bool)>) -> Ranked {
    pairs.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let mut all = Ranked::default();
    let (mut tp, mut fp) = (0.0, 0.0);
    for (index, (score, is_right)) in pairs.iter().enumerate() {
        if *is_right {
            tp += 1.0;
        } else {
            fp += 1.0;
        }
        let is_last_of_ties = pairs.get(index + 1).is_none_or(|(next, _)| next < score);
        if is_last_of_ties {
            all.points.push(Point { threshold: *score, tp, fp });
        }
    }
    Ranked { positives: tp, negatives: fp, ..all }
}

impl Ranking for Exact {
    fn ranked(&self) -> Vec<Ranked> {
        self.pairs().map_or_else(|| vec![invalid(); self.names.len()], |pairs| pairs.into_iter().map(of_pairs).collect())
    }

    fn pooled(&self) -> Ranked {
        self.pairs().map_or_else(invalid, |pairs| of_pairs(pairs.concat()))
    }

    fn names(&self) -> &[String] {
        &self.names
    }
}
