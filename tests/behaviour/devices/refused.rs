//! Errors with several devices: unsupported features, and faults on one of the threads.

use burn::{optim::SgdConfig, prelude::*};
use insta::assert_snapshot;
use stormfire::{Error, TrainerConfig, prelude::*};

use super::net::{Digits, Net, digits};
use crate::{error_text::error_text, support::quiet};

/// A net with a fault in the second part of a batch.
#[derive(Module, Debug)]
struct Misbehaves {
    net: Net,
    #[module(skip)]
    how: How,
}

#[derive(Clone, Copy, Debug)]
enum How {
    Manually,
    Panics,
    Fails,
    LogsInVain,
    ForgetsItsLoss,
    WeighsHalf,
}

impl LightningModule for Misbehaves {
    type Batch = Digits;

    fn training_step(&self, batch: Digits, batch_idx: usize) -> Result<StepOutput> {
        // The second part of the batch.
        let is_second = batch.classes.dims()[0] == 3;
        let output = self.net.training_step(batch, batch_idx)?;
        let loss = output.loss().cloned().unwrap();
        match self.how {
            How::Panics => assert!(!is_second, "in the second part"),
            How::Fails if is_second => return Err(Error::other("in the second part")),
            How::LogsInVain if is_second => drop(self.log("nothing", 1.0).on_step(false).on_epoch(false)),
            How::ForgetsItsLoss if is_second => return Ok(StepOutput::none()),
            How::WeighsHalf if is_second => return Ok(StepOutput::from(loss).weight(3.0)),
            _ => {}
        }
        Ok(loss.into())
    }

    fn training_batch(&mut self, batch: Digits, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        if matches!(self.how, How::Manually) {
            let output = self.training_step(batch, batch_idx)?;
            if let Some(loss) = output.loss() {
                opt.step("SGD", self, loss)?;
            }
            return Ok(output);
        }
        opt.automatic(self, batch, move |module, batch| module.training_step(batch, batch_idx))
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 1e-3).into())
    }
}

fn fit(how: How) -> Result<Fit<Misbehaves>> {
    quiet().devices(2).max_epochs(1).fit(Misbehaves { net: Net::new(), how }, digits(7, 7))
}

#[test]
fn an_error_on_a_thread_names_the_step_and_the_batch() {
    let errors = [How::Panics, How::Fails, How::LogsInVain, How::WeighsHalf].map(|how| error_text(fit(how)));
    assert_snapshot!(errors.join("\n"), @"
    panicked in `training_step`, epoch 0, batch 0: in the second part
    in the second part (in `training_step` of `Misbehaves`, epoch 0, batch 0)
    `nothing`: logging with `on_step(false)` and `on_epoch(false)` in `training_step` records nothing
      hint: set one of the two to true
    `StepOutput::weight`: the losses of some parts of a batch have a weight, and those of others have none (in `training_step` of `Misbehaves`, epoch 0, batch 0)
      hint: give one with every loss, or use `devices(1)`
    ");
    assert!(fit(How::ForgetsItsLoss).is_ok(), "the loss of the others is the loss");
}

#[test]
fn manual_optimization_is_refused_before_anything_changes() {
    assert_snapshot!(error_text(fit(How::Manually)), @"
    `devices`: a `training_batch` with manual optimization cannot be divided among 2 threads (in `training_step` of `Misbehaves`, epoch 0, batch 0)
      hint: use `devices(1)`, or leave the step to `Stepper::automatic`
    ");
}

#[test]
fn a_wrong_number_of_devices_is_refused() {
    // A file cannot say how to split a batch.
    let config: TrainerConfig = serde_json::from_str(r#"{"devices": 2, "max_epochs": 1}"#).unwrap();
    let trainers = [Trainer::from_config(config), quiet().devices(0), quiet().devices("many")];
    assert_snapshot!(trainers.map(|mut trainer| error_text(trainer.fit(Net::new(), digits(7, 7)))).join("\n"), @"
    `devices`: 2 threads cannot share a batch, because this Trainer does not know how to split one
      hint: call `Trainer::devices` or `Cli::with_devices` in the program: it takes the value of a file, too
    `devices`: cannot read `0` as a number of devices: a run needs at least one
      hint: write a number of at least 1, or `auto`
    `devices`: cannot read `many` as a number of devices: it is neither a number nor `auto`
      hint: write a number of at least 1, or `auto`
    ");
    assert_snapshot!(serde_json::from_str::<TrainerConfig>(r#"{"devices": "all"}"#).unwrap_err(), @"cannot read `all` as a number of devices: it is neither a number nor `auto`; write a number of at least 1, or `auto` at line 1 column 18");
    assert!(quiet().devices("auto").max_epochs(1).fit(Net::new(), digits(7, 7)).is_ok());
}

#[test]
fn fields_of_a_batch_that_do_not_match_are_named() {
    let uneven = Loader::from_fn(|_| {
        let device = Device::flex().autodiff();
        [Digits { points: Tensor::zeros([4, 2], &device), classes: Tensor::from_ints([0, 1], &device), scale: 1.0 }]
    });
    assert_snapshot!(error_text(quiet().devices(2).max_epochs(1).fit(Net::new(), uneven)), @"
    a batch cannot be split: its field `points` has 4 items, and `classes` has 2 (in `training_step` of `Net`, epoch 0, batch 0)
      hint: the first axis of every tensor in a batch counts its items; mark a field that is the same for all of them with `#[split(clone)]`, or use `devices(1)`
    ");
}
