//! Scores of counts.

use std::fmt;

use stormfire_derive::Merge;

use super::{
    average::{Average, mean_of_classes, safe_ratio},
    class_counts::ClassCounts,
    counts::Counts,
    task::Task,
};
use crate::{
    computed::{Named, Outline},
    metric::Metric,
};

/// The score that is computed from counts. See the methods of [`Counts`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScoreKind {
    /// [`Counts::precision`].
    Precision,
    /// [`Counts::recall`].
    Recall,
    /// [`Counts::specificity`].
    Specificity,
    /// [`Counts::negative_predictive_value`].
    NegativePredictiveValue,
    /// [`Counts::f_beta`].
    FBeta(f64),
    /// [`Counts::accuracy`].
    Accuracy,
    /// [`Counts::balanced_accuracy`].
    BalancedAccuracy,
    /// [`Counts::hamming_distance`].
    HammingDistance,
    /// [`Counts::jaccard`].
    Jaccard,
}

impl ScoreKind {
    /// The score of one class, or of the sum of all.
    fn of(self, task: Task, counts: &ClassCounts, zero_division: f64) -> f64 {
        let ClassCounts { tp, fp, tn, fn_ } = *counts;
        let ratio = |a: f64, b: f64| safe_ratio(a, b, zero_division);
        match self {
            Self::Precision => ratio(tp, tp + fp),
            Self::Recall | Self::BalancedAccuracy => ratio(tp, tp + fn_),
            Self::Specificity => ratio(tn, tn + fp),
            Self::NegativePredictiveValue => ratio(tn, tn + fn_),
            Self::FBeta(beta) => {
                let square = beta * beta;
                ratio((1.0 + square) * tp, (1.0 + square) * tp + square * fn_ + fp)
            }
            Self::Jaccard => ratio(tp, tp + fp + fn_),
            Self::Accuracy if task == Task::Multiclass => ratio(tp, tp + fn_),
            Self::Accuracy => ratio(tp + tn, tp + tn + fp + fn_),
            Self::HammingDistance => 1.0 - Self::Accuracy.of(task, counts, zero_division),
        }
    }
}

/// A view of [`Counts`] as one number.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Score {
    counts: Counts,
    #[merge(same)]
    kind: ScoreKind,
    #[merge(same)]
    average: Average,
    #[merge(same)]
    zero_division: ZeroDivision,
}

/// The score where its denominator is 0. NaN equals itself, so that such values merge.
#[derive(Clone, Copy)]
struct ZeroDivision(f64);

impl PartialEq for ZeroDivision {
    fn eq(&self, other: &Self) -> bool {
        // A NaN that was computed has another sign than the constant, and a checkpoint does not keep it.
        self.0 == other.0 || (self.0.is_nan() && other.0.is_nan())
    }
}

impl fmt::Debug for ZeroDivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Counts {
    /// A score of these counts. The methods below are shorter.
    pub fn score(&self, kind: ScoreKind) -> Score {
        Score { counts: self.clone(), kind, average: Average::default(), zero_division: ZeroDivision(0.0) }
    }
}

