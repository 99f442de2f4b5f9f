//! Objects in images: the mean average precision of boxes, as COCO computes it.

mod coco;

use std::sync::Arc;

use burn::tensor::{DType, FloatDType, Int, Tensor};
use stormfire_derive::Merge;
use stormfire_values::{ConfigError, read::Array};

use self::coco::{Evaluation, SUMMARY};
use crate::{
    computed::{Named, Outline},
    metric::Metric,
    rows::Rows,
};

/// The numbers of a row of [`Found`]: four corners, score, class.
const FOUND: usize = 6;
/// The numbers of a row of [`Objects`]: four corners, class, whether it is a crowd, and its area or -1.
const OBJECTS: usize = 7;

/// The boxes that a model has found in an image.
#[derive(Clone, Debug)]
pub struct Found(Array);

/// The boxes that are in an image.
#[derive(Clone, Debug)]
pub struct Objects {
    boxes: Tensor<2>,
    classes: Tensor<1, Int>,
    crowd: Option<Tensor<1, Int>>,
    areas: Option<Tensor<1>>,
}

impl Found {
    /// The boxes of an image, `[boxes, 4]` with left, top, right, bottom; the score and the class of each.
    ///
    /// # Errors
    /// The shapes do not fit together.
    pub fn new(boxes: &Tensor<2>, scores: &Tensor<1>, classes: &Tensor<1, Int>) -> Result<Self, ConfigError> {
        let [count] = scores.dims();
        fit("Found::new", boxes, &[("scores", count), ("classes", classes.dims()[0])])?;
        let columns = vec![single(boxes.clone()), column(single(scores.clone())), column(of_ints(classes))];
        Ok(Self(rows(columns, count, FOUND)))
    }
}

impl Objects {
    /// The boxes of an image, `[boxes, 4]` with left, top, right, bottom, and the class of each.
    ///
    /// # Errors
    /// The shapes do not fit together.
    pub fn new(boxes: &Tensor<2>, classes: &Tensor<1, Int>) -> Result<Self, ConfigError> {
        fit("Objects::new", boxes, &[("classes", classes.dims()[0])])?;
        Ok(Self { boxes: boxes.clone(), classes: classes.clone(), crowd: None, areas: None })
    }

    /// 1 for a box around many objects, COCO's `iscrowd`: finding it is neither right nor wrong.
    ///
    /// # Errors
    /// Another number of boxes.
    pub fn crowd(self, is_crowd: &Tensor<1, Int>) -> Result<Self, ConfigError> {
        fit("Objects::crowd", &self.boxes, &[("flags", is_crowd.dims()[0])])?;
        Ok(Self { crowd: Some(is_crowd.clone()), ..self })
    }

    /// The areas that decide whether objects are small, medium or large. Default: those of the boxes.
    ///
    /// # Errors
    /// Another number of boxes.
    pub fn areas(self, areas: &Tensor<1>) -> Result<Self, ConfigError> {
        fit("Objects::areas", &self.boxes, &[("areas", areas.dims()[0])])?;
        Ok(Self { areas: Some(areas.clone()), ..self })
    }

    fn rows(self) -> Array {
        let Self { boxes, classes, crowd, areas } = self;
        let classes = of_ints(&classes);
        let crowd = crowd.map_or_else(|| classes.zeros_like(), |crowd| of_ints(&crowd));
        let areas = areas.map_or_else(|| classes.full_like(-1.0), single);
        let [count] = classes.dims();
        rows(vec![single(boxes), column(classes), column(crowd), column(areas)], count, OBJECTS)
    }
}

fn fit(what: &str, boxes: &Tensor<2>, others: &[(&str, usize)]) -> Result<(), ConfigError> {
    let [count, numbers] = boxes.dims();
    // Without boxes, there may be no column, either.
    if numbers == 4 || count == 0 {
        let Some((name, other)) = others.iter().find(|(_, other)| *other != count) else { return Ok(()) };
        return Err(ConfigError::new(what, format!("there are {count} boxes and {other} {name}"), "give one for each box"));
    }
    let reason = format!("the boxes have the shape {:?}", boxes.dims());
    Err(ConfigError::new(what, reason, "give `[boxes, 4]` with left, top, right and bottom"))
}

fn single<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
    tensor.inner().cast(DType::F32)
}

fn of_ints(ints: &Tensor<1, Int>) -> Tensor<1> {
    // Not by the default type of the device, in which large numbers may be rounded.
    ints.clone().inner().cast(FloatDType::F32)
}

fn column(values: Tensor<1>) -> Tensor<2> {
    let [count] = values.dims();
    values.reshape([count, 1])
}

/// Some backends have no empty tensors.
fn rows(columns: Vec<Tensor<2>>, count: usize, width: usize) -> Array {
    if count == 0 { no_rows(width) } else { Tensor::cat(columns, 1).into() }
}

fn no_rows(width: usize) -> Array {
    Array::row(Vec::new()).reshaped(vec![0, width])
}

/// The boxes in images, found and right: see [`detection`]. All of them are kept.
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct Detection {
    /// `[boxes, 6]`.
    #[merge(cat)]
    found: Rows,
    /// `[boxes, 7]`.
    #[merge(cat)]
    objects: Rows,
    /// `[images, 2]`: how many rows of both belong to each image.
    #[merge(cat)]
    images: Rows,
    #[merge(same)]
    names: Arc<[String]>,
}

