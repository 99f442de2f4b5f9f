use burn::tensor::{Device, Tensor};
use insta::assert_snapshot;
use stormfire_module::Event;

use super::*;
use crate::testing::{Bench, text};

/// The totals after `n` batches of 4 samples and 12 items, a quarter of a second each, half of it waiting.
fn after(n: u64) -> Totals {
    let count = |each: u64| Some((n * each) as usize);
    let time = Duration::from_millis(250 * n);
    Totals { time, waited: time / 2, batches: n, samples: count(4), lengths: count(12) }
}

fn known(rates: &Rates) -> Vec<(String, f64)> {
    rates.metrics(true).iter().map(|(name, value)| (name.to_string(), value)).collect()
}

#[test]
fn rates_are_those_of_the_window() {
    let mut rates = Rates::new(3);
    assert!(known(&rates).is_empty());
    rates.add(Totals { time: Duration::from_secs(100), ..after(0) });
    assert!(rates.metrics(true).get("device/batches_per_sec").is_none(), "one batch has no rate");
    // The slow start leaves the window.
    for n in 1..=3 {
        rates.add(Totals { time: Duration::from_secs(100) + after(n).time, ..after(n) });
    }
    let expected = [
        ("time", 100.75),
        ("batches", 3.0),
        ("samples", 12.0),
        ("lengths", 36.0),
        ("data_wait_time", 0.375),
        ("device/batches_per_sec", 4.0),
        ("device/samples_per_sec", 16.0),
        ("device/items_per_sec", 48.0),
        ("device/data_wait_fraction", 0.5),
    ];
    assert_eq!(known(&rates), expected.map(|(name, value)| (name.to_string(), value)));
}

#[test]
fn unknown_rates_are_left_out() {
    let mut rates = Rates::new(3);
    rates.add(after(1));
    rates.add(Totals { samples: None, lengths: None, ..after(2) });
    let names: Vec<_> = rates.metrics(false).iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, ["time", "batches", "device/batches_per_sec"]);
}

/// The names and values of one run of two training batches of 5 items, the second one logged, with a validation in
/// between.
fn run(mut monitor: ThroughputMonitor) -> Vec<(String, f64, Option<u64>)> {
    let (mut bench, logger) = Bench::new().with_logger();
    bench.start(&mut monitor).unwrap();
    bench.run.batch_items = Some(5);
    for logs in [false, true] {
        bench.run.place.logs_this_step = logs;
        bench.run.place.logger_step = bench.run.place.progress.global_step;
        bench.train_batch_start(&mut monitor).unwrap();
        bench.train_batch_end(&mut monitor).unwrap();
        if !logs {
            bench.run.moment.stage = RunningStage::Validate;
            let batch = Tensor::zeros([1, 1], &Device::flex());
            bench.fire(&mut monitor, Event::ValidationStart).unwrap();
            bench.fire(&mut monitor, Event::ValidationBatchStart { batch: &batch, batch_idx: 0, dataloader_idx: 0 }).unwrap();
            bench.fire(&mut monitor, Event::ValidationBatchEnd { output: &StepOutput::none(), batch_idx: 0, dataloader_idx: 0 }).unwrap();
            bench.validation_end(&mut monitor).unwrap();
        }
    }
    bench.run.loggers[0].flush().unwrap();
    logger.rows()
}

#[test]
fn a_fit_that_resumes_in_a_validation_does_not_count_it_as_training() {
    let _stopped = clock::stop();
    let (mut bench, _logger) = Bench::new().with_logger();
    let mut monitor = ThroughputMonitor::new();
    let built = monitor.evaluation.since;
    clock::advance(Duration::from_secs(2));
    bench.start(&mut monitor).unwrap();
    bench.run.moment.stage = RunningStage::Validate;
    let batch = Tensor::zeros([1, 1], &Device::flex());
    bench.fire(&mut monitor, Event::ValidationBatchStart { batch: &batch, batch_idx: 1, dataloader_idx: 0 }).unwrap();
    assert!(monitor.train.paused.is_some());
    assert_eq!(monitor.evaluation.since - built, Duration::from_secs(2), "the time before the fit is not of the validation");
}

fn value(rows: &[(String, f64, Option<u64>)], name: &str) -> Option<(f64, Option<u64>)> {
    rows.iter().find(|row| row.0 == name).map(|row| (row.1, row.2))
}

