//! The meaning of the scores of a batch.

use std::sync::Arc;

use burn::tensor::{Int, Tensor, activation};
use stormfire_values::{ConfigError, read::without_halves};

use super::{
    accuracy::is_among_first,
    cells::{int_dtype, plain_targets},
};

/// The kind of a classification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Task {
    /// Yes or no.
    Binary,
    /// One of several classes.
    Multiclass,
    /// Several labels, each yes or no.
    Multilabel,
}

/// The scores of a batch.
#[derive(Clone, Debug)]
pub(crate) enum Scores<const D: usize> {
    Logits(Tensor<D>),
    Probabilities(Tensor<D>),
}

impl<const D: usize> Scores<D> {
    pub(crate) fn raw(&self) -> Tensor<D> {
        match self {
            Scores::Logits(scores) | Scores::Probabilities(scores) => scores.clone(),
        }
    }

    /// Probabilities of independent labels.
    pub(crate) fn sigmoid(&self) -> Tensor<D> {
        match self {
            Scores::Logits(scores) => activation::sigmoid(scores.clone()),
            Scores::Probabilities(scores) => scores.clone(),
        }
    }

    /// Probabilities of classes that exclude each other.
    pub(crate) fn softmax(&self, dim: usize) -> Tensor<D> {
        match self {
            Scores::Logits(scores) => activation::softmax(scores.clone(), dim),
            Scores::Probabilities(scores) => scores.clone(),
        }
    }
}

/// Off the tape. Half floats become `f32`.
pub(crate) fn plain<const D: usize>(scores: &Tensor<D>) -> Tensor<D> {
    without_halves(scores.clone().inner())
}

pub(crate) fn refuse(what: &str, reason: String, hint: impl Into<String>) -> ConfigError {
    ConfigError::new(what, reason, hint)
}

fn same_shape<const A: usize, const B: usize>(what: &str, scores: [usize; A], targets: [usize; B]) -> Result<(), ConfigError> {
    if scores.as_slice() == targets.as_slice() {
        return Ok(());
    }
    let hint = "give one target for each score, in the same shape";
    Err(refuse(what, format!("the scores have shape {scores:?}, the targets {targets:?}"), hint))
}

/// The names of classes or labels.
pub(crate) type Names = Arc<[String]>;

/// Scores of "yes" and what was right, for a batch of any shape. The metrics of binary classification are made from it.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use stormfire_metrics::{Metric, classification::Binary};
///
/// let device = Device::flex();
/// let logits = Tensor::<1>::from_floats([2.0, -1.0, 0.5, -3.0], &device);
/// let targets = Tensor::from_ints([1, 0, 0, 1], &device);
/// let counts = Binary::from_logits(&logits, &targets)?.counts();
/// assert_eq!(counts.precision().read()?, 0.5);
/// assert_eq!(counts.f1().read()?, 0.5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Binary {
    pub(crate) scores: Scores<1>,
    pub(crate) targets: Tensor<1, Int>,
    pub(crate) threshold: f64,
    pub(crate) ignore_index: Option<i64>,
}

impl Binary {
    /// From logits: their sigmoid is the probability. Targets are 0 or 1.
    ///
    /// # Errors
    /// The shapes differ.
    pub fn from_logits<const D: usize>(logits: &Tensor<D>, targets: &Tensor<D, Int>) -> Result<Self, ConfigError> {
        Self::new("Binary::from_logits", Scores::Logits(plain(logits).flatten(0, D - 1)), logits.dims(), targets)
    }

    /// From probabilities in `0..=1`.
    ///
    /// # Errors
    /// The shapes differ.
    pub fn from_probabilities<const D: usize>(probabilities: &Tensor<D>, targets: &Tensor<D, Int>) -> Result<Self, ConfigError> {
        let scores = Scores::Probabilities(plain(probabilities).flatten(0, D - 1));
        Self::new("Binary::from_probabilities", scores, probabilities.dims(), targets)
    }

    fn new<const D: usize>(what: &str, scores: Scores<1>, dims: [usize; D], targets: &Tensor<D, Int>) -> Result<Self, ConfigError> {
        same_shape(what, dims, targets.dims())?;
        Ok(Self { scores, targets: plain_targets(targets).flatten(0, D - 1), threshold: 0.5, ignore_index: None })
    }

