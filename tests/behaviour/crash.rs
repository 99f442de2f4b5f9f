//! A training that is killed at random instants ends like an uninterrupted one.

#![cfg(unix)]

mod killer;
mod training;

use std::{collections::BTreeMap, path::Path};

use burn::tensor::DType;
use stormfire::{
    checkpoint::{Checkpoint, Manifest},
    prelude::*,
};

use self::{
    killer::{Killer, checkpoints},
    training::{BATCHES_PER_EPOCH, fit, result},
};
use crate::{
    child::{folder, part, play},
    files::{Events, names, read_continued_events},
    rig::run_of,
    support::{Line, line_data, quiet},
};

const PART: &str = "crash::trains";

/// The number of kills. `cargo xtask crash` sets a larger number.
fn kills() -> usize {
    number("STORMFIRE_CRASH_KILLS", 200) as usize
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

/// Enough epochs for eight batches between two kills.
fn epochs() -> usize {
    (kills() * 8).div_ceil(BATCHES_PER_EPOCH as usize)
}

/// Helper test for a child process: one life of the training.
#[test]
#[ignore = "a part of `a_killed_training_ends_like_an_uninterrupted_one`"]
fn trains() {
    let Some(folder) = folder() else { return };
    fit(&folder, epochs());
}

/// Type, shape and bytes of tensors by name.
type Tensors = BTreeMap<String, (DType, Vec<usize>, Vec<u8>)>;

fn tensors(checkpoint: &Path) -> Tensors {
    let checkpoint = Checkpoint::read(checkpoint).unwrap();
    let tensor = |data: &burn::tensor::TensorData| (data.dtype(), data.shape().to_vec(), data.as_bytes().to_vec());
    checkpoint.tensors().iter().map(|(name, data)| (name.clone(), tensor(data))).collect()
}

/// The tensors of a checkpoint, and its state without times and positions in files.
fn saved_in(folder: &Path, checkpoint: &Path) -> (Tensors, String) {
    let Manifest { seed, progress, metrics, optimizers, log, callbacks, data, .. } = Checkpoint::read_manifest(checkpoint).unwrap();
    let state = serde_json::to_string(&(seed, progress, metrics, optimizers, log, callbacks, data)).unwrap();
    (tensors(checkpoint), state.replace(folder.to_str().unwrap(), "folder"))
}

/// All results of a training.
struct Left {
    weights: Tensors,
    runs: Vec<String>,
    files: Vec<String>,
    csv: String,
    events: Events,
    checkpoints: BTreeMap<String, (Tensors, String)>,
}

impl Left {
    fn by(folder: &Path) -> Self {
        let run = run_of(folder);
        let saved = checkpoints(folder);
        Self {
            weights: tensors(&result(folder)),
            runs: names(run.parent().unwrap()),
            // The name of an event file contains the time and the process id, like TensorFlow's.
            files: names(&run).into_iter().filter(|name| !name.contains("tfevents")).collect(),
            csv: std::fs::read_to_string(run.join("metrics.csv")).unwrap(),
            events: read_continued_events(&run),
            checkpoints: names(&saved).into_iter().map(|name| (name.clone(), saved_in(folder, &saved.join(name)))).collect(),
        }
    }
}

#[test]
fn a_killed_training_ends_like_an_uninterrupted_one() {
    let (whole, broken) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    play(part(PART, whole.path()));
    let uninterrupted = Left::by(whole.path());
    assert_eq!((uninterrupted.runs.len(), uninterrupted.checkpoints.len()), (1, 5), "{:?}", uninterrupted.checkpoints.keys());

    let batches = epochs() as u64 * BATCHES_PER_EPOCH;
    let report = Killer::new(PART, broken.path(), number("STORMFIRE_CRASH_SEED", 0)).run(batches, kills());
    println!("{report:?}");
    assert!(report.kills == kills() && report.at_start * 20 > kills() && report.in_a_save * 20 > kills(), "{report:?}");

    let left = Left::by(broken.path());
    assert_eq!((left.runs, left.files), (uninterrupted.runs, uninterrupted.files));
    assert_eq!(left.csv, uninterrupted.csv);
    assert_eq!(left.events, uninterrupted.events);
    assert_eq!(left.checkpoints.keys().collect::<Vec<_>>(), uninterrupted.checkpoints.keys().collect::<Vec<_>>());
    assert!(left.weights == uninterrupted.weights, "the weights differ");
    for (name, (tensors, state)) in uninterrupted.checkpoints {
        let (others, other_state) = &left.checkpoints[&name];
        assert_eq!(&state, other_state, "{name}");
        assert_eq!(tensors.keys().collect::<Vec<_>>(), others.keys().collect::<Vec<_>>(), "{name}");
        for (tensor, data) in tensors {
            assert_eq!(data, others[&tensor], "`{tensor}` of {name}");
        }
    }
}

#[test]
fn an_interrupted_save_is_completed_by_the_next_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let fit = |epochs| {
        let saving = ModelCheckpoint::new().dirpath(folder.path()).filename("{step}").save_last(true);
        let mut trainer = quiet().enable_checkpointing(true).max_epochs(epochs).ckpt_path("last").callback(saving);
        trainer.fit(Line::new(), line_data(4, 2)).unwrap()
    };
    let step = |name: &str| Checkpoint::read_manifest(path(name)).unwrap().global_step();
    let _ = fit(1);
    std::fs::copy(path("last.ckpt"), path("aside")).unwrap();
    let _ = fit(2);
    assert_eq!(names(folder.path()), ["aside", "last.ckpt", "step=4.ckpt"]);

    // The state before the file gets its second name, and the state before the removal.
    std::fs::copy(path("aside"), path("step=2.ckpt")).unwrap();
    for is_there in [true, false] {
        std::fs::remove_file(path("last.ckpt")).unwrap();
        if is_there {
            std::fs::copy(path("aside"), path("last.ckpt")).unwrap();
        }
        assert_eq!(fit(2).progress.global_step, 4);
        assert_eq!((names(folder.path()), step("last.ckpt")), (vec!["aside".into(), "last.ckpt".into(), "step=4.ckpt".into()], Some(4)));
    }

    // A newer file stays.
    std::fs::copy(path("step=4.ckpt"), path("aside.ckpt")).unwrap();
    let _ = fit(3);
    std::fs::rename(path("aside.ckpt"), path("step=4.ckpt")).unwrap();
    let mut trainer = quiet().max_epochs(2).ckpt_path(path("step=4.ckpt"));
    assert_eq!(trainer.fit(Line::new(), line_data(4, 2)).unwrap().progress.global_step, 4);
    assert_eq!((step("last.ckpt"), step("step=6.ckpt")), (Some(6), Some(6)));
}

