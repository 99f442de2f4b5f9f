//! Limits of a run: time, and evaluations without batches.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use insta::assert_snapshot;
use stormfire::{loggers::MemoryLogger, module::run::Limits, prelude::*};

use crate::{
    recorder::{Record, Recorded, Recorder},
    support::{Line, line_data, quiet, recording},
};

#[test]
fn max_time_and_a_timer_both_apply() {
    let stop = |trainer: Trainer<Line>| {
        let fit = { trainer }.max_epochs(1).fit(Line::new(), line_data(8, 2)).unwrap();
        (fit.stop, fit.progress.global_step)
    };
    let over = [
        quiet().max_time(Duration::from_nanos(1)).callback(Timer::unlimited()),
        quiet().max_time(Duration::from_nanos(1)).callback(Timer::new("1 hour")),
        quiet().max_time("1 hour").callback(Timer::new(Duration::from_nanos(1))),
    ];
    let over = over.map(|trainer| {
        let (stop, steps) = stop(trainer);
        format!("{stop} at step {steps}")
    });
    insta::with_settings!({ filters => [(r"\d+:\d\d:\d\d", "[time]")] }, {
        assert_snapshot!(over.join("\n"), @r"
        time limit reached; elapsed time is [time] at step 1
        time limit reached; elapsed time is [time] at step 1
        time limit reached; elapsed time is [time] at step 1
        ");
    });
    assert_eq!(stop(quiet().max_time("1 hour").callback(Timer::new("2 hours"))), (Stop::MaxEpochs(1), 4));
}

/// Records the limits of a fit and stops it.
#[derive(Clone, Default)]
struct Epochs(Arc<Mutex<Vec<Limits>>>);

impl<M: LightningModule> Callback<M> for Epochs {
    fn on_fit_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.0.lock().unwrap().push(ctx.limits().clone());
        ctx.stop("enough");
        Ok(())
    }
}

#[test]
fn callbacks_see_a_timer_as_a_limit() {
    let epochs = |trainer: Trainer<Line>| {
        let seen = Epochs::default();
        let _ = { trainer }.callback(seen.clone()).fit(Line::new(), line_data(8, 2)).unwrap();
        let seen = seen.0.lock().unwrap();
        seen[0].max_epochs
    };
    assert_eq!(epochs(quiet()), Some(1000));
    assert_eq!(epochs(quiet().callback(Timer::unlimited())), Some(1000));
    assert_eq!(epochs(quiet().callback(Timer::new("1 hour"))), None);
    assert_eq!(epochs(quiet().max_time("1 hour")), None);
    assert_eq!(epochs(quiet().max_time("1 hour").callback(Timer::unlimited())), None);
}

#[test]
fn an_evaluation_without_batches_only_sets_up_and_tears_down() {
    let record = Record::default();
    let mut trainer = quiet().limit_val_batches(0).limit_test_batches(0).limit_predict_batches(0).callback(Recorder::ordinary(&record));
    let module = Recorded::new(&record);
    // The Trainer requests no loader, so a missing loader does not matter.
    assert_eq!(trainer.validate(&module, line_data(4, 2)).unwrap(), []);
    assert_eq!(trainer.test(&module, line_data(4, 2)).unwrap(), []);
    assert!(trainer.predict(&module, line_data(4, 2)).unwrap().is_empty());
    let text = record.text();
    let hooks: Vec<&str> = text.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(hooks, ["prepare_data", "setup", "teardown"].repeat(3), "{text}");
}

#[test]
fn an_evaluation_of_a_checkpoint_logs_at_its_step() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    let mut first = quiet().max_epochs(3);
    let fit = first.fit(Line::new(), line_data(8, 2)).unwrap();
    first.save_checkpoint(&fit.module, &path).unwrap();
    let logger = MemoryLogger::new();
    let mut trainer = recording(&logger).max_epochs(1);
    let fit = trainer.fit(Line::new(), line_data(4, 2)).unwrap();
    let val = |limit: usize| line_data(limit, 2);
    trainer.set_ckpt_path(&path);
    let _ = trainer.validate(&fit.module, (line_data(4, 2), val(4))).unwrap();
    let _ = trainer.validate(&fit.module, (line_data(4, 2), val(4))).unwrap();
    let steps: Vec<_> = logger.rows().into_iter().filter(|(name, ..)| name == "val_loss").map(|(.., step)| step.unwrap()).collect();
    assert_eq!(steps, [12, 2], "that of the checkpoint, and that of the newest fit");
    trainer.set_ckpt_path(&path);
    let _ = trainer.test(&fit.module, Loaders::from(line_data(4, 2))).unwrap();
    let tested: Vec<_> = logger.rows().into_iter().filter(|(name, ..)| name == "test_loss").map(|(.., step)| step.unwrap()).collect();
    assert_eq!(tested, [12]);
}