#[test]
fn it_logs_at_logging_steps_and_at_the_end_of_a_validation() {
    let counting = |batch: &Tensor<2>| 100 * batch.dims()[0];
    let rows = run(ThroughputMonitor::new().length_fn(counting).flops_per_batch(1e3).available_flops(1e12));
    assert_eq!(value(&rows, "train/batches"), Some((2.0, Some(1))));
    assert_eq!(value(&rows, "train/samples"), Some((10.0, Some(1))));
    assert_eq!(value(&rows, "train/lengths"), Some((200.0, Some(1))));
    assert_eq!(value(&rows, "validate/batches"), Some((1.0, Some(0))));
    assert_eq!(value(&rows, "validate/samples"), Some((5.0, Some(0))));
    assert!(value(&rows, "validate/data_wait_time").is_none());
    let per_second = |name: &str| value(&rows, name).unwrap().0;
    let batches = per_second("train/device/batches_per_sec");
    assert!(batches > 0.0);
    let close = |a: f64, b: f64| (a - b).abs() < 1e-9 * b;
    assert!(close(per_second("train/device/samples_per_sec"), 5.0 * batches));
    assert!(close(per_second("train/device/items_per_sec"), 100.0 * batches));
    assert!(close(per_second("train/device/flops_per_sec"), 1e3 * batches));
    assert!(close(per_second("train/device/mfu"), 1e-9 * batches));
}

#[test]
fn its_own_count_goes_before_the_loaders() {
    let rows = run(ThroughputMonitor::new().batch_size_fn(|_: &Tensor<2>| 7));
    assert_eq!(value(&rows, "train/samples"), Some((14.0, Some(1))));
    assert!(value(&rows, "train/lengths").is_none(), "items are not counted");
}

#[test]
fn invalid_options_are_refused() {
    let (mut bench, _logger) = Bench::new().with_logger();
    assert_eq!(
        text(&bench.setup(&mut ThroughputMonitor::new().window_size(1)).unwrap_err()),
        "`ThroughputMonitor::window_size`: a rate needs 2 batches, not 1 | hint: leave it at 100"
    );
    for (mut wrong, option) in [
        (ThroughputMonitor::new().flops_per_batch(f64::NAN), "flops_per_batch`: NaN"),
        (ThroughputMonitor::new().available_flops(f64::INFINITY), "available_flops`: inf"),
        (ThroughputMonitor::new().available_flops(0.0), "available_flops`: 0"),
    ] {
        let expected = format!("`ThroughputMonitor::{option} is not a number of operations | hint: leave it out, or give a number above 0");
        assert_eq!(text(&bench.start(&mut wrong).unwrap_err()), expected);
    }
    let mut wrong = ThroughputMonitor::new().length_fn(|_: &String| 1);
    bench.start(&mut wrong).unwrap();
    let error = text(&bench.train_batch_start(&mut wrong).unwrap_err());
    // The name of a type of burn.
    insta::with_settings!({ filters => [("`burn[^`]*`", "`[type]`")] }, {
        assert_snapshot!(error, @"`ThroughputMonitor::length_fn`: its batch type is not that of this module, `[type]` | hint: write the batch type after the argument: `|batch: &MyBatch| ..`");
    });
}

/// Three epochs of ten batches, with a validation after the second batch.
#[test]
fn the_time_to_the_end_includes_validations() {
    let _stopped = clock::stop();
    let ((mut bench, logger), mut monitor) = (Bench::new().with_logger(), ThroughputMonitor::new());
    bench.start(&mut monitor).unwrap();
    bench.run.place.logs_this_step = true;
    let mut batch = |seconds: u64, max_steps: Option<u64>| {
        bench.run.limits.max_steps = max_steps;
        bench.train_batch_start(&mut monitor).unwrap();
        clock::advance(Duration::from_secs(seconds));
        bench.train_batch_end(&mut monitor).unwrap();
        bench.run.loggers[0].flush().unwrap();
        let rows = logger.rows();
        rows.iter().rev().find(|row| row.0 == "train/time_to_end").map(|row| row.1)
    };
    // The first batch is slow.
    assert_eq!(batch(100, None), None);
    assert_eq!(batch(2, None), Some(28.0 * 2.0));
    // Six seconds of validation.
    assert_eq!(batch(6 + 2, None), Some(27.0 * 5.0));
    assert_eq!(batch(5, Some(14)), Some(10.0 * 5.0));
}
