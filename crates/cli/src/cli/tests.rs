mod complaints;
mod from_files;
mod hparams;
mod refusals;
mod rehearsals;
mod searches;
mod secrets;
mod several;
#[cfg(all(feature = "comet", feature = "mlflow", feature = "neptune", feature = "trackio", feature = "wandb"))]
mod trackers;
mod usage;

use std::path::Path;

use burn::{
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::SgdConfig,
    prelude::*,
};
use insta::assert_snapshot;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire_data::Loader;
use stormfire_module::{Error, StepOutput, state};
use stormfire_optim::{Optimizer, Optimizers};

use super::*;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct LineConfig {
    /// Inputs of the line.
    inputs: usize,
    /// The learning rate.
    lr: f64,
    /// The key of a service.
    #[schemars(extend("writeOnly" = true))]
    key: String,
}

impl Default for LineConfig {
    fn default() -> Self {
        Self { inputs: 1, lr: 0.1, key: String::new() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct PointsConfig {
    /// Number of batches.
    batches: Option<usize>,
}

#[derive(Module, Debug)]
struct Line {
    layer: Linear,
    #[module(skip)]
    config: LineConfig,
}

impl Line {
    fn new(config: LineConfig, device: &Device) -> Result<Self> {
        if config.inputs == 0 {
            return Err(Error::config("inputs", "a line needs inputs", "use 1 or more"));
        }
        Ok(Self { layer: LinearConfig::new(config.inputs, 1).init(device), config })
    }
}

impl LightningModule for Line {
    type Batch = (Tensor<2>, Tensor<2>);

    fn training_step(&self, (x, y): Self::Batch, _: usize) -> Result<StepOutput> {
        Ok(MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean).into())
    }

    fn test_step(&self, (x, y): Self::Batch, _: usize) -> Result<StepOutput> {
        self.log("test_loss", MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean));
        self.log("inputs", self.config.inputs as f64);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), self.config.lr).into())
    }

    fn hparams(&self) -> Result<state::Value> {
        Ok(serde_json::json!({ "inputs": self.config.inputs, "key": self.config.key, "other": 1 }))
    }
}

struct Points(Loader<(Tensor<2>, Tensor<2>)>);

impl DataModule for Points {
    type Batch = (Tensor<2>, Tensor<2>);

    fn train_dataloader(&mut self) -> stormfire_data::Result<Loader<Self::Batch>> {
        Ok(self.0.clone())
    }

    fn test_dataloader(&mut self) -> stormfire_data::Result<stormfire_data::Loaders<Self::Batch>> {
        Ok(self.0.clone().into())
    }
}

type Program = Cli<Line, Points, LineConfig, PointsConfig>;

fn program_of(inputs: usize) -> Program {
    Cli::new(Line::new, move |data: PointsConfig| {
        let batch = || (Tensor::ones([4, inputs], &Device::flex()), Tensor::ones([4, 1], &Device::flex()));
        Ok(Points(Loader::from_batches((0..data.batches.unwrap_or(2)).map(|_| batch()).collect::<Vec<_>>()).items_per_batch(4)))
    })
    .about("Fits a line.")
    .alias("epochs", "trainer.max_epochs")
    .alias("quiet", "trainer.enable_progress_bar=false")
    .trainer_defaults(TrainerConfig { max_epochs: Some(1), ..TrainerConfig::default() })
}

