//! The pass over the training data at the end of a stochastic average, in set-ups in which it cannot do everything.

use burn::{
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
};
use insta::assert_snapshot;
use stormfire::prelude::*;

use crate::{
    support::{Batch, line_data, quiet},
    told::told,
};

#[derive(Module, Debug)]
struct Normed {
    body: Linear,
    first: BatchNorm,
    second: BatchNorm,
    head: Linear,
}

impl Normed {
    fn new() -> Self {
        let device = Device::flex();
        let norm = || BatchNormConfig::new(3).init(&device);
        Self { body: LinearConfig::new(1, 3).init(&device), first: norm(), second: norm(), head: LinearConfig::new(3, 1).init(&device) }
    }

    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        let hidden = self.second.forward(self.first.forward(self.body.forward(x)));
        (self.head.forward(hidden) - y).square().mean()
    }
}

impl LightningModule for Normed {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.loss(batch).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.01).into())
    }
}

/// The same with manual optimization, and without a `training_step`.
#[derive(Module, Debug)]
struct Manual {
    net: Normed,
}

impl LightningModule for Manual {
    type Batch = Batch;

    fn training_batch(&mut self, batch: Batch, _batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        let loss = self.net.loss(batch);
        opt.step("SGD", self, &loss)?;
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.net.configure_optimizers()
    }
}

fn swa() -> StochasticWeightAveraging {
    StochasticWeightAveraging::new(0.01).start_epoch(0)
}

fn numbers(tensor: Tensor<1>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn statistics(norm: &BatchNorm) -> Vec<f32> {
    [numbers(norm.running_mean.value_sync()), numbers(norm.running_var.value_sync())].concat()
}

/// The statistics of the second layer over all batches, with the statistics of the first one as they are.
fn expected(net: &Normed) -> Vec<f32> {
    let mut sums = vec![0.0; 6];
    for number in 0..4 {
        let batch = line_data(8, 2).batches(stormfire::data::Position::new(9, number), &Device::flex()).unwrap().next().unwrap().unwrap();
        let hidden = net.first.forward(net.body.forward(batch.value.0));
        let mean = hidden.clone().mean_dim(0);
        let variance = (hidden - mean.clone()).square().mean_dim(0);
        let both = [numbers(mean.flatten(0, 1)), numbers(variance.flatten(0, 1))].concat();
        sums.iter_mut().zip(both).for_each(|(sum, value)| *sum += value / 4.0);
    }
    sums
}

/// A frozen layer normalizes with its statistics, also in the pass.
#[test]
fn a_frozen_normalization_keeps_its_statistics_in_the_average() {
    let mut trainer = quiet().max_epochs(2).seed(1).callback(Finetuning::new("first").train_bn(false)).callback(swa());
    let start = statistics(&Normed::new().first);
    let fit = trainer.fit(Normed::new(), line_data(8, 2)).unwrap();
    let averaged = trainer.weights_in_force(&fit.module).unwrap();
    assert_eq!(statistics(&averaged.first), start);
    let (found, expected) = (statistics(&averaged.second), expected(&averaged));
    // burn's variance may be that of the sample, so only its size is compared.
    assert!(found[..3].iter().zip(&expected[..3]).all(|(a, b)| (a - b).abs() < 1e-4), "{found:?} {expected:?}");
    assert!(found[3..].iter().zip(&expected[3..]).all(|(a, b)| *a >= b * 0.99 && *a <= b * 2.01), "{found:?} {expected:?}");
}

#[test]
fn a_module_without_a_training_step_keeps_its_statistics_with_a_warning() {
    let mut ended = None;
    let lines = told(|| {
        let mut trainer = quiet().max_epochs(2).seed(1).callback(swa());
        let fit = trainer.fit(Manual { net: Normed::new() }, line_data(8, 2)).unwrap();
        ended = Some((trainer.weights_in_force(&fit.module).unwrap(), fit.module.valid()));
    });
    let (averaged, trained) = ended.unwrap();
    assert_eq!(statistics(&averaged.net.first), statistics(&trained.net.first));
    let warnings: Vec<_> = lines.into_iter().filter(|line| line.starts_with("WARN")).collect();
    assert_snapshot!(warnings.join("\n"), @"WARN the statistics of batch normalizations are not renewed: the pass calls `training_step`, which this module does not have");
}

#[test]
fn endless_data_ends_the_pass_after_as_many_batches_as_were_trained() {
    let endless = || {
        Loader::try_from_fn(|_epoch| {
            (0..).map(|number: u32| {
                if number >= 100 {
                    return Err("the pass does not end");
                }
                let x = Tensor::<2>::full([2, 1], f64::from(number), &Device::flex());
                Ok((x.clone(), x))
            })
        })
    };
    let mut trainer = quiet().max_steps(7).seed(1).callback(swa());
    let fit = trainer.fit(Normed::new(), endless()).unwrap();
    assert_eq!(fit.progress.batches, 7);
    assert!(statistics(&trainer.weights_in_force(&fit.module).unwrap().first).iter().all(|value| value.is_finite()));
}

#[test]
fn an_average_that_never_starts_is_reported() {
    let reports = |set: fn(Trainer<Normed>) -> Trainer<Normed>| {
        let lines = told(|| {
            let _ = set(quiet().max_epochs(2)).fit(Normed::new(), line_data(8, 2)).unwrap();
        });
        lines.into_iter().filter(|line| line.contains("has averaged nothing")).collect::<Vec<_>>().join("\n")
    };
    let late: [fn(Trainer<Normed>) -> Trainer<Normed>; 3] = [
        |trainer| trainer.callback(Ema::new(0.9).start_after("100 steps")),
        |trainer| trainer.callback(WeightAveraging::new().start_after("2 epochs")),
        |trainer| trainer.callback(StochasticWeightAveraging::new(0.1).start_epoch(2)),
    ];
    assert_snapshot!(late.map(reports).join("\n"), @r"
    WARN `Ema` has averaged nothing: the fit ended before its start
    WARN `WeightAveraging` has averaged nothing: the fit ended before its start
    WARN `StochasticWeightAveraging` has averaged nothing: the fit ended before its start
    ");
    assert!(reports(|trainer| trainer.callback(Ema::new(0.9))).is_empty());
}

/// A fit that is continued has the average of one that was longer from the start, with separate statistics.
#[test]
fn a_longer_fit_continues_the_average() {
    let trainer = |epochs: usize| quiet().max_epochs(epochs).seed(1).callback(swa());
    let (mut whole, mut halves) = (trainer(4), trainer(2));
    let start = Normed::new();
    let values = |net: &Normed| {
        let of = |tensor: Tensor<2>| numbers(tensor.flatten(0, 1));
        [of(net.body.weight.val()), of(net.head.weight.val()), statistics(&net.first), statistics(&net.second)].concat()
    };
    // The parameters exist before they are cloned.
    let _ = values(&start);
    let fit = whole.fit(start.clone(), line_data(8, 2)).unwrap();
    let expected = values(&whole.weights_in_force(&fit.module).unwrap());
    let half = halves.fit(start.clone(), line_data(8, 2)).unwrap();
    assert_ne!(values(&halves.weights_in_force(&half.module).unwrap()), expected);
    halves.set_max_epochs(4);
    let further = halves.fit_further(half.module, line_data(8, 2)).unwrap();
    assert_eq!(values(&halves.weights_in_force(&further.module).unwrap()), expected);
}
