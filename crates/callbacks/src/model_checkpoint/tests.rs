//! Save points, one hook after the other.

use std::time::Duration;

use insta::assert_snapshot;
use stormfire_module::{
    Event, RunningStage,
    moment::Progress,
    place::{EvaluationPosition, Place},
    requests::{Also, AlsoKind, SaveRequest},
};
use tempfile::TempDir;

use super::*;
use crate::testing::{Bench, Line, RUN, state_of, text, told};

mod files;
mod restart;

/// A bench, a folder, and a callback that saves to it.
fn begin(callback: ModelCheckpoint) -> (Bench, TempDir, ModelCheckpoint) {
    let folder = tempfile::tempdir().unwrap();
    let (mut bench, mut callback) = (Bench::new(), callback.dirpath(folder.path()));
    bench.start(&mut callback).unwrap();
    (bench, folder, callback)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().into()
}

/// Writes and removes files like the Trainer. `+` is a written file, `-` a removed one.
fn carry_out(requests: &[SaveRequest]) -> Vec<String> {
    let mut done = Vec::new();
    for request in requests {
        fs_err::create_dir_all(request.path.parent().unwrap()).unwrap();
        for path in request.paths() {
            fs_err::write(path, RUN).unwrap();
            done.push(format!("+{}", file_name(path)));
        }
        for old in &request.then_remove {
            fs_err::remove_file(old).unwrap();
            done.push(format!("-{}", file_name(old)));
        }
    }
    done
}

/// Ends epochs with these values of `loss`. Returns the written and removed files.
fn epochs(bench: &mut Bench, callback: &mut ModelCheckpoint, values: &[f64]) -> Vec<String> {
    let mut done = Vec::new();
    for &value in values {
        bench.metric("loss", value).epoch(callback).unwrap();
        done.extend(carry_out(&bench.saves()));
    }
    done
}

fn batches(bench: &mut Bench, callback: &mut ModelCheckpoint, count: usize) -> Vec<String> {
    let mut done = Vec::new();
    for _ in 0..count {
        bench.train_batch_end(callback).unwrap();
        done.extend(carry_out(&bench.saves()));
    }
    done
}

#[test]
fn by_default_the_newest_epoch_stays() {
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new());
    let done = epochs(&mut bench, &mut callback, &[1.0, 2.0]);
    assert_eq!(done, ["+epoch=0-step=1.ckpt", "+epoch=1-step=2.ckpt", "-epoch=0-step=1.ckpt"]);
    assert_eq!(callback.best_model_path().map(file_name).as_deref(), Some("epoch=1-step=2.ckpt"));
    assert_eq!(callback.best_model_score(), None);
}

#[test]
fn the_folder_is_that_of_the_run() {
    let (mut bench, mut callback) = (Bench::new(), ModelCheckpoint::new());
    bench.start(&mut callback).unwrap();
    bench.epoch(&mut callback).unwrap();
    assert_eq!(bench.saves()[0].path, std::path::absolute("root/checkpoints/epoch=0-step=1.ckpt").unwrap());
}

#[test]
fn the_best_stay_and_last_is_always_the_newest() {
    let (mut bench, _folder, mut callback) =
        begin(ModelCheckpoint::new().monitor("loss").save_top_k(2).save_last(true).filename("{loss:.1f}"));
    let done = epochs(&mut bench, &mut callback, &[3.0, 1.0, 4.0, 2.0]);
    let expected =
        ["+loss=3.0.ckpt", "+last.ckpt", "+loss=1.0.ckpt", "+last.ckpt", "+last.ckpt", "+loss=2.0.ckpt", "+last.ckpt", "-loss=3.0.ckpt"];
    assert_eq!(done, expected);
    assert_eq!((callback.best_model_score(), callback.current_score()), (Some(1.0), Some(2.0)));
    let kept: Vec<_> = callback.best_k_models().map(|(path, score)| (file_name(path), score)).collect();
    assert_eq!(kept, [("loss=1.0.ckpt".to_string(), 1.0), ("loss=2.0.ckpt".to_string(), 2.0)]);
    assert_eq!(callback.last_model_path().map(file_name).as_deref(), Some("last.ckpt"));
}

