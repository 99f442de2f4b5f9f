//! Distributions of parameters and gradients.

use std::time::Duration;

use burn::tensor::{Device, Tensor};
use insta::assert_snapshot;
use stormfire::prelude::*;

use super::{Call, Descent, MemoryLogger, gradient_norms::Skips, line_data, with};
use crate::{error_text::error_text, support::quiet};

/// The logged histograms: name, step, and the smallest value, which is the only one.
fn histograms(logger: &MemoryLogger) -> Vec<(String, u64, f64)> {
    let of = |call| match call {
        Call::Histogram { tag, histogram, step } => {
            assert_eq!((histogram.num(), histogram.stats().min), (1.0, histogram.stats().max));
            Some((tag, step.unwrap(), histogram.stats().min))
        }
        _ => None,
    };
    logger.calls().into_iter().filter_map(of).collect()
}

#[test]
fn parameters_and_their_gradients_belong_to_one_step() {
    let logger = MemoryLogger::new();
    drop(with(HistogramMonitor::new(), &logger).max_epochs(2).gradient_clip_val(1e-3).fit(Descent::new(), line_data(2, 2)).unwrap());
    let seen = histograms(&logger);
    let names: Vec<_> = seen.iter().map(|(name, step, _)| (name.as_str(), *step)).collect();
    let of = |step| {
        ["parameters/line.layer.weight", "gradients/line.layer.weight", "parameters/line.layer.bias", "gradients/line.layer.bias"]
            .map(|name| (name, step))
    };
    assert_eq!(names, [of(0), of(1)].concat());
    let values: Vec<_> = seen.iter().take(4).map(|(.., value)| *value).collect();
    assert_eq!(values, [0.0, -1.0, 0.0, -3.0], "as they were before the step, gradients before they are clipped");
}

#[test]
fn histograms_are_logged_at_their_period() {
    let steps = |every: Every, accumulate| {
        let logger = MemoryLogger::new();
        let monitor = HistogramMonitor::new().parameters(false).every(every);
        let mut trainer = with(monitor, &logger).max_epochs(2).accumulate_grad_batches(accumulate);
        // 6 batches per epoch.
        drop(trainer.fit(Descent::new(), line_data(6, 1)).unwrap());
        let seen = histograms(&logger);
        seen.iter().filter(|(name, ..)| name.ends_with("bias")).map(|(_, step, _)| *step).collect::<Vec<_>>()
    };
    assert_eq!(steps(Every::Steps(5), 1), [4, 9]);
    assert_eq!(steps(Every::Steps(2), 2), [1, 3, 5]);
    assert_eq!(steps(Every::Batches(4), 1), [3, 7, 11]);
    assert_eq!(steps(Every::Batches(3), 2), [1, 2, 4, 5], "at the end of the window in which the period ends");
    assert_eq!(steps(Every::Epochs(1), 1), [5, 11]);
    assert_eq!(steps(Every::Epochs(2), 4), [3], "the last window of an epoch may be short");
    assert_eq!(steps(Every::Fraction(0.5), 1), [2, 5, 8, 11]);
    assert_eq!(steps(Every::Time(Duration::from_hours(1)), 1), [0_u64; 0]);
    assert_eq!(steps(Every::Time(Duration::from_nanos(1)), 3).len(), 4);
}

#[test]
fn the_step_that_ends_a_skipped_epoch_ends_a_period() {
    let logger = MemoryLogger::new();
    let monitor = HistogramMonitor::new().parameters(false).every(Every::Steps(2));
    let trainer = with(monitor, &logger).callback(Skips).max_epochs(4).accumulate_grad_batches(4);
    drop({ trainer }.fit(Descent::new(), line_data(8, 1)).unwrap());
    let seen = histograms(&logger);
    let steps: Vec<_> = seen.iter().filter(|(name, ..)| name.ends_with("bias")).map(|(_, step, _)| *step).collect();
    assert_eq!(steps, [1, 3]);
}

#[test]
fn a_logger_without_histograms_does_not_stop_the_fit() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = quiet().log_every_n_steps(1).max_epochs(1).logger(CsvLogger::new(folder.path())).callback(HistogramMonitor::new());
    assert!(trainer.fit(Descent::new(), line_data(4, 2)).is_ok());
}

#[test]
fn an_impossible_period_is_refused() {
    let refused = |every| {
        let mut trainer = with(HistogramMonitor::new().every(every), &MemoryLogger::new()).max_epochs(1);
        let endless = Loader::from_fn(|_| {
            let one = Tensor::<2>::ones([1, 1], &Device::flex());
            std::iter::repeat((one.clone(), one))
        });
        error_text(trainer.fit(Descent::new(), endless))
    };
    assert_snapshot!([Every::Steps(0), Every::Fraction(0.5)].map(refused).join("\n"), @"
    `HistogramMonitor::every`: the number must be at least 1 (in `setup` of `HistogramMonitor`)
      hint: give another period, such as `500 steps`
    `HistogramMonitor::every`: `0.5 epochs` needs training data of known length (in `on_train_start` of `HistogramMonitor`)
      hint: use a number of steps or batches, or limit the data with `limit_train_batches`
    ");
}
