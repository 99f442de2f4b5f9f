//! Metrics of texts, rankings, pictures, regions, labels and boxes, for the laws.

use burn::prelude::*;
use stormfire::{
    metrics::{
        classification::Multilabel,
        detection::{Found, Objects, detection},
        image::{SsimOptions, psnr, segmentation},
        retrieval::retrieval,
        text::{bleu, perplexity, rouge, word_error_rate},
    },
    prelude::*,
};

/// Logs metrics of texts, rankings, pictures, regions, labels and boxes, which are made of the predicted and the right
/// class (0, 1 or 2) and of the score of each item.
pub(crate) fn log_class_metrics<M: LightningModule>(
    module: &M,
    stage: &str,
    [predicted, right]: [&Tensor<1, Int>; 2],
    scores: &Tensor<1>,
) -> Result<()> {
    let numbers = |classes: &Tensor<1, Int>| classes.to_data().iter::<i32>().collect::<Vec<_>>();
    let (predicted, right) = (numbers(predicted), numbers(right));
    let texts = |classes: &[i32]| classes.iter().map(|class| format!("this is class {class}")).collect::<Vec<_>>();
    let (predictions, references) = (texts(&predicted), texts(&right));
    let lists: Vec<[&str; 1]> = references.iter().map(|reference| [reference.as_str()]).collect();
    module.log(format!("{stage}_bleu"), bleu(&predictions, &lists)?).on_step(false).on_epoch(true);
    module.log(format!("{stage}_wer"), word_error_rate(&predictions, &references)?).on_step(false).on_epoch(true);
    module.log(format!("{stage}_rouge"), rouge(&predictions, &lists)?).on_step(false).on_epoch(true);

    let device = scores.device();
    let ints = |numbers: &[i32]| Tensor::<1, Int>::from_ints(numbers, &device);
    // The next word is one of three.
    let words = Tensor::stack::<2>(vec![scores.clone(), scores.clone().neg(), scores.clone() * 0.5], 1);
    module.log(format!("{stage}_perplexity"), perplexity(&words, &ints(&right), None)?).on_step(false).on_epoch(true);

    // Pictures of nine pixels: a pattern in the strength of the score, and in that of the class.
    let pictures = |strengths: Tensor<1>| {
        let pattern = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 5.0, 4.0, 2.0, 1.0, 0.0, 3.0], &device).cast(strengths.dtype());
        strengths.reshape([right.len(), 1, 1, 1]) * pattern.reshape([1, 1, 3, 3])
    };
    // No class has an empty picture, whose similarity depends on rounding.
    let (drawn, exact) = (pictures(scores.clone()), pictures(ints(&right).float() + 1.0));
    module.log(format!("{stage}_psnr"), psnr(&drawn, &exact, 15.0)?).on_step(false).on_epoch(true);
    let similarity = SsimOptions::new().window(3, 1.0)?.ssim(&drawn, &exact, 15.0)?;
    module.log(format!("{stage}_ssim"), similarity).on_step(false).on_epoch(true);

    // A query has items of several batches.
    let queries: Vec<i32> = predicted.iter().map(|class| class % 2).collect();
    let documents = retrieval(scores, &ints(&right), &ints(&queries))?;
    module.log(format!("{stage}_ndcg"), documents.ndcg(5)).on_step(false).on_epoch(true);

    // Images of two pixels, the second of which is always right.
    let images = |classes: &[i32]| {
        let pixels: Vec<i32> = classes.iter().zip(&right).flat_map(|(class, right)| [*class, *right]).collect();
        ints(&pixels).reshape([classes.len(), 2])
    };
    let regions = segmentation(&images(&predicted), &images(&right), 3)?;
    module.log(format!("{stage}_iou"), regions.mean_iou()).on_step(false).on_epoch(true);

    // The labels 1 and 2.
    let labels = |classes: &[i32]| {
        let labels: Vec<i32> = classes.iter().flat_map(|class| [i32::from(*class == 1), i32::from(*class == 2)]).collect();
        ints(&labels).reshape([classes.len(), 2])
    };
    let of_labels = Multilabel::from_probabilities(&labels(&predicted).float(), &labels(&right))?;
    module.log(format!("{stage}_mcc"), of_labels.confusion().mcc()).on_step(false).on_epoch(true);

    // An image with a box for each item.
    let corners: Vec<f32> = (0..right.len()).flat_map(|item| [10.0 * item as f32, 0.0, 10.0 * item as f32 + 5.0, 5.0]).collect();
    let boxes = Tensor::<1>::from_floats(corners.as_slice(), &device).reshape([right.len(), 4]);
    let image = (Found::new(&boxes, scores, &ints(&predicted))?, Objects::new(&boxes, &ints(&right))?);
    module.log(format!("{stage}_map"), detection([image], 3)?.map()).on_step(false).on_epoch(true);
    Ok(())
}
