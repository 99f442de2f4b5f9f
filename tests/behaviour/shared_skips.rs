//! A bad loss with several optimizers. Either all of them skip their step, or none does.

use burn::{
    module::Param,
    nn::{Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
};
use stormfire::prelude::*;

use crate::support::{Batch, line_data, quiet};

/// The fault of the second batch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The loss. Its gradients are finite.
    Loss,
    /// Only the gradients of the first optimizer.
    Left,
    /// Only the gradients of the last optimizer.
    Right,
    /// Only the loss of the first optimizer.
    LeftsOwn,
    /// Only the loss of the last optimizer.
    RightsOwn,
}

/// How the optimizers get their gradients.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Pass {
    /// One pass for all optimizers.
    Shared,
    /// One loss and pass per optimizer, and then the steps.
    Own,
}

#[derive(Module, Debug)]
struct Pair {
    left: Linear,
    right: Linear,
    #[module(skip)]
    fault: Fault,
    #[module(skip)]
    pass: Pass,
}

fn zeros() -> Linear {
    let device = Device::flex();
    let mut linear = LinearConfig::new(1, 1).init(&device);
    linear.weight = Param::from_tensor(Tensor::zeros([1, 1], &device));
    linear.bias = Some(Param::from_tensor(Tensor::zeros([1], &device)));
    linear
}

fn bias(linear: &Linear) -> u32 {
    linear.bias.as_ref().unwrap().val().into_scalar::<f32>().to_bits()
}

/// The value 0 with an infinite slope.
fn cliff(linear: &Linear) -> Tensor<1> {
    (linear.weight.val() * 0.0).sqrt().sum()
}

impl Pair {
    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        (self.left.forward(x.clone()) + self.right.forward(x) - y).powi_scalar(2).mean()
    }
}

impl LightningModule for Pair {
    type Batch = Batch;

    fn training_batch(&mut self, batch: Batch, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        let fault = (batch_idx == 1).then_some(self.fault);
        match self.pass {
            Pass::Shared => {
                let loss = self.loss(batch);
                let loss = match fault {
                    Some(Fault::Left) => loss + cliff(&self.left),
                    Some(Fault::Right) => loss + cliff(&self.right),
                    Some(Fault::Loss) => loss + f64::INFINITY,
                    _ => loss,
                };
                for (optimizer, gradients) in opt.backward_all(self, &loss)? {
                    opt.apply(&optimizer, self, gradients)?;
                }
            }
            Pass::Own => {
                let infinite_if = |at: Fault| if fault == Some(at) { f64::INFINITY } else { 0.0 };
                let [left, right] = [Fault::LeftsOwn, Fault::RightsOwn].map(|at| self.loss(batch.clone()) + infinite_if(at));
                let left = opt.backward("left", self, &left)?;
                let right = opt.backward("right", self, &right)?;
                opt.apply("left", self, left)?;
                opt.apply("right", self, right)?;
            }
        }
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let sgd = || Optimizer::new(SgdConfig::new(), 0.125);
        Ok([sgd().named("left").params_of(&self.left), sgd().named("right").params_of(&self.right)].into())
    }
}

/// The number of steps of each optimizer, and the global step of the fit.
fn steps(fault: Fault, pass: Pass, clip: Option<f64>) -> ([usize; 2], u64) {
    // At x = 0 and y = 1, only the biases change.
    let trainer = quiet().max_epochs(1).on_non_finite(NonFinite::Skip { max_in_a_row: 1 });
    let mut trainer = match clip {
        Some(clip) => trainer.gradient_clip_val(clip),
        None => trainer,
    };
    let module = Pair { left: zeros(), right: zeros(), fault, pass };
    let seen = std::sync::Arc::new(std::sync::Mutex::new(vec![[0.0_f32.to_bits(); 2]]));
    let watch = {
        let seen = std::sync::Arc::clone(&seen);
        LambdaCallback::new().on_train_batch_end(move |_, module: &mut Pair, _, _| {
            seen.lock().unwrap().push([bias(&module.left), bias(&module.right)]);
            Ok(())
        })
    };
    trainer = trainer.callback(watch);
    let fit = trainer.fit(module, line_data(3, 1)).unwrap();
    let seen = seen.lock().unwrap();
    let moved = |at: usize| seen.windows(2).filter(|pair| pair[0][at] != pair[1][at]).count();
    ([moved(0), moved(1)], fit.progress.global_step)
}

#[test]
fn one_bad_pass_skips_the_steps_of_all_its_optimizers() {
    for clip in [None, Some(0.5)] {
        for fault in [Fault::Loss, Fault::Left, Fault::Right] {
            assert_eq!(steps(fault, Pass::Shared, clip), ([2, 2], 2), "{fault:?}, clipping {clip:?}");
        }
    }
}

#[test]
fn a_bad_loss_skips_only_the_step_of_its_optimizer() {
    assert_eq!(steps(Fault::LeftsOwn, Pass::Own, None), ([2, 3], 3));
    assert_eq!(steps(Fault::RightsOwn, Pass::Own, None), ([3, 2], 3));
}
