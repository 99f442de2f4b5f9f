//! A net that logs in every possible way.

use std::cell::Cell;

use burn::{
    nn::{
        BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    prelude::*,
    tensor::{Distribution, activation::relu},
};
use stormfire::{
    metrics::{
        aggregation::{Cat, Mean, Running},
        classification::Binary,
        regression::{pearson, r2, spearman},
    },
    module::Hook,
    prelude::*,
    values::Scalar,
};

use super::plan::{Algorithm, Learning, Weighs};
use crate::{class_metrics::log_class_metrics, support::Batch};

#[derive(Module, Debug)]
pub(crate) struct Net {
    hidden: Linear,
    norm: Option<BatchNorm>,
    dropout: Dropout,
    output: Linear,
    #[module(skip)]
    learning: Learning,
}

/// The root mean squared error.
#[derive(Clone, Debug, Merge)]
struct Rmse {
    #[merge(sum)]
    squares: Scalar,
    #[merge(sum)]
    count: f64,
}

impl Metric for Rmse {
    type Value = f64;

    fn compute(&self) -> f64 {
        (self.squares.value() / self.count).sqrt()
    }
}

/// A random number.
pub(crate) fn draw() -> Tensor<1> {
    Tensor::random([1], Distribution::Default, &Device::flex())
}

thread_local! {
    /// The step that fails at its end, and the number of calls before the failure.
    static FAILS_IN: Cell<Option<(Hook, usize)>> = const { Cell::new(None) };
}

/// Makes a step panic in its `call`-th call, counted from 0.
pub(crate) fn fails_in(step: Option<(Hook, usize)>) {
    FAILS_IN.set(step);
}

fn trip(step: Hook) {
    match FAILS_IN.get() {
        Some((of, 0)) if of == step => {
            FAILS_IN.set(None);
            panic!("on purpose");
        }
        Some((of, calls)) if of == step => FAILS_IN.set(Some((of, calls - 1))),
        _ => {}
    }
}

fn range(all: Tensor<1>) -> Tensor<1> {
    all.clone().max() - all.min()
}

impl Net {
    pub(crate) fn new(learning: Learning, is_frozen: bool) -> Self {
        let device = Device::flex();
        let hidden = LinearConfig::new(1, 16).init(&device);
        Self {
            hidden: if is_frozen { hidden.freeze() } else { hidden },
            norm: learning.is_regularised.then(|| BatchNormConfig::new(16).init(&device)),
            dropout: DropoutConfig::new(if learning.is_regularised { 0.3 } else { 0.0 }).init(),
            output: LinearConfig::new(16, 1).init(&device),
            learning,
        }
    }

    pub(crate) fn unfreeze(&mut self) {
        self.hidden = self.hidden.clone().unfreeze();
    }

    /// A text that depends on the weights.
    pub(crate) fn shown(&self) -> String {
        format!("{:?}", self.output.weight.val().sum().into_scalar::<f32>())
    }

    fn predict(&self, x: Tensor<2>) -> Tensor<2> {
        let hidden = relu(self.hidden.forward(x));
        let hidden = match &self.norm {
            Some(norm) => norm.forward(hidden),
            None => hidden,
        };
        self.output.forward(self.dropout.forward(hidden))
    }

    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        MseLoss::new().forward(self.predict(x), y, Reduction::Mean)
    }

    /// Logs a metric with each kind of state. Returns the loss.
    fn measured(&self, stage: &str, (x, y): Batch) -> Result<Tensor<1>> {
        let predictions = self.predict(x);
        let loss = MseLoss::new().forward(predictions.clone(), y.clone(), Reduction::Mean);
        if !self.learning.extras.has_metrics {
            return Ok(loss);
        }
        let signs = Binary::from_logits(&predictions, &y.clone().greater_scalar(0.0).int())?;
        self.log(format!("{stage}_f1"), signs.counts().f1()).on_step(false).on_epoch(true);
        self.log(format!("{stage}_auroc"), signs.exact_curves().auroc()).on_step(false).on_epoch(true);
        self.log(format!("{stage}_curve"), signs.curves(9)?.precision_recall()).on_step(false).on_epoch(true);
        self.log(format!("{stage}_confusion"), signs.confusion()).on_step(false).on_epoch(true);
        self.log(format!("{stage}_spearman"), spearman(&predictions, &y)?).on_step(false).on_epoch(true);
        self.log(format!("{stage}_r2"), r2(&predictions, &y)?).on_step(false).on_epoch(true);
        self.log(format!("{stage}_pearson"), pearson(&predictions, &y)?).on_step(false).on_epoch(true);
        let classes = |values: &Tensor<2>| values.clone().greater_scalar(0.0).int().flatten::<1>(0, 1);
        log_class_metrics(self, stage, [&classes(&predictions), &classes(&y)], &predictions.clone().flatten::<1>(0, 1))?;
        self.log(format!("{stage}_newest"), Running::new(Mean::new(loss.clone(), 1.0), 3)).on_step(false).on_epoch(true);
        self.log(format!("{stage}_all"), Cat::new(predictions)).on_step(false).on_epoch(true);
        Ok(loss)
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let items = batch.0.dims()[0] as f64;
        let loss = self.measured("train", batch)?;
        self.log("train_loss", &loss).on_step(true).on_epoch(true).prog_bar(true);
        self.log("host", batch_idx as f64 / 3.0).on_epoch(true);
        self.log("rmse", Rmse { squares: Scalar::from(loss.clone()).times(items), count: items }).on_step(true).on_epoch(true);
        for (name, reduce_fx) in [
            ("loss_sum", ReduceFx::Sum),
            ("loss_min", ReduceFx::Min),
            ("loss_max", ReduceFx::Max),
            ("loss_range", ReduceFx::Custom { name: "range", reduce: range }),
        ] {
            self.log(name, &loss).on_step(false).on_epoch(true).reduce_fx(reduce_fx);
        }
        if batch_idx % 3 == 1 {
            self.log("sometimes", self.global_step()).on_epoch(true);
        }
        self.log("noise", draw()).on_epoch(true);
        trip(Hook::TrainingStep);
        let on_host = match self.learning.weighs {
            Weighs::Nothing => return Ok(loss.into()),
            Weighs::OnBoth => batch_idx.is_multiple_of(2),
            Weighs::OnHost => true,
            Weighs::OnDevice => false,
        };
        let sum = StepOutput::from(loss * items);
        Ok(if on_host { sum.weight(items) } else { sum.weight(Tensor::<1>::full([1], items, &Device::flex())) })
    }

    fn training_batch(&mut self, batch: Batch, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        if !self.learning.is_manual {
            return opt.automatic(self, batch, move |module, batch| module.training_step(batch, batch_idx));
        }
        let again = batch.clone();
        let output = self.training_step(batch, batch_idx)?;
        if let Some(loss) = output.loss() {
            opt.step("hidden", self, loss)?;
        }
        if batch_idx % 3 != 2 {
            let loss = self.loss(again);
            opt.step("output", self, &loss)?;
        }
        Ok(output)
    }

    fn validation_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let loss = self.measured("val", batch)?;
        self.log("val_loss", &loss).prog_bar(true);
        self.log("val_max", &loss).reduce_fx(ReduceFx::Max);
        self.log("val_range", &loss).reduce_fx(ReduceFx::Custom { name: "range", reduce: range });
        self.log("val_rmse", Rmse { squares: loss.clone().into(), count: 1.0 });
        self.log("val_noise", draw()).on_step(true).on_epoch(true);
        if batch_idx == 1 {
            self.log("val_sometimes", self.global_step()).on_step(true).on_epoch(false);
        }
        trip(Hook::ValidationStep);
        Ok(StepOutput::none())
    }

    fn batch_size(&self, (x, _): &Batch) -> Option<usize> {
        self.learning.tells_batch_size.then(|| x.dims()[0])
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let [first, second] = self.learning.algorithms;
        let of = |algorithm| self.learning.optimizer(algorithm);
        if !self.learning.is_manual {
            let only = match first {
                Algorithm::Muon => of(first).params_of(&self.hidden.weight).params_of(&self.output.weight),
                _ => of(first),
            };
            return Ok(only.into());
        }
        let hidden = match (first, &self.norm) {
            (Algorithm::Muon, _) => of(first).params_of(&self.hidden.weight),
            (_, Some(norm)) => of(first).params_of(&self.hidden).params_of(norm),
            (_, None) => of(first).params_of(&self.hidden),
        };
        let output = match second {
            Algorithm::Muon => of(second).params_of(&self.output.weight),
            _ => of(second).params_of(&self.output),
        };
        Ok([hidden.named("hidden"), output.named("output")].into())
    }

    fn on_train_epoch_end(&mut self, _ctx: &mut Context<'_>) -> Result<()> {
        self.log("epoch_noise", draw());
        Ok(())
    }
}
