//! The folders of several runs, and of searches.

use super::*;

#[test]
fn a_sweep_in_the_folder_of_a_url_runs_and_continues() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("searched");
    let url = format!("--sweep.folder=file://{}", place.display());
    let (told, is_good) = sweep(folder.path(), &["model.lr=0.01,0.1", &url]).unwrap();
    let best = place.join("trial_1/config.yaml");
    let expected = format!("best: trial 1 with val_loss 1: --model.lr=0.1\nall of its options: -c {}\n", best.display());
    assert_eq!((told, is_good), (expected.clone(), true));
    for number in 0..2 {
        let trial = place.join(format!("trial_{number}"));
        assert!(trial.join("config.yaml").is_file() && trial.join("metrics.csv").is_file(), "{number}");
    }
    assert_eq!(processes(folder.path()).len(), 2);
    // A sweep that ended before its second trial continues with that one.
    fs_err::remove_file(place.join("trial_1.json")).unwrap();
    fs_err::remove_dir_all(place.join("trial_1")).unwrap();
    assert_eq!(sweep(folder.path(), &["model.lr=0.01,0.1", &url]).unwrap(), (expected.clone(), true));
    assert_eq!(processes(folder.path()).len(), 3);
    // The path of the folder is another name of the same sweep.
    let path = format!("--sweep.folder={}", place.display());
    assert_eq!(sweep(folder.path(), &["model.lr=0.01,0.1", &path]).unwrap(), (expected, true));
    assert_eq!(processes(folder.path()).len(), 3);
    assert!(!folder.path().join("sweep").exists());
}

#[test]
fn runs_that_fail_at_their_start_leave_no_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("--{}={}", crate::children::ROOT, folder.path().join("new/deep").display());
    let Ended::Several(runs) = ended(&["-m", "model.lr=8,9", &root]) else { panic!("there are not several runs") };
    let (table, is_good) = runs.run(&script(folder.path())).map_err(Ended::into_error).unwrap();
    assert!(!is_good && table.matches("exit code").count() == 2, "{table}");
    assert!(!folder.path().join("new").exists());
}

#[test]
fn a_file_in_place_of_a_folder_is_named_with_its_option() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs_err::write(&file, "").unwrap();
    let told = |option: &str| {
        let error = refusal(&["sweep", "model.lr=1,2", &format!("--{option}={}", file.display())]);
        error.replace(&folder.path().display().to_string(), "DIR")
    };
    insta::assert_snapshot!(told("sweep.folder"), @r"
    --sweep.folder: `sweep.folder`: failed to open file `DIR/file/sweep.json`: Not a directory (os error 20)
      help: choose another folder
    ");
    insta::assert_snapshot!(told("trainer.default_root_dir"), @r"
    --trainer.default_root_dir: `trainer.default_root_dir`: failed to open file `DIR/file/sweep/sweep.json`: Not a directory (os error 20)
      help: choose another folder
    ");
}

/// It is created when the sweep starts.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_created_is_named_with_its_option() {
    let folder = tempfile::tempdir().unwrap();
    for (option, path) in [(crate::sweep::FOLDER, "/proc/x"), (crate::children::ROOT, "/proc/x/sweep")] {
        let Ended::Several(runs) = ended(&["sweep", "model.lr=1,2", &format!("--{option}=/proc/x")]) else { panic!("no sweep") };
        let Err(Ended::Usage(error)) = runs.run(&script(folder.path())) else { panic!("{option}: the sweep has run") };
        let error = error.to_string();
        let expected = format!("--{option}: `{option}`: failed to create directory `{path}`: ");
        assert!(error.starts_with(&expected) && error.ends_with("\n  help: choose a folder that can be written to"), "{error}");
    }
}

/// Each size would have this mistake, and none would fit.
#[test]
fn a_search_for_a_batch_size_refuses_what_a_run_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("--{}={}", crate::children::ROOT, folder.path().join("new").display());
    let error = refusal(&["tune", &root, "trainer.strategy=mpi"]);
    assert!(error.starts_with("trainer.strategy: `trainer.strategy`: `mpi` needs several processes"), "{error}");
    assert!(!folder.path().join("new").exists());
}
