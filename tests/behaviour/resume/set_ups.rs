//! Resuming finds and continues a run with all combinations of loggers, names and folders.

use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use stormfire::{
    OnExceptionCheckpoint,
    loggers::{CometLogger, CsvLogger, MlflowLogger, NeptuneLogger, NeptuneRun, RunDir, TensorBoardLogger, WandbLogger},
    prelude::*,
};

use crate::{
    child::{folder, part, play},
    error_text::error_text,
    files::{names, read_csv, read_events_of_the_continued, steps_of},
    rig::Logging,
    support::line_data,
};

type SetUp = fn(Trainer<Logging>, &Path) -> Trainer<Logging>;

/// A Trainer for epochs of four steps below a folder. It logs each step.
fn trainer(root: &Path, epochs: usize) -> Trainer<Logging> {
    Trainer::new().default_root_dir(root).max_epochs(epochs).log_every_n_steps(1).enable_progress_bar(false).enable_model_summary(false)
}

fn fit(mut trainer: Trainer<Logging>) -> Fit<Logging> {
    trainer.fit(Logging::new(), line_data(8, 2)).unwrap()
}

/// How the second fit finds its checkpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Last,
    Path,
}

/// Every checkpoint below a folder, sorted by name.
fn checkpoints(below: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in names(below) {
        let path = below.join(name);
        if path.is_dir() {
            found.extend(checkpoints(&path));
        } else if path.extension().is_some_and(|extension| extension == "ckpt") {
            found.push(path);
        }
    }
    found
}

/// Trains for two epochs, then for three with a new Trainer. The second fit has four steps left.
#[track_caller]
fn continue_run(root: &Path, set_up: SetUp, how: How) {
    let _ = fit(set_up(trainer(root, 2), root).ckpt_path("last"));
    let saved = checkpoints(root);
    assert_eq!(saved.len(), 1, "{saved:?}");
    let trainer = set_up(trainer(root, 3), root).callback(Begins(8));
    let continued = fit(match how {
        How::Last => trainer.ckpt_path("last"),
        How::Path => trainer.ckpt_path(&saved[0]),
    });
    assert_eq!(continued.progress.global_step, 12);
}

/// Checks the number of completed steps at the start of the fit.
struct Begins(u64);

impl<M: LightningModule> Callback<M> for Begins {
    fn on_fit_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        assert_eq!(ctx.global_step(), self.0);
        Ok(())
    }
}

/// File loggers, the folder of their only run below the root, and whether it contains a table and event files.
const SET_UPS: &[(SetUp, &str, (bool, bool))] = &[
    (|trainer, _| trainer, "lightning_logs/version_0", (true, true)),
    (
        |trainer, root| trainer.logger(TensorBoardLogger::new(root.join("runs"))).logger(CsvLogger::new(root.join("runs"))),
        "runs/lightning_logs/version_0",
        (true, true),
    ),
    (
        |trainer, root| {
            let runs = root.join("runs");
            trainer.logger(CsvLogger::new(&runs).name("mnist").jsonl(true)).logger(TensorBoardLogger::new(&runs).name("mnist"))
        },
        "runs/mnist/version_0",
        (true, true),
    ),
    (
        |trainer, root| {
            let runs = root.join("runs");
            trainer.logger(TensorBoardLogger::new(&runs).name("")).logger(CsvLogger::new(&runs).name(""))
        },
        "runs/version_0",
        (true, true),
    ),
    (|trainer, root| trainer.logger(CsvLogger::new(root).name("deep/down")), "deep/down/version_0", (true, false)),
    (|trainer, root| trainer.logger(TensorBoardLogger::new(root.join("tb"))), "tb/lightning_logs/version_0", (false, true)),
    (
        |trainer, root| {
            let runs = root.join("runs");
            trainer.logger(TensorBoardLogger::new(&runs).sub_dir("tb")).logger(CsvLogger::new(&runs))
        },
        "runs/lightning_logs/version_0",
        (true, false),
    ),
    (
        |trainer, root| {
            let runs = root.join("runs");
            trainer.logger(TensorBoardLogger::new(&runs).version("mine")).logger(CsvLogger::new(&runs).version("mine"))
        },
        "runs/lightning_logs/mine",
        (true, true),
    ),
    (
        |trainer, root| {
            let run = RunDir::new(root).with_name("shared");
            trainer.logger(TensorBoardLogger::in_dir(run.clone())).logger(CsvLogger::in_dir(run))
        },
        "shared/version_0",
        (true, true),
    ),
    (|trainer, root| trainer.logger(CsvLogger::new(format!("file://{}", root.display()))), "lightning_logs/version_0", (true, false)),
    (|trainer, root| trainer.default_root_dir(format!("file://{}", root.display())), "lightning_logs/version_0", (true, true)),
    (
        |trainer, root| trainer.logger(CsvLogger::new(root.join("runs"))).callback(ModelCheckpoint::new().dirpath(root.join("elsewhere"))),
        "runs/lightning_logs/version_0",
        (true, false),
    ),
    (
        |trainer, root| {
            let names = ModelCheckpoint::new().filename("{epoch}-{train/loss:.1f}");
            trainer.logger(CsvLogger::new(root.join("runs"))).callback(names)
        },
        "runs/lightning_logs/version_0",
        (true, false),
    ),
];

