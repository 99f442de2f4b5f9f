//! The values of the log that callbacks and the progress bar see at each moment.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use insta::assert_snapshot;
use stormfire::{loggers::MemoryLogger, metrics::Loggable, module::log::capture, prelude::*, values::read::device_reads};
use stormfire_values::read::DistantCpu;

use super::probe::{Probe, counter, each_of, lines, on_device, trainer, watch};
use crate::{
    error_text::error_text,
    support::{Batch, Line, line_data, quiet},
};

type Seen = Arc<Mutex<Vec<String>>>;

/// Records the result of `look` in these hooks.
fn looking(seen: &Seen, hooks: &'static [Hook], look: fn(&mut Context<'_>) -> Result<String>) -> impl Callback<Probe> + use<> {
    let seen = Arc::clone(seen);
    watch(move |ctx, hook| {
        if hooks.contains(&hook) {
            let line = format!("{hook}: {}", look(ctx)?);
            seen.lock().unwrap().push(line);
        }
        Ok(())
    })
}

/// Every metric that callbacks can monitor.
fn callback_metrics(ctx: &mut Context<'_>) -> Result<String> {
    let names = ctx.metric_names();
    let values = names.iter().map(|name| Ok(format!("{name}={}", ctx.metric(name)?)));
    Ok(values.collect::<Result<Vec<_>>>()?.join(" "))
}

#[expect(clippy::unnecessary_wraps, reason = "it is passed where looking may fail")]
fn bar_metrics(ctx: &mut Context<'_>) -> Result<String> {
    let shown = |(name, value): (String, Option<f64>)| format!("{name}={}", value.map_or("?".into(), |v| v.to_string()));
    Ok(ctx.progress_bar_metrics().into_iter().map(shown).collect::<Vec<_>>().join(" "))
}

