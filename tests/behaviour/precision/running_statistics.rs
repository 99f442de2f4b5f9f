//! The running statistics of a batch normalization in a mixed precision.

use burn::{
    module::RunningState,
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
    tensor::{DType, FloatDType},
};
use stormfire::prelude::*;

use super::net::{Net, fit};
use crate::support::{Batch, line_data, quiet};

fn statistics(norm: &BatchNorm) -> (Vec<f32>, Vec<f32>) {
    let numbers = |state: &RunningState<Tensor<1>>| state.value_sync().into_data().iter::<f32>().collect();
    (numbers(&norm.running_mean), numbers(&norm.running_var))
}

#[test]
fn the_masters_get_what_the_copy_has_seen() {
    let stats = |set: &dyn Fn(Trainer<Net>) -> Trainer<Net>| {
        let norm = fit(Net::new().normalised(), set).unwrap().module.norm.unwrap();
        assert_eq!(norm.running_mean.value_sync().dtype(), DType::F32);
        statistics(&norm)
    };
    let (means, vars) = stats(&|trainer| trainer);
    assert!(means.iter().any(|mean| mean.abs() > 0.01) && vars.iter().any(|var| (var - 1.0).abs() > 0.05), "they have moved");
    for precision in ["bf16-mixed", "16-mixed"] {
        for devices in [1, 2] {
            let (of_means, of_vars) = stats(&|trainer| trainer.precision(precision).devices(devices));
            let close = |a: &[f32], b: &[f32], scale: f32| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.1 * scale);
            assert!(close(&means, &of_means, 1.0) && close(&vars, &of_vars, 4.0), "{precision}, {devices}: {means:?} {of_means:?}");
        }
    }
}

#[test]
fn a_frozen_normalization_keeps_every_bit() {
    let mut net = Net::new().normalised();
    let norm = BatchNormConfig::new(16).init(&Device::flex());
    let odd = Tensor::<1>::full([16], 0.123_456_78, &Device::flex());
    let norm = BatchNorm { running_mean: RunningState::new(odd.clone()), running_var: RunningState::new(odd + 1.0), ..norm };
    net.norm = Some(norm.freeze());
    let before = statistics(net.norm.as_ref().unwrap());
    let after = fit(net, |trainer| trainer.precision("bf16-mixed")).unwrap().module.norm.unwrap();
    assert_eq!(statistics(&after), before);
}

/// With the normalization kept in `f32`.
#[derive(Module, Debug)]
struct Kept {
    first: Linear,
    norm: FullPrecision<BatchNorm>,
    last: Linear,
}

impl Kept {
    fn new() -> Self {
        let device = Device::flex();
        let full = |inputs, outputs| {
            let mut linear = LinearConfig::new(inputs, outputs).init(&device);
            linear.weight = linear.weight.map(|weight| weight.zeros_like() + 0.5);
            linear.bias = None;
            linear
        };
        Self { first: full(1, 4), norm: FullPrecision::new(BatchNormConfig::new(4).init(&device)), last: full(4, 1) }
    }
}

impl LightningModule for Kept {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let hidden = self.first.forward(x);
        let normal = self.norm.call(hidden.clone(), |norm, x| {
            assert_eq!(x.dtype(), DType::F32);
            norm.forward(x)
        });
        assert_eq!((hidden.dtype(), normal.dtype()), (y.dtype(), y.dtype()));
        Ok((self.last.forward(normal) - y).square().mean().into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.01).into())
    }
}

#[test]
fn a_layer_in_full_precision_keeps_its_statistics_exact() {
    let stats = |precision: &str| {
        let fitted = quiet().precision(precision).max_epochs(3).fit(Kept::new(), line_data(64, 8)).unwrap();
        assert_eq!(fitted.module.norm.layer.gamma.val().dtype(), DType::F32);
        (statistics(&fitted.module.norm.layer), fitted.module.first.weight.val().cast(FloatDType::F32).into_data())
    };
    let (((means, _), before), ((of_means, _), after)) = (stats("32-true"), stats("bf16-mixed"));
    assert_ne!(before, after, "the other layers are in bf16");
    assert!(means.iter().zip(&of_means).all(|(a, b)| (a - b).abs() < 2e-3), "{means:?} {of_means:?}");
}
