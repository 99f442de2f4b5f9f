//! The precision and recall of a binary classifier.

use crate::{Error, Result};

/// The predictions of a binary classifier at thresholds that are evenly spaced from 0 to 1, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct PrCurve {
    /// True positives, false positives, true negatives, false negatives.
    counts: [Vec<f64>; 4],
}

/// Keeps a division by a zero count finite.
const MINIMUM_COUNT: f64 = 1e-7;

impl PrCurve {
    /// A curve of counts at each threshold: true positives, false positives, true negatives, false negatives.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] for fewer than 2 thresholds.
    pub fn new(counts: impl IntoIterator<Item = [f64; 4]>) -> Result<Self> {
        let mut columns = [const { Vec::new() }; 4];
        for counts in counts {
            columns.iter_mut().zip(counts).for_each(|(column, count)| column.push(count));
        }
        match columns[0].len() {
            thresholds @ 0..2 => Err(invalid(format!("{thresholds} thresholds, at least 2 are needed"))),
            _ => Ok(Self { counts: columns }),
        }
    }

    /// Counts predictions, the probabilities that a label is `true`, in buckets with the width of the threshold
    /// spacing, as in `add_pr_curve` of `torch.utils.tensorboard`. At the threshold `i / (n - 1)`, predictions in
    /// bucket `i` and above are positive.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] if the lengths differ, there are fewer than 2 thresholds, or a prediction is not in
    /// 0..=1.
    pub fn of_predictions(labels: &[bool], predictions: &[f32], thresholds: usize) -> Result<Self> {
        if labels.len() != predictions.len() {
            return Err(invalid(format!("{} labels for {} predictions", labels.len(), predictions.len())));
        }
        if thresholds < 2 {
            return Err(invalid(format!("{thresholds} thresholds, at least 2 are needed")));
        }
        if let Some(prediction) = predictions.iter().find(|prediction| !(0.0..=1.0).contains(*prediction)) {
            return Err(invalid(format!("a prediction is {prediction}, expected a probability")));
        }
        let [mut true_positives, mut false_positives] = [vec![0.0; thresholds], vec![0.0; thresholds]];
        for (label, prediction) in labels.iter().zip(predictions) {
            // In single precision, as in the original.
            let bucket = (prediction * (thresholds - 1) as f32).floor() as usize;
            let counts = if *label { &mut true_positives } else { &mut false_positives };
            counts[bucket.min(thresholds - 1)] += 1.0;
        }
        // Predictions in a threshold's own bucket and in all higher ones count as positive.
        for counts in [&mut true_positives, &mut false_positives] {
            for bucket in (0..thresholds - 1).rev() {
                counts[bucket] += counts[bucket + 1];
            }
        }
        let rest = |counts: &[f64]| -> Vec<f64> { counts.iter().map(|count| counts[0] - count).collect() };
        let (false_negatives, true_negatives) = (rest(&true_positives), rest(&false_positives));
        Ok(Self { counts: [true_positives, false_positives, true_negatives, false_negatives] })
    }

    /// Number of thresholds.
    pub fn thresholds(&self) -> usize {
        self.counts[0].len()
    }

    /// True positives, false positives, true negatives and false negatives at each threshold.
    pub fn counts(&self) -> &[Vec<f64>; 4] {
        &self.counts
    }

    /// The share of right ones among the predicted ones at each threshold. 0 where nothing is predicted.
    pub fn precision(&self) -> Vec<f64> {
        self.share_of(&self.counts[1])
    }

    /// The share of predicted ones among the right ones at each threshold. 0 without right ones.
    pub fn recall(&self) -> Vec<f64> {
        self.share_of(&self.counts[3])
    }

    fn share_of(&self, others: &[f64]) -> Vec<f64> {
        self.counts[0].iter().zip(others).map(|(count, other)| count / (count + other).max(MINIMUM_COUNT)).collect()
    }
}

fn invalid(reason: String) -> Error {
    Error::InvalidMedia { what: "precision-recall curve", reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_tensorboardx() {
        let labels = [true, true, false, false, true, false];
        let predictions = [0.9, 0.5, 0.5, 0.1, 1.0, 0.0];
        // tensorboardX 2.6.5: `summary.compute_curve(np.array(labels), np.array(predictions, "f"), 5)`.
        let expected = [
            vec![3.0, 3.0, 3.0, 2.0, 1.0],
            vec![3.0, 1.0, 1.0, 0.0, 0.0],
            vec![0.0, 2.0, 2.0, 3.0, 3.0],
            vec![0.0, 0.0, 0.0, 1.0, 2.0],
            vec![0.5, 0.75, 0.75, 1.0, 1.0],
            vec![1.0, 1.0, 1.0, 2.0 / 3.0, 1.0 / 3.0],
        ];
        let curve = PrCurve::of_predictions(&labels, &predictions, 5).unwrap();
        assert_eq!((&curve.counts()[..], curve.precision(), curve.recall()), (&expected[..4], expected[4].clone(), expected[5].clone()));
        let again = PrCurve::new((0..5).map(|threshold| std::array::from_fn(|row| expected[row][threshold]))).unwrap();
        assert_eq!(again, curve);
    }

    #[test]
    fn without_positives_nothing_is_divided_by_zero() {
        let curve = PrCurve::of_predictions(&[false], &[0.25], 2).unwrap();
        assert_eq!((curve.precision(), curve.recall()), (vec![0.0, 0.0], vec![0.0, 0.0]));
    }

    #[test]
    fn invalid_predictions_of_a_classifier_are_refused() {
        let text = |labels: &[bool], predictions: &[f32], thresholds| {
            PrCurve::of_predictions(labels, predictions, thresholds).unwrap_err().to_string()
        };
        assert_eq!(text(&[true], &[], 9), "invalid precision-recall curve: 1 labels for 0 predictions");
        assert_eq!(text(&[], &[], 1), "invalid precision-recall curve: 1 thresholds, at least 2 are needed");
        assert_eq!(text(&[true], &[f32::NAN], 9), "invalid precision-recall curve: a prediction is NaN, expected a probability");
        assert!(PrCurve::of_predictions(&[true], &[1.01], 9).is_err());
        assert!(PrCurve::new([[0.0; 4]]).is_err());
    }
}