#[test]
fn every_set_up_resumes_in_the_folder_of_its_run() {
    for (number, (set_up, run, (has_table, has_events))) in SET_UPS.iter().enumerate() {
        for how in [How::Last, How::Path] {
            let root = tempfile::tempdir().unwrap();
            continue_run(root.path(), *set_up, how);
            let run = root.path().join(run);
            let what = format!("set-up {number}, {how:?}");
            assert_eq!(names(run.parent().unwrap()), [run.file_name().unwrap().to_str().unwrap()], "{what}");
            if *has_table {
                assert_eq!(read_csv(&run).steps(), (0..12).collect::<Vec<_>>(), "{what}");
            }
            if *has_events {
                assert_eq!(steps_of(&read_events_of_the_continued(&run), "train_loss"), (0..12).collect::<Vec<_>>(), "{what}");
            }
            // Only the newest checkpoint is left, and no empty folder.
            let saved = checkpoints(root.path());
            assert!(matches!(saved.as_slice(), [_] | [_, _]), "{what}: {saved:?}");
            assert_eq!(saved.len(), if how == How::Last { 1 } else { 2 }, "{what}: {saved:?}");
            assert!(saved.iter().all(|path| !path.ends_with("deep")), "{what}");
            assert_eq!(empty_folders(root.path()), Vec::<PathBuf>::new(), "{what}");
        }
    }
}

fn empty_folders(below: &Path) -> Vec<PathBuf> {
    let inside = names(below);
    if inside.is_empty() {
        return vec![below.into()];
    }
    inside.iter().map(|name| below.join(name)).filter(|path| path.is_dir()).flat_map(|path| empty_folders(&path)).collect()
}

/// Two loggers of one kind cannot share a table. Each finds its table again.
#[test]
fn two_loggers_of_one_kind_keep_separate_tables() {
    let root = tempfile::tempdir().unwrap();
    let set_up: SetUp = |trainer, root| trainer.logger(CsvLogger::new(root)).logger(CsvLogger::new(root).prefix("b"));
    continue_run(root.path(), set_up, How::Last);
    let runs = root.path().join("lightning_logs");
    assert_eq!(names(&runs), ["version_0", "version_1"]);
    assert!(read_csv(&runs.join("version_0")).columns.contains(&"train_loss".to_owned()));
    assert!(read_csv(&runs.join("version_1")).columns.contains(&"b-train_loss".to_owned()));
    for name in names(&runs) {
        assert_eq!(read_csv(&runs.join(name)).steps(), (0..12).collect::<Vec<_>>());
    }
}

#[test]
fn a_run_resumed_in_mid_epoch_has_one_table() {
    let root = tempfile::tempdir().unwrap();
    let with = |epochs: usize| {
        let runs = root.path().join("runs");
        let saving = ModelCheckpoint::new().every(Every::Steps(3)).save_top_k(SaveTopK::All).filename("{step}");
        trainer(root.path(), epochs).logger(CsvLogger::new(&runs)).logger(TensorBoardLogger::new(&runs)).callback(saving)
    };
    let _ = fit(with(2));
    let run = root.path().join("runs/lightning_logs/version_0");
    let whole = read_csv(&run);
    let _ = fit(with(2).ckpt_path(run.join("checkpoints/step=3.ckpt")).callback(Begins(3)));
    assert_eq!(read_csv(&run), whole);
    assert_eq!(names(run.parent().unwrap()), ["version_0"]);
}

