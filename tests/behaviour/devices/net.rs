//! A small classifier with every feature that dividing a batch could change.

use burn::{
    data::dataset::InMemDataset,
    nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
    tensor::activation::relu,
};
use stormfire::{
    metrics::{
        aggregation::Cat,
        classification::{Average, CalibrationNorm, KappaWeights, Multiclass},
        regression::{pearson, r2, spearman},
    },
    prelude::*,
};

use crate::class_metrics::log_class_metrics;

/// Points in the plane, and the class of each point, one of three.
#[derive(Clone, Debug, SplitBatch, CastBatch)]
pub(crate) struct Digits {
    pub(crate) points: Tensor<2>,
    pub(crate) classes: Tensor<1, Int>,
    /// The same value for all items.
    #[split(clone)]
    #[cast(skip)]
    pub(crate) scale: f32,
}

/// The median of all values. It does not depend on their order, which is that of the ranks.
#[derive(Clone, Debug, Merge)]
struct Median(Cat);

impl Metric for Median {
    type Value = f64;

    fn compute(&self) -> f64 {
        let mut all = self.0.compute().0;
        all.sort_unstable_by(f64::total_cmp);
        all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

#[derive(Module, Debug)]
pub(crate) struct Net {
    hidden: Linear,
    norm: Option<BatchNorm>,
    pub(crate) dropout: Dropout,
    output: Linear,
    #[module(skip)]
    gives_sums: bool,
    #[module(skip)]
    has_metrics: bool,
}

impl Net {
    /// The same parameters in every test. burn's random generator is global, so other tests change its state.
    pub(crate) fn new() -> Self {
        let device = Device::flex();
        let linear = |inputs: usize, outputs: usize| {
            let mut linear = LinearConfig::new(inputs, outputs).with_bias(false).init(&device);
            let values = Tensor::<1>::ones([inputs * outputs], &device).cumsum(0);
            linear.weight = burn::module::Param::from_tensor((values * 0.7).sin().reshape([inputs, outputs]));
            linear
        };
        let dropout = DropoutConfig::new(0.0).init();
        Self { hidden: linear(2, 16), norm: None, dropout, output: linear(16, 3), gives_sums: false, has_metrics: false }
    }

    /// The same parameters, with leaves that no other thread uses.
    pub(crate) fn of_its_own(&self) -> Self {
        self.valid()
    }

    pub(crate) fn normalised(mut self) -> Self {
        self.norm = Some(BatchNormConfig::new(16).init(&Device::flex()));
        self
    }

    pub(crate) fn with_dropout(mut self) -> Self {
        self.dropout = DropoutConfig::new(0.3).init();
        self
    }

    /// The loss is a sum over the items, with their number as weight.
    pub(crate) fn of_sums(mut self) -> Self {
        self.gives_sums = true;
        self
    }

    /// Logs metrics with a state of each kind.
    pub(crate) fn with_metrics(mut self) -> Self {
        self.has_metrics = true;
        self
    }

    /// The position of the running mean among the values.
    pub(crate) fn running_mean() -> std::ops::Range<usize> {
        let before = 2 * 16 + 2 * 16;
        before..before + 16
    }

    pub(crate) fn logits(&self, points: Tensor<2>) -> Tensor<2> {
        let hidden = self.hidden.forward(points);
        let hidden = match &self.norm {
            Some(norm) => norm.forward(hidden),
            None => hidden,
        };
        self.output.forward(self.dropout.forward(relu(hidden)))
    }

    fn log_metrics(&self, name: &str, logits: &Tensor<2>, classes: &Tensor<1, Int>) {
        let shares = logits.clone().slice([0..logits.dims()[0], 0..1]);
        let (scores, targets) = (shares.clone().flatten::<1>(0, 1), classes.clone().float());
        self.log(format!("{name}_r2"), r2(&scores, &targets).unwrap()).on_step(false).on_epoch(true);
        self.log(format!("{name}_pearson"), pearson(&scores, &targets).unwrap()).on_step(false).on_epoch(true);
        self.log(format!("{name}_median"), Median(Cat::new(scores.clone()))).on_step(false).on_epoch(true);
        let predicted = logits.clone().argmax(1).flatten::<1>(0, 1);
        log_class_metrics(self, name, [&predicted, classes], &scores).unwrap();
        let classes = Multiclass::from_logits(logits, classes).unwrap();
        let counts = classes.counts();
        self.log(format!("{name}_f1"), counts.f1().average(Average::Macro)).on_step(false).on_epoch(true);
        self.log(format!("{name}_recall"), counts.recall().per_class()).on_step(true).on_epoch(true);
        self.log(format!("{name}_kappa"), classes.confusion().kappa(KappaWeights::None)).on_step(false).on_epoch(true);
        self.log(format!("{name}_auroc"), classes.exact_curves().auroc().per_class()).on_step(false).on_epoch(true);
        self.log(format!("{name}_precision"), classes.curves(20).unwrap().average_precision()).on_step(false).on_epoch(true);
        self.log(format!("{name}_ece"), classes.calibration(15).unwrap().error(CalibrationNorm::L1)).on_step(false).on_epoch(true);
        self.log(format!("{name}_spearman"), spearman(&shares, &shares.clone().sin()).unwrap()).on_step(false).on_epoch(true);
    }

    fn loss(&self, name: &str, batch: Digits) -> Tensor<1> {
        let logits = self.logits(batch.points * batch.scale);
        if self.has_metrics {
            self.log_metrics(name, &logits, &batch.classes);
        }
        self.log(format!("{name}_accuracy"), accuracy(&logits, &batch.classes)).on_step(true).on_epoch(true);
        self.log(format!("{name}_items"), batch.classes.dims()[0]).on_step(true).on_epoch(true).reduce_fx(ReduceFx::Sum);
        self.log(format!("{name}_largest"), logits.clone().max()).on_step(true).on_epoch(true).reduce_fx(ReduceFx::Max);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, batch.classes);
        self.log(format!("{name}_loss"), &loss).on_step(true).on_epoch(true);
        loss
    }
}

impl LightningModule for Net {
    type Batch = Digits;