#[test]
fn nan_is_the_worst_of_all_scores() {
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().monitor("loss").mode(Mode::Max).filename("{loss:.1f}"));
    assert_eq!(epochs(&mut bench, &mut callback, &[f64::NAN]), ["+loss=nan.ckpt"]);
    assert_eq!(callback.best_model_score(), Some(f64::NEG_INFINITY));
    assert!(callback.current_score().is_some_and(f64::is_nan));
    // The second is not better than the first. If values are equal, the first one stays.
    assert_eq!(epochs(&mut bench, &mut callback, &[f64::NAN, -9.0, -9.0]), ["+loss=-9.0.ckpt", "-loss=nan.ckpt"]);
}

#[test]
fn each_save_point_is_reported_if_requested() {
    let of = |top: SaveTopK, verbose: bool| {
        let (mut bench, folder, mut callback) =
            begin(ModelCheckpoint::new().monitor("loss").save_top_k(top).filename("{step}").verbose(verbose));
        let folder = std::path::absolute(folder.path()).unwrap().display().to_string();
        let lines = told(|| drop(epochs(&mut bench, &mut callback, &[0.5, 1.0])));
        lines.into_iter().map(|line| line.replace(&folder, "dir")).collect::<Vec<_>>()
    };
    let first = "INFO epoch 0, global step 1: `loss` reached 0.50000 (best 0.50000), saving model to `dir/step=1.ckpt`";
    assert_eq!(of(1.into(), true), [format!("{first} as top 1"), "INFO epoch 1, global step 2: `loss` was not in top 1".into()]);
    let second = "INFO epoch 1, global step 2: `loss` reached 1.00000 (best 0.50000), saving model to `dir/step=2.ckpt`";
    assert_eq!(of(SaveTopK::All, true), [first, second]);
    assert!(of(1.into(), false).is_empty());
}

#[test]
fn the_best_can_be_listed_as_yaml() {
    let no_folder = ModelCheckpoint::new().to_yaml(None).unwrap_err();
    assert_eq!(text(&no_folder), "`ModelCheckpoint::to_yaml`: there is no folder before a fit | hint: give a path");
    let (mut bench, folder, mut callback) = begin(ModelCheckpoint::new().monitor("loss").save_top_k(2).filename("{step}"));
    epochs(&mut bench, &mut callback, &[f64::NAN, 0.1]);
    let dir = std::path::absolute(folder.path()).unwrap();
    assert_eq!(callback.to_yaml(None).unwrap(), dir.join("best_k_models.yaml"));
    let elsewhere = dir.join("new/list.yaml");
    callback.to_yaml(elsewhere.as_path()).unwrap();
    for path in [dir.join("best_k_models.yaml"), elsewhere] {
        let expected = format!("{0}/step=1.ckpt: .inf\n{0}/step=2.ckpt: 0.1\n", dir.display());
        assert_eq!(fs_err::read_to_string(path).unwrap(), expected);
    }
}

#[test]
fn a_request_says_what_the_loggers_want_to_know() {
    let (mut bench, folder, mut callback) = begin(ModelCheckpoint::new().monitor("loss").save_top_k(SaveTopK::All).save_weights_only(true));
    bench.metric("loss", 1.0).epoch(&mut callback).unwrap();
    bench.metric("loss", 2.0).epoch(&mut callback).unwrap();
    let folder = std::path::absolute(folder.path()).unwrap();
    let request = |name: &str, score: f64, is_best: bool| SaveRequest {
        path: folder.join(name),
        also: vec![],
        weights_only: true,
        then_remove: vec![],
        monitor: Some("loss".into()),
        score: Some(score),
        is_best,
    };
    assert_eq!(bench.saves(), [request("epoch=0-step=1.ckpt", 1.0, true), request("epoch=1-step=2.ckpt", 2.0, false)]);
}