/// The options of every run in a test.
fn in_folder<'a>(root: &'a str, args: &[&'a str]) -> Vec<&'a str> {
    [&["--quiet", "trainer.enable_model_summary=false", "--trainer.default_root_dir", root], args].concat()
}

fn run(program: Program, root: &Path, args: &[&str]) -> Result<Outcome> {
    program.try_run(&in_folder(root.to_str().unwrap(), args), &[])
}

fn printed(outcome: Result<Outcome>) -> String {
    match outcome {
        Ok(Outcome::Printed(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs_err::read_to_string(path.as_ref()).unwrap()
}

/// The command line in the header has a path of this test.
fn shown(text: &str, root: &Path) -> String {
    text.replace(&root.display().to_string(), "ROOT")
}

#[test]
fn a_fit_writes_its_configuration_beside_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    run(program_of(2).version("1.2"), root, &["--model.inputs=2", "fit", "--model.key", "geheim", "data.batches=3"]).unwrap();
    let logs = root.join("lightning_logs/version_0");
    let config = read(logs.join("config.yaml"));
    assert!(config.starts_with(&format!(
        "# program --quiet trainer.enable_model_summary=false --trainer.default_root_dir {} --model.inputs=2 fit --model.key '[secret]' data.batches=3\n# by program 1.2, Stormfire ",
        root.display()
    )), "{config}");
    assert!(config.contains("\nmodel:\n  inputs: 2\n  lr: 0.1\ndata:\n  batches: 3\ntrainer:\n  accelerator: "), "{config}");
    for entry in walk(root) {
        assert!(!String::from_utf8_lossy(&fs_err::read(&entry).unwrap()).contains("geheim"), "{}", entry.display());
    }
    // It is a valid input, and a second run has its own folder.
    let again = logs.join("config.yaml");
    run(program_of(2), root, &["-c", again.to_str().unwrap(), "--model.lr=0.2"]).unwrap();
    assert!(read(root.join("lightning_logs/version_1/config.yaml")).contains("inputs: 2\n  lr: 0.2\n"));
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}

#[test]
fn a_test_builds_the_module_from_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    run(program_of(3), root, &["--model.inputs=3", "--model.lr=0.01", "--model.key=geheim"]).unwrap();
    let Outcome::Evaluated(metrics) = run(program_of(3), root, &["test", "--ckpt-path", "last"]).unwrap() else { panic!("no metrics") };
    assert_eq!(metrics[0].get("inputs"), Some(3.0));
    // Flags are on top of the checkpoint, and files, too.
    let print = |args: &[&str]| printed(run(program_of(3), root, &[&["--print-config=values", "--ckpt-path=last"], args].concat()));
    assert!(print(&[]).starts_with("model:\n  inputs: 3\n  lr: 0.01\n"), "{}", print(&[]));
    assert!(print(&["--model.lr=5"]).starts_with("model:\n  inputs: 3\n  lr: 5\n"));
    let error = run(program_of(3), root, &["test", "--ckpt-path", "last", "--model.inputs=2"]).unwrap_err().to_string();
    assert!(error.contains("layer.weight"), "{error}");
    let error = run(program_of(3), root, &["test", "--ckpt-path", "missing.ckpt"]).unwrap_err().to_string();
    assert!(error.contains("missing.ckpt"), "{error}");
}

#[test]
fn a_checkpoint_of_another_program_gives_its_hyperparameters() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let path = root.join("a.ckpt");
    let manifest = stormfire_checkpoint::Manifest { hparams: serde_json::json!({ "inputs": 7, "other": 1 }), ..Default::default() };
    stormfire_checkpoint::write(&path, &manifest, &[]).unwrap();
    let print = printed(run(program_of(7), root, &["--print-config=values", "--ckpt-path", path.to_str().unwrap()]));
    assert!(print.starts_with("model:\n  inputs: 7\n  lr: 0.1\n"), "{print}");
}

#[test]
fn a_continued_run_notes_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    run(program_of(1), root, &[]).unwrap();
    run(program_of(1), root, &["--ckpt-path=last", "--epochs=3"]).unwrap();
    let logs = root.join("lightning_logs/version_0");
    let second = read(logs.join("config-2.yaml"));
    assert!(second.contains("# differs from the run until here in\n#   trainer.max_epochs: 1 -> 3\nmodel:"), "{second}");
    run(program_of(1), root, &["--ckpt-path=last", "--epochs=3"]).unwrap();
    assert!(!logs.join("config-3.yaml").exists());
}

#[test]
fn a_dry_run_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let text = printed(run(program_of(1), folder.path(), &["--dry-run", "--epochs=3"]));
    assert!(text.starts_with("`fit` would run with\nmodel:\n") && text.contains("max_epochs: 3\n"), "{text}");
    assert_eq!(walk(folder.path()), Vec::<std::path::PathBuf>::new());
    // The batches do not fit the module.
    let error = run(program_of(2), folder.path(), &["--dry-run"]).unwrap_err();
    assert!(matches!(error, Error::Panic { .. }), "{error:?}");
}

