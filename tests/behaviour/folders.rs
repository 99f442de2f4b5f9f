//! An unusable folder is detected before the training.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use insta::assert_snapshot;
use stormfire::{loggers::RunDir, prelude::*};

use crate::{
    support::{Line, line_data, quiet},
    told::told,
};

/// Each way to set the folder of files, with the name of its option.
fn ways(folder: &Path) -> Vec<(&'static str, Trainer<Line>)> {
    vec![
        ("ModelCheckpoint::dirpath", quiet().enable_checkpointing(true).callback(ModelCheckpoint::new().dirpath(folder))),
        ("OnExceptionCheckpoint::new", quiet().callback(OnExceptionCheckpoint::new(folder))),
        ("default_root_dir", quiet().enable_checkpointing(true).default_root_dir(folder)),
        ("default_root_dir", Trainer::new().enable_progress_bar(false).enable_model_summary(false).default_root_dir(folder)),
        ("CsvLogger", quiet().logger(CsvLogger::new(folder))),
        ("TensorBoardLogger", quiet().logger(TensorBoardLogger::new(folder))),
    ]
}

/// The errors for this folder below `root`.
fn refused(root: &Path, folder: &Path) -> String {
    let texts = ways(folder).into_iter().map(|(option, trainer)| {
        let trained = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&trained);
        let watch = LambdaCallback::new().on_train_batch_start(move |_, _, _, _| {
            flag.store(true, Ordering::Relaxed);
            Ok(())
        });
        let error = trainer.max_epochs(1).callback(watch).fit(Line::new(), line_data(8, 2)).err();
        let error = error.unwrap_or_else(|| panic!("{option} took `{}`", folder.display()));
        assert!(!trained.load(Ordering::Relaxed), "{option}: {error}");
        format!("{option}: {error:?}").replace(&root.display().to_string(), "[folder]")
    });
    texts.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_folder_that_cannot_be_created_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    assert_snapshot!(refused(folder.path(), &file.join("runs")), @r"
    ModelCheckpoint::dirpath: `ModelCheckpoint::dirpath`: `[folder]/file/runs` cannot be read or written: `[folder]/file` is not a folder (in `setup` of `ModelCheckpoint`)
      hint: choose a folder that can be created and written to
    OnExceptionCheckpoint::new: `OnExceptionCheckpoint::new`: `[folder]/file/runs` cannot be read or written: `[folder]/file` is not a folder (in `setup` of `OnExceptionCheckpoint`)
      hint: choose a folder that can be created and written to
    default_root_dir: `default_root_dir`: `[folder]/file/runs/checkpoints` cannot be read or written: `[folder]/file` is not a folder (in `setup` of `ModelCheckpoint`)
      hint: choose a folder that can be created and written to
    default_root_dir: `default_root_dir`: failed to create directory `[folder]/file/runs/lightning_logs`: Not a directory (os error 20)
      hint: choose a folder that can be written to
    CsvLogger: `CsvLogger::save_dir`: failed to create directory `[folder]/file/runs/lightning_logs`: Not a directory (os error 20)
      hint: a file is in the way of a log folder; move it or choose another `save_dir`
    TensorBoardLogger: `TensorBoardLogger::save_dir`: failed to create directory `[folder]/file/runs/lightning_logs`: Not a directory (os error 20)
      hint: a file is in the way of a log folder; move it or choose another `save_dir`
    ");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
}

#[cfg(unix)]
#[test]
fn a_folder_whose_name_is_not_utf8_is_refused() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    assert_snapshot!(refused(folder.path(), &folder.path().join(std::ffi::OsStr::from_bytes(b"a\xff"))), @r"
    ModelCheckpoint::dirpath: `ModelCheckpoint::dirpath`: `[folder]/a�` is not valid UTF-8 (in `setup` of `ModelCheckpoint`)
      hint: choose a folder that can be created and written to
    OnExceptionCheckpoint::new: `OnExceptionCheckpoint::new`: `[folder]/a�` is not valid UTF-8 (in `setup` of `OnExceptionCheckpoint`)
      hint: choose a folder that can be created and written to
    default_root_dir: `default_root_dir`: `[folder]/a�` is not valid UTF-8
      hint: choose a folder with another name
    default_root_dir: `default_root_dir`: `[folder]/a�` is not valid UTF-8
      hint: choose a folder with another name
    CsvLogger: `logger lightning_logs`: its folder `[folder]/a�/lightning_logs/version_0` is not valid UTF-8
      hint: choose a folder with another name
    TensorBoardLogger: `logger lightning_logs`: its folder `[folder]/a�/lightning_logs/version_1` is not valid UTF-8
      hint: choose a folder with another name
    ");
}

#[test]
fn files_that_a_run_expects_in_its_log_folder_are_not_reported() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("trial_0")).unwrap();
    std::fs::write(folder.path().join("trial_0/config.yaml"), "").unwrap();
    let run = || RunDir::new(folder.path()).with_name("").with_version("trial_0");
    let said = |run: &RunDir| told(|| assert!(run.log_dir().unwrap().ends_with("trial_0")));
    assert_eq!(said(&run()), ["WARN the log folder exists and is not empty; new files join the old ones"]);
    assert_eq!(said(&run().with_other_files()), Vec::<String>::new());
}
