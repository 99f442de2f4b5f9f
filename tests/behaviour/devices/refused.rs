//! What several devices cannot do is refused by name, and what goes wrong on a thread is told as if it were the only one.

use burn::{nn::LinearConfig, optim::SgdConfig, prelude::*};
use stormfire::{Error, TrainerConfig, prelude::*};

use super::net::{Digits, Net, digits};
use crate::support::{Line, line_data, quiet};

#[track_caller]
fn refused<M: LightningModule>(result: Result<Fit<M>>, what: &[&str]) -> Error {
    let error = result.map(drop).unwrap_err();
    let text = format!("{error} {}", error.hint().unwrap_or_default());
    assert!(what.iter().all(|what| text.contains(what)), "{text}");
    error
}

/// A step that does something else in a batch.
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
fn what_goes_wrong_on_a_thread_is_told_with_its_place() {
    refused(fit(How::Panics), &["training_step", "in the second part", "epoch 0", "batch 0"]);
    refused(fit(How::Fails), &["training_step", "in the second part", "epoch 0", "batch 0"]);
    refused(fit(How::LogsInVain), &["nothing", "training_step"]);
    refused(fit(How::WeighsHalf), &["StepOutput::weight", "some parts", "devices(1)"]);
    assert!(fit(How::ForgetsItsLoss).is_ok(), "the loss of the others is the loss");
}

#[test]
fn manual_optimization_is_refused_before_anything_changes() {
    refused(fit(How::Manually), &["devices", "manual optimization", "2 threads", "devices(1)"]);
}

#[test]
fn a_file_alone_does_not_tell_how_to_split_a_batch() {
    let config: TrainerConfig = serde_json::from_str(r#"{"devices": 2, "max_epochs": 1}"#).unwrap();
    refused(Trainer::from_config(config).fit(Net::new(), digits(7, 7)), &["`devices`", "2 threads", "Trainer::devices"]);
    let read: Result<TrainerConfig, _> = serde_json::from_str(r#"{"devices": "all"}"#);
    assert!(read.unwrap_err().to_string().contains("`auto`"));
    refused(quiet().devices(0).fit(Net::new(), digits(7, 7)), &["devices", "at least 1"]);
    refused(quiet().devices("many").fit(Net::new(), digits(7, 7)), &["devices", "many", "`auto`"]);
    assert!(quiet().devices("auto").max_epochs(1).fit(Net::new(), digits(7, 7)).is_ok());
}

#[test]
fn gradient_checkpointing_is_refused() {
    let device = Device::flex().autodiff().gradient_checkpointing();
    let line = Line { layer: LinearConfig::new(1, 1).init(&device) };
    refused(quiet().devices(2).max_epochs(1).fit(line, line_data(4, 4)), &["devices", "gradient checkpointing"]);
}

#[test]
fn fields_of_a_batch_that_do_not_match_are_named() {
    let uneven = Loader::from_fn(|_| {
        let device = Device::flex().autodiff();
        [Digits { points: Tensor::zeros([4, 2], &device), classes: Tensor::from_ints([0, 1], &device), scale: 1.0 }]
    });
    refused(quiet().devices(2).max_epochs(1).fit(Net::new(), uneven), &["`points` has 4 items", "`classes` has 2", "split(clone)"]);
}
