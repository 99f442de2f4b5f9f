//! Regions of images: mean IoU and Dice of single images.

use burn::tensor::{Int, Tensor};
use stormfire_derive::Merge;
use stormfire_values::{ConfigError, read::Array};

use crate::{
    classification::{count, int_dtype, plain_targets},
    computed::{Named, Outline},
    metric::Metric,
    rows::Rows,
};

/// Pixels of each class of each image: predicted, right, and both. See [`segmentation`].
///
/// Three numbers are kept for each image and class. For the IoU of all pixels of a data set together, see
/// [`Counts::jaccard`](crate::classification::Counts::jaccard), which has other values.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Segmentation {
    /// `[images, classes * 3]`: right and predicted, predicted, right.
    #[merge(cat)]
    pixels: Rows,
    /// Pixels outside of the classes.
    #[merge(sum)]
    invalid: Array,
    #[merge(same)]
    classes: usize,
    #[merge(same)]
    with_background: bool,
}

/// Counts the pixels of predicted and right classes, of shape `[images, ..]`, for scores of each image. Class 0 is the
/// background.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use stormfire_metrics::{Metric, image::segmentation};
///
/// let image = |classes: [[i32; 2]; 2]| Tensor::<2, Int>::from_ints(classes, &Device::flex()).reshape([1, 2, 2]);
/// let pixels = segmentation(&image([[0, 1], [1, 1]]), &image([[0, 0], [1, 1]]), 2)?;
/// let iou = pixels.mean_iou().read()?;
/// assert!((iou - (0.5 + 2.0 / 3.0) / 2.0).abs() < 1e-9);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The shapes differ, or `classes` is 0.
pub fn segmentation<const D: usize>(
    predictions: &Tensor<D, Int>,
    targets: &Tensor<D, Int>,
    classes: usize,
) -> Result<Segmentation, ConfigError> {
    let dims = predictions.dims();
    if dims != targets.dims() || classes == 0 {
        let reason = format!("the predictions have shape {dims:?}, the targets {:?}, for {classes} classes", targets.dims());
        return Err(ConfigError::new("segmentation", reason, "give class indices of one shape `[images, ..]`, and the number of classes"));
    }
    let images = dims.first().copied().unwrap_or(0);
    let size = dims.iter().skip(1).product::<usize>();
    let total = images * size;
    let flat = |tensor: &Tensor<D, Int>| plain_targets(tensor).reshape([total]);
    let (p, t) = (flat(predictions), flat(targets));
    let dtype = int_dtype(&t);
    let p = p.cast(dtype);
    let image = Tensor::<1, Int>::arange(0..images as i64, &t.device()).cast(dtype).reshape([images, 1]);
    let image = (t.zeros_like().reshape([images, size]) + image).reshape([total]);
    let is_outside = |classes_of: Tensor<1, Int>| classes_of.clone().lower_elem(0).bool_or(classes_of.greater_equal_elem(classes as i64));
    let outside = [&p, &t].map(|classes_of| is_outside(classes_of.clone()));
    let width = 3 * classes as i64;
    // Pixels that are not both go to a cell after all others, and those outside of the classes to one more.
    let end = images as i64 * width;
    let cell = |classes_of: Tensor<1, Int>, kind: i64| image.clone() * width + classes_of * 3 + kind;
    let both = cell(t.clone(), 0).mask_fill(p.clone().not_equal(t.clone()), end).mask_fill(outside[1].clone(), end);
    let [predicted, right] = [(p, 1, &outside[0]), (t, 2, &outside[1])]
        .map(|(classes_of, kind, outside)| cell(classes_of, kind).mask_fill(outside.clone(), end + 1));
    let counts = count(Tensor::cat(vec![both, predicted, right], 0), end as usize + 2);
    let (pixels, invalid) = counts.split_at(end as usize).unwrap_or_else(|| (counts.clone(), Array::row(vec![0.0; 2])));
    Ok(Segmentation { pixels: Rows::new(pixels.reshaped(vec![images, 3 * classes])), invalid, classes, with_background: true })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Iou,
    Dice,
}

