//! Checks values, one after the other.

use insta::assert_snapshot;
use stormfire_module::RunningStage;

use super::*;
use crate::testing::{Bench, text, told};

/// Ends epochs with these values until it stops. Returns the number of checks and the reason.
fn run(callback: &mut EarlyStopping, values: &[f64]) -> (usize, Option<String>) {
    let mut bench = Bench::new();
    bench.start(callback).unwrap();
    for (at, &value) in values.iter().enumerate() {
        bench.metric("loss", value).epoch(callback).unwrap();
        if let Some(reason) = bench.stopped() {
            return (at + 1, Some(reason));
        }
    }
    (values.len(), None)
}

#[test]
fn patience_counts_checks_without_improvement() {
    let mut callback = EarlyStopping::new("loss").patience(2);
    let (looks, reason) = run(&mut callback, &[1.0, 0.5, 0.6, 0.5, 0.1]);
    assert_eq!(looks, 4);
    assert_eq!(reason.as_deref(), Some("monitored metric `loss` did not improve in the last 2 checks; best score: 0.500"));
    assert_eq!(callback.stopping_reason_message(), reason.as_deref());
    assert_eq!((callback.stopping_reason(), callback.stopped_epoch()), (StoppingReason::PatienceExhausted, Some(3)));
    assert_eq!((callback.best_score(), callback.wait_count()), (Some(0.5), 2));
    assert_eq!(run(&mut EarlyStopping::new("loss").patience(0), &[1.0, 1.0, 0.5]).0, 2);
}

