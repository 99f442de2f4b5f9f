//! Learning rates, as hooks see them.

use std::sync::{Arc, Mutex};

use burn::{lr_scheduler::step::StepLrSchedulerConfig, optim::SgdConfig, prelude::*};
use stormfire::{Event, module::Hook, prelude::*};

use crate::support::{Batch, Line, line_data, quiet};

/// The learning rate of the next step, as each hook sees it.
#[derive(Clone, Default)]
struct Rates(Arc<Mutex<Vec<(Hook, f64)>>>);

impl<M: LightningModule> Callback<M> for Rates {
    fn on_event(&mut self, ctx: &mut Context<'_>, _module: &mut M, event: &mut Event<'_, M::Batch>) -> Result<()> {
        use Hook::{BeforeOptimizerStep, TrainBatchEnd, TrainBatchStart, TrainEpochStart, ValidationStart};
        if matches!(event.hook(), TrainEpochStart | TrainBatchStart | BeforeOptimizerStep | TrainBatchEnd | ValidationStart) {
            self.0.lock().unwrap().push((event.hook(), ctx.learning_rates()[0].1));
        }
        Ok(())
    }
}

#[derive(Module, Debug)]
struct Scheduled {
    line: Line,
}

impl LightningModule for Scheduled {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.line.loss(batch).into())
    }

    fn validation_step(&self, _batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let halves = StepLrSchedulerConfig::new(1.0, 1).with_gamma(0.5);
        let schedule = Schedule::new(halves).every(Every::Steps(1));
        Ok(Optimizer::new(SgdConfig::new(), 1.0).schedule(schedule).into())
    }
}

#[test]
fn every_hook_sees_the_learning_rate_of_the_next_step() {
    use Hook::{BeforeOptimizerStep, TrainBatchEnd, TrainBatchStart, TrainEpochStart, ValidationStart};
    let rates = Rates::default();
    // None of these steps is logged.
    let trainer = quiet().max_epochs(1).log_every_n_steps(50).num_sanity_val_steps(0).callback(rates.clone());
    let _ = { trainer }.fit(Scheduled { line: Line::new() }, (line_data(6, 2), line_data(2, 2))).unwrap();
    let batch = |rate: f64| [(TrainBatchStart, rate), (BeforeOptimizerStep, rate), (TrainBatchEnd, rate / 2.0)];
    let expected = [&[(TrainEpochStart, 1.0)][..], &batch(1.0), &batch(0.5), &batch(0.25), &[(ValidationStart, 0.125)]].concat();
    assert_eq!(*rates.0.lock().unwrap(), expected);
}

#[derive(Module, Debug)]
struct Foreseeing {
    line: Line,
}

impl LightningModule for Foreseeing {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.line.loss(batch).into())
    }

    /// The error carries the value, because this method runs before the training.
    fn configure_optimizers(&self) -> Result<Optimizers> {
        Err(Error::other(format!("{:?}", self.estimated_stepping_batches())))
    }
}

#[test]
fn a_schedule_can_be_as_long_as_the_fit() {
    let foreseen = |mut trainer: Trainer<Foreseeing>, data: Loader<Batch>| {
        trainer.fit(Foreseeing { line: Line::new() }, data).unwrap_err().to_string()
    };
    // 7 batches.
    let data = || line_data(13, 2);
    let endless = || Loader::from_fn(|_| std::iter::repeat_with(|| unreachable!("no batch is needed")));
    assert_eq!(foreseen(quiet().max_epochs(3), data()), "Some(21)");
    assert_eq!(foreseen(quiet().max_epochs(3).accumulate_grad_batches(4), data()), "Some(6)", "the rest of an epoch is a step");
    assert_eq!(foreseen(quiet().max_epochs(3).limit_train_batches(2), data()), "Some(6)");
    assert_eq!(foreseen(quiet().max_epochs(3).max_steps(20), data()), "Some(20)");
    assert_eq!(foreseen(quiet().max_steps(100), endless()), "Some(100)");
    assert_eq!(foreseen(quiet().max_epochs(3), endless()), "None");
    assert_eq!(Foreseeing { line: Line::new() }.estimated_stepping_batches(), None, "outside of a fit");
}