#[track_caller]
fn sees<D: DataModule<Batch = Batch>>(
    probe: Probe,
    data: D,
    hooks: &'static [Hook],
    look: fn(&mut Context<'_>) -> Result<String>,
    expected: &[&str],
) {
    let seen = Seen::default();
    let fit = trainer(&MemoryLogger::new()).max_epochs(2).callback(looking(&seen, hooks, look)).fit(probe, data);
    assert!(fit.is_ok(), "{:?}", fit.err());
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn callbacks_see_the_newest_step_and_after_the_epoch_its_reduction() {
    for device in [false, true] {
        let number = counter();
        let probe = Probe::at(Hook::TrainingStep, move || {
            let number = number() as f64;
            let value = || if device { on_device(number).into_logged() } else { number.into_logged() };
            log("d", value());
            log("s", value()).on_step(true).logger(false);
            log("e", value()).on_step(false).on_epoch(true);
            log("se", value()).on_step(true).on_epoch(true);
        });
        let hooks = &[Hook::TrainStart, Hook::TrainEpochStart, Hook::TrainBatchStart, Hook::TrainBatchEnd, Hook::TrainEpochEnd];
        let expected = [
            "on_train_start: ",
            "on_train_epoch_start: ",
            "on_train_batch_start: ",
            "on_train_batch_end: d=1 s=1 se_step=1 se=1",
            "on_train_batch_start: d=1 s=1 se_step=1 se=1",
            "on_train_batch_end: d=2 s=2 se_step=2 se=2",
            "on_train_epoch_end: d=2 s=2 se_step=2 se=1.5 e=1.5 se_epoch=1.5",
            "on_train_epoch_start: d=2 s=2 se_step=2 se=1.5 e=1.5 se_epoch=1.5",
            "on_train_batch_start: d=2 s=2 se_step=2 se=1.5 e=1.5 se_epoch=1.5",
            "on_train_batch_end: d=3 s=3 se_step=3 se=3 e=1.5 se_epoch=1.5",
            "on_train_batch_start: d=3 s=3 se_step=3 se=3 e=1.5 se_epoch=1.5",
            "on_train_batch_end: d=4 s=4 se_step=4 se=4 e=1.5 se_epoch=1.5",
            "on_train_epoch_end: d=4 s=4 se_step=4 se=3.5 e=3.5 se_epoch=3.5",
        ];
        sees(probe, line_data(8, 4), hooks, callback_metrics, &expected);
    }
}

#[test]
fn callbacks_see_the_steps_of_an_evaluation_too() {
    let number = counter();
    let probe = Probe::at(Hook::ValidationStep, move || {
        let number = number();
        log("s", number).on_step(true).on_epoch(false);
        log("e", number);
        log("se", number).on_step(true);
    });
    let hooks = &[Hook::ValidationBatchEnd, Hook::ValidationEpochEnd, Hook::ValidationEnd];
    let expected = [
        "on_validation_batch_end: s=1 se_step=1 se=1",
        "on_validation_batch_end: s=2 se_step=2 se=2",
        "on_validation_epoch_end: s=2 se_step=2 se=1.5 e=1.5 se_epoch=1.5",
        "on_validation_end: s=2 se_step=2 se=1.5 e=1.5 se_epoch=1.5",
        "on_validation_batch_end: s=3 se_step=3 se=3 e=1.5 se_epoch=1.5",
        "on_validation_batch_end: s=4 se_step=4 se=4 e=1.5 se_epoch=1.5",
        "on_validation_epoch_end: s=4 se_step=4 se=3.5 e=3.5 se_epoch=3.5",
        "on_validation_end: s=4 se_step=4 se=3.5 e=3.5 se_epoch=3.5",
    ];
    sees(probe, (line_data(4, 4), line_data(8, 4)), hooks, callback_metrics, &expected);
}

#[test]
fn names_of_metrics_are_available_without_a_read() {
    #[expect(clippy::unnecessary_wraps, reason = "it is passed where looking may fail")]
    fn names(ctx: &mut Context<'_>) -> Result<String> {
        Ok(ctx.metric_names().join(" "))
    }
    let probe = Probe::new(|hook| match hook {
        Hook::TrainingStep => drop(log("x", 1).on_epoch(true)),
        Hook::ValidationStep => drop(log("val_x", 1).on_step(true)),
        _ => {}
    });
    let hooks = &[Hook::TrainBatchEnd, Hook::ValidationBatchEnd, Hook::ValidationEpochEnd, Hook::TrainEpochEnd];
    let second = "x_step x val_x_step val_x val_x_epoch x_epoch";
    let expected = [
        "on_train_batch_end: x_step x".to_string(),
        "on_validation_batch_end: x_step x val_x_step val_x".to_string(),
        "on_validation_epoch_end: x_step x val_x_step val_x val_x_epoch".to_string(),
        format!("on_train_epoch_end: {second}"),
        format!("on_train_batch_end: {second}"),
        format!("on_validation_batch_end: {second}"),
        format!("on_validation_epoch_end: {second}"),
        format!("on_train_epoch_end: {second}"),
    ];
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    sees(probe, (line_data(4, 4), line_data(4, 4)), hooks, names, &expected);
}

#[test]
fn the_bar_shows_the_metrics_with_prog_bar() {
    let number = counter();
    let probe = Probe::at(Hook::TrainingStep, move || {
        let number = number();
        log("not", number);
        log("s", number).prog_bar(true);
        log("e", number).prog_bar(true).on_step(false).on_epoch(true);
        log("se", number).prog_bar(true).on_epoch(true).logger(false);
    });
    let hooks = &[Hook::TrainBatchEnd, Hook::TrainEpochEnd];
    let expected = [
        "on_train_batch_end: s=1 se_step=1",
        "on_train_batch_end: s=2 se_step=2",
        "on_train_epoch_end: s=2 se_step=2 se_epoch=1.5 e=1.5",
        "on_train_batch_end: s=3 se_step=3 se_epoch=1.5 e=1.5",
        "on_train_batch_end: s=4 se_step=4 se_epoch=1.5 e=1.5",
        "on_train_epoch_end: s=4 se_step=4 se_epoch=3.5 e=3.5",
    ];
    sees(probe, line_data(8, 4), hooks, bar_metrics, &expected);
}

#[test]
fn the_values_of_the_bar_are_read_on_another_thread() {
    fn until_it_is_there(ctx: &mut Context<'_>) -> Result<String> {
        let before = device_reads();
        for _ in 0..60_000 {
            let shown = bar_metrics(ctx)?;
            if !shown.contains('?') {
                return Ok(format!("{shown}, {} reads here", device_reads() - before));
            }
            thread::sleep(Duration::from_millis(1));
        }
        Ok("nothing came".into())
    }
    let _distant = DistantCpu::new();
    let probe = Probe::at(Hook::TrainingStep, || drop(log("p", on_device(0.5)).prog_bar(true)));
    let expected = ["on_train_batch_end: p=0.5, 0 reads here"; 2];
    sees(probe, line_data(4, 4), &[Hook::TrainBatchEnd], until_it_is_there, &expected);
}

#[test]
fn a_value_logged_in_on_train_start_is_available_in_the_whole_fit() {
    let probe = Probe::at(Hook::TrainStart, || drop(log("start", 123)));
    let hooks = &[Hook::TrainBatchEnd, Hook::TrainEpochEnd, Hook::TrainEnd];
    let expected = [
        "on_train_batch_end: start=123",
        "on_train_epoch_end: start=123",
        "on_train_batch_end: start=123",
        "on_train_epoch_end: start=123",
        "on_train_end: start=123",
    ];
    sees(probe, line_data(4, 4), hooks, callback_metrics, &expected);
}

#[test]
fn a_run_starts_with_an_empty_log() {
    fn look(ctx: &mut Context<'_>) -> Result<String> {
        Ok(format!("{} | {}", callback_metrics(ctx)?, bar_metrics(ctx)?))
    }
    let seen = Seen::default();
    let (logger, value) = (MemoryLogger::new(), each_of([1.0, 2.0, 3.0, 4.0]));
    let probe = Probe::at(Hook::TrainingStep, move || drop(log("x", value()).prog_bar(true).on_epoch(true)));
    let hooks = &[Hook::FitStart, Hook::FitEnd, Hook::ValidationStart];
    let mut trainer = trainer(&logger).max_epochs(1).callback(looking(&seen, hooks, look));
    let fit = trainer.fit(probe, line_data(8, 4)).unwrap();
    trainer.validate(&fit.module, line_data(4, 4)).unwrap();
    let fit = trainer.fit(fit.module, line_data(8, 4)).unwrap();
    assert_eq!(fit.progress.global_step, 2);
    let expected = [
        "on_fit_start:  | ",
        "on_fit_end: x_step=2 x=1.5 x_epoch=1.5 | x_step=2 x_epoch=1.5",
        "on_validation_start:  | ",
        "on_fit_start:  | ",
        "on_fit_end: x_step=4 x=3.5 x_epoch=3.5 | x_step=4 x_epoch=3.5",
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
    let rows = ["0: x_step=1 epoch=0", "1: x_step=2 epoch=0", "1: x_epoch=1.5 epoch=0"];
    let again = ["0: x_step=3 epoch=0", "1: x_step=4 epoch=0", "1: x_epoch=3.5 epoch=0"];
    assert_eq!(lines(&logger), [rows, again].concat());
}

#[test]
fn callbacks_see_metrics_that_other_callbacks_log() {
    let (logger, seen) = (MemoryLogger::new(), Seen::default());
    let sending = watch(|ctx, hook| if hook == Hook::TrainEpochEnd { ctx.log_metrics(&[("score", 0.25)].into()) } else { Ok(()) });
    let reading = looking(&seen, &[Hook::TrainEpochEnd], callback_metrics);
    let fit = trainer(&logger).max_epochs(1).callback(sending).callback(reading).fit(Probe::silent(), line_data(4, 4));
    assert!(fit.is_ok());
    assert_eq!(*seen.lock().unwrap(), ["on_train_epoch_end: score=0.25"]);
    assert_eq!(lines(&logger), ["0: score=0.25"]);
}

#[test]
fn a_missing_metric_is_an_error_that_lists_the_others() {
    let asking = watch(|ctx, hook| if hook == Hook::TrainEpochEnd { ctx.metric("val_loss").map(drop) } else { Ok(()) });
    let probe = Probe::at(Hook::TrainingStep, || drop(log("x", 1).on_epoch(true)));
    let error = trainer(&MemoryLogger::new()).max_epochs(1).callback(asking).fit(probe, line_data(4, 4));
    assert_snapshot!(error_text(error), @"
    metric `val_loss` is not available; available are: `x_step`, `x`, `x_epoch` (in `on_train_epoch_end` of `Watch`)
      hint: this fit has no validation: if the validation logs it, give `fit` a validation loader; else log it with `self.log(..)`, or monitor one of the available metrics
    ");
}

#[test]
fn metrics_sent_directly_go_under_the_current_step() {
    let logger = MemoryLogger::new();
    let sending = watch(|ctx, hook| {
        if matches!(hook, Hook::TrainStart | Hook::TrainBatchEnd | Hook::TrainEpochEnd) {
            ctx.log_metrics(&[("direct", 1.0)].into())?;
        }
        Ok(())
    });
    assert!(trainer(&logger).max_epochs(1).callback(sending).fit(Probe::silent(), line_data(8, 4)).is_ok());
    assert_eq!(lines(&logger), ["0: direct=1", "0: direct=1", "1: direct=1", "1: direct=1"]);
}

#[test]
fn a_step_can_be_tested_without_a_trainer() {
    let batch = || -> Batch { (on_device(0.5).unsqueeze_dim(1), on_device(2.0).unsqueeze_dim(1)) };
    let line = Line::new();
    let (output, captured) = capture(Hook::ValidationStep, || line.validation_step(batch(), 0)).unwrap();
    assert!(output.unwrap().loss().is_none());
    let record = &captured.records[0];
    assert_eq!((captured.records.len(), &*record.name, record.options.on_step, record.options.on_epoch), (1, "val_loss", false, true));
    let loss = f64::from(line.loss(batch()).into_scalar::<f32>());
    assert!((captured.get("val_loss").unwrap() - loss).abs() < 1e-9);
    assert_snapshot!(captured.get("val_acc").unwrap_err(), @"metric `val_acc` is not available; available are: `val_loss`");
    // No value is left for a later run, and none from outside of a run.
    line.validation_step(batch(), 0).unwrap();
    let logger = MemoryLogger::new();
    assert!(trainer(&logger).max_epochs(1).fit(Probe::silent(), line_data(4, 4)).is_ok());
    assert_eq!(lines(&logger), [""; 0]);
}

#[test]
fn a_fit_returns_the_newest_metrics() {
    let mut trainer = quiet().max_epochs(2);
    let data = || (line_data(8, 2), line_data(4, 2));
    let fit = trainer.fit(Line::new(), data()).unwrap();
    let validated = trainer.validate(&fit.module, data()).unwrap();
    assert_eq!(fit.metrics.iter().collect::<Vec<_>>(), validated[0].iter().collect::<Vec<_>>());
    assert!(fit.metrics.get("val_loss").is_some());
}
