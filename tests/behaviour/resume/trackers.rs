//! A resumed fit continues the run of its tracker, although that run has a random id.

use std::path::{Path, PathBuf};

use stormfire::{
    loggers::{MlflowLogger, TrackioLogger},
    prelude::*,
};

use crate::support::{Line, line_data, quiet};

/// Fits up to an epoch, as each process of a job would.
fn fit(folder: &Path, epochs: usize) -> Stop {
    let mut trainer = quiet()
        .default_root_dir(folder)
        .seed(1)
        .max_epochs(epochs)
        .log_every_n_steps(1)
        .ckpt_path("last")
        .enable_checkpointing(true)
        .logger(MlflowLogger::new().tracking_uri(folder.join("mlruns").display().to_string()).save_dir(folder))
        // No process listens on this port.
        .logger(TrackioLogger::new().server_url("http://127.0.0.1:9").save_dir(folder).patience(std::time::Duration::ZERO))
        .callback(ModelCheckpoint::new().dirpath(folder.join("checkpoints")).save_last(true));
    trainer.fit(Line::new(), (line_data(8, 4), line_data(4, 4))).unwrap().stop
}

fn files(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.file_name().is_some_and(|own| own == name) {
            found.push(path);
        } else if path.is_dir() {
            found.extend(files(&path, name));
        }
    }
    found
}

#[test]
fn three_processes_create_one_run_with_each_value_once() {
    let folder = tempfile::tempdir().unwrap();
    for epochs in 1..=3 {
        assert_eq!(fit(folder.path(), epochs), Stop::MaxEpochs(epochs));
    }
    let metrics = files(&folder.path().join("mlruns"), "val_loss");
    assert_eq!(metrics.len(), 1, "one run: {metrics:?}");
    let text = std::fs::read_to_string(&metrics[0]).unwrap();
    let steps: Vec<&str> = text.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(steps, ["1", "3", "5"], "{text}");
    let spools = std::fs::read_dir(folder.path().join(".stormfire/trackio")).unwrap().count();
    assert_eq!(spools, 1, "one run of trackio");
}
