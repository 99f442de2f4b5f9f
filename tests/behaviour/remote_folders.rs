//! Runs with checkpoints behind a URL. The checkpoints equal those of a run on a disk.

use std::{
    fs,
    path::{Path, PathBuf},
};

use insta::assert_snapshot;
use stormfire::{
    checkpoint::{self, Checkpoint, LoadOptions, Manifest, storage},
    prelude::*,
};

use crate::{
    child,
    error_text::error_text,
    files::names,
    support::{Line, line_data, quiet},
};

const SCORES: [f64; 4] = [3.0, 1.0, 2.0, 0.5];

/// Logs a `score` in each epoch.
struct Scores;

impl<M: LightningModule> Callback<M> for Scores {
    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        ctx.log("score", SCORES[ctx.current_epoch()]);
        Ok(())
    }
}

/// The results of a run.
struct Outcome {
    weights: Vec<f32>,
    best: Vec<(String, f64)>,
    last: String,
}

fn weights(module: &Line) -> Vec<f32> {
    module.layer.weight.val().into_data().try_to_vec().unwrap()
}

/// Keeps the two best epochs and the last one, in the default folder.
fn train(root: &Path, epochs: usize, ckpt_path: Option<&str>, save_last: SaveLast) -> (Outcome, Trainer<Line>) {
    let saving = ModelCheckpoint::new().monitor("score").save_top_k(2).save_last(save_last).filename("{epoch}");
    let mut trainer =
        quiet().enable_checkpointing(true).seed(7).max_epochs(epochs).default_root_dir(root).callback(Scores).callback(saving);
    if let Some(path) = ckpt_path {
        trainer = trainer.ckpt_path(path);
    }
    let fit = trainer.fit(Line::fixed(), line_data(8, 2)).unwrap();
    let saved = trainer.get::<ModelCheckpoint>().unwrap();
    let below = |path: &Path| path.strip_prefix(saved.folder().unwrap()).unwrap().to_str().unwrap().to_owned();
    let best = saved.best_k_models().map(|(path, score)| (below(path), score)).collect();
    let last = below(saved.last_model_path().unwrap());
    let weights = weights(&fit.module);
    (Outcome { weights, best, last }, trainer)
}

/// Saves a run below a URL, drops it, and resumes from `"last"`. The result equals that of an uninterrupted run on a
/// disk.
fn continues_below(url: &Path) {
    let folder = tempfile::tempdir().unwrap();
    for (name, save_last) in [("files", SaveLast::On), ("links", SaveLast::Link)] {
        let (uninterrupted, _) = train(&folder.path().join(name), 4, None, save_last);
        let root = url.join(name);
        // No checkpoint exists yet.
        drop(train(&root, 2, Some("last"), save_last));
        let (continued, mut trainer) = train(&root, 4, Some("last"), save_last);
        assert_eq!(continued.weights, uninterrupted.weights);
        assert_eq!((&continued.best, &continued.last), (&uninterrupted.best, &uninterrupted.last));
        assert_eq!(continued.best, [("epoch=1.ckpt".to_owned(), 1.0), ("epoch=3.ckpt".to_owned(), 0.5)]);
        // Replaced files are removed in both places.
        let kept = ["epoch=1.ckpt", "epoch=3.ckpt", "last.ckpt"];
        assert_eq!(names(&folder.path().join(name).join("checkpoints")), kept);
        assert_eq!(listed(&root.join("checkpoints")), kept);

        trainer.set_ckpt_path("best");
        trainer.test(&Line::new(), Loaders::from(line_data(4, 2))).unwrap();
        let path = root.join("checkpoints/epoch=3.ckpt");
        let (module, _) = Line::new().load_weights(&path, &LoadOptions::new()).unwrap();
        assert_eq!(weights(&module), continued.weights);
        let list = trainer.get::<ModelCheckpoint>().unwrap().to_yaml(None).unwrap();
        assert_eq!(list, storage::absolute(&root).unwrap().join("checkpoints/best_k_models.yaml"));
    }
}

