//! The precision and recall of a binary classifier at many thresholds.

use prost::Message;

use super::event::{Data, Metadata, Tensor};
use crate::{Error, Result};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PluginData {
    #[prost(int32, tag = "1")]
    pub(crate) version: i32,
    #[prost(uint32, tag = "2")]
    pub(crate) num_thresholds: u32,
}

/// Keeps a division by a zero count finite.
const MINIMUM_COUNT: f64 = 1e-7;

/// The curve in `TensorBoard`'s format. Its rows are true and false positives, true and false negatives, precision and
/// recall.
pub(super) fn encode(labels: &[bool], predictions: &[f32], num_thresholds: usize) -> Result<(Metadata, Data)> {
    if labels.len() != predictions.len() {
        return Err(invalid(format!("{} labels for {} predictions", labels.len(), predictions.len())));
    }
    if num_thresholds < 2 {
        return Err(invalid(format!("{num_thresholds} thresholds, at least 2 are needed")));
    }
    if let Some(prediction) = predictions.iter().find(|prediction| !(0.0..=1.0).contains(*prediction)) {
        return Err(invalid(format!("a prediction is {prediction}, expected a probability")));
    }
    let rows = curve(labels, predictions, num_thresholds);
    let values = rows.iter().flatten().map(|value| *value as f32).collect();
    let plugin_data = PluginData { version: 0, num_thresholds: u32::try_from(num_thresholds).unwrap_or(u32::MAX) };
    let metadata = Metadata::tensor("pr_curves", plugin_data.encode_to_vec());
    Ok((metadata, Data::Tensor(Tensor::floats(&[rows.len(), num_thresholds], values))))
}

fn curve(labels: &[bool], predictions: &[f32], num_thresholds: usize) -> [Vec<f64>; 6] {
    let [mut true_positives, mut false_positives] = [vec![0.0; num_thresholds], vec![0.0; num_thresholds]];
    for (label, prediction) in labels.iter().zip(predictions) {
        // In single precision, as in the original.
        let bucket = (prediction * (num_thresholds - 1) as f32).floor() as usize;
        let counts = if *label { &mut true_positives } else { &mut false_positives };
        counts[bucket.min(num_thresholds - 1)] += 1.0;
    }
    // Predictions in a threshold's own bucket and in all higher ones count as positive.
    for counts in [&mut true_positives, &mut false_positives] {
        for bucket in (0..num_thresholds - 1).rev() {
            counts[bucket] += counts[bucket + 1];
        }
    }
    let rest = |counts: &[f64]| -> Vec<f64> { counts.iter().map(|count| counts[0] - count).collect() };
    let (false_negatives, true_negatives) = (rest(&true_positives), rest(&false_positives));
    let share = |others: &[f64]| -> Vec<f64> {
        true_positives.iter().zip(others).map(|(count, other)| count / (count + other).max(MINIMUM_COUNT)).collect()
    };
    let (precision, recall) = (share(&false_positives), share(&false_negatives));
    [true_positives, false_positives, true_negatives, false_negatives, precision, recall]
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
        assert_eq!(curve(&labels, &predictions, 5), expected);
    }

    #[test]
    fn without_positives_nothing_is_divided_by_zero() {
        let rows = curve(&[false], &[0.25], 2);
        assert_eq!(rows[4..], [[0.0, 0.0], [0.0, 0.0]]);
    }

    #[test]
    fn what_is_no_classifier_is_refused() {
        let text = |labels: &[bool], predictions: &[f32], thresholds| encode(labels, predictions, thresholds).unwrap_err().to_string();
        assert_eq!(text(&[true], &[], 9), "invalid precision-recall curve: 1 labels for 0 predictions");
        assert_eq!(text(&[], &[], 1), "invalid precision-recall curve: 1 thresholds, at least 2 are needed");
        assert_eq!(text(&[true], &[f32::NAN], 9), "invalid precision-recall curve: a prediction is NaN, expected a probability");
        assert!(encode(&[true], &[1.01], 9).is_err());
    }
}