#[test]
fn sections_of_the_program_and_variables_are_options() {
    #[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
    #[serde(default, deny_unknown_fields)]
    struct StopConfig {
        after: u64,
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let program = || program_of(1).env_prefix("LINE").section("stop", |stop: StopConfig, trainer| Ok(trainer.max_steps(stop.after)));
    let outcome = program().try_run(&in_folder(root, &["--stop.after=1"]), &[("LINE__DATA__BATCHES", "5")]).unwrap();
    assert!(matches!(outcome, Outcome::Fit(stormfire_trainer::Stop::MaxSteps(1))), "{outcome:?}");
    let error = program().try_run(&in_folder(root, &[]), &[("LINE__STOP__AFTR", "5")]).unwrap_err().to_string();
    assert_eq!(error, "LINE__STOP__AFTR: there is no option `stop.aftr`\n  help: did you mean `LINE__STOP__AFTER`?");
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct CountOptions {
    most: u64,
    /// A custom type.
    #[serde(default)]
    how: How,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum How {
    #[default]
    Batches,
    Epochs,
}

struct Count(CountOptions);

impl Callback<Line> for Count {
    fn on_train_batch_end(&mut self, ctx: &mut stormfire_module::Context<'_>, _: &mut Line, _: &StepOutput, _: usize) -> Result<()> {
        if self.0.how == How::Batches && ctx.global_step() >= self.0.most {
            ctx.stop("counted");
        }
        Ok(())
    }
}

#[test]
fn files_name_callbacks_and_loggers() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let program = || program_of(1).register("count", |options: CountOptions| Ok(Count(options)));
    let file = root.join("a.yaml");
    fs_err::write(&file, "trainer:\n  max_epochs: 5\n  callbacks:\n  - {name: count, most: 3}\n  - name: timer\n    limit: 10 minutes\n  loggers: [{name: csv, experiment: mine}]\n").unwrap();
    let outcome = run(program(), root, &["-c", file.to_str().unwrap()]).unwrap();
    assert!(matches!(&outcome, Outcome::Fit(stormfire_trainer::Stop::Requested(stop)) if stop.reason.contains("counted")), "{outcome:?}");
    let logs = root.join("mine/version_0");
    assert!(logs.join("metrics.csv").exists() && !root.join("lightning_logs").exists(), "{:?}", walk(root));
    let config = read(logs.join("config.yaml"));
    assert!(config.contains("  callbacks:\n  - {name: count, most: 3}\n  - {name: timer, limit: \"10 minutes\"}\n"), "{config}");
    // It is a valid input, and a flag replaces a list.
    let again = logs.join("config.yaml");
    run(program(), root, &["-c", again.to_str().unwrap(), "trainer.callbacks=[]", "trainer.loggers=[]", "--epochs=1"]).unwrap();
    assert!(!root.join("mine/version_1").exists() && !root.join("lightning_logs").exists(), "{:?}", walk(root));
}

#[test]
fn mistakes_in_callbacks_are_named() {
    let program = || program_of(1).register("count", |options: CountOptions| Ok(Count(options)));
    let told = |text: &str| program().try_run(&[&format!("trainer.callbacks={text}")], &[]).unwrap_err().to_string();
    assert_snapshot!(told("[{name: early_stoping, monitor: x}]"), @r"
    trainer.callbacks: `trainer.callbacks[0].name`: expected `early_stopping`, `model_checkpoint`, `learning_rate_monitor`, `timer`, `gradient_accumulation_scheduler`, `gradient_norm_monitor`, `histogram_monitor`, `throughput_monitor`, `optimizer_monitor`, `memory_monitor`, `ema`, `weight_averaging`, `stochastic_weight_averaging`, `on_exception_checkpoint`, `model_summary`, `progress_bar`, `spike_detection`, `model_pruning`, `backbone_finetuning`, `device_stats_monitor` or `count`, not the string `early_stoping`
      help: did you mean `early_stopping`?
    ");
    assert_snapshot!(told("[{name: early_stopping, moniter: x}]"), @r"
    trainer.callbacks: there is no option `trainer.callbacks[0].moniter`
      help: did you mean `trainer.callbacks[0].monitor`?
    trainer.callbacks: the option `trainer.callbacks[0].monitor` is missing
    ");
    assert_snapshot!(told("[{name: early_stopping, monitor: x, mode: up}]"), @"trainer.callbacks: `trainer.callbacks[0].mode`: expected `min` or `max`, not the string `up`");
    assert_snapshot!(told("[{name: count, most: 1, how: epoch}]"), @r"
    trainer.callbacks: `trainer.callbacks[0].how`: expected `batches` or `epochs`, not the string `epoch`
      help: did you mean `epochs`?
    ");
    assert_snapshot!(told("early_stopping"), @"trainer.callbacks: `trainer.callbacks`: expected a list or null, not the string `early_stopping`");
    let error = program().try_run(&["trainer.callbacks=[{name: timer, limit: 5 parsecs}]", "--quiet"], &[]).unwrap_err().to_string();
    assert!(error.contains("parsecs"), "{error}");
}

#[test]
fn a_value_without_a_schema_shows_its_options() {
    #[derive(burn::config::Config, Debug)]
    struct BurnConfig {
        inputs: usize,
        #[config(default = 0.1)]
        lr: f64,
        layer: Option<LinearConfig>,
    }
    let program = || {
        let build = |config: BurnConfig, device: &Device| {
            Line::new(LineConfig { inputs: config.inputs, lr: config.lr, ..LineConfig::default() }, device)
        };
        let batch = (Tensor::ones([4, 2], &Device::flex()), Tensor::ones([4, 1], &Device::flex()));
        Cli::with_defaults(&BurnConfig::new(1), &(), build, move |()| Ok(Loader::from_batches(vec![batch.clone()]).items_per_batch(4)))
    };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let args = ["trainer.max_epochs=1", "trainer.enable_progress_bar=false", "--model.inputs=2", "--trainer.default_root_dir", root];
    program().try_run(&args, &[]).unwrap();
    let error = program().try_run(&["--model.inpts=2"], &[]).unwrap_err().to_string();
    assert_eq!(error, "--model.inpts: there is no option `model.inpts`\n  help: did you mean `model.inputs`?");
}

#[test]
fn a_page_of_help_has_the_users_options() {
    assert_snapshot!("help", printed(program_of(1).try_run(&["--help"], &[])));
    assert_snapshot!("help_all", printed(program_of(1).try_run(&["--help=all"], &[])));
}

#[test]
fn the_schema_describes_the_printed_configuration() {
    let schema: serde_json::Value = serde_json::from_str(&printed(program_of(1).try_run(&["--print-schema"], &[]))).unwrap();
    assert_eq!(schema["properties"]["model"]["properties"]["inputs"]["description"], "Inputs of the line.");
    assert_eq!(schema["properties"]["trainer"]["additionalProperties"], false);
}

#[test]
fn bash_completes_flags_and_values() {
    let script = printed(program_of(1).try_run(&["--completion", "bash"], &[]));
    let complete = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let words = words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let count = line.split(' ').count() - 1;
        // `compopt` does not exist outside of a completion.
        let option = "compopt() { echo -n \"$2 \"; }";
        let code = format!("{script}\n{option}\nCOMP_WORDS=({words}); COMP_CWORD={count}; _program; echo \"${{COMPREPLY[@]}}\"");
        let output = std::process::Command::new("bash").args(["-c", &code]).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    assert_eq!(complete("program te"), "test");
    assert_eq!(complete("program --model.in"), "--model.inputs");
    assert_eq!(complete("program --trainer.gradient_clip_algorithm "), "norm value");
    assert_eq!(complete("program --trainer.barebones = t"), "true");
    // The value follows without a blank.
    assert_eq!(complete("program trainer.max_ep"), "nospace trainer.max_epochs=");
    assert_eq!(complete("program trainer.max_"), "trainer.max_epochs= trainer.max_steps= trainer.max_time=");
    for line in ["program trainer.barebones =", "program --trainer.barebones =", "program --trainer.barebones "] {
        assert_eq!(complete(line), "true false", "{line}");
    }
    assert_eq!(complete("program trainer.barebones = f"), "false");
    assert_eq!((complete("program --help ="), complete("program -h = a")), ("all".into(), "all".into()));
    assert_eq!(complete("program --print-config = v"), "values");
    // Bash proposes files.
    assert_eq!((complete("program model.lr ="), complete("program epochs = f")), (String::new(), String::new()));
    assert_eq!(complete("program -c "), "");
    assert_eq!(complete("program --trainer.default_root_dir "), "");
    for shell in ["zsh", "fish"] {
        assert!(printed(program_of(1).try_run(&["--completion", shell], &[])).contains("model.inputs"));
    }
    let error = program_of(1).try_run(&["--completion", "csh"], &[]).unwrap_err().to_string();
    assert_eq!(error, "`--completion csh`: expected `bash`, `zsh` or `fish`\n  help: did you mean `zsh`?");
}
