//! A run that is killed and resumed.

use stormfire_module::{moment::Progress, requests::Requests, state::Value};

use super::*;

/// The saved state, through the JSON of a file.
fn saved(callback: &ModelCheckpoint) -> Value {
    serde_json::from_str(&state_of(callback).to_string()).unwrap()
}

/// The state in the newest checkpoint of the killed process.
struct Killed {
    callback: Value,
    requests: Requests,
    progress: Progress,
}

fn kill(bench: &Bench, callback: &ModelCheckpoint) -> Killed {
    let requests = Requests { saves: vec![], ..bench.run.place.requests.clone() };
    Killed { callback: saved(callback), requests, progress: bench.run.place.progress.clone() }
}

/// Another process resumes from this checkpoint.
fn resume(killed: &Killed, from: &Path, mut callback: ModelCheckpoint) -> (Bench, ModelCheckpoint) {
    let mut bench = Bench::new();
    bench.run.resumed_from = Some(from.into());
    bench.setup(&mut callback).unwrap();
    bench.run.place.progress = killed.progress.clone();
    bench.run.place.requests = killed.requests.clone();
    Callback::<Line>::load_state(&mut callback, killed.callback.clone().into()).unwrap();
    bench.fire(&mut callback, Event::FitStart).unwrap();
    bench.fire(&mut callback, Event::TrainStart).unwrap();
    (bench, callback)
}

fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs_err::read_dir(folder).unwrap().map(|entry| file_name(&entry.unwrap().path())).collect();
    names.sort();
    names
}

#[test]
fn a_restart_continues_from_its_state() {
    let options = ModelCheckpoint::new().monitor("loss").save_top_k(2).save_last(true);
    let (mut bench, folder, mut first) = begin(options.clone());
    epochs(&mut bench, &mut first, &[f64::NAN, 1.0]);
    let from = folder.path().join("last.ckpt");
    let (mut bench, mut second) = resume(&kill(&bench, &first), &from, options.dirpath(folder.path()));
    assert_eq!(second.state, first.state);
    // The step of the checkpoint itself is not saved again.
    bench.metric("loss", 1.0).fire(&mut second, Event::TrainEpochEnd).unwrap();
    assert!(bench.saves().is_empty());
    let done = epochs(&mut bench, &mut second, &[2.0]);
    assert_eq!(done, ["+epoch=2-step=3.ckpt", "+last.ckpt", "-epoch=0-step=1.ckpt"]);
}

#[test]
fn the_continued_run_leaves_the_files_of_the_uninterrupted_one() {
    let options = ModelCheckpoint::new().monitor("loss").save_top_k(2).save_last(true).filename("{loss:.0f}");
    let losses = [5.0, 4.0, 4.2, 3.0, 4.4, 3.2];
    let whole = |to: usize| {
        let (mut bench, folder, mut callback) = begin(options.clone());
        epochs(&mut bench, &mut callback, &losses[..to]);
        (bench, folder, callback)
    };
    let (_, uninterrupted, _) = whole(6);
    assert_eq!(listing(uninterrupted.path()), ["last.ckpt", "loss=3-v1.ckpt", "loss=3.ckpt"]);
    for at in 1..6 {
        for beyond in 0..=2 {
            let (mut bench, folder, mut first) = whole(at);
            let killed = kill(&bench, &first);
            let last = folder.path().join("last.ckpt");
            // The killed process came further than its checkpoint.
            epochs(&mut bench, &mut first, &losses[at..(at + beyond).min(6)]);
            let (mut bench, mut second) = resume(&killed, &last, options.clone().dirpath(folder.path()));
            epochs(&mut bench, &mut second, &losses[at..]);
            assert_eq!(listing(folder.path()), listing(uninterrupted.path()), "killed after {at} epochs and {beyond} more");
        }
    }
}