    /// A probability above it means yes. Default 0.5.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Items with this target do not count. Default: all count.
    pub fn ignore_index(mut self, index: i64) -> Self {
        self.ignore_index = Some(index);
        self
    }
}

/// Scores of classes that exclude each other, and the right class. The metrics of multiclass classification are made
/// from it.
///
/// ```
/// use burn::tensor::{Device, Int, Tensor};
/// use stormfire_metrics::{Metric, classification::{Average, Multiclass}};
///
/// let device = Device::flex();
/// let logits = Tensor::<2>::from_floats([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]], &device);
/// let targets = Tensor::<1, Int>::from_ints([1, 0, 0], &device);
/// let counts = Multiclass::from_logits(&logits, &targets)?.counts();
/// assert_eq!(counts.precision().average(Average::Macro).read()?, 0.75);
/// assert_eq!(counts.recall().per_class().read()?.get("class_0"), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Multiclass {
    pub(crate) scores: Scores<2>,
    pub(crate) targets: Tensor<1, Int>,
    pub(crate) top_k: usize,
    pub(crate) ignore_index: Option<i64>,
    pub(crate) names: Names,
}

impl Multiclass {
    /// From logits of shape `[items, classes, ..]` and targets of shape `[items, ..]` with class indices. Probabilities
    /// are the softmax over the classes.
    ///
    /// # Errors
    /// The shapes do not fit together, or have no classes.
    pub fn from_logits<const D: usize, const T: usize>(logits: &Tensor<D>, targets: &Tensor<T, Int>) -> Result<Self, ConfigError> {
        Self::new("Multiclass::from_logits", logits, targets, Scores::Logits)
    }

    /// As [`from_logits`](Self::from_logits), from probabilities in `0..=1`.
    ///
    /// # Errors
    /// The shapes do not fit together, or have no classes.
    pub fn from_probabilities<const D: usize, const T: usize>(
        probabilities: &Tensor<D>,
        targets: &Tensor<T, Int>,
    ) -> Result<Self, ConfigError> {
        Self::new("Multiclass::from_probabilities", probabilities, targets, Scores::Probabilities)
    }

    fn new<const D: usize, const T: usize>(
        what: &str,
        scores: &Tensor<D>,
        targets: &Tensor<T, Int>,
        kind: fn(Tensor<2>) -> Scores<2>,
    ) -> Result<Self, ConfigError> {
        let (dims, of_targets) = (scores.dims(), targets.dims());
        let expected: Vec<usize> = dims.iter().enumerate().filter(|(dim, _)| *dim != 1).map(|(_, size)| *size).collect();
        let classes = dims.get(1).copied().unwrap_or(0);
        if classes == 0 || expected.as_slice() != of_targets.as_slice() {
            let reason = format!("the scores have shape {dims:?}, the targets {of_targets:?}");
            let hint = "scores need the shape `[items, classes, ..]`, and targets `[items, ..]`";
            return Err(refuse(what, reason, hint));
        }
        let items: usize = expected.iter().product();
        let scores = if D > 2 { plain(scores).movedim(1, D as i32 - 1) } else { plain(scores) };
        let names = (0..classes).map(|class| format!("class_{class}")).collect();
        let targets = plain_targets(targets).reshape([items]);
        Ok(Self { scores: kind(scores.reshape([items, classes])), targets, top_k: 1, ignore_index: None, names })
    }

    /// A prediction is right if the target is among the `k` largest scores. Then it counts as the target, otherwise as
    /// the class with the largest score, as in torchmetrics since 1.6. If scores are equal, the lower class comes
    /// first. Default 1.
    ///
    /// # Errors
    /// `k` is 0, or larger than the number of classes.
    pub fn top_k(mut self, k: usize) -> Result<Self, ConfigError> {
        if k == 0 || k > self.names.len() {
            let hint = "use at least 1, and at most the number of classes";
            return Err(refuse("Multiclass::top_k", format!("{k} of {} classes", self.names.len()), hint));
        }
        self.top_k = k;
        Ok(self)
    }

