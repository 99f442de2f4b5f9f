//! Whether a confidence of 0.8 is right in 80 % of the cases.

use burn::tensor::{Int, Tensor};
use stormfire_derive::Merge;
use stormfire_values::{ConfigError, read::Array};

use super::{
    cells::{count, int_dtype, sum_cells},
    spaced::{threshold, thresholds_below},
    task::{Binary, Multiclass, refuse},
};
use crate::{
    computed::Outline,
    metric::Metric,
    picture::{Curves, Line},
};

/// How the gaps of the bins become an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CalibrationNorm {
    /// `Σ share·|accuracy - confidence|`, the expected calibration error (ECE).
    #[default]
    L1,
    /// `sqrt(Σ share·(accuracy - confidence)²)`.
    L2,
    /// The largest gap.
    Max,
}

/// Confidence and accuracy in bins of equal width. It is the reliability diagram as a picture, and has the
/// [`error`](Self::error).
///
/// Multiclass: the confidence of the predicted class. Binary: the probability of "yes". As in torchmetrics, a
/// confidence of exactly 1 has a separate bin.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Calibration {
    /// `[bins + 1, 2]` wrong and right ones, then ignored and invalid ones.
    #[merge(sum)]
    cells: Array,
    /// `[bins + 1]` sums of confidences, then two more.
    #[merge(sum)]
    confidence: Array,
    #[merge(same)]
    bins: usize,
}

impl Binary {
    /// Confidence and accuracy in bins, such as 15.
    ///
    /// # Errors
    /// No bins.
    pub fn calibration(&self, bins: usize) -> Result<Calibration, ConfigError> {
        let targets = &self.targets;
        let is_invalid = targets.clone().lower_elem(0).bool_or(targets.clone().greater_elem(1));
        Calibration::of(bins, self.scores.sigmoid(), targets.clone().clamp(0, 1), is_invalid.int(), targets, self.ignore_index)
    }
}

impl Multiclass {
    /// Confidence and accuracy of the predicted class in bins, such as 15.
    ///
    /// # Errors
    /// No bins.
    pub fn calibration(&self, bins: usize) -> Result<Calibration, ConfigError> {
        let probabilities = self.scores.softmax(1);
        let [items, _] = probabilities.dims();
        let (targets, dtype) = (&self.targets, int_dtype(&self.targets));
        let (confidence, class) = probabilities.max_dim_with_indices(1);
        let is_right = class.reshape([items]).cast(dtype).equal(targets.clone()).int();
        let is_invalid = targets.clone().lower_elem(0).bool_or(targets.clone().greater_equal_elem(self.classes() as i64));
        Calibration::of(bins, confidence.reshape([items]), is_right, is_invalid.int(), targets, self.ignore_index)
    }
}

impl Calibration {
    fn of(
        bins: usize,
        confidence: Tensor<1>,
        is_right: Tensor<1, Int>,
        is_invalid: Tensor<1, Int>,
        targets: &Tensor<1, Int>,
        ignore_index: Option<i64>,
    ) -> Result<Self, ConfigError> {
        if bins == 0 {
            return Err(refuse("calibration", "0 bins".into(), "use at least 1, such as 15"));
        }
        let (dtype, end) = (int_dtype(targets), bins as i64 + 1);
        // Not below the first threshold, which is 0.
        let bin = thresholds_below(confidence.clone(), bins + 1).cast(dtype).clamp(1, end) - 1;
        let bin = bin.mask_fill(is_invalid.equal_elem(1).bool_or(confidence.clone().is_nan()), end + 1);
        let bin = match ignore_index {
            Some(index) => bin.mask_fill(targets.clone().equal_elem(index), end),
            None => bin,
        };
        let confidence = sum_cells(bin.clone(), confidence, bins + 3);
        let cells = count(bin * 2 + is_right.cast(dtype), 2 * (bins + 3));
        Ok(Self { cells, confidence, bins })
    }

    /// The calibration error.
    pub fn error(&self, norm: CalibrationNorm) -> CalibrationError {
        CalibrationError { calibration: self.clone(), norm }
    }

    /// Count, mean confidence and accuracy of each bin that is not empty, with its index.
    fn of_bins(&self) -> Vec<(usize, f64, f64, f64)> {
        let (cells, confidence) = (self.cells.to_vec(), self.confidence.to_vec());
        let wrong: f64 = cells.iter().rev().take(2).sum();
        if wrong > 0.0 {
            tracing::error!("{wrong} scores are NaN, or have a target outside of the classes, so the calibration is NaN");
            return vec![(0, 1.0, f64::NAN, f64::NAN)];
        }
        let of_bin = |(bin, (pair, sum)): (usize, (&[f64], &f64))| {
            let (count, right) = (pair.iter().sum::<f64>(), pair.last().copied().unwrap_or(0.0));
            (count > 0.0).then(|| (bin, count, sum / count, right / count))
        };
        cells.chunks(2).zip(&confidence).enumerate().take(self.bins + 1).filter_map(of_bin).collect()
    }
}

impl Metric for Calibration {
    type Value = Curves;

    fn compute(&self) -> Curves {
        let bins = self.of_bins();
        let diagonal = Line { name: "perfect".into(), points: vec![(0.0, 0.0), (1.0, 1.0)], at: vec![0.0, 1.0], counts: Vec::new() };
        let at = bins.iter().map(|(bin, ..)| threshold(*bin, self.bins + 1)).collect();
        let points = bins.iter().map(|(_, _, confidence, accuracy)| (*confidence, *accuracy)).collect();
        let model = Line { name: "model".into(), points, at, counts: Vec::new() };
        Curves { x: "confidence".into(), y: "accuracy".into(), at: "bin".into(), lines: vec![diagonal, model] }
    }

    fn outline(&self) -> Outline {
        Outline::Picture
    }
}

/// See [`Calibration::error`]. Without items it is 0.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct CalibrationError {
    calibration: Calibration,
    #[merge(same)]
    norm: CalibrationNorm,
}

impl Metric for CalibrationError {
    type Value = f64;

    fn compute(&self) -> f64 {
        let bins = self.calibration.of_bins();
        let all: f64 = bins.iter().map(|(_, count, ..)| count).sum();
        let gaps = bins.iter().map(|(_, count, confidence, accuracy)| (count / all, (accuracy - confidence).abs()));
        match self.norm {
            CalibrationNorm::L1 => gaps.map(|(share, gap)| share * gap).sum(),
            CalibrationNorm::L2 => gaps.map(|(share, gap)| share * gap * gap).sum::<f64>().sqrt(),
            CalibrationNorm::Max => gaps.fold(0.0, |largest: f64, (_, gap)| if gap.is_nan() { gap } else { largest.max(gap) }),
        }
    }
}