#[test]
fn every_kind_of_period_has_its_save_points() {
    let of = |every: Every| {
        let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().every(every).save_top_k(SaveTopK::All).filename("{step}"));
        let mut done = batches(&mut bench, &mut callback, 10);
        bench.run.place.progress.global_step -= 1;
        done.extend(epochs(&mut bench, &mut callback, &[0.0, 0.0]));
        done.iter().map(|name| name.trim_start_matches("+step=").trim_end_matches(".ckpt").to_string()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of(Every::Epochs(1)), "10 11");
    assert_eq!(of(Every::Epochs(2)), "11");
    assert_eq!(of(Every::Steps(4)), "4 8");
    assert_eq!(of(Every::Batches(3)), "3 6 9");
    assert_eq!(of(Every::Fraction(0.25)), "2 4 6 8 10");
    assert_eq!(of(Every::Fraction(0.1)), "1 2 3 4 5 6 7 8 9 10");
    assert_eq!(of(Every::Time(Duration::from_nanos(1))), "1 2 3 4 5 6 7 8 9 10");
    assert_eq!(of(Every::Time(Duration::from_hours(1))), "");
}

#[test]
fn a_fraction_is_counted_within_the_epoch_and_a_time_over_a_restart() {
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().every(Every::Fraction(0.5)).save_top_k(SaveTopK::All));
    bench.run.place.progress.batch_in_epoch = 3;
    assert_eq!(batches(&mut bench, &mut callback, 7), ["+epoch=0-step=2.ckpt", "+epoch=0-step=7.ckpt"]);
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().every(Every::Time(Duration::from_hours(1))));
    let waited = state_of(&callback)["waited"].as_f64().unwrap();
    assert!((0.0..3_600.0).contains(&waited), "{waited}");
    Callback::<Line>::load_state(&mut callback, serde_json::json!({"waited": 3_600.0}).into()).unwrap();
    bench.fire(&mut callback, Event::FitStart).unwrap();
    bench.fire(&mut callback, Event::TrainStart).unwrap();
    assert_eq!(batches(&mut bench, &mut callback, 2), ["+epoch=0-step=1.ckpt"]);
    assert!(state_of(&ModelCheckpoint::new()).get("waited").is_none());
}

#[test]
fn one_step_is_saved_once() {
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().every(Every::Batches(1)));
    assert_eq!(batches(&mut bench, &mut callback, 1).len(), 1);
    // The second batch of a window of gradients does not step.
    bench.run.place.progress.global_step = 0;
    assert!(batches(&mut bench, &mut callback, 1).is_empty());
    bench.run.place.progress.global_step = 0;
    bench.fire(&mut callback, Event::TrainEpochEnd).unwrap();
    assert!(bench.saves().is_empty());
}

#[test]
fn a_save_point_before_a_validation_waits_for_its_metric() {
    let (mut bench, _folder, mut callback) =
        begin(ModelCheckpoint::new().monitor("val_loss").every(Every::Steps(2)).filename("{step}-{val_loss:.1f}"));
    // The metric was not logged yet: wait, even past the end of the epoch.
    assert!(batches(&mut bench, &mut callback, 3).is_empty());
    bench.fire(&mut callback, Event::TrainEpochEnd).unwrap();
    assert!(bench.saves().is_empty());
    bench.metric("val_loss", 0.5).validation_end(&mut callback).unwrap();
    assert_eq!(carry_out(&bench.saves()), ["+step=3-val_loss=0.5.ckpt"]);
    // The metric exists, but a newer value follows soon.
    bench.run.place.validation_is_due = true;
    assert!(batches(&mut bench, &mut callback, 1).is_empty());
    bench.run.place.validation_is_due = false;
    bench.metric("val_loss", 0.25).validation_end(&mut callback).unwrap();
    assert_eq!(carry_out(&bench.saves()), ["+step=4-val_loss=0.2.ckpt", "-step=3-val_loss=0.5.ckpt"]);
    // No validation follows: use the newest value.
    bench.metric("val_loss", 0.125);
    assert_eq!(batches(&mut bench, &mut callback, 2), ["+step=6-val_loss=0.1.ckpt", "-step=4-val_loss=0.2.ckpt"]);
    bench.validation_end(&mut callback).unwrap();
    assert!(bench.saves().is_empty());
}

#[test]
fn last_does_not_wait_for_a_metric_that_is_far_off() {
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().monitor("val_loss").every(Every::Steps(2)).save_last(true));
    assert_eq!(batches(&mut bench, &mut callback, 3), ["+last.ckpt"]);
    bench.metric("val_loss", 0.5).validation_end(&mut callback).unwrap();
    assert_eq!(carry_out(&bench.saves()), ["+epoch=0-step=3.ckpt", "+last.ckpt"]);
}