    /// Items with this target do not count. Default: all count.
    pub fn ignore_index(mut self, index: i64) -> Self {
        self.ignore_index = Some(index);
        self
    }

    /// The names of the classes, for results of each class. Default `class_0` and so on.
    ///
    /// # Errors
    /// There are not as many names as classes.
    pub fn names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, ConfigError> {
        self.names = checked_names("Multiclass::names", names, self.names.len())?;
        Ok(self)
    }

    pub(crate) fn classes(&self) -> usize {
        self.names.len()
    }

    /// The predicted class of each item.
    pub(crate) fn predicted(&self) -> Tensor<1, Int> {
        let scores = self.scores.raw();
        let [items, _] = scores.dims();
        let best = scores.clone().argmax(1).reshape([items]).cast(int_dtype(&self.targets));
        if self.top_k == 1 {
            return best;
        }
        let targets = self.targets.clone().clamp(0, self.classes() as i64 - 1);
        let is_hit = is_among_first(scores, targets.clone(), self.top_k);
        best.mask_where(is_hit, targets)
    }
}

/// Scores of several labels, each yes or no, and what was right. The metrics of multilabel classification are made from
/// it.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use stormfire_metrics::{Metric, classification::Multilabel};
///
/// let device = Device::flex();
/// let logits = Tensor::<2>::from_floats([[2.0, -1.0], [0.5, 3.0]], &device);
/// let targets = Tensor::from_ints([[1, 0], [0, 1]], &device);
/// let labels = Multilabel::from_logits(&logits, &targets)?.names(["red", "round"])?;
/// assert_eq!(labels.counts().precision().per_class().read()?.get("red"), Some(0.5));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Multilabel {
    pub(crate) scores: Scores<2>,
    pub(crate) targets: Tensor<2, Int>,
    pub(crate) threshold: f64,
    pub(crate) ignore_index: Option<i64>,
    pub(crate) names: Names,
}

impl Multilabel {
    /// From logits of shape `[items, labels]`: their sigmoid is the probability. Targets have the same shape, and are 0
    /// or 1.
    ///
    /// # Errors
    /// The shapes differ, or have no labels.
    pub fn from_logits(logits: &Tensor<2>, targets: &Tensor<2, Int>) -> Result<Self, ConfigError> {
        Self::new("Multilabel::from_logits", Scores::Logits(plain(logits)), targets)
    }

    /// From probabilities in `0..=1`.
    ///
    /// # Errors
    /// The shapes differ, or have no labels.
    pub fn from_probabilities(probabilities: &Tensor<2>, targets: &Tensor<2, Int>) -> Result<Self, ConfigError> {
        Self::new("Multilabel::from_probabilities", Scores::Probabilities(plain(probabilities)), targets)
    }

    fn new(what: &str, scores: Scores<2>, targets: &Tensor<2, Int>) -> Result<Self, ConfigError> {
        let dims @ [_, labels] = scores.raw().dims();
        same_shape(what, dims, targets.dims())?;
        if labels == 0 {
            return Err(refuse(what, "there are no labels".into(), "scores need the shape `[items, labels]`"));
        }
        let names = (0..labels).map(|label| format!("label_{label}")).collect();
        Ok(Self { scores, targets: plain_targets(targets), threshold: 0.5, ignore_index: None, names })
    }

    /// A probability above it means yes. Default 0.5.
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Labels of items with this target do not count. Default: all count.
    pub fn ignore_index(mut self, index: i64) -> Self {
        self.ignore_index = Some(index);
        self
    }

    /// The names of the labels, for results of each label. Default `label_0` and so on.
    ///
    /// # Errors
    /// There are not as many names as labels.
    pub fn names(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, ConfigError> {
        self.names = checked_names("Multilabel::names", names, self.names.len())?;
        Ok(self)
    }
}

fn checked_names(what: &str, names: impl IntoIterator<Item = impl Into<String>>, count: usize) -> Result<Names, ConfigError> {
    let names: Names = names.into_iter().map(Into::into).collect();
    if names.len() == count {
        return Ok(names);
    }
    Err(refuse(what, format!("{} names for {count} classes", names.len()), "give one name for each, in the order of the scores"))
}
