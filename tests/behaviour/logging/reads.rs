//! The loop does not read the device. Values are read at the end of an epoch, and on the threads of the loggers.

use std::sync::{Arc, Mutex};

use stormfire::{
    loggers::{Hyperparams, MemoryLogger, Metrics},
    prelude::*,
    values::read::device_reads,
};
use stormfire_values::read::DistantCpu;

use super::probe::{Probe, on_device, trainer, watch};
use crate::support::line_data;

/// Logs ten metrics on the device in each training step, per step and per epoch, two of them in the progress bar.
fn ten_metrics() -> Probe {
    Probe::new(|hook| match hook {
        Hook::TrainingStep => {
            for metric in 0..10 {
                log(format!("metric_{metric}"), on_device(0.5)).on_epoch(true).prog_bar(metric < 2);
            }
        }
        Hook::ValidationStep => drop(log("val_metric", on_device(0.5)).on_step(true)),
        _ => {}
    })
}

/// A logger that counts the device reads of its thread. [`device_reads`] counts per thread.
struct Counting(Arc<Mutex<u64>>);

impl Logger for Counting {
    fn name(&self) -> &'static str {
        "counting"
    }

    fn version(&self) -> String {
        "0".into()
    }

    fn log_metrics(&mut self, _metrics: &Metrics, _step: Option<u64>) -> stormfire::loggers::Result<()> {
        *self.0.lock().unwrap() = device_reads();
        Ok(())
    }

    fn log_hyperparams(&mut self, _params: &Hyperparams, _initial: &Metrics) -> stormfire::loggers::Result<()> {
        Ok(())
    }
}

/// Fits two epochs of 60 batches. Returns the reads of this thread up to the end of each batch, and up to the end of
/// training.
fn reads_of_the_loop<D: DataModule<Batch = crate::support::Batch>>(trainer: Trainer<Probe>, data: D) -> (Vec<u64>, u64) {
    let _distant = DistantCpu::new();
    let seen = Arc::new(Mutex::new((Vec::new(), 0)));
    let start = device_reads();
    let counting = {
        let seen = Arc::clone(&seen);
        watch(move |ctx, hook| {
            // The bar requests its values at every event and never waits.
            ctx.progress_bar_metrics();
            match hook {
                Hook::TrainBatchEnd => seen.lock().unwrap().0.push(device_reads() - start),
                Hook::TrainEnd => seen.lock().unwrap().1 = device_reads() - start,
                _ => {}
            }
            Ok(())
        })
    };
    // Without a seed, the run would read one from the device.
    let fit = trainer.seed(1).max_epochs(2).callback(counting).fit(ten_metrics(), data);
    assert!(fit.is_ok(), "{:?}", fit.err());
    let seen = seen.lock().unwrap();
    seen.clone()
}

#[test]
fn a_training_step_never_reads_and_an_epoch_reads_once() {
    for n in [1, 50, 0] {
        let trainer = trainer(&MemoryLogger::new()).log_every_n_steps(n);
        let (batches, in_all) = reads_of_the_loop(trainer, line_data(60, 1));
        assert_eq!(batches, [[0; 60], [1; 60]].concat(), "log_every_n_steps = {n}");
        assert_eq!(in_all, 2, "log_every_n_steps = {n}");
    }
}

#[test]
fn a_validation_reads_once_at_its_end() {
    let (batches, in_all) = reads_of_the_loop(trainer(&MemoryLogger::new()), (line_data(60, 1), line_data(20, 1)));
    assert_eq!(batches, [[0; 60], [2; 60]].concat());
    assert_eq!(in_all, 4);
}

#[test]
fn a_logged_step_is_one_transaction_for_all_loggers() {
    for (n, logged) in [(1, 120), (50, 2), (0, 0)] {
        let counts = [Arc::default(), Arc::default()];
        let trainer = crate::support::quiet().log_every_n_steps(n);
        let trainer = counts.iter().fold(trainer, |trainer, count| trainer.logger(Counting(Arc::clone(count))));
        reads_of_the_loop(trainer, line_data(60, 1));
        let reads: u64 = counts.iter().map(|count| *count.lock().unwrap()).sum();
        // The newest step of an epoch may be read together with the values of the epoch.
        assert!(reads <= logged && reads + 2 >= logged, "log_every_n_steps = {n}: {reads} reads");
    }
}