#[test]
fn last_is_a_link_only_if_the_newest_has_another_name() {
    let (mut bench, folder, mut callback) = begin(ModelCheckpoint::new().monitor("loss").save_last(SaveLast::Link));
    let folder = std::path::absolute(folder.path()).unwrap();
    bench.metric("loss", 1.0).epoch(&mut callback).unwrap();
    let saves = bench.saves();
    assert_eq!(saves[0].also, [Also { path: folder.join("last.ckpt"), kind: AlsoKind::Link }]);
    carry_out(&saves);
    // Not among the best: the newest state is a separate file.
    bench.metric("loss", 2.0).epoch(&mut callback).unwrap();
    let saves = bench.saves();
    assert_eq!((&saves[0].path, &saves[0].also), (&folder.join("last.ckpt"), &vec![]));
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().save_last(true));
    bench.epoch(&mut callback).unwrap();
    assert_eq!(bench.saves()[0].also[0].kind, AlsoKind::Copy);
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().save_top_k(0).save_last(SaveLast::Link));
    assert_eq!(epochs(&mut bench, &mut callback, &[0.0, 0.0]), ["+last.ckpt", "+last.ckpt"]);
}

#[test]
fn the_end_of_training_is_a_save_point_of_last() {
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().every(Every::Epochs(2)).save_last(true));
    assert_eq!(epochs(&mut bench, &mut callback, &[0.0, 0.0, 0.0]), ["+epoch=1-step=2.ckpt", "+last.ckpt"]);
    bench.fire(&mut callback, Event::TrainEnd).unwrap();
    assert_eq!(carry_out(&bench.saves()), ["+last.ckpt"]);
    bench.fire(&mut callback, Event::TrainEnd).unwrap();
    assert!(bench.saves().is_empty());
}

#[test]
fn periods_of_epochs_end_where_the_metric_is_fresh() {
    let of = |every_epoch: bool, val_batches: usize, choice: Option<bool>| {
        let mut callback = ModelCheckpoint::new();
        callback.on_train_epoch_end = choice;
        let (mut bench, _folder, mut callback) = begin(callback);
        bench.run.validates_every_epoch = every_epoch;
        bench.run.limits.val_batches = vec![Some(val_batches)];
        bench.run.place.progress.global_step = 1;
        bench.validation_end(&mut callback).unwrap();
        let at_validation = carry_out(&bench.saves()).len();
        bench.run.place.progress.global_step = 2;
        bench.fire(&mut callback, Event::TrainEpochEnd).unwrap();
        (at_validation, bench.saves().len())
    };
    assert_eq!(of(true, 2, None), (0, 1));
    assert_eq!(of(false, 2, None), (1, 0));
    assert_eq!(of(false, 0, None), (0, 1));
    assert_eq!(of(true, 2, Some(false)), (1, 0));
    assert_eq!(of(false, 2, Some(true)), (0, 1));
}

#[test]
fn it_keeps_still_where_it_should() {
    let (mut bench, _folder, mut callback) =
        begin(ModelCheckpoint::new().save_on_train_epoch_end(false).save_last(true).save_on_exception(true));
    bench.run.place.progress.global_step = 1;
    bench.run.moment.stage = RunningStage::SanityCheck;
    bench.fire(&mut callback, Event::ValidationEnd).unwrap();
    bench.run.moment.stage = RunningStage::Validate;
    bench.run.stage = Stage::Validate;
    bench.fire(&mut callback, Event::ValidationEnd).unwrap();
    bench.run.stage = Stage::Fit;
    bench.run.fast_dev_run = true;
    bench.fire(&mut callback, Event::ValidationEnd).unwrap();
    bench.fire(&mut callback, Event::TrainEnd).unwrap();
    bench.fire(&mut callback, Event::Exception { error: &Error::other("x") }).unwrap();
    assert!(bench.saves().is_empty());
    bench.run.fast_dev_run = false;
    bench.fire(&mut callback, Event::ValidationEnd).unwrap();
    assert_eq!(bench.saves()[0].paths().count(), 2);
}