macro_rules! scores {
    ($($(#[$doc:meta])* $name:ident => $kind:expr;)*) => {
        impl Counts {
            $($(#[$doc])* pub fn $name(&self) -> Score {
                self.score($kind)
            })*
        }
    };
}

scores! {
    /// `tp / (tp + fp)`: the share of right ones among the predictions.
    precision => ScoreKind::Precision;
    /// `tp / (tp + fn)`: the share of targets that were found.
    recall => ScoreKind::Recall;
    /// `tn / (tn + fp)`: the share of "no" that was found.
    specificity => ScoreKind::Specificity;
    /// `tn / (tn + fn)`: the share of right ones among the predictions of "no".
    negative_predictive_value => ScoreKind::NegativePredictiveValue;
    /// The harmonic mean of precision and recall, `2·tp / (2·tp + fp + fn)`.
    f1 => ScoreKind::FBeta(1.0);
    /// Binary and multilabel: `(tp + tn) / all`. Multiclass: the share of items that are right; of one class, its
    /// recall.
    accuracy => ScoreKind::Accuracy;
    /// The mean recall of the classes that are targets, `balanced_accuracy_score` of scikit-learn.
    balanced_accuracy => ScoreKind::BalancedAccuracy;
    /// `1 - accuracy`, the share of wrong labels.
    hamming_distance => ScoreKind::HammingDistance;
    /// Intersection over union of a whole data set, `tp / (tp + fp + fn)`.
    jaccard => ScoreKind::Jaccard;
    /// `2·tp / (2·tp + fp + fn)` of a whole data set, which is the F1 score. For single images, see
    /// [`segmentation`](mod@crate::image::segmentation).
    dice => ScoreKind::FBeta(1.0);
}

impl Counts {
    /// `(1 + beta²)·tp / ((1 + beta²)·tp + beta²·fn + fp)`: a large `beta` weighs recall, a small one precision.
    pub fn f_beta(&self, beta: f64) -> Score {
        self.score(ScoreKind::FBeta(beta))
    }
}

impl Score {
    /// How classes become one number. Default [`Average::Micro`]. A binary score has one class, and a balanced accuracy
    /// is always the mean of classes.
    pub fn average(mut self, average: Average) -> Self {
        self.average = average;
        self
    }

    /// The score where its denominator is 0. Default 0. With NaN, such classes do not belong to a mean over classes.
    /// For [`hamming_distance`](Counts::hamming_distance), it is the accuracy there.
    pub fn zero_division(mut self, value: f64) -> Self {
        self.zero_division = ZeroDivision(value);
        self
    }

    /// A number for each class or label, instead of one.
    pub fn per_class(self) -> PerClass {
        PerClass(self)
    }

    fn of(&self, counts: &ClassCounts) -> f64 {
        self.kind.of(self.counts.task(), counts, self.zero_division.0)
    }

    /// The class that is ignored, if it is one of the classes.
    fn ignored_class(&self) -> Option<usize> {
        let index = usize::try_from(self.counts.ignore_index()?).ok()?;
        (self.counts.task() == Task::Multiclass && index < self.counts.names().len()).then_some(index)
    }
}

impl Metric for Score {
    type Value = f64;

    fn compute(&self) -> f64 {
        let task = self.counts.task();
        let mut classes = self.counts.per_class();
        if self.kind == ScoreKind::BalancedAccuracy {
            let of_class = |class: &ClassCounts| {
                if task == Task::Multiclass { vec![class.support()] } else { vec![class.support(), class.tn + class.fp] }
            };
            let recalls: Vec<f64> = classes
                .iter()
                .flat_map(|class| {
                    let recalls = [class.tp, class.tn].into_iter().zip(of_class(class));
                    recalls.filter(|(_, support)| *support != 0.0).map(|(hits, support)| hits / support).collect::<Vec<_>>()
                })
                .collect();
            return safe_ratio(recalls.iter().sum(), recalls.len() as f64, self.zero_division.0);
        }
        if self.kind == ScoreKind::Jaccard
            && self.average != Average::Weighted
            && let Some(ignored) = self.ignored_class()
        {
            // Predictions of the ignored class do not belong to the union of any class.
            classes.remove(ignored);
        }
        if self.average == Average::Micro || task == Task::Binary {
            return self.of(&classes.iter().fold(ClassCounts::default(), ClassCounts::plus));
        }
        // As in torchmetrics, and with NaN as in scikit-learn.
        let without = if self.kind == ScoreKind::Jaccard || self.zero_division.0.is_nan() { f64::NAN } else { 0.0 };
        mean_of_classes(&classes, self.average, |class| self.counts.occurs(class), without, |class| self.of(class))
    }
}

/// A score of each class or label, named by it. See [`Score::per_class`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct PerClass(Score);

impl Metric for PerClass {
    type Value = Named;

    fn compute(&self) -> Named {
        let counts = self.0.counts.per_class();
        Named(self.0.counts.names().iter().cloned().zip(counts.iter().map(|class| self.0.of(class))).collect())
    }

    fn outline(&self) -> Outline {
        Outline::Named(self.0.counts.names().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Int, Tensor};

    use super::*;
    use crate::{classification::Multiclass, merge::Merge};

    #[test]
    fn an_undefined_recall_of_nan_merges_and_is_not_in_the_mean() {
        let device = Device::flex();
        let recall = || {
            let scores = Tensor::<2>::from_floats([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], &device);
            let batch = Multiclass::from_logits(&scores, &Tensor::<1, Int>::from_ints([0, 0], &device)).unwrap();
            batch.counts().recall().average(Average::Macro).zero_division(f64::NAN)
        };
        let mut both = recall();
        both.merge(&recall()).unwrap();
        // Class 1 is predicted, but never a target.
        assert!((both.read().unwrap() - 0.5).abs() < 1e-12);
        both.merge(&recall().zero_division(-f64::NAN)).unwrap();
        let error = both.merge(&recall().zero_division(1.0)).unwrap_err();
        assert_eq!(error.to_string(), "`zero_division` is NaN in one value and 1.0 in the other");
    }
}
