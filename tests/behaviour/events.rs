//! The events of a run in order. Each line starts with the observers: `C`allback, `M`odule, `S`aving callback.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

mod errors;

use std::sync::{Arc, Mutex};

use insta::assert_snapshot;
use stormfire::{
    data::Loaders,
    loggers::{Call, MemoryLogger},
    module::requests::SaveRequest,
    prelude::*,
};

use crate::{
    recorder::{Act, Manual, Record, Recorded, Recorder},
    support::{Batch, Line, line_data, quiet, recording},
};

/// A Trainer with a callback of each order. They are added in reverse order.
fn recorded<M: LightningModule>(record: &Record) -> Trainer<M> {
    quiet().max_epochs(1).callback(Recorder::saving(record)).callback(Recorder::ordinary(record))
}

fn batches(n: usize) -> Loader<Batch> {
    line_data(n, 1)
}

#[test]
fn a_fit_goes_through_its_events_in_lightnings_order() {
    let record = Record::default();
    let fit = recorded(&record).fit(Recorded::new(&record), (batches(2), batches(2))).unwrap();
    assert_eq!(fit.stop, Stop::MaxEpochs(1));
    assert_snapshot!(record.text(), @"
    CMS prepare_data
    CMS setup fit
    M   configure_optimizers
    CMS on_fit_start
    CMS on_sanity_check_start
    CMS on_validation_start
    CMS on_validation_epoch_start
    CMS on_validation_batch_start l0 b0
    M   validation_step l0 b0
    CMS on_validation_batch_end l0 b0
    CMS on_validation_batch_start l0 b1
    M   validation_step l0 b1
    CMS on_validation_batch_end l0 b1
    CMS on_validation_epoch_end
    CMS on_validation_end
    CMS on_sanity_check_end
    CMS on_train_start
    CMS on_train_epoch_start e0
    CMS on_train_batch_start e0 b0
    M   training_step e0 b0
    CMS on_before_zero_grad SGD
    CMS on_before_backward
    CMS on_after_backward
    CMS on_before_optimizer_step SGD
    CMS on_train_batch_end e0 b0
    CMS on_train_batch_start e0 b1
    M   training_step e0 b1
    CMS on_before_zero_grad SGD
    CMS on_before_backward
    CMS on_after_backward
    CMS on_before_optimizer_step SGD
    CMS on_train_batch_end e0 b1
    CMS on_validation_start
    CMS on_validation_epoch_start
    CMS on_validation_batch_start l0 b0
    M   validation_step l0 b0
    CMS on_validation_batch_end l0 b0
    CMS on_validation_batch_start l0 b1
    M   validation_step l0 b1
    CMS on_validation_batch_end l0 b1
    CMS on_validation_epoch_end
    CMS on_validation_end
    CMS on_train_epoch_end e0
    CMS on_train_end
    CMS on_fit_end
    CMS teardown fit
    ");
}

#[test]
fn manual_optimization_has_no_zero_grad_and_a_step_for_each_optimizer() {
    let record = Record::default();
    let fit = recorded(&record).fit(Manual::new(&record), batches(2)).unwrap();
    assert_eq!((fit.progress.global_step, fit.progress.batches), (2, 2), "batches that stepped, not optimizers");
    assert_snapshot!(record.between("on_train_start", "on_train_end"), @"
    CMS on_train_epoch_start e0
    CMS on_train_batch_start e0 b0
    M   training_step e0 b0
    CMS on_before_backward
    CMS on_after_backward
    CMS on_before_optimizer_step first
    CMS on_before_backward
    CMS on_after_backward
    CMS on_before_optimizer_step second
    CMS on_train_batch_end e0 b0
    CMS on_train_batch_start e0 b1
    M   training_step e0 b1
    CMS on_before_backward
    CMS on_after_backward
    CMS on_before_optimizer_step second
    CMS on_train_batch_end e0 b1
    CMS on_train_epoch_end e0
    ");
}

#[test]
fn validate_test_and_predict_have_the_same_events_under_their_own_names() {
    fn run<R>(act: impl FnOnce(&mut Trainer<Recorded>, &Recorded, Loaders<Batch>) -> Result<Vec<R>>) -> String {
        let record = Record::default();
        let results = act(&mut recorded(&record), &Recorded::new(&record), [batches(2), batches(1)].into()).unwrap();
        assert_eq!(results.len(), 2, "one for each loader");
        record.text()
    }
    assert_snapshot!(run(Trainer::validate), @"
    CMS prepare_data
    CMS setup validate
    CMS on_validation_start
    CMS on_validation_epoch_start
    CMS on_validation_batch_start l0 b0
    M   validation_step l0 b0
    CMS on_validation_batch_end l0 b0
    CMS on_validation_batch_start l0 b1
    M   validation_step l0 b1
    CMS on_validation_batch_end l0 b1
    CMS on_validation_batch_start l1 b0
    M   validation_step l1 b0
    CMS on_validation_batch_end l1 b0
    CMS on_validation_epoch_end
    CMS on_validation_end
    CMS teardown validate
    ");
    assert_snapshot!(run(Trainer::test), @"
    CMS prepare_data
    CMS setup test
    CMS on_test_start
    CMS on_test_epoch_start
    CMS on_test_batch_start l0 b0
    M   test_step l0 b0
    CMS on_test_batch_end l0 b0
    CMS on_test_batch_start l0 b1
    M   test_step l0 b1
    CMS on_test_batch_end l0 b1
    CMS on_test_batch_start l1 b0
    M   test_step l1 b0
    CMS on_test_batch_end l1 b0
    CMS on_test_epoch_end
    CMS on_test_end
    CMS teardown test
    ");
    assert_snapshot!(run(Trainer::predict), @"
    CMS prepare_data
    CMS setup predict
    CMS on_predict_start
    CMS on_predict_epoch_start
    CMS on_predict_batch_start l0 b0
    M   predict_step l0 b0
    CMS on_predict_batch_end l0 b0
    CMS on_predict_batch_start l0 b1
    M   predict_step l0 b1
    CMS on_predict_batch_end l0 b1
    CMS on_predict_batch_start l1 b0
    M   predict_step l1 b0
    CMS on_predict_batch_end l1 b0
    CMS on_predict_epoch_end
    CMS on_predict_end
    CMS teardown predict
    ");
    let module = Recorded::new(&Record::default());
    assert_eq!(quiet().predict(&module, Loaders::from([batches(2), batches(1)])).unwrap(), [vec![0, 10], vec![0]]);
}

#[test]
fn each_validation_loader_has_its_own_batch_numbers_in_a_fit() {
    let record = Record::default();
    let data = (batches(1), [batches(1), batches(2)]);
    let _ = recorded(&record).num_sanity_val_steps(0).fit(Recorded::new(&record), data).unwrap();
    assert_snapshot!(record.between("on_validation_epoch_start", "on_validation_epoch_end"), @"
    CMS on_validation_batch_start l0 b0
    M   validation_step l0 b0
    CMS on_validation_batch_end l0 b0
    CMS on_validation_batch_start l1 b0
    M   validation_step l1 b0
    CMS on_validation_batch_end l1 b0
    CMS on_validation_batch_start l1 b1
    M   validation_step l1 b1
    CMS on_validation_batch_end l1 b1
    ");
}

/// A moment, the metrics that callbacks see at it, and whether the logger has received any.
type Sight = (&'static str, Vec<String>, bool);

struct Spy {
    logger: MemoryLogger,
    seen: Arc<Mutex<Vec<Sight>>>,
}

impl Callback<Line> for Spy {
    fn on_sanity_check_end(&mut self, ctx: &mut Context<'_>, _module: &mut Line) -> Result<()> {
        self.note("sanity check", ctx)
    }

    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut Line) -> Result<()> {
        self.note("train start", ctx)
    }

    fn on_train_end(&mut self, ctx: &mut Context<'_>, _module: &mut Line) -> Result<()> {
        self.note("train end", ctx)
    }
}

impl Spy {
    fn note(&self, when: &'static str, ctx: &mut Context<'_>) -> Result<()> {
        ctx.loggers().iter().try_for_each(stormfire::loggers::Background::flush)?;
        let logged = self.logger.calls().iter().any(|call| matches!(call, Call::Metrics { .. }));
        self.seen.lock().unwrap().push((when, ctx.metric_names(), logged));
        Ok(())
    }
}

#[test]
fn the_metrics_of_the_sanity_check_reach_no_logger_and_are_forgotten() {
    let (logger, seen) = (MemoryLogger::new(), Arc::default());
    let spy = Spy { logger: logger.clone(), seen: Arc::clone(&seen) };
    let _ = recording(&logger).max_epochs(1).callback(spy).fit(Line::new(), (batches(2), batches(2))).unwrap();
    let val_loss = || vec!["val_loss".to_string()];
    let expected = [("sanity check", val_loss(), false), ("train start", vec![], false), ("train end", val_loss(), true)];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn a_stop_in_mid_epoch_validates_at_once_and_ends_the_epoch() {
    let record = Record::acting([('C', "on_train_batch_end e0 b0", Act::Stop)]);
    let mut trainer = recorded(&record).max_epochs(2).num_sanity_val_steps(0);
    let fit = trainer.fit(Recorded::new(&record), (batches(3), batches(1))).unwrap();
    assert_eq!((fit.stop.to_string(), fit.progress.batches), ("enough".to_owned(), 1));
    assert_snapshot!(record.between("on_before_optimizer_step SGD", "teardown fit"), @"
    CMS on_train_batch_end e0 b0
    CMS on_validation_start
    CMS on_validation_epoch_start
    CMS on_validation_batch_start l0 b0
    M   validation_step l0 b0
    CMS on_validation_batch_end l0 b0
    CMS on_validation_epoch_end
    CMS on_validation_end
    CMS on_train_epoch_end e0
    CMS on_train_end
    CMS on_fit_end
    ");
}

#[test]
fn skipping_an_epoch_at_the_start_of_a_batch_omits_the_batch() {
    let record = Record::acting([('M', "on_train_batch_start e0 b1", Act::SkipEpoch)]);
    let fit = recorded(&record).max_epochs(2).fit(Recorded::new(&record), batches(2)).unwrap();
    assert_eq!((fit.stop, fit.progress.epoch, fit.progress.batches), (Stop::MaxEpochs(2), 2, 3));
    assert_snapshot!(record.between("on_train_batch_end e0 b0", "on_train_batch_start e1 b0"), @"
    CMS on_train_batch_start e0 b1
    CMS on_train_epoch_end e0
    CMS on_train_epoch_start e1
    ");
}

#[test]
fn skipping_an_epoch_at_the_end_of_a_batch_ends_the_epoch() {
    let record = Record::acting([('S', "on_train_batch_end e0 b0", Act::SkipEpoch)]);
    let fit = recorded(&record).max_epochs(2).fit(Recorded::new(&record), batches(2)).unwrap();
    assert_eq!((fit.stop, fit.progress.epoch, fit.progress.batches), (Stop::MaxEpochs(2), 2, 3));
    assert_snapshot!(record.between("on_before_optimizer_step SGD", "on_train_batch_start e1 b0"), @"
    CMS on_train_batch_end e0 b0
    CMS on_train_epoch_end e0
    CMS on_train_epoch_start e1
    ");
}

#[test]
fn accumulated_gradients_step_at_the_end_of_a_window_and_of_the_epoch() {
    let record = Record::default();
    let fit = recorded(&record).accumulate_grad_batches(3).fit(Recorded::new(&record), batches(5)).unwrap();
    assert_eq!((fit.progress.global_step, fit.progress.batches), (2, 5));
    let lines = record.between("on_train_epoch_start e0", "on_train_epoch_end e0");
    let steps: Vec<_> = lines.lines().filter(|line| !line.contains("on_train_batch")).collect();
    assert_snapshot!(steps.join("\n"), @"
    M   training_step e0 b0
    CMS on_before_zero_grad SGD
    CMS on_before_backward
    CMS on_after_backward
    M   training_step e0 b1
    CMS on_before_backward
    CMS on_after_backward
    M   training_step e0 b2
    CMS on_before_backward
    CMS on_after_backward
    CMS on_before_optimizer_step SGD
    M   training_step e0 b3
    CMS on_before_zero_grad SGD
    CMS on_before_backward
    CMS on_after_backward
    M   training_step e0 b4
    CMS on_before_backward
    CMS on_after_backward
    CMS on_before_optimizer_step SGD
    ");
}

#[test]
fn a_requested_checkpoint_is_written_after_all_callbacks_of_the_event() {
    let folder = tempfile::tempdir().unwrap();
    let request = SaveRequest { path: folder.path().join("a.ckpt"), ..SaveRequest::default() };
    let record =
        Record::acting([('C', "on_train_batch_end e0 b0", Act::Save(request.clone())), ('S', "on_train_epoch_end e0", Act::Save(request))]);
    let _ = recorded(&record).fit(Recorded::new(&record), batches(1)).unwrap();
    assert_snapshot!(record.between("on_before_optimizer_step SGD", "teardown fit"), @"
    CMS on_train_batch_end e0 b0
    CMS on_save_checkpoint
    CMS on_train_epoch_end e0
    CMS on_save_checkpoint
    CMS on_train_end
    CMS on_fit_end
    ");
}

#[test]
fn a_fit_with_nothing_to_train_checks_the_validation_and_ends() {
    let trainers: [fn(Trainer<Recorded>) -> Trainer<Recorded>; 3] = [|t| t.limit_train_batches(0), |t| t.max_epochs(0), |t| t.max_steps(0)];
    let seen = trainers.map(|trainer| {
        let record = Record::default();
        let fit = trainer(recorded(&record)).fit(Recorded::new(&record), (batches(2), batches(1))).unwrap();
        assert_eq!(fit.progress.batches, 0);
        record.between("on_sanity_check_end", "teardown fit")
    });
    assert_eq!(seen, ["CMS on_fit_end\n"; 3]);
}

#[test]
fn a_stop_before_training_holds_and_one_in_the_sanity_check_does_not() {
    let fit = |line| {
        let record = Record::acting([('C', line, Act::Stop)]);
        let fit = recorded(&record).max_epochs(2).fit(Recorded::new(&record), (batches(2), batches(1))).unwrap();
        (fit.stop.to_string(), fit.progress.batches)
    };
    let requested = || "enough".to_owned();
    assert_eq!(fit("on_fit_start"), (requested(), 0));
    assert_eq!(fit("on_sanity_check_end"), (Stop::MaxEpochs(2).to_string(), 4));
    assert_eq!(fit("on_train_start"), (requested(), 0));
    assert_eq!(fit("on_train_batch_start e0 b0"), (requested(), 1));
}
