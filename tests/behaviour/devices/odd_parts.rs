//! Parts of a batch that differ from each other, and modules that change between batches.

use burn::{
    module::Param,
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
};
use insta::assert_snapshot;
use stormfire::{data::CombinedLoader, loggers::MemoryLogger, prelude::*};

use super::values;
use crate::support::{quiet, recording};

/// A weight of 0 without bias, trained by SGD with rate 1. `step` is the training step.
#[derive(Module, Debug)]
struct Odd {
    layer: Linear,
    norm: Option<BatchNorm>,
    #[module(skip)]
    step: fn(&Odd, Tensor<2>) -> StepOutput,
}

impl Odd {
    fn new(step: fn(&Self, Tensor<2>) -> StepOutput) -> Self {
        let device = Device::flex();
        let mut layer = LinearConfig::new(1, 1).with_bias(false).init(&device);
        layer.weight = Param::from_tensor(Tensor::zeros([1, 1], &device));
        Self { layer, norm: None, step }
    }
}

impl LightningModule for Odd {
    type Batch = Tensor<2>;

    fn training_step(&self, batch: Tensor<2>, _batch_idx: usize) -> Result<StepOutput> {
        Ok((self.step)(self, batch))
    }

    fn on_train_epoch_start(&mut self, _ctx: &mut Context<'_>) -> Result<()> {
        if let Some(norm) = &mut self.norm {
            *norm = BatchNormConfig::new(1).init(&Device::flex().autodiff());
        }
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 1.0).into())
    }
}

/// One batch of these numbers.
fn batch(numbers: &'static [f32]) -> Loader<Tensor<2>> {
    Loader::from_fn(move |_| [Tensor::<1>::from_floats(numbers, &Device::flex().autodiff()).unsqueeze_dim(1)])
}

fn fit(module: Odd, numbers: &'static [f32], devices: usize) -> Result<Fit<Odd>> {
    quiet().devices(devices).max_epochs(1).fit(module, batch(numbers))
}

#[track_caller]
fn alike(step: fn(&Odd, Tensor<2>) -> StepOutput, numbers: &'static [f32]) {
    let [one, several] = [1, 2].map(|devices| values(&fit(Odd::new(step), numbers, devices).unwrap().module)[0]);
    assert!((one - several).abs() < 1e-6 && one.abs() > 1e-3, "{one} {several}");
}

#[test]
fn each_batch_of_a_combined_loader_is_divided() {
    #[derive(Module, Debug)]
    struct Pair {
        layer: Linear,
    }
    impl LightningModule for Pair {
        type Batch = Vec<Tensor<2>>;
        fn training_step(&self, batches: Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
            let losses = batches.into_iter().map(|batch| self.layer.forward(batch).mean());
            Ok(losses.reduce(|a, b| a + b).map_or_else(StepOutput::none, StepOutput::from))
        }
        fn configure_optimizers(&self) -> Result<Optimizers> {
            Ok(Optimizer::new(SgdConfig::new(), 1.0).into())
        }
    }
    for devices in [1, 2] {
        let pair = Pair { layer: Odd::new(|_, _| StepOutput::none()).layer };
        let data = CombinedLoader::min_size([batch(&[1.0; 4]), batch(&[10.0; 4])]);
        let fit = quiet().devices(devices).max_epochs(1).fit(pair, data).unwrap();
        assert!((values(&fit.module)[0] + 11.0).abs() < 1e-5, "{devices} devices: the gradient is 1 + 10");
    }
}

#[test]
fn a_part_may_have_nothing_to_learn_from() {
    // No tape, as for a part without positive items.
    alike(
        |odd, batch| {
            let predictions = odd.layer.forward(batch.clone());
            let is_first = batch.clone().min().into_scalar::<f32>() < 3.0;
            if is_first { predictions.mean().into() } else { batch.inner().mean().mul_scalar(0.0).into() }
        },
        &[1.0, 2.0, 1.0, 2.0],
    );
    let two_parts = fit(
        Odd::new(|odd, batch| {
            let is_first = batch.clone().min().into_scalar::<f32>() < 3.0;
            if is_first { odd.layer.forward(batch).mean().into() } else { batch.inner().mean().mul_scalar(0.0).into() }
        }),
        &[1.0, 2.0, 5.0, 6.0],
        2,
    );
    assert!((values(&two_parts.unwrap().module)[0] + 0.75).abs() < 1e-6, "half of the mean of the first part");
    let none = fit(Odd::new(|_, batch| batch.inner().mean().into()), &[1.0, 2.0], 2).map(drop).unwrap_err();
    assert_snapshot!(none, @"the loss cannot be used: it does not depend on the module's parameters (in `training_step` of `Odd`, epoch 0, batch 0)");
}

#[test]
fn a_batch_without_items_is_that_of_one_device() {
    let step: fn(&Odd, Tensor<2>) -> StepOutput = |odd, batch| {
        let sum = (odd.layer.forward(batch) + 1.0).sum();
        log("sum", &sum).on_step(true);
        (sum + odd.layer.weight.val().sum()).into()
    };
    for devices in [1, 2] {
        let logger = MemoryLogger::new();
        let none = Loader::from_fn(|_| [Tensor::<2>::zeros([0, 1], &Device::flex().autodiff())]);
        let fit = recording(&logger).devices(devices).max_epochs(1).log_every_n_steps(1).fit(Odd::new(step), none).unwrap();
        assert!((values(&fit.module)[0] + 1.0).abs() < 1e-6, "{devices} devices: the weight itself is a part of the loss");
        let rows = logger.rows();
        assert_eq!(rows.iter().find(|row| row.0 == "sum").unwrap().1.to_bits(), 0.0_f64.to_bits(), "{rows:?}");
    }
}