#[test]
fn other_loggers_of_the_same_folder_join_the_run() {
    let root = tempfile::tempdir().unwrap();
    let _ = fit(trainer(root.path(), 1).logger(CsvLogger::new(root.path())));
    let both = trainer(root.path(), 2).logger(TensorBoardLogger::new(root.path())).logger(CsvLogger::new(root.path()));
    let _ = fit(both.ckpt_path("last").callback(Begins(4)));
    let run = root.path().join("lightning_logs/version_0");
    assert_eq!(names(run.parent().unwrap()), ["version_0"]);
    assert_eq!(read_csv(&run).steps(), (0..8).collect::<Vec<_>>());
    assert_eq!(steps_of(&read_events_of_the_continued(&run), "train_loss"), (4..8).collect::<Vec<_>>());
}

#[test]
fn last_ignores_checkpoints_of_other_loggers() {
    let root = tempfile::tempdir().unwrap();
    let _ = fit(trainer(root.path(), 1));
    let named = trainer(root.path(), 1).logger(CsvLogger::new(root.path()).name("mnist"));
    let _ = fit(named.ckpt_path("last").callback(Begins(0)));
    let without = trainer(root.path(), 2).no_logger().ckpt_path("last").callback(Begins(4));
    let _ = fit(without);
}

#[test]
fn best_is_found_if_a_name_contains_a_folder() {
    let root = tempfile::tempdir().unwrap();
    let with = |epochs: usize| {
        let best = ModelCheckpoint::new().monitor("train_loss").filename("{epoch}-{train/loss:.1f}").save_top_k(2);
        trainer(root.path(), epochs).logger(CsvLogger::new(root.path()).name("")).callback(best).callback(ModelCheckpoint::new())
    };
    let _ = fit(with(2));
    let mut trainer = with(3).ckpt_path("best");
    let _ = fit(trainer);
    trainer = with(4).ckpt_path("last").callback(Begins(12));
    let _ = fit(trainer);
    assert_eq!(names(root.path()).iter().filter(|name| name.starts_with("version")).count(), 1);
}