#[test]
fn weights_that_a_kill_prevented_are_written_by_the_next_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let fit = |epochs| {
        let whole = ModelCheckpoint::new().dirpath(path("whole")).filename("{step}");
        let weights =
            ModelCheckpoint::new().dirpath(path("weights")).filename("{step}").save_weights_only(true).save_last(true).named("weights");
        let trainer = quiet().seed(3).enable_checkpointing(true).max_epochs(epochs).ckpt_path("last");
        trainer.callback(whole).callback(weights).fit(Line::new(), line_data(4, 2)).unwrap()
    };
    let _ = fit(1);
    std::fs::rename(path("weights"), path("before")).unwrap();
    std::fs::create_dir(path("weights")).unwrap();
    let _ = fit(2);
    let written = Checkpoint::read(path("weights/step=4.ckpt")).unwrap();

    // The state between the two files of the second epoch.
    std::fs::remove_dir_all(path("weights")).unwrap();
    std::fs::rename(path("before"), path("weights")).unwrap();
    let _ = fit(2);
    assert_eq!(names(&path("weights")), ["last.ckpt", "step=4.ckpt"]);
    let mended = Checkpoint::read(path("weights/step=4.ckpt")).unwrap();
    assert!(mended.manifest().weights_only);
    assert_eq!(mended.manifest().progress, written.manifest().progress);
    assert_eq!(mended.into_parts().1, written.into_parts().1);
    assert_eq!(Checkpoint::read_manifest(path("weights/last.ckpt")).unwrap().global_step(), Some(4));
}