#[test]
fn small_improvements_are_reported_with_their_digits() {
    let lines = told(|| {
        run(&mut EarlyStopping::new("loss").verbose(true), &[0.0391, 0.0387, 0.038_699_99]);
    });
    assert_snapshot!(lines.join("\n"), @"
    INFO metric `loss` improved; new best score: 0.0391
    INFO metric `loss` improved by 4.00e-4 >= min_delta = 0; new best score: 0.0387
    INFO metric `loss` improved by 1.00e-8 >= min_delta = 0; new best score: 0.0387
    ");
}

#[test]
fn a_change_must_exceed_min_delta() {
    let (looks, _) = run(&mut EarlyStopping::new("loss").patience(1).min_delta(-0.125), &[1.0, 0.75, 0.625]);
    assert_eq!(looks, 3);
    let rising = EarlyStopping::new("loss").mode(Mode::Max).patience(1).min_delta(0.125);
    assert_eq!(run(&mut rising.clone(), &[0.5, 0.75, 0.875]).0, 3);
    assert_eq!(run(&mut rising.clone(), &[0.5, 0.75, 1.0]), (3, None));
}

#[test]
fn thresholds_are_strict_and_come_before_patience() {
    let (looks, reason) = run(&mut EarlyStopping::new("loss").stopping_threshold(0.5), &[1.0, 0.5, 0.25]);
    assert_eq!((looks, reason.as_deref()), (3, Some("stopping threshold reached: `loss` = 0.25 < 0.5")));
    let mut diverges = EarlyStopping::new("loss").mode(Mode::Max).divergence_threshold(0.5).patience(9);
    let (looks, reason) = run(&mut diverges, &[1.0, 0.5, 0.25]);
    assert_eq!((looks, reason.as_deref()), (3, Some("divergence threshold reached: `loss` = 0.25 < 0.5")));
    assert_eq!(diverges.stopping_reason(), StoppingReason::DivergenceThreshold);
}

#[test]
fn nan_stops_or_counts_as_no_improvement() {
    let (looks, reason) = run(&mut EarlyStopping::new("loss"), &[1.0, f64::NAN]);
    let message = "monitored metric `loss` = NaN is not finite; previous best value was 1.000";
    assert_eq!((looks, reason.as_deref()), (2, Some(message)));
    let (looks, reason) = run(&mut EarlyStopping::new("loss").check_finite(false).patience(2), &[f64::NAN; 3]);
    assert_eq!(looks, 2);
    assert_snapshot!(reason.unwrap(), @"monitored metric `loss` did not improve in the last 2 checks; best score: inf");
}

#[test]
fn a_missing_metric_names_what_is_there() {
    let (mut bench, mut callback) = (Bench::new(), EarlyStopping::new("val_los"));
    bench.start(&mut callback).unwrap();
    bench.run.place.is_last_batch = false;
    bench.epoch(&mut callback).expect("an epoch that ended early was not validated");
    bench.run.place.is_last_batch = true;
    let error = bench.metric("val_loss", 1.0).epoch(&mut callback).unwrap_err();
    assert_snapshot!(text(&error), @"metric `val_los` is not available; available are: `val_loss` | hint: did you mean `val_loss`?");
    bench.epoch(&mut callback.strict(false)).unwrap();
    assert_eq!(bench.stopped(), None);
}

#[test]
fn it_checks_where_the_metric_is_fresh() {
    let mut callback = EarlyStopping::new("loss").patience(9);
    let mut bench = Bench::new();
    bench.metric("loss", 1.0).start(&mut callback).unwrap();
    bench.validation_end(&mut callback).unwrap();
    assert_eq!(callback.best_score(), None);
    bench.epoch(&mut callback).unwrap();
    assert_eq!((callback.best_score(), callback.wait_count()), (Some(1.0), 0));
    bench.run.validates_every_epoch = false;
    bench.epoch(&mut callback).unwrap();
    assert_eq!(callback.wait_count(), 0);
    bench.validation_end(&mut callback).unwrap();
    assert_eq!(callback.wait_count(), 1);
    bench.run.limits.val_batches.clear();
    bench.epoch(&mut callback).unwrap();
    assert_eq!(callback.wait_count(), 2);
}

#[test]
fn it_keeps_still_in_a_sanity_check_and_a_dev_run() {
    let mut callback = EarlyStopping::new("not logged").check_on_train_epoch_end(false);
    let mut bench = Bench::new();
    bench.run.moment.stage = RunningStage::SanityCheck;
    bench.fire(&mut callback, stormfire_module::Event::ValidationEnd).unwrap();
    bench.run.fast_dev_run = true;
    bench.validation_end(&mut callback).unwrap();
}

#[test]
fn a_restart_uses_the_patience_of_the_code() {
    let mut first = EarlyStopping::new("loss").patience(2);
    run(&mut first, &[1.0, 2.0, 2.0]);
    let saved = Callback::<crate::testing::Line>::state(&first).unwrap();
    let mut second = EarlyStopping::new("loss").patience(4);
    Callback::<crate::testing::Line>::load_state(&mut second, saved).unwrap();
    assert_eq!(second.stopping_reason(), StoppingReason::PatienceExhausted);
    let (looks, _) = run(&mut second, &[2.0, 2.0, 2.0]);
    assert_eq!(looks, 2);
    // Without a checkpoint, the next fit is another run.
    assert_eq!(run(&mut second, &[3.0, 2.5]), (2, None));
    assert_eq!((second.best_score(), second.stopping_reason()), (Some(2.5), StoppingReason::NotStopped));
}

/// Stops a fit with these values, and resumes it from its last checkpoint. Returns the stop before and after.
fn stop_and_continue(first: EarlyStopping, values: &[f64], second: &mut EarlyStopping) -> (Option<String>, Option<String>) {
    let mut bench = Bench::new();
    let mut first = first;
    bench.start(&mut first).unwrap();
    for &value in values {
        bench.metric("loss", value).epoch(&mut first).unwrap();
    }
    let stop = bench.run.place.requests.stop().map(|stop| stop.reason.clone());
    let saved = Callback::<crate::testing::Line>::state(&first).unwrap();
    bench.setup(second).unwrap();
    Callback::<crate::testing::Line>::load_state(second, saved).unwrap();
    bench.fire(second, stormfire_module::Event::FitStart).unwrap();
    (stop, bench.stopped())
}

#[test]
fn a_stop_outlives_a_restart_unless_the_options_take_it_back() {
    let loss = || EarlyStopping::new("loss").patience(2);
    let waits = [1.0, 2.0, 3.0];
    // (options and values of the first fit, options of the resumed fit, whether it stops again)
    let cases = [
        (loss(), &waits[..], loss(), true),
        (loss(), &waits, loss().patience(3), false),
        (loss(), &waits, loss().patience(1), true),
        (loss().patience(9), &waits, loss().patience(0), true),
        (loss().patience(9), &waits[..1], loss().patience(0), false),
        (loss().stopping_threshold(0.5), &[0.25], loss().stopping_threshold(0.5), true),
        (loss().stopping_threshold(0.5), &[0.25], loss().stopping_threshold(0.125), false),
        (loss().stopping_threshold(0.5), &[0.25], loss(), false),
        (loss().divergence_threshold(2.5), &[3.0], loss().divergence_threshold(2.5), true),
        (loss().divergence_threshold(2.5), &[3.0], loss().divergence_threshold(4.0), false),
        (loss(), &[f64::NAN], loss(), true),
        (loss(), &[f64::NAN], loss().check_finite(false), false),
    ];
    for (first, values, mut second, stops) in cases {
        let (before, after) = stop_and_continue(first.clone(), values, &mut second);
        assert_eq!(after.is_some(), stops, "{first:?} by {values:?}, then {second:?}: {before:?}, {after:?}");
        assert_eq!(second.stopping_reason() != StoppingReason::NotStopped, stops);
        assert_eq!((second.stopping_reason_message(), second.stopped_epoch().is_some()), (after.as_deref(), stops));
    }
    // An equal stop keeps its epoch. A stop because of other options has a new reason.
    let mut same = loss();
    let (before, after) = stop_and_continue(loss(), &waits, &mut same);
    assert_eq!((before, same.stopped_epoch()), (after, Some(2)));
    let (_, after) = stop_and_continue(loss().stopping_threshold(1.5), &[1.0], &mut loss().stopping_threshold(1.25));
    assert_eq!(after.as_deref(), Some("stopping threshold reached: `loss` = 1 < 1.25"));
}

#[test]
fn the_stop_of_another_author_is_not_withdrawn() {
    let mut bench = Bench::new();
    let mut first = EarlyStopping::new("loss").patience(1);
    bench.start(&mut first).unwrap();
    bench.ask_to_stop("it is late");
    for value in [1.0, 2.0] {
        bench.metric("loss", value).epoch(&mut first).unwrap();
    }
    let mut second = EarlyStopping::new("loss").patience(9);
    let saved = Callback::<crate::testing::Line>::state(&first).unwrap();
    Callback::<crate::testing::Line>::load_state(&mut second, saved).unwrap();
    bench.fire(&mut second, stormfire_module::Event::FitStart).unwrap();
    assert_eq!(bench.stopped().as_deref(), Some("it is late"));
}

#[test]
fn a_threshold_of_nan_is_refused() {
    let error = Bench::new().setup(&mut EarlyStopping::new("loss").stopping_threshold(f64::NAN)).unwrap_err();
    let expected = "`EarlyStopping::stopping_threshold`: NaN cannot be compared with a metric | hint: leave it out, or give a number";
    assert_eq!(text(&error), expected);
}

#[test]
fn the_newest_check_gives_the_reason_while_min_epochs_continues_training() {
    let mut callback = EarlyStopping::new("loss").patience(1);
    let mut bench = Bench::new();
    bench.start(&mut callback).unwrap();
    for looks in 0..4 {
        bench.metric("loss", 1.0).epoch(&mut callback).unwrap();
        let message = format!("monitored metric `loss` did not improve in the last {looks} checks; best score: 1.000");
        let asked = bench.run.place.requests.stop().map(|stop| stop.reason.clone());
        assert_eq!(asked, (looks > 0).then_some(message));
    }
    bench.metric("loss", 0.5).epoch(&mut callback).unwrap();
    assert_eq!((bench.run.place.requests.stop(), callback.stopping_reason()), (None, StoppingReason::NotStopped));
    bench.ask_to_stop("enough");
    bench.epoch(&mut callback).unwrap();
    assert_eq!(bench.stopped().as_deref(), Some("enough"));
}

#[test]
fn a_fit_that_fails_before_it_resumes_leaves_nothing_for_the_next() {
    let mut stopped = EarlyStopping::new("loss").patience(1);
    assert_eq!(run(&mut stopped, &[0.5, 1.0]).0, 2);
    let (mut bench, mut callback) = (Bench::new(), EarlyStopping::new("loss").patience(1));
    bench.setup(&mut callback).unwrap();
    let state = Callback::<crate::testing::Line>::state(&stopped).unwrap();
    Callback::<crate::testing::Line>::load_state(&mut callback, state).unwrap();
    bench.fire(&mut callback, stormfire_module::Event::Exception { error: &Error::other("another callback refuses its state") }).unwrap();
    // Another fit, of which nothing is known.
    assert_eq!(run(&mut callback, &[9.0, 8.0]), (2, None));
    assert_eq!(callback.best_score(), Some(8.0));
}

#[test]
fn an_epoch_that_was_cut_short_is_not_judged_by_an_older_value() {
    let mut callback = EarlyStopping::new("loss").patience(1);
    let mut bench = Bench::new();
    bench.start(&mut callback).unwrap();
    bench.metric("loss", 1.0).epoch(&mut callback).unwrap();
    bench.metrics.stale = vec!["loss".into()];
    bench.run.place.is_last_batch = false;
    bench.epoch(&mut callback).unwrap();
    assert_eq!((callback.wait_count(), bench.stopped()), (0, None));
    // A stop in mid-epoch is followed by a validation.
    bench.metric("loss", 2.0).epoch(&mut callback).unwrap();
    assert_eq!(callback.wait_count(), 1);
}
