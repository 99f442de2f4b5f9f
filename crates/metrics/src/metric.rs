//! Metrics are values that can be merged: [`Merge`] joins batches, ranks and loaders, [`Metric`] says what they mean.

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

use stormfire_values::{
    ReadError,
    read::{OnHost, Part, Reading, read_parts},
};

use crate::{
    computed::{Computed, Outline},
    merge::{Merge, MergeError},
};

/// A quantity over many batches, as a value that can be merged with another part.
///
/// A step creates one from its batch and logs it. The framework merges the values of an epoch and computes the result
/// at its end. The state stays on the device until then: making and merging a metric reads nothing.
///
/// The state is a struct whose fields say how they merge ([`Merge`]). [`Metric::compute`] makes the result of it, on
/// the host.
///
/// ```
/// use burn::tensor::{Bool, Tensor};
/// use stormfire_metrics::{Merge, Metric};
/// use stormfire_values::Scalar;
///
/// /// The F1 score of two classes.
/// #[derive(Clone, Debug, stormfire_derive::Merge)]
/// #[merge(crate = stormfire_metrics)]
/// struct F1 {
///     #[merge(sum)] hits: Scalar,
///     #[merge(sum)] predicted: Scalar,
///     #[merge(sum)] actual: Scalar,
/// }
///
/// impl F1 {
///     fn new(predicted: Tensor<1, Bool>, actual: Tensor<1, Bool>) -> Self {
///         let count = |items: Tensor<1, Bool>| items.int().sum().into();
///         Self { hits: count(predicted.clone().bool_and(actual.clone())), predicted: count(predicted), actual: count(actual) }
///     }
/// }
///
/// impl Metric for F1 {
///     type Value = f64;
///     fn compute(&self) -> f64 {
///         2.0 * self.hits.value() / (self.predicted.value() + self.actual.value())
///     }
/// }
///
/// # use burn::tensor::Device;
/// # let yes_if = |items: [i32; 3]| Tensor::<1, burn::tensor::Int>::from_ints(items, &Device::flex()).equal_elem(1);
/// let mut f1 = F1::new(yes_if([1, 1, 0]), yes_if([1, 0, 0]));
/// f1.merge(&F1::new(yes_if([1, 0, 0]), yes_if([1, 1, 0])))?;
/// assert!((f1.read()? - 2.0 / 3.0).abs() < 1e-6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Metric`",
    label = "no result can be computed from values of this type",
    note = "use a metric such as `accuracy` or `Mean`, or derive `Merge` and implement `Metric::compute`"
)]
pub trait Metric: Merge {
    /// The result: `f64`, [`Named`](crate::Named) numbers, or a [`Picture`](crate::Picture).
    type Value: Into<Computed>;

    /// The result. [`Metric::read`] and the log call it on a copy whose state is on the host.
    fn compute(&self) -> Self::Value;

    /// The form of the result of [`Metric::compute`]. Default: one number. For named numbers, give their names here.
    fn outline(&self) -> Outline {
        Outline::One
    }

    /// Reads the state from the device, once, and computes the result.
    ///
    /// # Errors
    /// [`ReadError`] if the device fails.
    fn read(&self) -> Result<Self::Value, ReadError> {
        let mut parts = Vec::new();
        self.save(&mut parts);
        if parts.iter().all(Part::is_on_host) {
            return Ok(self.compute());
        }
        let read = read_parts(&parts)?;
        let lost = || ReadError { count: parts.len(), reason: "the state does not load what it has saved".into() };
        Ok(self.load(&mut read.into_iter()).ok_or_else(lost)?.compute())
    }
}

/// A [`Metric`] of any type.
pub trait AnyMetric: Send + Sync + fmt::Debug {
    /// As [`Merge::merge`]. A metric of another type is an error, too.
    ///
    /// # Errors
    /// [`MergeError`].
    fn merge_any(&mut self, other: &dyn AnyMetric) -> Result<(), MergeError>;
    /// As [`Merge::save`].
    fn parts_any(&self) -> Vec<Part>;
    /// As [`Merge::load`]. All parts have to be used.
    fn with_parts_any(&self, parts: &[Part]) -> Option<Box<dyn AnyMetric>>;
    /// As [`Metric::compute`].
    fn compute_any(&self) -> Computed;
    /// As [`Metric::outline`].
    fn outline_any(&self) -> Outline;
    /// A boxed copy.
    fn clone_any(&self) -> Box<dyn AnyMetric>;
    /// For the type test in `merge_any`.
    fn as_any(&self) -> &dyn Any;
}

impl<M: Metric> AnyMetric for M {
    fn merge_any(&mut self, other: &dyn AnyMetric) -> Result<(), MergeError> {
        match other.as_any().downcast_ref::<M>() {
            Some(other) => self.merge(other),
            None => Err(MergeError::new("type", "is another one: two kinds of metrics have one name")),
        }
    }
    fn parts_any(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        self.save(&mut parts);
        parts
    }
    fn with_parts_any(&self, parts: &[Part]) -> Option<Box<dyn AnyMetric>> {
        let mut parts = parts.iter().cloned();
        let metric = self.load(&mut parts)?;
        parts.next().is_none().then(|| Box::new(metric) as Box<dyn AnyMetric>)
    }
    fn compute_any(&self) -> Computed {
        self.compute().into()
    }
    fn outline_any(&self) -> Outline {
        self.outline()
    }
    fn clone_any(&self) -> Box<dyn AnyMetric> {
        Box::new(self.clone())
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Clone for Box<dyn AnyMetric> {
    fn clone(&self) -> Self {
        self.as_ref().clone_any()
    }
}

/// A result that will be computed when the state has been read.
#[derive(Clone, Debug)]
pub struct Pending {
    metric: Arc<dyn AnyMetric>,
    parts: Arc<[Part]>,
    computed: Arc<OnceLock<Computed>>,
}

impl Pending {
    /// The result of a metric as it is now. Reads nothing.
    pub fn of(metric: &dyn AnyMetric) -> Self {
        Self { parts: metric.parts_any().into(), metric: metric.clone_any().into(), computed: Arc::default() }
    }

    /// The state that is read.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The result from the parts on the host.
    pub fn compute(&self, on_host: &[Part]) -> Computed {
        let nothing = || {
            tracing::error!("the state of a metric has another form than the metric, so its value becomes NaN");
            Computed::One(f64::NAN)
        };
        let compute = || self.metric.with_parts_any(on_host).map_or_else(nothing, |metric| metric.compute_any());
        self.computed.get_or_init(compute).clone()
    }

    /// Reads the state now.
    ///
    /// # Errors
    /// [`ReadError`] if the device fails.
    pub fn read(&self) -> Result<Computed, ReadError> {
        Ok(self.compute(&read_parts(&self.parts)?))
    }

    /// The numbers of the result, each with its name below that of the metric. They share one read. A picture has none.
    pub fn readings(&self) -> Vec<(Option<String>, Reading)> {
        let names = match self.metric.outline_any() {
            Outline::One => vec![None],
            Outline::Named(names) => names.into_iter().map(Some).collect(),
            Outline::Picture => Vec::new(),
        };
        let reading = |index: usize| {
            let this = self.clone();
            Reading::computed(&self.parts, OnHost::new(move |parts| this.compute(parts).number(index)))
        };
        names.into_iter().enumerate().map(|(index, name)| (name, reading(index))).collect()
    }
}