#[test]
fn a_layer_that_setup_makes_on_a_device_without_tape_is_trained() {
    #[derive(Module, Debug)]
    struct Late {
        layer: Linear,
        norm: Option<BatchNorm>,
    }
    impl LightningModule for Late {
        type Batch = Tensor<2>;
        fn setup(&mut self, _ctx: &mut Context<'_>, _stage: Stage) -> Result<()> {
            self.norm = Some(BatchNormConfig::new(1).init(&Device::flex()));
            Ok(())
        }
        fn training_step(&self, batch: Tensor<2>, _batch_idx: usize) -> Result<StepOutput> {
            let normed = self.norm.as_ref().map_or(batch.clone(), |norm| norm.forward(batch));
            Ok(self.layer.forward(normed).mean().into())
        }
        fn configure_optimizers(&self) -> Result<Optimizers> {
            Ok(Optimizer::new(SgdConfig::new(), 1.0).into())
        }
    }
    for devices in [1, 2] {
        let late = Late { layer: Odd::new(|_, _| StepOutput::none()).layer, norm: None };
        let fit = quiet().devices(devices).max_epochs(1).fit(late, batch(&[4.0; 4])).unwrap();
        let mean = fit.module.norm.unwrap().running_mean.value_sync().into_scalar::<f32>();
        assert!((mean - 0.4).abs() < 1e-6, "{devices} devices: {mean}");
    }
}

#[test]
fn a_mean_over_some_of_the_items_is_exact_with_a_weight() {
    alike(
        |odd, batch| {
            let mask = batch.clone().greater_elem(2.0).float();
            let sum = (odd.layer.forward(batch) * mask.clone()).sum();
            StepOutput::from(sum).weight(mask.sum())
        },
        &[1.0, 2.0, 3.0, 4.0, 5.0],
    );
}

#[test]
fn an_error_of_one_part_is_named() {
    let error =
        |step: fn(&Odd, Tensor<2>) -> StepOutput| fit(Odd::new(step), &[1.0, 2.0, 3.0, 4.0, 5.0], 2).map(drop).unwrap_err().to_string();
    let shape = error(|odd, batch| odd.layer.forward(batch).flatten::<1>(0, 1).into());
    let negative = error(|odd, batch| {
        let items = batch.dims()[0];
        StepOutput::from(odd.layer.forward(batch).sum()).weight(if items == 3 { -1.0 } else { 4.0 })
    });
    let options = error(|odd, batch| {
        let reduce = if batch.dims()[0] == 3 { ReduceFx::Sum } else { ReduceFx::Mean };
        log("x", 1.0).on_epoch(true).reduce_fx(reduce);
        odd.layer.forward(batch).mean().into()
    });
    assert_snapshot!([shape, negative, options].join("\n"), @r"
    the loss cannot be used: it has shape [3] instead of [1] (in `training_step` of `Odd`, epoch 0, batch 0)
    `StepOutput::weight`: -1 is not a number of at least 0 (in `training_step` of `Odd`, epoch 0, batch 0)
    `x` was logged twice in `training_step` with different arguments
    ");
}

#[test]
fn a_value_of_some_parts_counts_for_their_items() {
    let logger = MemoryLogger::new();
    let step: fn(&Odd, Tensor<2>) -> StepOutput = |odd, batch| {
        let largest = batch.clone().max().into_scalar::<f32>();
        if batch.dims()[0] == 3 {
            log("of three", largest).on_step(false).on_epoch(true);
        }
        log("weightless", largest).batch_size(0).on_step(true);
        odd.layer.forward(batch).mean().into()
    };
    let data = Loader::from_fn(|_| {
        let of = |numbers: &[f32]| Tensor::<1>::from_floats(numbers, &Device::flex().autodiff()).unsqueeze_dim::<2>(1);
        // Parts of 3 and 2 items, then two of 3.
        [of(&[2.0, 2.0, 2.0, 0.0, 0.0]), of(&[8.0; 6])]
    });
    let _ = recording(&logger).devices(2).max_epochs(1).log_every_n_steps(1).fit(Odd::new(step), data).unwrap();
    let rows = logger.rows();
    let value = |name: &str| rows.iter().find(|row| row.0 == name).unwrap().1;
    assert!((value("of three") - (2.0 * 3.0 + 8.0 * 6.0) / 9.0).abs() < 1e-6, "{rows:?}");
    assert!((value("weightless") - 1.0).abs() < 1e-6, "{rows:?}");
}

#[test]
fn running_statistics_of_a_layer_that_a_hook_has_made_are_kept() {
    let mut module = Odd::new(|odd, batch| match &odd.norm {
        Some(norm) => odd.layer.forward(norm.forward(batch)).mean().into(),
        None => StepOutput::none(),
    });
    module.norm = Some(BatchNormConfig::new(1).init(&Device::flex()));
    for devices in [1, 2, 4] {
        let fitted = fit(module.clone(), &[4.0; 5], devices).unwrap().module;
        let mean = fitted.norm.unwrap().running_mean.value_sync().into_scalar::<f32>();
        assert!((mean - 0.4).abs() < 1e-6, "{devices} devices: {mean}");
    }
}

#[test]
fn a_step_has_the_stack_of_a_main_thread() {
    fn deep(depth: usize) -> f32 {
        let frame = std::hint::black_box([depth as f32; 256]);
        if depth == 0 { frame[0] } else { frame[1].min(deep(depth - 1)) }
    }
    // Some 4 MiB: more than the default stack of a thread.
    let step: fn(&Odd, Tensor<2>) -> StepOutput = |odd, batch| (odd.layer.forward(batch).mean() + deep(1500)).into();
    assert!(fit(Odd::new(step), &[1.0, 2.0], 2).is_ok());
}