impl Segmentation {
    /// Leaves class 0 out.
    pub fn without_background(mut self) -> Self {
        self.with_background = false;
        self
    }

    /// The mean intersection over union: of all classes of all images together, as torchmetrics' `MeanIoU`. A class
    /// that is in no pixel of an image does not count there.
    pub fn mean_iou(&self) -> SegmentationScore {
        SegmentationScore { pixels: self.clone(), kind: Kind::Iou }
    }

    /// The mean Dice score, `2·both / (predicted + right)`: the mean over the classes of an image, then over images, as
    /// torchmetrics' `DiceScore` with `average="macro"` and `aggregation_level="samplewise"`. A class that is in no
    /// pixel of an image does not count there.
    pub fn mean_dice(&self) -> SegmentationScore {
        SegmentationScore { pixels: self.clone(), kind: Kind::Dice }
    }
}

/// A score of regions. NaN without any class. See [`Segmentation`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct SegmentationScore {
    pixels: Segmentation,
    #[merge(same)]
    kind: Kind,
}

impl SegmentationScore {
    /// A number for each class: the mean over the images in which it occurs. NaN for a class that occurs in none.
    pub fn per_class(self) -> SegmentationPerClass {
        SegmentationPerClass(self)
    }

    /// The score of each class of each image. NaN for a class that is in no pixel of the image, and for all classes if
    /// pixels are outside of them.
    fn of_images(&self) -> Vec<Vec<f64>> {
        let Segmentation { pixels, invalid, classes, with_background } = &self.pixels;
        let outside = invalid.to_vec().last().copied().unwrap_or(0.0);
        if outside > 0.0 {
            tracing::error!("{outside} pixels of a segmentation are outside of 0..{classes}, so its scores are NaN");
            return Vec::new();
        }
        let of_class = |counts: &[f64]| match (self.kind, counts) {
            (Kind::Iou, [both, predicted, right]) => both / (predicted + right - both),
            (Kind::Dice, [both, predicted, right]) => 2.0 * both / (predicted + right),
            _ => f64::NAN,
        };
        let of_image = |image: &[f64]| image.chunks(3).skip(usize::from(!with_background)).map(of_class).collect();
        pixels.to_vec().chunks(3 * classes).map(of_image).collect()
    }

    fn of_classes(&self) -> Vec<f64> {
        let images = self.of_images();
        let classes = self.pixels.classes - usize::from(!self.pixels.with_background);
        (0..classes).map(|class| mean_of_known(images.iter().filter_map(|image| image.get(class).copied()))).collect()
    }
}

/// The mean of the values that are not NaN.
fn mean_of_known(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.filter(|value| !value.is_nan()).fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    sum / count
}

impl Metric for SegmentationScore {
    type Value = f64;

    fn compute(&self) -> f64 {
        let images = self.of_images();
        match self.kind {
            Kind::Iou => mean_of_known(images.into_iter().flatten()),
            Kind::Dice => mean_of_known(images.into_iter().map(|classes| mean_of_known(classes.into_iter()))),
        }
    }
}

/// A score of each class. See [`SegmentationScore::per_class`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct SegmentationPerClass(SegmentationScore);

impl SegmentationPerClass {
    fn names(&self) -> impl Iterator<Item = String> {
        let Segmentation { classes, with_background, .. } = self.0.pixels;
        (usize::from(!with_background)..classes).map(|class| format!("class_{class}"))
    }
}

impl Metric for SegmentationPerClass {
    type Value = Named;

    fn compute(&self) -> Named {
        Named(self.names().zip(self.0.of_classes()).collect())
    }

    fn outline(&self) -> Outline {
        Outline::Named(self.names().collect())
    }
}
