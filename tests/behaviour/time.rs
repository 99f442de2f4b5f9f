//! Periods and limits of time. The test controls the clock: every step takes ten minutes.

use std::{cell::RefCell, rc::Rc, time::Duration};

use burn::prelude::*;
use stormfire::{loggers::MemoryLogger, module::RunningStage, prelude::*, values::clock};

use crate::{
    files::names,
    kept_state::SaveAt,
    support::{Batch, Line, line_data, quiet, recording},
};

#[derive(Module, Debug)]
struct Slow {
    line: Line,
}

impl LightningModule for Slow {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        clock::advance(Duration::from_mins(10));
        Ok(self.line.loss(batch).into())
    }

    fn validation_step(&self, _batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

fn slow() -> Slow {
    Slow { line: Line::new() }
}

struct Validations(Rc<RefCell<Vec<u64>>>);

impl Callback<Slow> for Validations {
    fn on_validation_start(&mut self, ctx: &mut Context<'_>, _module: &mut Slow) -> Result<()> {
        self.0.borrow_mut().push(ctx.global_step());
        Ok(())
    }
}

#[test]
fn validations_and_checkpoints_are_due_when_their_time_has_passed() {
    let _stopped = clock::stop();
    let (folder, seen) = (tempfile::tempdir().unwrap(), Rc::default());
    let saving = ModelCheckpoint::new().every(Every::Time(Duration::from_mins(25))).dirpath(folder.path()).filename("{step}");
    let mut trainer = quiet().max_epochs(2).num_sanity_val_steps(0).val_check_interval(Every::Time(Duration::from_hours(1)));
    trainer = trainer.enable_checkpointing(true).callback(saving.save_top_k(SaveTopK::All));
    let trainer = &mut trainer.callback(Validations(Rc::clone(&seen)));
    let fit = trainer.fit(slow(), (line_data(14, 2), line_data(2, 2))).unwrap();
    assert_eq!(fit.progress.global_step, 14);
    assert_eq!(*seen.borrow(), [6, 12]);
    let mut saved = names(folder.path());
    saved.sort_by_key(String::len);
    assert_eq!(saved, ["step=3.ckpt", "step=6.ckpt", "step=9.ckpt", "step=12.ckpt"]);
}

#[test]
fn a_fit_ends_when_its_time_is_up() {
    let _stopped = clock::stop();
    let mut trainer = quiet().max_time(Duration::from_mins(25));
    let fit = trainer.fit(slow(), line_data(20, 2)).unwrap();
    assert_eq!(fit.stop.to_string(), "time limit reached; elapsed time is 0:30:00");
    assert_eq!(fit.progress.global_step, 3);
}

/// Both limits count the time of all runs of a fit, and the smaller one holds. Each step takes ten minutes.
#[test]
fn the_time_before_a_restart_counts_with_a_timer() {
    let _stopped = clock::stop();
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("2.ckpt");
    // The Trainer's limit, that of the Timer, and the steps of the whole fit.
    for (max_time, timer, steps) in [("55 minutes", "2 hours", 6), ("2 hours", "45 minutes", 5), ("35 minutes", "35 minutes", 4)] {
        let trainer = || quiet().max_time(max_time).callback(Timer::new(timer));
        let uninterrupted = trainer().fit(slow(), line_data(20, 2)).unwrap();
        assert_eq!(uninterrupted.progress.global_step, steps, "{max_time}, {timer}");
        drop(trainer().callback(SaveAt(vec![2], folder.path().into())).fit(slow(), line_data(20, 2)).unwrap());
        // The time between the two is not training time.
        clock::advance(Duration::from_hours(9));
        let mut resumed = trainer().ckpt_path(&saved);
        let fit = resumed.fit(slow(), line_data(20, 2)).unwrap();
        assert_eq!((fit.progress, fit.stop), (uninterrupted.progress, uninterrupted.stop), "{max_time}, {timer}");
        let measured = resumed.get::<Timer>().unwrap().time_elapsed(RunningStage::Train);
        assert_eq!(measured, Duration::from_mins(10 * steps), "{max_time}, {timer}");
    }
}

#[test]
fn the_speed_is_measured_with_the_clock() {
    let _stopped = clock::stop();
    let memory = MemoryLogger::new();
    let mut trainer = recording(&memory).max_epochs(1).log_every_n_steps(5).callback(ThroughputMonitor::new());
    let fit = trainer.fit(slow(), line_data(10, 2)).unwrap();
    assert_eq!(fit.progress.global_step, 5);
    let of = |name: &str| memory.rows().into_iter().find(|(logged, ..)| logged == name).unwrap().1;
    assert!((of("train/device/batches_per_sec") * 600.0 - 1.0).abs() < 1e-9);
    assert!((of("train/time") - 3000.0).abs() < 1e-9);
}