/// Fails a run like the Trainer: earlier requests are dropped.
fn fail(bench: &mut Bench, callback: &mut ModelCheckpoint) -> Vec<String> {
    let given_up = bench.run.place.requests.saves.len();
    bench.fire(callback, Event::Exception { error: &Error::other("the disk is on fire") }).unwrap();
    bench.run.place.requests.saves.drain(..given_up);
    carry_out(&bench.saves())
}

#[test]
fn a_failure_is_saved_without_touching_the_best() {
    let (mut bench, folder, mut callback) = begin(ModelCheckpoint::new().monitor("loss").save_on_exception(true).save_last(true));
    epochs(&mut bench, &mut callback, &[1.0]);
    assert!(fail(&mut bench, &mut callback).is_empty());
    batches(&mut bench, &mut callback, 1);
    assert_eq!(fail(&mut bench, &mut callback), ["+epoch=1-step=2.ckpt", "+last.ckpt"]);
    assert_eq!(callback.best_model_path().map(file_name).as_deref(), Some("epoch=0-step=1.ckpt"));
    assert!(fail(&mut bench, &mut callback).is_empty());
    // In a validation, the state is always new.
    bench.run.boundary = Some(Place { evaluating: Some(EvaluationPosition::default()), ..bench.run.place.clone() });
    assert_eq!(fail(&mut bench, &mut callback), ["+last.ckpt"]);
    assert_eq!(fail(&mut bench, &mut callback), ["+last.ckpt"]);
    // The state is that of the boundary, which may be earlier than what hooks see.
    bench.run.place.progress.global_step = 9;
    let progress = Progress { global_step: 7, ..bench.run.place.progress.clone() };
    bench.run.boundary = Some(Place { progress, ..bench.run.place.clone() });
    // The newer file replaces the older.
    assert_eq!(fail(&mut bench, &mut callback), ["+epoch=1-step=7.ckpt", "+last.ckpt", "-epoch=1-step=2.ckpt"]);
    bench.run.boundary = None;
    // The same name as a file among the best.
    let (mut bench, _folder, mut fixed) = begin(ModelCheckpoint::new().monitor("loss").filename("best").save_on_exception(true));
    epochs(&mut bench, &mut fixed, &[1.0]);
    batches(&mut bench, &mut fixed, 1);
    assert_eq!(fail(&mut bench, &mut fixed), ["+best-v1.ckpt"]);
    // Not enabled, or before the start of training.
    let mut without = ModelCheckpoint::new().dirpath(folder.path());
    bench.start(&mut without).unwrap();
    assert!(fail(&mut bench, &mut without).is_empty());
    bench.run.place.progress.global_step += 1;
    bench.setup(&mut callback).unwrap();
    assert!(fail(&mut bench, &mut callback).is_empty());
}

#[test]
fn a_save_point_that_a_failure_prevents_is_written_after_it() {
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().monitor("loss").save_on_exception(true).save_last(true));
    epochs(&mut bench, &mut callback, &[1.0]);
    bench.metric("loss", 0.5).epoch(&mut callback).unwrap();
    assert_eq!(fail(&mut bench, &mut callback), ["+epoch=1-step=2.ckpt", "+last.ckpt", "-epoch=0-step=1.ckpt"]);
    // A file that the writer has accepted counts, whether or not it exists yet.
    bench.metric("loss", 0.25).epoch(&mut callback).unwrap();
    bench.saves();
    assert!(fail(&mut bench, &mut callback).is_empty());
}

#[test]
fn a_missing_metric_is_an_error_when_it_is_needed() {
    let expected = "metric `val_los` is not available; available are: `loss` | hint: log it with `self.log(..)`, or monitor one of the available metrics";
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().monitor("val_los"));
    assert_eq!(text(&bench.metric("loss", 1.0).epoch(&mut callback).unwrap_err()), expected);
    // Validation every other epoch: fails only after the first validation. Until then, only `last` is written.
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().monitor("val_los").save_on_train_epoch_end(true).save_last(true));
    bench.run.validates_every_epoch = false;
    assert_eq!(epochs(&mut bench, &mut callback, &[1.0]), ["+last.ckpt"]);
    bench.validation_end(&mut callback).unwrap();
    assert_eq!(text(&bench.epoch(&mut callback).unwrap_err()), expected);
    // Without validation: fails at the end of the first epoch, even with a period of steps.
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().monitor("val_los").every(Every::Steps(1)));
    bench.run.limits.val_batches.clear();
    bench.metric("loss", 1.0).train_batch_end(&mut callback).unwrap();
    let error = text(&bench.fire(&mut callback, Event::TrainEpochEnd).unwrap_err());
    assert_snapshot!(error, @"metric `val_los` is not available; available are: `loss` | hint: this fit has no validation: if the validation logs it, give `fit` a validation loader; else log it with `self.log(..)`, or monitor one of the available metrics");
}