    fn training_step(&self, batch: Digits, batch_idx: usize) -> Result<StepOutput> {
        assert_eq!(log_of_the_batch(self), batch_idx);
        let items = batch.classes.dims()[0];
        let loss = self.loss("train", batch);
        Ok(if self.gives_sums { StepOutput::from(loss * items as f32).weight(items as f64) } else { loss.into() }.with(items))
    }

    fn validation_step(&self, batch: Digits, _batch_idx: usize) -> Result<StepOutput> {
        let items = batch.classes.dims()[0];
        Ok(StepOutput::from(self.loss("val", batch)).with(items))
    }

    fn test_step(&self, batch: Digits, _batch_idx: usize) -> Result<StepOutput> {
        self.loss("test", batch);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-3).into())
    }
}

/// The number of the batch, from the scope of the step.
fn log_of_the_batch(_net: &Net) -> usize {
    stormfire_module::for_trainer::scope::moment().batch_idx
}

impl PredictModule for Net {
    type Prediction = Vec<f32>;

    fn predict_step(&self, batch: Digits, _batch_idx: usize) -> Result<Vec<f32>> {
        Ok(self.logits(batch.points).max_dim(1).into_data().iter::<f32>().collect())
    }
}

/// One batch.
pub(crate) fn batch() -> Digits {
    let mut batches = digits(4, 4).batches(stormfire::data::Position::default(), &Device::flex()).unwrap();
    batches.next().unwrap().unwrap().value
}

/// `items` points in order, in batches.
pub(crate) fn digits(items: usize, batch_size: usize) -> Loader<Digits> {
    Loader::collate(InMemDataset::new((0..items).collect()), of_items).batch_size(batch_size)
}

/// The points with these numbers.
#[expect(clippy::needless_pass_by_value, reason = "the signature of a collate")]
pub(crate) fn of_items(items: Vec<usize>, device: &Device) -> Digits {
    let numbers: Vec<f32> = items.iter().map(|&item| item as f32).collect();
    let numbers = Tensor::<1>::from_floats(numbers.as_slice(), device);
    let points = Tensor::stack(vec![(numbers.clone() * 0.9).sin(), (numbers * 1.7).cos()], 1);
    let classes: Vec<u8> = items.iter().map(|&item| [0, 1, 2][item * 7 % 3]).collect();
    Digits { points, classes: Tensor::from_data(classes.as_slice(), device), scale: 2.0 }
}
