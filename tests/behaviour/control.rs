//! The length of a fit, the times of its validations, and its end.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use burn::prelude::*;
use insta::assert_snapshot;
use stormfire::{
    Event,
    data::Loaders,
    module::{RunningStage, moment::Progress, requests::StopRequest},
    prelude::*,
};

use crate::support::{Batch, Line, line_data, quiet};

/// The recorded lengths of a fit.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    /// Batches of the sanity check, as (loader, batch).
    sanity: Vec<(usize, usize)>,
    /// Validation batches, as (loader, batch).
    validation: Vec<(usize, usize)>,
    /// The number of training batches before each validation.
    validated_after: Vec<u64>,
    /// Training batches of each epoch.
    epochs: Vec<usize>,
}

/// Counts the batches, and requests a stop after a number of training batches.
struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop_after: Option<u64>,
}

impl Callback<Line> for Watch {
    fn on_event(&mut self, ctx: &mut Context<'_>, _module: &mut Line, event: &mut Event<'_, Batch>) -> Result<()> {
        let mut seen = self.seen.lock().unwrap();
        match event {
            Event::ValidationBatchStart { batch_idx, dataloader_idx, .. } if ctx.running() == RunningStage::SanityCheck => {
                seen.sanity.push((*dataloader_idx, *batch_idx));
            }
            Event::ValidationBatchStart { batch_idx, dataloader_idx, .. } => seen.validation.push((*dataloader_idx, *batch_idx)),
            Event::ValidationStart if ctx.running() == RunningStage::Validate => seen.validated_after.push(ctx.progress().batches),
            Event::TrainEpochStart => seen.epochs.push(0),
            Event::TrainBatchEnd { .. } => {
                *seen.epochs.last_mut().unwrap() += 1;
                if self.stop_after == Some(ctx.progress().batches) {
                    ctx.stop("enough");
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A fit of a [`Line`] on batches of one item.
struct Case {
    trainer: Trainer<Line>,
    train: Loader<Batch>,
    val: Loaders<Batch>,
    stop_after: Option<u64>,
}

impl Case {
    fn new(train: usize, val: usize, trainer: impl FnOnce(Trainer<Line>) -> Trainer<Line>) -> Self {
        let val = if val == 0 { Loaders::none() } else { batches(val).into() };
        Self { trainer: trainer(quiet().num_sanity_val_steps(0)), train: batches(train), val, stop_after: None }
    }

    fn train_on(self, train: Loader<Batch>) -> Self {
        Self { train, ..self }
    }

    fn validate_on(self, val: impl Into<Loaders<Batch>>) -> Self {
        Self { val: val.into(), ..self }
    }

    fn stop_after(self, batches: u64) -> Self {
        Self { stop_after: Some(batches), ..self }
    }

    fn run(self) -> (Stop, Progress, Seen) {
        let seen = Arc::default();
        let watch = Watch { seen: Arc::clone(&seen), stop_after: self.stop_after };
        let fit = self.trainer.callback(watch).fit(Line::new(), (self.train, self.val)).unwrap();
        let seen = seen.lock().unwrap().clone();
        (fit.stop, fit.progress, seen)
    }
}

fn batches(n: usize) -> Loader<Batch> {
    line_data(n, 1)
}

/// An endless loader. Its iterator does not know its length.
fn endless() -> Loader<Batch> {
    Loader::from_fn(|_epoch| {
        std::iter::repeat_with(|| {
            let x = Tensor::ones([1, 1], &Device::flex());
            (x.clone(), x)
        })
    })
}

fn requested() -> Stop {
    Stop::Requested(StopRequest { by: "Watch".into(), reason: "enough".into() })
}

/// Checks why a fit ends, the training batches of each epoch, and the optimizer steps.
fn check_length(name: &str, case: Case, stop: &Stop, epochs: &[usize], steps: u64) {
    let (actual, progress, seen) = case.run();
    let batches = epochs.iter().sum::<usize>() as u64;
    let expected = Progress { epoch: epochs.len(), batch_in_epoch: 0, batches, global_step: steps };
    assert_eq!((&actual, seen.epochs.as_slice(), progress), (stop, epochs, expected), "{name}");
}

#[test]
fn a_fit_is_as_long_as_its_limits_say() {
    let case = |trainer: fn(Trainer<Line>) -> Trainer<Line>| Case::new(4, 1, trainer);
    let check = check_length;
    check("max_epochs", case(|t| t.max_epochs(2)), &Stop::MaxEpochs(2), &[4, 4], 8);
    check("max_epochs 0", case(|t| t.max_epochs(0)), &Stop::MaxEpochs(0), &[], 0);
    check("max_steps in mid-epoch", case(|t| t.max_steps(6)), &Stop::MaxSteps(6), &[4, 2], 6);
    check("max_steps at the end of an epoch", case(|t| t.max_steps(4)), &Stop::MaxSteps(4), &[4], 4);
    check("max_steps 0", case(|t| t.max_steps(0)), &Stop::MaxSteps(0), &[], 0);
    check("max_steps before max_epochs", case(|t| t.max_steps(3).max_epochs(1)), &Stop::MaxSteps(3), &[3], 3);
    check("both limits at once", case(|t| t.max_steps(4).max_epochs(1)), &Stop::MaxSteps(4), &[4], 4);
    check("max_steps with accumulation", case(|t| t.max_steps(3).accumulate_grad_batches(3)), &Stop::MaxSteps(3), &[4, 3], 3);
    check("limit_train_batches", case(|t| t.max_epochs(2).limit_train_batches(3)), &Stop::MaxEpochs(2), &[3, 3], 6);
    check("limit_train_batches beyond the data", case(|t| t.max_epochs(1).limit_train_batches(9)), &Stop::MaxEpochs(1), &[4], 4);
    check("a share of the training batches", case(|t| t.max_epochs(1).limit_train_batches(0.6)), &Stop::MaxEpochs(1), &[2], 2);
    check("one batch is not all", case(|t| t.max_epochs(1).limit_train_batches(1)), &Stop::MaxEpochs(1), &[1], 1);
    check("all is not one batch", case(|t| t.max_epochs(1).limit_train_batches(1.0)), &Stop::MaxEpochs(1), &[4], 4);
    check("limit_train_batches 0", case(|t| t.max_epochs(1).limit_train_batches(0)), &Stop::NoTrainingBatches, &[], 0);
    check("the last window is cut short", case(|t| t.max_epochs(2).accumulate_grad_batches(3)), &Stop::MaxEpochs(2), &[4, 4], 4);
    check(
        "a limit closes the window",
        case(|t| t.max_epochs(1).accumulate_grad_batches(3).limit_train_batches(2)),
        &Stop::MaxEpochs(1),
        &[2],
        1,
    );
    check("fast_dev_run", case(|t| t.fast_dev_run(3).max_epochs(7)), &Stop::MaxSteps(3), &[3], 3);
    check("overfit_batches", case(|t| t.overfit_batches(2).max_epochs(2)), &Stop::MaxEpochs(2), &[2, 2], 4);
}

#[test]
fn a_stop_waits_until_min_epochs_and_min_steps_are_reached() {
    let case = |trainer: fn(Trainer<Line>) -> Trainer<Line>| Case::new(4, 0, |t| trainer(t.max_epochs(3))).stop_after(2);
    let check = check_length;
    check("neither", case(|t| t), &requested(), &[2], 2);
    check("min_epochs", case(|t| t.min_epochs(2)), &requested(), &[4, 4], 8);
    check("min_epochs that are already reached", case(|t| t.min_epochs(0)), &requested(), &[2], 2);
    check("min_steps in mid-epoch", case(|t| t.min_steps(3).min_epochs(0)), &requested(), &[3], 3);
    check("min_steps alone, which requires a whole epoch", case(|t| t.min_steps(3)), &requested(), &[4], 4);
    check("min_steps in a later epoch", case(|t| t.min_steps(5)), &requested(), &[4, 1], 5);
    check("both", case(|t| t.min_steps(6).min_epochs(1)), &requested(), &[4, 2], 6);
    check("a limit comes first", case(|t| t.max_epochs(1).min_steps(9)), &Stop::MaxEpochs(1), &[4], 4);
    check("a stop in the last epoch is the reason", case(|t| t.max_epochs(1)), &requested(), &[2], 2);
}

#[test]
fn endless_data_is_trained_on_until_a_limit_is_reached() {
    let case = |trainer: fn(Trainer<Line>) -> Trainer<Line>| Case::new(1, 0, trainer).train_on(endless());
    let check = check_length;
    check("max_steps", case(|t| t.max_steps(5)), &Stop::MaxSteps(5), &[5], 5);
    check("limited epochs", case(|t| t.max_epochs(2).limit_train_batches(3)), &Stop::MaxEpochs(2), &[3, 3], 6);
    check("a stop", case(|t| t.max_epochs(2)).stop_after(4), &requested(), &[4], 4);
}

#[test]
fn endless_data_has_no_fraction_of_an_epoch() {
    let error = |trainer: Trainer<Line>| {
        let mut trainer = trainer.max_steps(4);
        trainer.fit(Line::new(), (endless(), batches(1))).unwrap_err().to_string()
    };
    assert_snapshot!(error(quiet().limit_train_batches(0.5)), @"`limit_train_batches`: the data does not know its number of batches, so a fraction of them is unknown");
    assert_snapshot!(error(quiet().val_check_interval(Every::Fraction(0.5))), @"`val_check_interval`: the training data does not know its length, so a fraction of an epoch is unknown");
}

#[test]
fn max_time_ends_the_fit_after_the_batch_that_exceeds_it() {
    let (stop, progress, seen) = Case::new(3, 1, |t| t.max_time(Duration::from_nanos(1))).run();
    assert!(matches!(stop, Stop::Requested(_)), "{stop}");
    assert_eq!((progress.batches, seen.validated_after), (1, vec![1]));
}

/// Checks the number of training batches before each validation of a fit.
fn check_validation(name: &str, case: Case, expected: &[u64]) {
    let (.., seen) = case.run();
    assert_eq!(seen.validated_after, expected, "{name}");
}

#[test]
fn validation_is_due_when_its_period_says() {
    let every =
        |every, trainer: fn(Trainer<Line>) -> Trainer<Line>| Case::new(10, 1, |t| trainer(t.max_epochs(2).val_check_interval(every)));
    let same = |t| t;
    let check = check_validation;
    check("by default", Case::new(10, 1, |t| t.max_epochs(2)), &[10, 20]);
    check("1 epoch", every(Every::Epochs(1), same), &[10, 20]);
    check("2 epochs", every(Every::Epochs(2), |t| t.max_epochs(5)), &[20, 40]);
    check("0.3 epochs", every(Every::Fraction(0.3), same), &[3, 6, 9, 13, 16, 19]);
    check("0.25 epochs, rounded down", every(Every::Fraction(0.25), |t| t.max_epochs(1)), &[2, 4, 6, 8, 10]);
    check("1.0 epochs", every(Every::Fraction(1.0), same), &[10, 20]);
    check("0.05 epochs are at least a batch", every(Every::Fraction(0.05), |t| t.max_epochs(1).limit_train_batches(2)), &[1, 2]);
    check("4 batches across epochs", every(Every::Batches(4), same), &[4, 8, 12, 16, 20]);
    check("15 batches, more than an epoch", every(Every::Batches(15), |t| t.max_epochs(3)), &[15, 30]);
    check("2 steps of 3 batches", every(Every::Steps(2), |t| t.accumulate_grad_batches(3)), &[6, 10, 16, 20]);
    check("3 steps of 3 batches", every(Every::Steps(3), |t| t.accumulate_grad_batches(3)), &[9, 16]);
    check("any time", every(Every::Time(Duration::from_nanos(1)), |t| t.max_epochs(1).limit_train_batches(3)), &[1, 2, 3]);
    check("a long time", every(Every::Time(Duration::from_hours(9000)), same), &[]);
    check("a limited epoch", every(Every::Epochs(1), |t| t.limit_train_batches(4)), &[4, 8]);
    check("max_steps ends the epoch before it is due", every(Every::Epochs(1), |t| t.max_steps(13)), &[10]);
    check("a stop validates at once", every(Every::Epochs(1), same).stop_after(4), &[4]);
    check("a stop validates once", every(Every::Epochs(1), same).stop_after(10), &[10]);
    check("a stop that has to wait", every(Every::Epochs(1), |t| t.min_steps(12)).stop_after(4), &[10, 12]);
    check("endless data", every(Every::Batches(2), |t| t.max_steps(5)).train_on(endless()), &[2, 4]);
    check("an endless epoch that is limited", every(Every::Epochs(1), |t| t.limit_train_batches(3)).train_on(endless()), &[3, 6]);
    check("limit_val_batches 0", every(Every::Batches(1), |t| t.limit_val_batches(0)), &[]);
    check("limit_val_batches 0.0", every(Every::Batches(1), |t| t.limit_val_batches(0.0)), &[]);
    check("no validation loader", every(Every::Batches(1), same).validate_on(Loaders::none()), &[]);
}

/// Checks the batches of the sanity check and of the one validation after an epoch, as (loader, batch).
fn check_batches(name: &str, case: Case, sanity: &[(usize, usize)], validation: &[(usize, usize)]) {
    let (.., seen) = case.run();
    assert_eq!((seen.sanity.as_slice(), seen.validation.as_slice()), (sanity, validation), "{name}");
}

#[test]
fn sanity_check_and_validation_take_the_requested_number_of_batches() {
    let case = |trainer: fn(Trainer<Line>) -> Trainer<Line>| Case::new(2, 3, |t| trainer(t.max_epochs(1)));
    let first = |n: usize| (0..n).map(|batch| (0, batch)).collect::<Vec<_>>();
    let check = check_batches;
    check("none", case(|t| t.num_sanity_val_steps(0)), &[], &first(3));
    check("two", case(|t| t.num_sanity_val_steps(2)), &first(2), &first(3));
    check("all", case(|t| t.num_sanity_val_steps(None)), &first(3), &first(3));
    check("more than there are", case(|t| t.num_sanity_val_steps(9)), &first(3), &first(3));
    check("limit_val_batches", case(|t| t.num_sanity_val_steps(2).limit_val_batches(1)), &first(1), &first(1));
    check("a share", case(|t| t.num_sanity_val_steps(None).limit_val_batches(0.7)), &first(2), &first(2));
    check("no validation", case(|t| t.num_sanity_val_steps(2).limit_val_batches(0)), &[], &[]);
    check("fast_dev_run", case(|t| t.num_sanity_val_steps(2).fast_dev_run(1)), &[], &first(1));
    check("overfit_batches", case(|t| t.num_sanity_val_steps(None).overfit_batches(2)), &first(2), &first(2));
    check(
        "two loaders",
        case(|t| t.num_sanity_val_steps(2)).validate_on([batches(1), batches(3)]),
        &[(0, 0), (1, 0), (1, 1)],
        &[(0, 0), (1, 0), (1, 1), (1, 2)],
    );
    check("the default sanity check", Case { trainer: quiet().max_epochs(1), ..case(|t| t) }, &first(2), &first(3));
    check("without training", case(|t| t.num_sanity_val_steps(1).limit_train_batches(0)), &first(1), &[]);
}

#[test]
fn overfit_batches_takes_the_same_batches_of_shuffled_data_in_every_epoch() {
    let firsts = |t: Trainer<ShowFirst>| {
        let seen = Arc::default();
        let module = ShowFirst { line: Line::new(), seen: Seeing(Arc::clone(&seen)) };
        let _ = t.max_epochs(2).fit(module, line_data(64, 1).shuffle(true)).unwrap();
        let seen: Vec<f32> = seen.lock().unwrap().clone();
        seen
    };
    assert_eq!(firsts(quiet().overfit_batches(2)), [0.0, 1.0 / 64.0, 0.0, 1.0 / 64.0]);
    let shuffled = firsts(quiet().limit_train_batches(2));
    assert_ne!(shuffled[..2], shuffled[2..], "the order of an epoch is its own");
}

#[derive(Clone, Debug)]
struct Seeing(Arc<Mutex<Vec<f32>>>);

/// Keeps the first number of every training batch.
#[derive(Module, Debug)]
struct ShowFirst {
    line: Line,
    #[module(skip)]
    seen: Seeing,
}

impl LightningModule for ShowFirst {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.seen.0.lock().unwrap().push(batch.0.clone().into_scalar());
        self.line.training_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

#[test]
fn a_second_fit_of_one_trainer_starts_from_zero() {
    let seen = Arc::default();
    let mut trainer = quiet().max_epochs(2).callback(Watch { seen: Arc::clone(&seen), stop_after: Some(2) });
    let first = trainer.fit(Line::new(), batches(3)).unwrap();
    let second = trainer.fit(first.module, batches(3)).unwrap();
    assert_eq!((first.stop, second.stop), (requested(), requested()), "a stop is not a request of the next fit");
    assert_eq!(second.progress, Progress { epoch: 1, batch_in_epoch: 0, batches: 2, global_step: 2 });
    assert_eq!(seen.lock().unwrap().epochs, [2, 2]);
}

#[test]
fn an_epoch_that_ends_before_its_validation_is_not_judged() {
    let mut trainer = quiet().max_steps(2).num_sanity_val_steps(0).callback(EarlyStopping::new("val_loss"));
    let fit = trainer.fit(Line::new(), (line_data(8, 2), line_data(4, 2))).unwrap();
    assert_eq!(fit.stop, Stop::MaxSteps(2));
}

#[test]
fn a_fit_that_hooks_keep_from_training_is_not_an_error_of_the_data() {
    struct Unwilling(Hook);
    impl Callback<Line> for Unwilling {
        fn on_event(&mut self, ctx: &mut Context<'_>, _module: &mut Line, event: &mut Event<'_, Batch>) -> Result<()> {
            match event.hook() {
                hook if hook != self.0 => {}
                Hook::TrainBatchStart => ctx.skip_epoch(),
                _ => ctx.stop("not today"),
            }
            Ok(())
        }
    }
    for (hook, stop) in [(Hook::TrainBatchStart, "`max_epochs = 2` reached"), (Hook::TrainEpochStart, "not today")] {
        let fit = quiet().max_epochs(2).callback(Unwilling(hook)).fit(Line::new(), line_data(8, 2)).unwrap();
        assert_eq!((fit.stop.to_string().as_str(), fit.progress.batches), (stop, 0), "{hook}");
    }
}

#[test]
fn an_epoch_without_a_validation_is_not_judged_by_an_earlier_validation() {
    /// Skips the rest of every epoch except the first.
    struct Skips;
    impl Callback<Line> for Skips {
        fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _: &mut Line, _: &StepOutput, _: usize) -> Result<()> {
            if ctx.current_epoch() > 0 {
                ctx.skip_epoch();
            }
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let saving = ModelCheckpoint::new().dirpath(folder.path()).monitor("val_loss").save_top_k(SaveTopK::All).filename("{epoch}");
    let stopping = EarlyStopping::new("val_loss").patience(1);
    let mut trainer = quiet().enable_checkpointing(true).max_epochs(4).callback(Skips).callback(stopping).callback(saving);
    let fit = trainer.fit(Line::new(), (line_data(8, 2), line_data(4, 2))).unwrap();
    assert_eq!((fit.stop, fit.progress.batches), (Stop::MaxEpochs(4), 7));
    assert_eq!(trainer.get::<EarlyStopping>().unwrap().wait_count(), 0);
    assert_eq!(crate::files::names(folder.path()), ["epoch=0.ckpt"]);
}
