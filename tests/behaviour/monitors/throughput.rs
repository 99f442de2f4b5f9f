//! The measured speed of a fit.

use std::{thread::sleep, time::Duration};

use insta::assert_snapshot;
use stormfire::prelude::*;

use super::{Descent, MemoryLogger, line_data, logged, with};
use crate::{
    error_text::error_text,
    support::{Batch, quiet},
};

#[test]
fn batches_samples_and_items_are_counted() {
    let logger = MemoryLogger::new();
    let monitor = ThroughputMonitor::new().length_fn(|(x, _): &Batch| 10 * x.dims()[0]);
    let data = (line_data(7, 2), line_data(3, 2));
    drop(with(monitor, &logger).log_every_n_steps(2).max_epochs(2).fit(Descent::new(), data).unwrap());
    // Batches of 2, 2, 2 and 1 points in each epoch.
    assert_eq!(logged(&logger, "train/batches"), [(1, 2.0), (3, 4.0), (5, 6.0), (7, 8.0)]);
    assert_eq!(logged(&logger, "train/samples"), [(1, 4.0), (3, 7.0), (5, 11.0), (7, 14.0)]);
    assert_eq!(logged(&logger, "train/lengths"), [(1, 40.0), (3, 70.0), (5, 110.0), (7, 140.0)]);
    assert_eq!(logged(&logger, "validate/samples"), [(3, 3.0), (7, 3.0)], "each validation for itself, without the sanity check");
    let rates = logged(&logger, "train/device/samples_per_sec");
    assert!(rates.len() == 4 && rates.iter().all(|(_, rate)| *rate > 0.0), "{rates:?}");
    let times = logged(&logger, "train/time");
    assert!(times.windows(2).all(|pair| pair[0].1 < pair[1].1), "{times:?}");
}

#[test]
fn waiting_for_data_is_measured() {
    let logger = MemoryLogger::new();
    let slow = Loader::from_fn(|_| {
        let batches = line_data(4, 1).batches(stormfire::data::Position::new(0, 0), &burn::tensor::Device::flex()).unwrap();
        batches.map(|batch| batch.unwrap().value).inspect(|_| sleep(Duration::from_millis(10)))
    });
    drop(with(ThroughputMonitor::new(), &logger).max_epochs(1).fit(Descent::new(), slow).unwrap());
    let waited = logged(&logger, "train/data_wait_time");
    // A sleep is never shorter than requested. The loader also fetches one batch ahead, to find out whether the next
    // one is the last.
    assert!(waited.len() == 4 && waited[3].1 >= 0.04, "{waited:?}");
    let fraction = logged(&logger, "train/device/data_wait_fraction");
    assert!(fraction.iter().all(|(_, fraction)| (0.0..=1.0).contains(fraction)) && fraction[1].1 > 0.0, "{fraction:?}");
    assert!(logged(&logger, "train/samples").is_empty(), "the size of a batch is unknown");
}

#[test]
fn every_stage_is_measured() {
    let logger = MemoryLogger::new();
    let mut trainer = with(ThroughputMonitor::new(), &logger);
    trainer.test(&Descent::new(), line_data(4, 2)).unwrap();
    assert_eq!(logged(&logger, "test/samples"), [(0, 4.0)]);
    assert_eq!(logged(&logger, "test/batches"), [(0, 2.0)]);
}

#[test]
fn a_monitor_without_a_logger_is_refused() {
    assert_snapshot!(error_text(quiet().max_epochs(1).callback(ThroughputMonitor::new()).fit(Descent::new(), line_data(2, 1))), @"
    `logger`: `ThroughputMonitor` needs a logger, and this run has none (in `setup` of `ThroughputMonitor`)
      hint: add one, or leave the callback out
    ");
}
