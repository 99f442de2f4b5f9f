//! Whole programs as processes: the exit codes of their commands, and several programs in one file.
#![cfg(unix)]

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Output, Stdio, exit},
};

use burn::prelude::*;
use serde::{Deserialize, Serialize};
use stormfire::{
    cli::{Cli, schemars::JsonSchema},
    prelude::*,
};

use crate::{
    child::{folder, part, wait_for},
    signals::kill_self,
    support::{Batch, Line, line_data},
};

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "stormfire::cli::schemars")]
#[serde(default, deny_unknown_fields)]
struct NetConfig {
    lr: f64,
    /// The signal that arrives in the second batch of each loop.
    signal: Option<String>,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self { lr: 0.25, signal: None }
    }
}

#[derive(Module, Debug)]
struct Net {
    line: Line,
    #[module(skip)]
    config: NetConfig,
}

impl Net {
    fn work(&self, batch_idx: usize) {
        if let Some(signal) = self.config.signal.as_ref().filter(|_| batch_idx == 1) {
            kill_self(signal);
        }
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.work(batch_idx);
        Ok(self.line.loss(batch).into())
    }

    fn validation_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.work(batch_idx);
        self.line.validation_step(batch, batch_idx)
    }

    fn test_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.work(batch_idx);
        self.line.test_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(burn::optim::SgdConfig::new(), self.config.lr).into())
    }
}

impl PredictModule for Net {
    type Prediction = ();

    fn predict_step(&self, _batch: Batch, batch_idx: usize) -> Result<()> {
        self.work(batch_idx);
        Ok(())
    }
}

/// The options of the other program.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(crate = "stormfire::cli::schemars")]
#[serde(default, deny_unknown_fields)]
struct MeanConfig {
    start: f64,
}

struct Points(Loader<Batch>);

impl DataModule for Points {
    type Batch = Batch;

    fn train_dataloader(&mut self) -> stormfire::data::Result<Loader<Batch>> {
        Ok(self.0.clone())
    }

    fn val_dataloader(&mut self) -> stormfire::data::Result<Loaders<Batch>> {
        Ok(self.0.clone().into())
    }

    fn test_dataloader(&mut self) -> stormfire::data::Result<Loaders<Batch>> {
        Ok(self.0.clone().into())
    }

    fn predict_dataloader(&mut self) -> stormfire::data::Result<Loaders<Batch>> {
        Ok(self.0.clone().into())
    }
}

fn defaults() -> TrainerConfig {
    TrainerConfig {
        max_epochs: Some(1),
        num_sanity_val_steps: Some(0),
        enable_progress_bar: false,
        enable_model_summary: false,
        ..TrainerConfig::default()
    }
}

fn net() -> Cli<Net, Points, NetConfig, ()> {
    let program = Cli::new(|config: NetConfig, _: &Device| Ok(Net { line: Line::fixed(), config }), |(): ()| Ok(Points(line_data(8, 2))));
    program.trainer_defaults(defaults()).predict(|trainer, module, data| trainer.predict(module, data).map(drop))
}

fn mean() -> Cli<Line, Points, MeanConfig, ()> {
    let program = Cli::new(
        |config: MeanConfig, device: &Device| {
            let mut line = Line::fixed();
            line.layer.weight = burn::module::Param::from_tensor(Tensor::from_floats([[config.start]], device));
            Ok(line)
        },
        |(): ()| Ok(Points(line_data(8, 2))),
    );
    program.trainer_defaults(defaults())
}

/// The `main` of a file with two programs, which its first word selects. The words before it are those of the tests.
#[test]
#[ignore = "the processes of the tests below"]
fn runs_a_program() {
    if folder().is_none() {
        return;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let first = words.iter().position(|word| word == "--").unwrap() + 1;
    let selector = words[..=first].to_vec();
    let ended = match words[first].as_str() {
        "net" => net().selected_by(selector).run(),
        "mean" => mean().selected_by(selector).run(),
        _ => Err(Error::other("the programs are `net` and `mean`")),
    };
    match ended {
        Ok(stop) => exit(stop.exit_code().into()),
        Err(error) => {
            eprintln!("Error: {error:?}");
            exit(1)
        }
    }
}

/// A line of the file with two programs, in a folder.
fn command(root: &Path, words: &[&str]) -> Command {
    let mut command = part("programs::runs_a_program", root);
    command.arg("--").args(words).arg(format!("--trainer.default_root_dir={}", root.display()));
    command
}

fn run(root: &Path, words: &[&str]) -> Output {
    command(root, words).output().unwrap()
}

#[track_caller]
fn ends_with(code: i32, output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

#[test]
fn a_signal_gives_each_command_its_exit_code() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for command in ["fit", "validate", "test", "predict"] {
            let folder = tempfile::tempdir().unwrap();
            let text = ends_with(code, &run(folder.path(), &["net", command, &format!("--model.signal={signal}")]));
            assert!(text.contains("interrupted by"), "{command}: {text}");
            ends_with(0, &run(folder.path(), &["net", command]));
        }
    }
}