#[test]
fn the_next_run_removes_the_checkpoints_that_a_killed_run_did_not_remove() {
    let options = ModelCheckpoint::new();
    let (mut bench, folder, mut first) = begin(options.clone());
    epochs(&mut bench, &mut first, &[1.0]);
    bench.epoch(&mut first).unwrap();
    for mut written in bench.saves() {
        written.then_remove.clear();
        carry_out(&[written]);
    }
    assert_eq!(listing(folder.path()), ["epoch=0-step=1.ckpt", "epoch=1-step=2.ckpt"]);
    let from = folder.path().join("last.ckpt");
    let (mut bench, mut second) = resume(&kill(&bench, &first), &from, options.clone().dirpath(folder.path()));
    bench.epoch(&mut second).unwrap();
    // This process is also killed between writing and removing.
    for mut written in bench.saves() {
        written.then_remove.clear();
        carry_out(&[written]);
    }
    let (mut bench, mut third) = resume(&kill(&bench, &second), &from, options.dirpath(folder.path()));
    let done = epochs(&mut bench, &mut third, &[1.0, 1.0]);
    let expected = ["+epoch=3-step=4.ckpt", "-epoch=2-step=3.ckpt", "-epoch=1-step=2.ckpt", "-epoch=0-step=1.ckpt"];
    assert_eq!(done[..4], expected);
    assert_eq!(done[4..], ["+epoch=4-step=5.ckpt", "-epoch=3-step=4.ckpt"]);
}

#[test]
fn the_file_resumed_from_stays_until_the_next_restart() {
    let options = ModelCheckpoint::new();
    let (mut bench, folder, mut first) = begin(options.clone());
    epochs(&mut bench, &mut first, &[1.0]);
    // Its folder may be spelled differently.
    let from = folder.path().join("../").join(folder.path().file_name().unwrap()).join("epoch=0-step=1.ckpt");
    let (mut bench, mut second) = resume(&kill(&bench, &first), &from, options.clone().dirpath(folder.path()));
    let done = epochs(&mut bench, &mut second, &[1.0, 1.0]);
    assert_eq!(done, ["+epoch=1-step=2.ckpt", "+epoch=2-step=3.ckpt", "-epoch=1-step=2.ckpt"]);
    let from = folder.path().join("epoch=2-step=3.ckpt");
    let (mut bench, mut third) = resume(&kill(&bench, &second), &from, options.dirpath(folder.path()));
    assert_eq!(epochs(&mut bench, &mut third, &[1.0]), ["+epoch=3-step=4.ckpt", "-epoch=0-step=1.ckpt"]);
}

#[test]
fn missing_kept_files_do_not_count() {
    let options = ModelCheckpoint::new().monitor("loss").save_top_k(2).save_last(true).filename("{step}");
    let (mut bench, folder, mut first) = begin(options.clone());
    epochs(&mut bench, &mut first, &[1.0, 2.0]);
    let killed = kill(&bench, &first);
    fs_err::remove_file(folder.path().join("step=1.ckpt")).unwrap();
    fs_err::write(folder.path().join("last.ckpt"), "another run").unwrap();
    let mut outcome = None;
    let from = folder.path().join("step=2.ckpt");
    let warnings = told(|| outcome = Some(resume(&killed, &from, options.dirpath(folder.path()))));
    let (mut bench, mut second) = outcome.unwrap();
    let expected = |name: &str| {
        let path = std::path::absolute(folder.path()).unwrap().join(name);
        format!("WARN `{}` of the checkpoint is missing or belongs to another run: it is no longer kept", path.display())
    };
    assert_eq!(warnings, [expected("last.ckpt"), expected("step=1.ckpt")]);
    assert_eq!((second.best_model_score(), second.last_model_path()), (Some(2.0), None));
    // `last` is missing, so the end of training is a save point again.
    bench.fire(&mut second, Event::TrainEnd).unwrap();
    assert_eq!(carry_out(&bench.saves()), ["+last-v1.ckpt"]);
    assert_eq!(epochs(&mut bench, &mut second, &[3.0]), ["+step=3.ckpt", "+last-v1.ckpt"]);
    // Only the newest, without a monitor.
    let (mut bench, folder, mut first) = begin(ModelCheckpoint::new());
    epochs(&mut bench, &mut first, &[1.0]);
    let killed = kill(&bench, &first);
    fs_err::remove_file(first.best_model_path().unwrap()).unwrap();
    let (_, second) = resume(&killed, &from, ModelCheckpoint::new().dirpath(folder.path()));
    assert_eq!(second.best_model_path(), None);
}

