//! Hooks, callbacks and tapes with a batch that several threads share.

use std::sync::{Arc, Mutex};

use burn::{
    module::Module,
    nn::{
        Linear, LinearConfig,
        conv::{Conv2d, Conv2dConfig},
    },
    optim::{AdamConfig, GradientsParams},
    prelude::*,
    tensor::activation::relu,
};
use stormfire::{module::Event, prelude::*};

use super::{
    net::{Net, digits},
    values,
};
use crate::support::quiet;

/// The observations of the hooks of a step.
#[derive(Clone, Default)]
struct Sees(Arc<Mutex<Vec<(&'static str, f32)>>>);

impl Callback<Net> for Sees {
    fn on_event(&mut self, _ctx: &mut Context<'_>, module: &mut Net, event: &mut Event<'_, super::net::Digits>) -> Result<()> {
        let name = event.hook().name();
        let seen = match event {
            Event::BeforeBackward { loss } => Some(loss.clone().inner().into_scalar::<f32>()),
            Event::AfterBackward { gradients } | Event::BeforeOptimizerStep { gradients, .. } => Some(norm(module, gradients)),
            Event::TrainBatchEnd { output, .. } => {
                let items: Vec<usize> = output.payloads().copied().collect();
                self.0.lock().unwrap().push(("items", items.iter().sum::<usize>() as f32));
                self.0.lock().unwrap().push(("parts", items.len() as f32));
                assert_eq!(output.payload::<usize>().is_some(), items.len() == 1);
                output.loss().map(|loss| loss.clone().into_scalar::<f32>())
            }
            Event::BeforeZeroGrad { .. } => Some(0.0),
            _ => None,
        };
        self.0.lock().unwrap().extend(seen.map(|seen| (name, seen)));
        Ok(())
    }
}

fn norm(module: &Net, gradients: &GradientsParams) -> f32 {
    stormfire::optim::gradients::global_norm(gradients, module).unwrap().into_scalar()
}

#[test]
fn hooks_see_the_whole_batch_in_the_usual_order() {
    let seen = |devices: usize| {
        let hooks = Sees::default();
        let mut trainer = quiet().devices(devices).callback(hooks.clone()).max_epochs(1).gradient_clip_val(0.1);
        let _ = trainer.fit(Net::new(), digits(19, 7)).unwrap();
        std::mem::take(&mut *hooks.0.lock().unwrap())
    };
    let one = seen(1);
    assert_eq!(one.len(), 3 * 7);
    for (devices, parts) in [(2, 2.0), (9, 7.0)] {
        let several = seen(devices);
        assert_eq!(several.len(), one.len());
        for ((name, expected), (key, value)) in one.iter().zip(&several) {
            assert_eq!(name, key);
            match *name {
                "parts" => assert!((*value - parts).abs() < f32::EPSILON || devices == 9, "{value}"),
                _ => assert!((expected - value).abs() < 1e-5, "{name}: {expected}, {value}"),
            }
        }
    }
}

/// A convolution and a linear layer of minimal size.
#[derive(Module, Debug)]
struct Cnn {
    conv: Conv2d,
    output: Linear,
}

impl LightningModule for Cnn {
    type Batch = Tensor<4>;

    fn training_step(&self, images: Tensor<4>, _batch_idx: usize) -> Result<StepOutput> {
        let features = relu(self.conv.forward(images)).flatten::<2>(1, 3);
        Ok(self.output.forward(features).powi_scalar(2).mean().into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-3).into())
    }
}

/// burn deadlocks if two threads run backward on copies of one module that share their leaves.
#[test]
fn thousands_of_steps_do_not_deadlock() {
    let device = Device::flex();
    for devices in [2, 4] {
        let cnn = Cnn { conv: Conv2dConfig::new([1, 2], [3, 3]).init(&device), output: LinearConfig::new(2 * 4 * 4, 2).init(&device) };
        let images = Loader::from_fn(|_| (0..5000).map(|_| Tensor::<4>::ones([4, 1, 6, 6], &Device::flex().autodiff())));
        let fit = quiet().devices(devices).max_epochs(1).fit(cnn, images).unwrap();
        assert_eq!(fit.progress.global_step, 5000);
        assert!(values(&fit.module).iter().all(|value| value.is_finite()));
    }
}

#[test]
fn a_run_inside_a_step_of_a_thread_is_another_run() {
    #[derive(Module, Debug)]
    struct Outer {
        net: Net,
    }
    impl LightningModule for Outer {
        type Batch = super::net::Digits;
        fn training_step(&self, batch: super::net::Digits, batch_idx: usize) -> Result<StepOutput> {
            self.log("before", 1.0);
            let inner = quiet().devices(2).max_epochs(1).fit(Net::new(), digits(7, 7))?;
            assert_eq!(inner.progress.global_step, 1);
            self.log("after", 1.0);
            self.net.training_step(batch, batch_idx)
        }
        fn configure_optimizers(&self) -> Result<Optimizers> {
            self.net.configure_optimizers()
        }
    }
    let fit = quiet().devices(2).max_epochs(1).log_every_n_steps(1).fit(Outer { net: Net::new() }, digits(7, 7)).unwrap();
    assert!(fit.metrics.get("before").is_some() && fit.metrics.get("after").is_some());
}