/// Sends signals to endless runs of a line, when the first of them, in the folder `first`, has started. That run ends
/// cleanly, and the line has the exit code of the signal. `check` gets the folder of all files, and the output.
///
/// The parent ends its runs with another signal than the one that it has received. A scheduler sends it to all of them.
fn signals_end(words: &[&str], first: &str, check: impl Fn(&Path, &str)) {
    for (signal, code, of_group) in [("INT", 130, false), ("TERM", 143, true), ("INT", 130, true)] {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let words = [words, &["trainer.max_epochs=1000000"]].concat();
        let parent = command(root, &words).stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let state = root.join(first).join("trainer.yaml");
        wait_for("the first run", || state.exists().then_some(()));
        let to = if of_group { format!("-{}", parent.id()) } else { parent.id().to_string() };
        assert!(Command::new("kill").args([&format!("-{signal}"), "--", &to]).status().unwrap().success());
        let output = parent.wait_with_output().unwrap();
        ends_with(code, &output);
        let state = fs::read_to_string(state).unwrap();
        assert!(state.starts_with("# Trainer.fit: interrupted\n"), "{signal}, {of_group}: {state}");
        check(root, &String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn several_runs_say_that_a_signal_has_ended_them() {
    signals_end(&["net", "-m", "model.lr=0.1,0.2"], "multirun_0/job_0/lightning_logs/version_0", |_, table| {
        let expected = "job_0  model.lr=0.1  interrupted\njob_1  model.lr=0.2  not started\n";
        assert!(table.ends_with(expected), "{table}");
    });
}

#[test]
fn a_signal_ends_a_sweep_that_can_continue() {
    signals_end(&["net", "sweep", "model.lr=0.1,0.2"], "sweep/trial_0", |root, output| {
        let trial = |number: usize| fs::read_to_string(root.join(format!("sweep/trial_{number}.json")));
        let first: serde_json::Value = serde_json::from_str(&trial(0).unwrap()).unwrap();
        assert_eq!((first["state"].as_str(), first["error"].as_str()), (Some("running"), None), "{first}");
        assert!(trial(1).is_err(), "the second trial was started");
        assert!(!output.contains("best: "), "{output}");
    });
}

/// The probes of `tune` have their own limit.
#[test]
fn a_dry_run_of_tune_accepts_a_limit_that_its_probes_do_not_use() {
    let folder = tempfile::tempdir().unwrap();
    let limit = "trainer.limit_val_batches=0.1";
    ends_with(0, &run(folder.path(), &["net", "tune", "--dry-run", limit]));
    let text = ends_with(2, &run(folder.path(), &["net", "fit", "--dry-run", limit]));
    assert!(text.contains("trainer.limit_val_batches: `trainer.limit_val_batches`: 0.1 of 4 batches is less than one"), "{text}");
}

#[test]
fn a_file_with_two_programs_runs_both() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let file = root.join("base.yaml");
    fs::write(&file, "trainer: {max_epochs: 2, log_every_n_steps: 1}\n").unwrap();
    let base = file.to_str().unwrap();
    let config = |run: &str| fs::read_to_string(root.join(run).join("config.yaml")).unwrap();
    ends_with(0, &run(root, &["net", "-c", base, "--model.lr=0.5"]));
    ends_with(0, &run(root, &["mean", "fit", "-c", base, "--model.start=2"]));
    let (first, second) = (config("lightning_logs/version_0"), config("lightning_logs/version_1"));
    assert!(first.contains("model:\n  lr: 0.5\n") && first.contains("max_epochs: 2\n"), "{first}");
    assert!(second.contains("model:\n  start: 2\n") && second.contains("max_epochs: 2\n"), "{second}");
    // The processes of several runs are those of the same program.
    ends_with(0, &run(root, &["mean", "-m", "-c", base, "model.start=1,3", "--jobs=2"]));
    assert!(config("multirun_0/job_1/lightning_logs/version_0").contains("model:\n  start: 3\n"));
    ends_with(0, &run(root, &["net", "sweep", "-c", base, "model.lr=0.1,0.2"]));
    assert!(config("sweep/trial_1").contains("model:\n  lr: 0.2\n"));
    // Each has its own options.
    let text = ends_with(2, &run(root, &["net", "--model.start=1"]));
    assert!(text.contains("--model.start: there is no option `model.start`"), "{text}");
    let text = ends_with(1, &run(root, &["median"]));
    assert!(text.contains("the programs are `net` and `mean`"), "{text}");
}