#[test]
fn another_run_in_the_folder_loses_nothing() {
    let options = ModelCheckpoint::new().save_last(true);
    let (mut bench, folder, mut first) = begin(options.clone());
    epochs(&mut bench, &mut first, &[1.0]);
    // It appeared while this run was not alive.
    fs_err::write(folder.path().join("epoch=1-step=2.ckpt"), "another run").unwrap();
    let from = folder.path().join("last.ckpt");
    let (mut bench, mut second) = resume(&kill(&bench, &first), &from, options.dirpath(folder.path()));
    assert_eq!(epochs(&mut bench, &mut second, &[1.0]), ["+epoch=1-step=2-v1.ckpt", "+last.ckpt", "-epoch=0-step=1.ckpt"]);
    assert_eq!(fs_err::read_to_string(folder.path().join("epoch=1-step=2.ckpt")).unwrap(), "another run");
}

#[test]
fn a_pending_save_is_pending_after_a_restart() {
    let options = ModelCheckpoint::new().monitor("val_loss").every(Every::Steps(2));
    let (mut bench, folder, mut first) = begin(options.clone());
    bench.fire(&mut first, Event::ValidationEnd).unwrap();
    batches(&mut bench, &mut first, 2);
    assert!(first.state.deferred);
    let from = folder.path().join("last.ckpt");
    let (mut bench, mut second) = resume(&kill(&bench, &first), &from, options.dirpath(folder.path()));
    bench.metric("val_loss", 0.5).validation_end(&mut second).unwrap();
    assert_eq!(carry_out(&bench.saves()), ["+epoch=0-step=2.ckpt"]);
    // A validation before the kill counts: the metric must exist.
    let options = ModelCheckpoint::new().monitor("val_los").save_on_train_epoch_end(true);
    let (mut bench, folder, mut first) = begin(options.clone());
    bench.validation_end(&mut first).unwrap();
    let (mut bench, mut second) = resume(&kill(&bench, &first), &from, options.dirpath(folder.path()));
    bench.run.validates_every_epoch = false;
    assert!(matches!(bench.epoch(&mut second), Err(Error::MetricMissing { .. })));
}

#[test]
fn a_restart_in_another_folder_removes_nothing_of_the_old_one() {
    let (mut bench, _old_folder, mut first) = begin(ModelCheckpoint::new().save_last(true));
    epochs(&mut bench, &mut first, &[1.0]);
    let (new_folder, killed) = (tempfile::tempdir().unwrap(), kill(&bench, &first));
    let from = first.best_model_path().unwrap().to_path_buf();
    let (mut bench, mut second) = resume(&killed, &from, ModelCheckpoint::new().save_last(true).dirpath(new_folder.path()));
    assert_eq!((second.best_model_path(), second.last_model_path()), (first.best_model_path(), None));
    assert_eq!(epochs(&mut bench, &mut second, &[1.0]), ["+epoch=1-step=2.ckpt", "+last.ckpt"]);
    // A path that only looks as if it were inside the folder is not removed either.
    let dir = second.now.destination.as_ref().unwrap().dir.clone();
    second.state.best_model_path = Some(dir.join("../elsewhere.ckpt"));
    bench.epoch(&mut second).unwrap();
    assert!(bench.saves().iter().all(|request| request.then_remove.is_empty()));
}

#[test]
fn another_fit_with_the_same_callback_is_a_new_one() {
    let (mut bench, folder, mut callback) = begin(ModelCheckpoint::new().monitor("loss"));
    epochs(&mut bench, &mut callback, &[1.0]);
    let mut bench = Bench::new();
    bench.run.id = "the next run".into();
    bench.start(&mut callback).unwrap();
    assert_eq!(callback.best_model_path(), None);
    assert_eq!(epochs(&mut bench, &mut callback, &[2.0]), ["+epoch=0-step=1-v1.ckpt"]);
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 2);
}
