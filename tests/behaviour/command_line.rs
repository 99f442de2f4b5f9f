//! Programs with a command line in set-ups: ranks, workers, precision, several runs, URLs, signals.

use std::{collections::BTreeMap, fs, path::Path};

use burn::prelude::*;
use insta::assert_snapshot;
use serde::{Deserialize, Serialize};
use stormfire::{
    checkpoint::{Checkpoint, storage},
    cli::{Cli, Outcome, schemars::JsonSchema},
    prelude::*,
    ranks::threads,
};

use crate::{
    child::{folder, part, play},
    remote_folders::listed,
    support::{Batch, Line, line_data},
    told::told,
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "stormfire::cli::schemars")]
#[serde(default, deny_unknown_fields)]
struct NetConfig {
    lr: f64,
    /// The validation batch, from the start of the fit, in which a signal arrives.
    signal_at: Option<usize>,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self { lr: 0.25, signal_at: None }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "stormfire::cli::schemars")]
#[serde(default, deny_unknown_fields)]
struct PointsConfig {
    batch_size: usize,
    workers: usize,
}

impl Default for PointsConfig {
    fn default() -> Self {
        Self { batch_size: 2, workers: 0 }
    }
}

#[derive(Module, Debug)]
struct Net {
    line: Line,
    #[module(skip)]
    config: NetConfig,
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.line.loss(batch).into())
    }

    fn validation_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        #[cfg(unix)]
        if self.config.signal_at == Some(10 * self.current_epoch() + batch_idx) {
            crate::signals::kill_self("TERM");
        }
        self.line.validation_step(batch, batch_idx)
    }

    fn test_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.log("lr", self.config.lr);
        self.line.test_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(burn::optim::SgdConfig::new(), self.config.lr).into())
    }
}

struct Points(Loader<Batch>);

impl DataModule for Points {
    type Batch = Batch;

    fn train_dataloader(&mut self) -> stormfire::data::Result<Loader<Batch>> {
        Ok(self.0.clone().shuffle(true))
    }

    fn val_dataloader(&mut self) -> stormfire::data::Result<Loaders<Batch>> {
        Ok(self.0.clone().into())
    }

    fn test_dataloader(&mut self) -> stormfire::data::Result<Loaders<Batch>> {
        Ok(self.0.clone().into())
    }
}

/// Runs a line as a program would.
fn run(root: &str, words: &[&str]) -> Result<Outcome> {
    let program = Cli::new(
        |config: NetConfig, _: &Device| Ok(Net { line: Line::fixed(), config }),
        |data: PointsConfig| Ok(Points(line_data(16, data.batch_size).workers(data.workers))),
    );
    let program = program.with_devices().with_precision().trainer_defaults(TrainerConfig {
        max_epochs: Some(2),
        seed: Some(7),
        num_sanity_val_steps: Some(0),
        enable_progress_bar: false,
        enable_model_summary: false,
        ..TrainerConfig::default()
    });
    program.try_run(&[&["--trainer.default_root_dir", root], words].concat(), &[])
}

/// The newest weights below a folder.
fn weights(root: &Path) -> BTreeMap<String, Vec<f32>> {
    let all = storage::checkpoints(&root.join("lightning_logs"), 3).unwrap();
    let newest = all.iter().max_by_key(|entry| Checkpoint::read_manifest(&entry.path).unwrap().global_step()).unwrap();
    let (_, tensors) = Checkpoint::read(&newest.path).unwrap().into_parts();
    tensors.into_iter().filter(|(name, _)| !name.starts_with("ranks/")).map(|(name, data)| (name, data.iter::<f32>().collect())).collect()
}

/// The weights of a fit in a separate folder, and the configuration next to the checkpoint.
fn fitted(words: &[&str]) -> (BTreeMap<String, Vec<f32>>, String) {
    let folder = tempfile::tempdir().unwrap();
    run(folder.path().to_str().unwrap(), words).unwrap();
    (weights(folder.path()), config(folder.path(), 0))
}

fn config(root: &Path, version: usize) -> String {
    fs::read_to_string(root.join(format!("lightning_logs/version_{version}/config.yaml"))).unwrap()
}

#[test]
fn ranks_share_one_run_and_one_configuration() {
    let (expected, _) = fitted(&["trainer.accumulate_grad_batches=2", "trainer.handle_signals=false"]);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap().to_owned();
    let ended = threads::run(2, |_| run(&root, &["trainer.handle_signals=false"]).map(|_| ()));
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    assert_eq!(weights(folder.path()), expected);
    assert!(config(folder.path(), 0).contains("max_epochs: 2\n"));
    assert_eq!(fs::read_dir(folder.path().join("lightning_logs")).unwrap().count(), 1);
    // The module of a test is that of the checkpoint, on each rank.
    let tested = threads::run(2, |_| {
        run(&root, &["test", "--ckpt-path=last", "trainer.handle_signals=false"]).map(|outcome| format!("{outcome:?}"))
    });
    assert!(tested.iter().all(|tested| tested.as_ref().unwrap().contains("0.25")), "{tested:?}");
}

