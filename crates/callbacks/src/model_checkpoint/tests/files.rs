//! Tests of free names, and of files that must not be touched.

use super::*;

#[test]
fn a_name_that_is_taken_gets_a_version() {
    let (mut bench, folder, mut callback) = begin(ModelCheckpoint::new().filename("best").save_last(true));
    for foreign in ["best.ckpt", "best-v1.ckpt", "last.ckpt"] {
        fs_err::write(folder.path().join(foreign), "").unwrap();
    }
    let done = epochs(&mut bench, &mut callback, &[0.0, 0.0]);
    assert_eq!(done, ["+best-v2.ckpt", "+last-v1.ckpt", "+best-v2.ckpt", "+last-v1.ckpt"]);
    let (mut bench, folder, mut callback) = begin(ModelCheckpoint::new().filename("best").enable_version_counter(false));
    fs_err::write(folder.path().join("best.ckpt"), "").unwrap();
    assert_eq!(epochs(&mut bench, &mut callback, &[0.0, 0.0]), ["+best.ckpt", "+best.ckpt"]);
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().filename("last").save_last(true));
    assert_eq!(epochs(&mut bench, &mut callback, &[0.0]), ["+last.ckpt", "+last-v1.ckpt"]);
}

#[test]
fn two_of_them_in_one_folder_do_not_share_a_file() {
    let (mut bench, folder, mut first) = begin(ModelCheckpoint::new());
    let mut second = ModelCheckpoint::new().dirpath(folder.path()).named("second");
    bench.start(&mut second).unwrap();
    bench.run.place.progress.global_step = 1;
    bench.fire(&mut first, Event::TrainEpochEnd).unwrap();
    bench.fire(&mut second, Event::TrainEpochEnd).unwrap();
    assert_eq!(carry_out(&bench.saves()), ["+epoch=0-step=1.ckpt", "+epoch=0-step=1-v1.ckpt"]);
    let key = |callback: &ModelCheckpoint| Callback::<Line>::state_key(callback);
    assert_eq!(key(&first), "ModelCheckpoint{monitor: none, mode: min, every: 1 epoch}");
    assert_eq!(key(&second), "ModelCheckpoint{second}");
}

#[test]
fn a_file_that_is_not_written_yet_has_its_name_already() {
    let (mut bench, folder, mut first) = begin(ModelCheckpoint::new().filename("x").save_last(true));
    let mut second = ModelCheckpoint::new().dirpath(folder.path()).filename("x").save_last(true).named("second");
    bench.start(&mut second).unwrap();
    bench.run.place.progress.global_step = 1;
    bench.fire(&mut first, Event::TrainEpochEnd).unwrap();
    let in_the_background = bench.saves();
    bench.fire(&mut second, Event::TrainEpochEnd).unwrap();
    assert_eq!(carry_out(&bench.saves()), ["+x-v1.ckpt", "+last-v1.ckpt"]);
    assert_eq!(carry_out(&in_the_background), ["+x.ckpt", "+last.ckpt"]);
}

#[test]
fn a_name_is_free_again_after_its_file_is_to_be_removed() {
    let (mut bench, _folder, mut callback) = begin(ModelCheckpoint::new().monitor("loss").filename("{tag:.0f}"));
    for (tag, loss) in [(1.0, 3.0), (2.0, 2.0), (1.0, 1.0)] {
        bench.metric("tag", tag).metric("loss", loss).epoch(&mut callback).unwrap();
    }
    // The writer works in order, so the old file of this name has been removed by then.
    let done = carry_out(&bench.saves());
    assert_eq!(done, ["+tag=1.ckpt", "+tag=2.ckpt", "-tag=1.ckpt", "+tag=1.ckpt", "-tag=2.ckpt"]);
}

#[test]
fn a_used_folder_is_reported_unless_the_fit_continues_there() {
    let folder = tempfile::tempdir().unwrap();
    let warnings = |callback: ModelCheckpoint, resumed_from: Option<PathBuf>| {
        let (mut bench, mut callback) = (Bench::new(), callback.dirpath(folder.path()));
        bench.run.resumed_from = resumed_from;
        told(|| bench.setup(&mut callback).unwrap())
    };
    assert!(warnings(ModelCheckpoint::new(), None).is_empty());
    fs_err::write(folder.path().join("x.ckpt"), "").unwrap();
    let expected = format!("WARN the folder of the checkpoints, `{}`, is not empty", folder.path().display());
    assert_eq!(warnings(ModelCheckpoint::new(), None), std::slice::from_ref(&expected));
    assert_eq!(warnings(ModelCheckpoint::new(), Some("elsewhere/x.ckpt".into())), [expected]);
    assert!(warnings(ModelCheckpoint::new(), Some(folder.path().join("x.ckpt"))).is_empty());
    assert!(warnings(ModelCheckpoint::new().save_top_k(0), None).is_empty());
}

#[test]
fn a_long_name_is_shortened_and_reported_once() {
    let metric = format!("loss{}", "x".repeat(300));
    let (mut bench, folder, mut callback) =
        begin(ModelCheckpoint::new().filename(format!("{{epoch}}-{{{metric}}}")).save_top_k(SaveTopK::All));
    let mut done = Vec::new();
    let lines = told(|| {
        for value in [0.5, 0.25] {
            bench.metric(&metric, value).epoch(&mut callback).unwrap();
            done.extend(carry_out(&bench.saves()));
        }
    });
    insta::with_settings!({ filters => [(r"x{9,}", "xxx")] }, {
        assert_snapshot!([done, lines].concat().join("\n"), @r"
        +epoch=0-lossxxx-a59f8778526c.ckpt
        +epoch=1-lossxxx-ce19b535e713.ckpt
        WARN the file name `epoch=0-lossxxx=0.5` of a checkpoint is longer than a disk allows; it is shortened to `epoch=0-lossxxx-a59f8778526c`
        ");
    });
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 2);
}