pub(crate) fn listed(folder: &Path) -> Vec<String> {
    let entries = storage::list(folder).unwrap();
    let mut names: Vec<_> = entries.into_iter().map(|entry| entry.path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_run_in_memory_resumes_like_one_on_a_disk() {
    continues_below(Path::new("memory://runs/of/today"));
}

/// As `crash::an_interrupted_save_is_completed_by_the_next_fit`, but in a store.
#[test]
fn an_interrupted_save_in_a_store_is_completed() {
    let root = Path::new("memory://cut/short");
    let path = |name: &str| root.join(name);
    let fit = |epochs| {
        let saving = ModelCheckpoint::new().dirpath(root).filename("{step}").save_last(true);
        let mut trainer = quiet().enable_checkpointing(true).max_epochs(epochs).ckpt_path("last").callback(saving);
        trainer.fit(Line::new(), line_data(4, 2)).unwrap()
    };
    let step = |name: &str| Checkpoint::read_manifest(path(name)).unwrap().global_step();
    let _ = fit(1);
    storage::link_or_copy(path("last.ckpt"), path("aside")).unwrap();
    let _ = fit(2);
    for is_there in [true, false] {
        storage::link_or_copy(path("aside"), path("step=2.ckpt")).unwrap();
        storage::remove(&path("last.ckpt")).unwrap();
        if is_there {
            storage::link_or_copy(path("aside"), path("last.ckpt")).unwrap();
        }
        assert_eq!(fit(2).progress.global_step, 4);
        assert_eq!((listed(root), step("last.ckpt")), (vec!["aside".into(), "last.ckpt".into(), "step=4.ckpt".into()], Some(4)));
    }
}

#[cfg(unix)]
#[test]
fn a_run_behind_a_file_url_resumes_like_one_on_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    continues_below(&PathBuf::from(format!("file://{}", folder.path().display())));
    assert_eq!(names(folder.path()), ["files", "links"]);
}

/// `xtask/python/s3_check.py` runs this test with its server.
#[test]
#[ignore = "it needs a server that speaks S3: `cargo xtask test --only s3`"]
fn a_run_in_s3_resumes_like_one_on_a_disk() {
    let root = std::env::var("STORMFIRE_TEST_S3").unwrap();
    continues_below(Path::new(&root));
    // A checkpoint that is sent in parts and read in pieces.
    let (large, copy) = (Path::new(&root).join("large/a.ckpt"), Path::new(&root).join("large/b.ckpt"));
    let numbers = burn::tensor::TensorData::new((0..5_000_000).collect::<Vec<u32>>(), [5_000_000]);
    let tensors = [("layer.weight".to_owned(), numbers)];
    checkpoint::write(&large, &Manifest::default(), &tensors).unwrap();
    storage::link_or_copy(&large, &copy).unwrap();
    assert_eq!(Checkpoint::read(&copy).unwrap().take("layer.weight").unwrap(), tensors[0].1);

    let mut trainer = quiet::<Line>().enable_checkpointing(true).max_epochs(1).default_root_dir("s3://missing-bucket/run");
    let error = trainer.fit(Line::new(), line_data(4, 2)).unwrap_err().to_string();
    let expected = "`s3://missing-bucket/run/checkpoints` cannot be read or written: ";
    assert!(error.starts_with(expected) && error.contains("NoSuchBucket") && error.contains("in `setup`"), "{error}");
}

#[test]
fn an_unusable_url_is_refused_before_the_run() {
    let trainers = [
        quiet().default_root_dir("ftp://host/x"),
        quiet().enable_checkpointing(true).callback(ModelCheckpoint::new().dirpath("ftp://host/x")),
        quiet().ckpt_path("ftp://host/x.ckpt"),
    ];
    let refused = |trainer: Trainer<Line>| error_text(trainer.max_epochs(1).fit(Line::new(), line_data(4, 2)));
    assert_snapshot!(trainers.map(refused).join("\n"), @"
    `default_root_dir`: `ftp://…` cannot be used: the scheme is unknown
      hint: use `s3://`, `gs://`, `az://`, `file://` or the path of a folder
    `ModelCheckpoint::dirpath`: `ftp://…` cannot be used: the scheme is unknown (in `setup` of `ModelCheckpoint`)
      hint: use `s3://`, `gs://`, `az://`, `file://` or the path of a folder
    checkpoint `ftp://host/x.ckpt`: `ftp://…` cannot be used: the scheme is unknown
      hint: use `s3://`, `gs://`, `az://`, `file://` or the path of a folder
    ");
}

#[test]
#[ignore = "a part of `logs_go_to_the_store_too`"]
fn trains_with_logs() {
    if child::folder().is_none() {
        return;
    }
    let mut trainer =
        Trainer::new().default_root_dir("memory://logs/run").enable_progress_bar(false).enable_model_summary(false).max_epochs(1);
    let _ = trainer.fit(Line::new(), line_data(4, 2)).unwrap();
    assert_eq!(listed(Path::new("memory://logs/run")), ["checkpoints", "lightning_logs"]);
    assert!(listed(Path::new("memory://logs/run/lightning_logs/version_0")).contains(&"metrics.csv".to_owned()));
    let run = std::path::absolute(".stormfire/logs/memory/logs/run/lightning_logs/version_0").unwrap();
    assert_eq!(trainer.log_dir(), Some(run.as_path()));
}

#[test]
fn logs_go_to_the_store_too() {
    let folder = tempfile::tempdir().unwrap();
    let mut part = child::part("remote_folders::trains_with_logs", folder.path());
    part.current_dir(folder.path());
    child::play(part);
    assert_eq!(names(folder.path()), [".stormfire"]);
    let run = folder.path().join(".stormfire/logs/memory/logs/run/lightning_logs/version_0");
    assert!(!run.join("checkpoints").exists() && fs::exists(run.join("metrics.csv")).unwrap());
}

#[test]
fn each_resume_of_a_run_in_a_store_has_its_number() {
    let root = Path::new("memory://continued/twice");
    let fit = |epochs, from: Option<PathBuf>| {
        let saving = ModelCheckpoint::new().dirpath(root).save_top_k(SaveTopK::All);
        let mut trainer = quiet().enable_checkpointing(true).max_epochs(epochs).callback(saving);
        if let Some(from) = from {
            trainer.set_ckpt_path(from);
        }
        let _ = trainer.fit(Line::new(), line_data(4, 2)).unwrap();
        Checkpoint::read_manifest(trainer.get::<ModelCheckpoint>().unwrap().best_model_path().unwrap()).unwrap().restarts
    };
    let first = || Some(root.join("epoch=0-step=2.ckpt"));
    assert_eq!([fit(1, None), fit(2, first()), fit(2, first())], [0, 1, 2]);
}