#[test]
fn workers_devices_and_precision_are_options() {
    let (expected, _) = fitted(&[]);
    for workers in ["1", "2", "3"] {
        assert_eq!(fitted(&["--data.workers", workers]).0, expected, "{workers}");
    }
    let (divided, config) = fitted(&["--trainer.devices", "2", "--data.workers=2"]);
    assert!(config.contains("devices: 2\n") && config.contains("workers: 2\n"), "{config}");
    let near = |found: &BTreeMap<String, Vec<f32>>, within: f32| {
        found.iter().all(|(name, values)| values.iter().zip(&expected[name]).all(|(a, b)| (a - b).abs() <= within))
    };
    assert!(near(&divided, 1e-6), "{divided:?} {expected:?}");
    let (narrow, config) = fitted(&["trainer.precision=bf16-mixed"]);
    assert!(config.contains("precision: bf16-mixed\n") && narrow != expected && near(&narrow, 0.05), "{narrow:?} {expected:?}");
}

#[test]
fn two_runs_in_a_process_have_a_configuration_each() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    std::thread::scope(|scope| {
        for lr in ["0.125", "0.5"] {
            scope.spawn(move || run(root, &["--model.lr", lr, "trainer.handle_signals=false"]).unwrap());
        }
    });
    let mut found = Vec::new();
    for version in 0..2 {
        let text = config(folder.path(), version);
        let lr = text.lines().find_map(|line| line.trim().strip_prefix("lr: ").map(str::to_owned)).unwrap();
        let checkpoints = storage::checkpoints(&folder.path().join(format!("lightning_logs/version_{version}")), 2).unwrap();
        let manifest = Checkpoint::read_manifest(&checkpoints[0].path).unwrap();
        assert_eq!(manifest.callbacks["Cli"]["model"]["lr"].as_f64().unwrap().to_string(), lr);
        found.push(lr);
    }
    found.sort();
    assert_eq!(found, ["0.125", "0.5"]);
}

#[test]
fn a_checkpoint_behind_a_url_builds_its_module() {
    let root = "memory://command/line";
    run(root, &["--model.lr=0.375", "trainer.loggers=[]"]).unwrap();
    assert_eq!(listed(&Path::new(root).join("checkpoints")).len(), 1);
    let Outcome::Evaluated(metrics) = run(root, &["test", "--ckpt-path=last", "trainer.loggers=[]"]).unwrap() else { panic!("no metrics") };
    assert_eq!(metrics[0].get("lr"), Some(0.375));
    assert_snapshot!(run(root, &["tune"]).unwrap_err(), @r"
    --trainer.default_root_dir: the folder `memory://command/line` is not on a disk
      help: choose one on a disk: `--trainer.default_root_dir=FOLDER`
    ");
}

#[test]
#[ignore = "a part of `a_signal_in_a_validation_ends_a_program_that_then_continues`"]
fn fits_until_a_signal() {
    let Some(folder) = folder() else { return };
    let root = folder.to_str().unwrap();
    let outcome = run(root, &["trainer.max_epochs=4", "model.signal_at=23"]).unwrap();
    assert!(matches!(outcome, Outcome::Fit(stop) if stop.is_interrupted()));
}

#[cfg(unix)]
#[test]
fn a_signal_in_a_validation_ends_a_program_that_then_continues() {
    let (expected, _) = fitted(&["trainer.max_epochs=4"]);
    let folder = tempfile::tempdir().unwrap();
    play(part("command_line::fits_until_a_signal", folder.path()));
    // The number of the signal is an option of the module, and in the checkpoint.
    run(folder.path().to_str().unwrap(), &["--ckpt-path=last", "trainer.max_epochs=4", "model.signal_at=null"]).unwrap();
    assert_eq!(weights(folder.path()), expected);
    let second = fs::read_to_string(folder.path().join("lightning_logs/version_0/config-2.yaml")).unwrap();
    assert!(second.contains("#   model.signal_at: 23 -> null\n"), "{second}");
}

/// burn's random generator is global, so the program runs in a separate process.
#[test]
#[ignore = "a part of `a_seed_reaches_what_the_functions_of_a_program_draw`"]
fn draws_while_it_builds() {
    let Some(folder) = folder() else { return };
    let shift = || Tensor::<1>::random([1], burn::tensor::Distribution::Default, &Device::flex()).into_scalar::<f32>();
    for round in 0..2 {
        // Draws before a run change nothing, and a module that is printed has drawn its parameters.
        (0..round).for_each(|_| _ = shift());
        let root = folder.join(round.to_string());
        let program = Cli::new(
            |(): (), _: &Device| {
                let line = Line::new();
                assert!(line.to_string().contains("Linear"));
                Ok(line)
            },
            move |(): ()| {
                let by = shift();
                Ok(line_data(4, 2).map(move |(x, y)| (x + by, y)))
            },
        );
        let words = ["trainer.seed=7", "trainer.max_epochs=1", "trainer.enable_progress_bar=false", "--trainer.default_root_dir"];
        let fit = told(|| _ = program.try_run(&[&words[..], &[root.to_str().unwrap()]].concat(), &[]).unwrap());
        assert!(!fit.iter().any(|line| line.contains("`seed` does not reach")), "{fit:?}");
    }
}

#[test]
fn a_seed_reaches_what_the_functions_of_a_program_draw() {
    let folder = tempfile::tempdir().unwrap();
    play(part("command_line::draws_while_it_builds", folder.path()));
    assert_eq!(weights(&folder.path().join("0")), weights(&folder.path().join("1")));
}