#[test]
fn wrong_options_are_refused_when_the_fit_starts() {
    let places =
        "write it as `{epoch:02d}-{val_loss:.2f}`, with formats `[0][width][.precision][d|f|e]`, and choose the folder with `dirpath`";
    let cases = [
        (
            ModelCheckpoint::new().save_top_k(3),
            "`ModelCheckpoint::save_top_k`: the best 3 cannot be selected without a metric \
             | hint: name it with `monitor`, or keep all, 1 (the newest) or 0 (none)"
                .to_string(),
        ),
        (
            ModelCheckpoint::new().every(Every::Steps(0)),
            "`ModelCheckpoint::every`: the number must be at least 1 (`0 steps`) | hint: use `1 epoch`, for example".into(),
        ),
        (
            ModelCheckpoint::new().filename("../{epoch}"),
            format!("`ModelCheckpoint::filename`: `../{{epoch}}` is outside of the checkpoint folder | hint: {places}"),
        ),
        (
            ModelCheckpoint::new().last_filename("{epoch"),
            format!("`ModelCheckpoint::last_filename`: `{{epoch` has a `{{` without a `}}` | hint: {places}"),
        ),
    ];
    for (mut callback, expected) in cases {
        assert_eq!(text(&Bench::new().setup(&mut callback).unwrap_err()), expected);
    }
    let told = |mut callback: ModelCheckpoint| text(&Bench::new().setup(&mut callback).unwrap_err());
    let told = [told(ModelCheckpoint::new().filename("x\0y")), told(ModelCheckpoint::new().last_filename("x\0y"))];
    assert!(told[0].starts_with("`ModelCheckpoint::filename`: "), "{told:?}");
    assert!(told[1].starts_with("`ModelCheckpoint::last_filename`: "), "{told:?}");
    let (mut bench, mut callback) = (Bench::new(), ModelCheckpoint::new().every(Every::Fraction(0.5)));
    bench.run.limits.train_batches = None;
    assert_eq!(
        text(&bench.start(&mut callback).unwrap_err()),
        "`ModelCheckpoint::every`: `0.5 epochs` needs training data of known length \
         | hint: use a number of steps or batches, or limit the data with `limit_train_batches`"
    );
}

#[test]
fn an_epoch_that_was_cut_short_has_no_score_of_an_older_one() {
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().monitor("loss").save_top_k(2).filename("{epoch}-{loss}"));
    assert_eq!(epochs(&mut bench, &mut callback, &[1.0]), ["+epoch=0-loss=1.ckpt"]);
    bench.metrics.stale = vec!["loss".into()];
    bench.run.place.is_last_batch = false;
    let lines = told(|| bench.epoch(&mut callback).unwrap());
    assert_eq!(carry_out(&bench.saves()), [""; 0]);
    assert_snapshot!(lines.join("\n"), @"WARN no checkpoint for this epoch: metric `loss` has no value, because the epoch ended early or was not validated");
    bench.run.place.is_last_batch = true;
    assert_eq!(epochs(&mut bench, &mut callback, &[2.0]), ["+epoch=2-loss=2.ckpt"]);
}

#[test]
fn a_step_that_ends_a_skipped_epoch_is_a_save_point() {
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().every(Every::Steps(3)).save_top_k(SaveTopK::All));
    assert_eq!(batches(&mut bench, &mut callback, 2), [""; 0]);
    // `skip_epoch` closes the window: a step without the end of a batch.
    bench.run.place.progress.global_step += 1;
    bench.fire(&mut callback, Event::TrainEpochEnd).unwrap();
    assert_eq!(carry_out(&bench.saves()), ["+epoch=0-step=3.ckpt"]);
    assert_eq!(batches(&mut bench, &mut callback, 3), ["+epoch=0-step=6.ckpt"]);
}