#[test]
fn a_damaged_file_in_its_own_folder_names_its_neighbour() {
    let root = tempfile::tempdir().unwrap();
    let names = ModelCheckpoint::new().filename("{epoch}-{train/loss:.1f}").save_top_k(SaveTopK::All);
    let _ = fit(trainer(root.path(), 2).callback(names));
    let saved = checkpoints(root.path());
    assert_eq!(saved.len(), 2, "{saved:?}");
    std::fs::write(&saved[1], "no checkpoint").unwrap();
    let error = error_text(trainer(root.path(), 3).ckpt_path(&saved[1]).fit(Logging::new(), line_data(8, 2)));
    let error = error.replace(saved[0].to_str().unwrap(), "[neighbour]").replace(saved[1].to_str().unwrap(), "[damaged]");
    assert_snapshot!(error, @r"
    checkpoint `[damaged]`: it is not a checkpoint: it is not a safetensors file
      hint: the newest good checkpoint in its folder is `[neighbour]`
    ");
}

/// Trackers with local runs, and the folder that must contain exactly one run.
#[test]
fn a_local_run_of_a_tracker_resumes() {
    let set_ups: [(SetUp, &str); 4] = [
        (|trainer, root| trainer.logger(NeptuneLogger::new(root)), ".neptune/offline"),
        (|trainer, root| trainer.logger(WandbLogger::new().offline(true).save_dir(root)), "wandb"),
        (|trainer, root| trainer.logger(CometLogger::new().offline(true).save_dir(root.join("comet"))), "comet"),
        (
            |trainer, root| {
                trainer.logger(MlflowLogger::new().tracking_uri(root.join("mlruns").display().to_string()).save_dir(root).experiment("e"))
            },
            "mlruns",
        ),
    ];
    for (set_up, runs) in set_ups {
        for how in [How::Last, How::Path] {
            let root = tempfile::tempdir().unwrap();
            continue_run(root.path(), set_up, how);
            let runs = root.path().join(runs);
            let inside: Vec<String> = names(&runs).into_iter().filter(|name| name != "latest-run" && name != "0").collect();
            assert_eq!(inside.len(), 1, "{how:?}: {inside:?}");
            if runs.ends_with("mlruns") {
                let of_experiment = names(&runs.join(&inside[0]));
                assert_eq!(of_experiment.len(), 2, "one run next to `meta.yaml`: {of_experiment:?}");
            }
        }
    }
}

#[test]
fn options_and_checkpoints_are_in_the_folder_of_neptunes_run() {
    let root = tempfile::tempdir().unwrap();
    let set_up: SetUp = |trainer, root| trainer.logger(NeptuneLogger::new(root));
    continue_run(root.path(), set_up, How::Path);
    let runs = root.path().join(".neptune/offline");
    let run = runs.join(&names(&runs)[0]);
    assert!(run.join("trainer.yaml").exists());
    assert_eq!(names(&run.join("checkpoints")).len(), 2);
    let steps: Vec<f64> = NeptuneRun::read(&run).unwrap().metrics()["training/train_loss"].iter().filter_map(|point| point.step).collect();
    assert_eq!(steps, (0..12).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn two_offline_runs_of_wandb_may_start_in_the_same_second() {
    let root = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let wandb = WandbLogger::new().offline(true).save_dir(root.path()).id("first");
        let _ = fit(trainer(root.path(), 1).logger(wandb));
    }
    let runs: Vec<String> = names(&root.path().join("wandb")).into_iter().filter(|name| name != "latest-run").collect();
    assert_eq!(runs.len(), 3, "{runs:?}");
    assert!(runs.iter().all(|name| name.ends_with("-first")), "{runs:?}");
}

/// Changes the current directory after the second step, and fails after the sixth.
struct Leaves(PathBuf);

impl<M: LightningModule> Callback<M> for Leaves {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        match ctx.global_step() {
            2 => Ok(std::env::set_current_dir(&self.0)?),
            6 => Err(stormfire::Error::other("enough")),
            _ => Ok(()),
        }
    }
}

/// Helper test for a child process, because it changes the current directory.
#[test]
#[ignore = "a part of `a_program_may_change_its_current_directory`"]
fn goes_elsewhere() {
    let Some(folder) = folder() else { return };
    let set_ups: [SetUp; 5] = [
        |trainer, _| trainer.callback(ModelCheckpoint::new().every(Every::Steps(1))),
        |trainer, _| {
            let loggers = trainer.logger(TensorBoardLogger::new("runs")).logger(CsvLogger::new("runs").jsonl(true));
            loggers.callback(ModelCheckpoint::new().dirpath("saved").every(Every::Steps(1))).callback(OnExceptionCheckpoint::new("saved"))
        },
        |trainer, _| trainer.logger(NeptuneLogger::new("")).callback(ModelCheckpoint::new().save_on_exception(true)),
        |trainer, _| trainer.logger(WandbLogger::new().offline(true)).logger(CometLogger::new().offline(true)),
        |trainer, _| {
            let server = stormfire::loggers::TrackioLogger::new().server_url("http://127.0.0.1:9").patience(std::time::Duration::ZERO);
            trainer.logger(MlflowLogger::new().tracking_uri("mlruns")).logger(server)
        },
    ];
    for (number, set_up) in set_ups.iter().enumerate() {
        let [here, there] = ["here", "there"].map(|name| folder.join(format!("{number}/{name}")));
        std::fs::create_dir_all(&here).unwrap();
        std::fs::create_dir_all(&there).unwrap();
        std::env::set_current_dir(&here).unwrap();
        let mut trainer = set_up(trainer(Path::new("."), 3), &here).callback(Leaves(there.clone()));
        let error = trainer.fit(Logging::new(), line_data(8, 2)).unwrap_err();
        assert!(error.to_string().contains("enough"), "{number}: {error}");
        drop(trainer);
        assert_eq!(names(&there), [""; 0], "{number}");
        assert!(!names(&here).is_empty(), "{number}");
    }
}

#[test]
fn a_program_may_change_its_current_directory() {
    play(part("resume::set_ups::goes_elsewhere", tempfile::tempdir().unwrap().path()));
}