/// Compares the boxes that were found in images with those that are there, for classes `0..classes`. `COCO`'s numbers
/// are computed of all images together.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use stormfire_metrics::{Metric, detection::{Found, Objects, detection}};
///
/// let device = Device::flex();
/// let boxes = |corners: [[f32; 4]; 2]| Tensor::<2>::from_floats(corners, &device);
/// let classes = Tensor::<1, Int>::from_ints([0, 1], &device);
/// let scores = Tensor::<1>::from_floats([0.9, 0.8], &device);
/// let found = Found::new(&boxes([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 8.0]]), &scores, &classes)?;
/// let objects = Objects::new(&boxes([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]]), &classes)?;
/// let boxes = detection([(found, objects)], 2)?;
/// // The second box has an IoU of 0.8: it counts for 7 of the 10 thresholds.
/// assert!((boxes.map().read()? - (1.0 + 0.7) / 2.0).abs() < 1e-6);
/// let map_50 = boxes.summary().read()?.get("map_50").ok_or("no `map_50`")?;
/// assert!((map_50 - 1.0).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `classes` is 0.
pub fn detection(images: impl IntoIterator<Item = (Found, Objects)>, classes: usize) -> Result<Detection, ConfigError> {
    if classes == 0 {
        return Err(ConfigError::new("detection", "there are no classes", "give their number"));
    }
    let (mut counts, mut found, mut objects) = (Vec::new(), vec![no_rows(FOUND)], vec![no_rows(OBJECTS)]);
    for (Found(in_image), truth) in images {
        let truth = truth.rows();
        counts.extend([&in_image, &truth].map(|rows| rows.dims().first().copied().unwrap_or(0) as f64));
        found.push(in_image);
        objects.push(truth);
    }
    let images = counts.len() / 2;
    Ok(Detection {
        found: Rows::new(joined(&found)),
        objects: Rows::new(joined(&objects)),
        images: Rows::new(Array::row(counts).reshaped(vec![images, 2])),
        names: (0..classes).map(|class| format!("class_{class}")).collect(),
    })
}

/// The rows of all images. The first one has none.
fn joined(rows: &[Array]) -> Array {
    let filled: Vec<Array> = rows.iter().filter(|rows| !rows.is_empty()).cloned().collect();
    Array::concatenated(&filled).or_else(|| rows.first().cloned()).unwrap_or_else(|| Array::row(Vec::new()))
}

impl Detection {
    /// Names the classes, in their order.
    ///
    /// # Errors
    /// Another number of classes.
    pub fn names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, ConfigError> {
        let names: Arc<[String]> = names.into_iter().map(Into::into).collect();
        if names.len() != self.names.len() {
            let reason = format!("{} names for {} classes", names.len(), self.names.len());
            return Err(ConfigError::new("Detection::names", reason, "give one name for each class"));
        }
        self.names = names;
        Ok(self)
    }

    /// The mean average precision: the mean over the classes that occur, and over the IoU thresholds 0.5, 0.55, ..
    /// 0.95.
    pub fn map(&self) -> MeanAveragePrecision {
        MeanAveragePrecision(self.clone())
    }

    /// The twelve numbers of COCO, with the names of torchmetrics: `map`, `map_50`, `map_75`, `map_small`,
    /// `map_medium`, `map_large`, `mar_1`, `mar_10`, `mar_100`, `mar_small`, `mar_medium`, `mar_large`. NaN where no
    /// object is.
    pub fn summary(&self) -> DetectionSummary {
        DetectionSummary(self.clone())
    }

    /// The mean average precision of each class. NaN for a class that does not occur.
    pub fn per_class(&self) -> DetectionPerClass {
        DetectionPerClass(self.clone())
    }

    /// `None` if a number is NaN, or a class is not one.
    fn evaluation(&self) -> Option<Evaluation> {
        let evaluation = Evaluation::of(&self.found.to_vec(), &self.objects.to_vec(), &self.images.to_vec(), self.names.len());
        if evaluation.is_none() {
            tracing::error!("a box is NaN or has a class outside of 0..{}, so the scores of detection are NaN", self.names.len());
        }
        evaluation
    }
}

/// See [`Detection::map`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct MeanAveragePrecision(Detection);

impl Metric for MeanAveragePrecision {
    type Value = f64;

    fn compute(&self) -> f64 {
        self.0.evaluation().map_or(f64::NAN, |evaluation| evaluation.summary()[0])
    }
}

/// See [`Detection::summary`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct DetectionSummary(Detection);

impl Metric for DetectionSummary {
    type Value = Named;

    fn compute(&self) -> Named {
        let values = self.0.evaluation().map_or([f64::NAN; SUMMARY.len()], |evaluation| evaluation.summary());
        Named(SUMMARY.map(String::from).into_iter().zip(values).collect())
    }

    fn outline(&self) -> Outline {
        Outline::Named(SUMMARY.map(String::from).into())
    }
}

/// See [`Detection::per_class`].
#[derive(Clone, Debug, Merge)]
#[merge(crate = crate)]
pub struct DetectionPerClass(Detection);

impl Metric for DetectionPerClass {
    type Value = Named;

    fn compute(&self) -> Named {
        let classes = self.0.names.len();
        let values = self.0.evaluation().map_or_else(|| vec![f64::NAN; classes], |evaluation| evaluation.of_classes());
        Named(self.0.names.iter().cloned().zip(values).collect())
    }

    fn outline(&self) -> Outline {
        Outline::Named(self.0.names.to_vec())
    }
}
