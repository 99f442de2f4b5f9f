//! Options as strings. A valid string means the same as the typed value. A wrong one is refused when the run starts.

use std::time::Duration;

use burn::optim::SgdConfig;
use insta::assert_snapshot;
use stormfire::{
    callbacks::Interval,
    loggers::{MemoryLogger, MlflowLogger},
    prelude::*,
};

use crate::{
    error_text::error_text,
    support::{Line, line_data, quiet, recording},
};

#[test]
fn a_string_means_the_same_as_the_typed_value() {
    let text = Trainer::<Line>::new()
        .accelerator("cpu")
        .max_time("10 minutes")
        .val_check_interval("2 epochs")
        .gradient_clip_algorithm("value")
        .on_non_finite("skip:3")
        .requeue_signal("usr2")
        .profiler("simple")
        .limit_train_batches("10")
        .limit_val_batches("0.25")
        .limit_test_batches(String::from(" 1.0 "))
        .limit_predict_batches("1")
        .overfit_batches("3");
    let typed = Trainer::<Line>::new()
        .accelerator(Accelerator::Cpu)
        .max_time(Duration::from_mins(10))
        .val_check_interval(Every::Epochs(2))
        .gradient_clip_algorithm(ClipAlgorithm::Value)
        .on_non_finite(NonFinite::Skip { max_in_a_row: 3 })
        .requeue_signal(stormfire::RequeueSignal::Usr2)
        .profiler(ProfilerKind::Simple)
        .limit_train_batches(10)
        .limit_val_batches(0.25)
        .limit_test_batches(stormfire::Limit::ALL)
        .limit_predict_batches(1)
        .overfit_batches(3_usize);
    assert_eq!(text.config(), typed.config());
    let file = r#"{"accelerator": "cpu", "max_time": "10 minutes", "val_check_interval": "2 epochs", "gradient_clip_algorithm": "value",
        "on_non_finite": "skip:3", "requeue_signal": "usr2", "profiler": "simple", "limit_train_batches": "10", "limit_val_batches": "0.25",
        "limit_test_batches": "1.0", "limit_predict_batches": 1, "overfit_batches": 3}"#;
    assert_eq!(serde_json::from_str::<TrainerConfig>(file).unwrap(), *typed.config());
}

#[test]
fn strings_are_accepted_by_the_trainer_and_callbacks() {
    let logger = MemoryLogger::new();
    let trainer = recording(&logger)
        .accelerator(String::from("cpu"))
        .max_epochs(2)
        .max_time("1 hour")
        .val_check_interval("2 epochs")
        .callback(Timer::new("2 hours").interval("epoch"))
        .callback(EarlyStopping::new("val_loss").mode("min").patience(5))
        .callback(LearningRateMonitor::new().logging_interval("epoch"));
    let fit = { trainer }.fit(Line::new(), (line_data(8, 2), line_data(8, 2))).unwrap();
    assert_eq!(fit.stop, Stop::MaxEpochs(2));
    let rates = logger.rows().into_iter().filter(|(name, ..)| name == "lr-SGD").map(|(.., step)| step.unwrap());
    assert_eq!(rates.collect::<Vec<_>>(), [0, 4]);
    assert_eq!("epoch".parse(), Ok(Interval::Epoch));
}

#[test]
fn a_wrong_string_is_refused_when_the_run_starts() {
    let trainers = [
        quiet().limit_val_batches("half"),
        quiet().accelerator("tpu"),
        quiet().max_time("10 epochs"),
        quiet().val_check_interval("0.5"),
        quiet().on_non_finite("ignore"),
        // In callbacks the hook is named, too.
        quiet().callback(EarlyStopping::new("val_loss").mode("up")),
        quiet().enable_checkpointing(true).callback(ModelCheckpoint::new().every("often")),
    ];
    let refused = |trainer: Trainer<Line>| error_text(trainer.max_epochs(1).fit(Line::new(), line_data(8, 2))) + "\n";
    assert_snapshot!(trainers.map(refused).concat(), @"
    `limit_val_batches`: cannot read `half` as a number of batches: it is not a number
      hint: write a number of batches such as `10`, or a fraction of them such as `0.25`
    `accelerator`: cannot read `tpu` as an accelerator: it is not a known kind of hardware
      hint: write `auto`, `cpu`, `gpu`, `cuda`, `cuda:1`, `wgpu`, `vulkan` or `metal`, for example `auto` for the best available device
    `max_time`: cannot read `10 epochs` as a time: 10 epochs is not a time
      hint: write a number with a unit, as `10 minutes` or `12 hours`, or `00:12:00:00` (days:hours:minutes:seconds)
    `val_check_interval`: cannot read `0.5` as a period: the unit is missing
      hint: write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`
    `on_non_finite`: cannot read `ignore` as a policy for values that are not finite: it is not a known value
      hint: write `error`, `stop`, `off`, or `skip:5` with the number of steps that may be skipped in a row
    `EarlyStopping::mode`: cannot read `up` as a mode: it is not a known value (in `setup` of `EarlyStopping`)
      hint: write `min` or `max`
    `ModelCheckpoint::every`: cannot read `often` as a period: it does not start with a digit (in `setup` of `ModelCheckpoint`)
      hint: write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`
    ");
    // The last call counts.
    let good = quiet().max_time("soon").max_time("1 hour");
    assert_eq!({ good }.max_epochs(1).fit(Line::new(), line_data(8, 2)).unwrap().stop, Stop::MaxEpochs(1));
}

#[test]
fn a_wrong_string_of_a_schedule_is_refused() {
    #[derive(burn::module::Module, Debug)]
    struct Scheduled {
        line: Line,
    }
    impl LightningModule for Scheduled {
        type Batch = crate::support::Batch;
        fn training_step(&self, batch: Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
            Ok(self.line.loss(batch).into())
        }
        fn configure_optimizers(&self) -> Result<Optimizers> {
            Ok(Optimizer::new(SgdConfig::new(), 0.1).schedule(Schedule::new(0.1).every("3 stops")).into())
        }
    }
    assert_snapshot!(error_text(quiet().max_epochs(1).fit(Scheduled { line: Line::new() }, line_data(8, 2))), @"
    `Schedule::every`: cannot read `3 stops` as a period: `stops` is not one of steps, batches, epochs, seconds, minutes, hours, days
      hint: write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`
    ");
}

#[test]
fn the_patience_of_a_tracker_is_a_time_as_a_string() {
    let folder = tempfile::tempdir().unwrap();
    let fit = |patience: &str| {
        let mlflow = MlflowLogger::new().tracking_uri("http://127.0.0.1:9").save_dir(folder.path()).patience(patience);
        recording(&MemoryLogger::new()).logger(mlflow).max_steps(1).fit(Line::new(), line_data(8, 4))
    };
    assert!(fit("0 s").is_ok());
    assert_snapshot!(error_text(fit("soon")), @"
    logger `lightning_logs`: `patience`: cannot read `soon` as a time
      hint: write a number with a unit, such as `10 s` or `2 minutes`
    ");
}
