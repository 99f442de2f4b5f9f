//! The commands `tune` and `sweep`. A trial is a process: this test binary, started by a script with the words of its
//! line.
#![cfg(unix)]

mod folders;
mod monitors;
mod refused;
mod tried;
mod tuned;

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use burn::data::dataset::InMemDataset;

use super::*;

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NetConfig {
    lr: f64,
    hidden: usize,
    note: String,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self { lr: 0.5, hidden: 1, note: String::new() }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ItemsConfig {
    batch_size: usize,
}

impl Default for ItemsConfig {
    fn default() -> Self {
        Self { batch_size: 2 }
    }
}

#[derive(Module, Debug)]
struct Net {
    layer: Linear,
    #[module(skip)]
    config: NetConfig,
}

impl LightningModule for Net {
    type Batch = (Tensor<2>, Tensor<2>);

    fn training_step(&self, (x, y): Self::Batch, _: usize) -> Result<StepOutput> {
        Ok(MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean).into())
    }

    /// The best rate is 0.1.
    fn validation_step(&self, _: Self::Batch, _: usize) -> Result<StepOutput> {
        self.log("val_loss", (self.config.lr.log10() + 1.0).powi(2) + self.config.hidden as f64);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), self.config.lr).into())
    }
}

struct Items(usize);

impl Items {
    fn loader(&self) -> Loader<(Tensor<2>, Tensor<2>)> {
        let items: Vec<f32> = (0..32).map(|item| item as f32 / 32.0).collect();
        let collate = |items: Vec<f32>, device: &Device| {
            let x = Tensor::<1>::from_floats(items.as_slice(), device).unsqueeze_dim::<2>(1);
            (x.clone(), x * 3.0)
        };
        Loader::collate(InMemDataset::new(items), collate).batch_size(self.0)
    }
}

impl DataModule for Items {
    type Batch = (Tensor<2>, Tensor<2>);

    fn train_dataloader(&mut self) -> stormfire_data::Result<Loader<Self::Batch>> {
        Ok(self.loader())
    }

    fn val_dataloader(&mut self) -> stormfire_data::Result<stormfire_data::Loaders<Self::Batch>> {
        Ok(self.loader().into())
    }
}

fn program() -> Cli<Net, Items, NetConfig, ItemsConfig> {
    Cli::new(
        |config: NetConfig, device: &Device| {
            if config.lr > 5.0 {
                return Err(Error::config("lr", "the rate is too high", "use less than 5"));
            }
            Ok(Net { layer: LinearConfig::new(1, 1).init(device), config })
        },
        |data: ItemsConfig| Ok(Items(data.batch_size)),
    )
    .trainer_defaults(TrainerConfig {
        max_epochs: Some(1),
        seed: Some(1),
        enable_progress_bar: false,
        enable_model_summary: false,
        ..TrainerConfig::default()
    })
}

const WORDS: &str = "STORMFIRE_TEST_WORDS";

/// Runs a line as `main` would do it.
#[test]
#[ignore = "a part of the tests below, in separate processes"]
fn runs_a_line() {
    let Ok(words) = std::env::var(WORDS) else { return };
    let words: Vec<String> = words.lines().map(str::to_owned).collect();
    let mut program = program();
    program.take_task();
    match program.execute("program", &words, Vec::new()) {
        Err(Ended::Several(runs)) => {
            let script = PathBuf::from(std::env::var("STORMFIRE_TEST_SCRIPT").unwrap());
            drop(runs.run(&script).map_err(Ended::into_error).unwrap());
        }
        outcome => drop(outcome.map_err(Ended::into_error).unwrap()),
    }
}

/// A program that notes its process in a folder, and runs its line with this binary.
fn script(folder: &Path) -> PathBuf {
    let path = folder.join("program.sh");
    let text = format!(
        "#!/bin/sh\necho $$ >> '{folder}/processes'\nSTORMFIRE_TEST_SCRIPT='{folder}/program.sh'\n{WORDS}=$(printf '%s\\n' \"$@\")\n\
         export STORMFIRE_TEST_SCRIPT {WORDS}\nexec '{exe}' --exact cli::tests::searches::runs_a_line --ignored --nocapture\n",
        folder = folder.display(),
        exe = std::env::current_exe().unwrap().display(),
    );
    fs_err::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    path
}

/// The processes that a script has started.
fn processes(folder: &Path) -> Vec<String> {
    let text = fs_err::read_to_string(folder.join("processes")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn ended(words: &[&str]) -> Ended {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    match program().execute("program", &words, Vec::new()) {
        Err(ended) => ended,
        Ok(outcome) => panic!("{outcome:?}"),
    }
}

fn refusal(words: &[&str]) -> String {
    match ended(words) {
        Ended::Usage(error) => error.to_string(),
        other => panic!("{}", other.into_error()),
    }
}

fn sweep(folder: &Path, words: &[&str]) -> Result<(String, bool)> {
    let root = format!("--{}={}", crate::children::ROOT, folder.display());
    match ended(&[words, &["sweep", &root]].concat()) {
        Ended::Several(runs) => runs.run(&script(folder)).map_err(Ended::into_error),
        other => Err(other.into_error()),
    }
}

fn trial(folder: &Path, number: usize) -> serde_json::Value {
    serde_json::from_str(&read(folder.join(format!("sweep/trial_{number}.json")))).unwrap()
}

#[test]
fn a_sweep_runs_trials_in_processes_and_continues() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["model.lr=0.001,0.1,9", "--model.hidden=1,2", "--model.note=a b", "--jobs=2"];
    let (told, is_good) = sweep(folder.path(), &words).unwrap();
    assert!(is_good);
    let best = folder.path().join("sweep/trial_2/config.yaml");
    let expected = format!("best: trial 2 with val_loss 1: --model.lr=0.1 --model.hidden=1\nall of its options: -c {}\n", best.display());
    assert_eq!(told, expected);
    let config = read(&best);
    assert!(config.contains("model:\n  lr: 0.1\n  hidden: 1\n  note: a b\n") && !config.contains("sweep:"), "{config}");
    for number in 0..4 {
        let run = folder.path().join(format!("sweep/trial_{number}"));
        assert!(run.join("config.yaml").is_file() && run.join("metrics.csv").is_file() && run.join("output.log").is_file(), "{number}");
        assert_eq!((&trial(folder.path(), number)["state"], &trial(folder.path(), number)["error"]), (&"completed".into(), &().into()));
    }
    // The type of an option decides about the type of a value.
    assert_eq!(trial(folder.path(), 3)["params"], serde_json::json!({ "model.lr": 0.1, "model.hidden": 2 }));
    for number in 4..6 {
        let failed = trial(folder.path(), number);
        assert_eq!(failed["state"], "failed");
        assert!(failed["error"].as_str().unwrap().contains("the rate is too high"), "{failed}");
    }
    // A sweep that is complete starts no process.
    assert_eq!(processes(folder.path()).len(), 6);
    assert_eq!(sweep(folder.path(), &words).unwrap().0, expected);
    // Its file has the whole sweep.
    let file = folder.path().join("sweep/config.yaml");
    assert!(read(&file).contains("  space:\n    model.lr: \"0.001,0.1,9\"\n    model.hidden: \"1,2\"\n"), "{}", read(&file));
    assert_eq!(sweep(folder.path(), &["-c", file.to_str().unwrap()]).unwrap().0, expected);
    assert_eq!(processes(folder.path()).len(), 6);
    let other = sweep(folder.path(), &[&words[..], &["trainer.max_epochs=2"]].concat()).unwrap_err().to_string();
    assert!(other.contains("started with other options: trainer.max_epochs: 1 -> 2"), "{other}");
    let other = sweep(folder.path(), &["model.lr=0.1,0.2"]).unwrap_err().to_string();
    assert!(other.contains("another space") || other.contains("other options"), "{other}");
}

#[test]
fn a_file_describes_a_sweep() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sweep.yaml");
    let text = "sweep:\n  trials: 3\n  search: random\n  pruner: {name: asha}\n  space:\n    model.lr: log_uniform(1e-3, 1)\n    \
                model: {note: [x, \"1\"]}\n    data.batch_size: int(2, 4)\n";
    fs_err::write(&file, text).unwrap();
    let words = ["-c", file.to_str().unwrap(), "model.hidden=3"];
    let (told, is_good) = sweep(folder.path(), &words).unwrap();
    assert!(is_good && told.starts_with("best: trial "), "{told}");
    for number in 0..3 {
        let params = &trial(folder.path(), number)["params"];
        let config = read(folder.path().join(format!("sweep/trial_{number}/config.yaml")));
        let lr = params["model.lr"].as_f64().unwrap();
        assert!((1e-3..1.0).contains(&lr) && config.contains(&format!("  lr: {lr:?}\n  hidden: 3\n")), "{params} {config}");
        assert!(["x", "1"].contains(&params["model.note"].as_str().unwrap()), "{params}");
    }
    // Loggers of a file have a folder below that of the trial, which has the file, too.
    let loggers = ["trainer.loggers=[{name: csv}]", "sweep.folder", "data.batch_size=4"];
    let other = format!("{}={}", loggers[1], folder.path().join("other").display());
    let (told, _) = sweep(folder.path(), &["model.lr=0.1,0.2", loggers[0], &other, loggers[2]]).unwrap();
    let config = folder.path().join("other/trial_0/config.yaml");
    assert!(told.ends_with(&format!("all of its options: -c {}\n", config.display())), "{told}");
    // The printed options are the same sweep, with those of the line.
    let printed = |words: &[&str]| match ended(&[words, &["sweep", "--print-config=values"]].concat()) {
        Ended::Printed(text) => text,
        other => panic!("{}", other.into_error()),
    };
    let first = printed(&[&words[..], &["model.lr=0.1,0.2"]].concat());
    assert!(
        first.contains("  space:\n    model.note: [x, \"1\"]\n    data.batch_size: \"int(2, 4)\"\n    model.lr: \"0.1,0.2\"\n"),
        "{first}"
    );
    fs_err::write(&file, &first).unwrap();
    assert_eq!(printed(&["-c", file.to_str().unwrap()]), first);
}

#[test]
fn mistakes_of_a_sweep_are_named_before_the_first_trial() {
    insta::assert_snapshot!(refusal(&["sweep", "model.lrr=1,2"]), @r"
    model.lrr: there is no option `model.lrr`
      help: did you mean `model.lr`?
    ");
    insta::assert_snapshot!(refusal(&["sweep", "model.hidden=1,many"]), @"model.hidden: `model.hidden`: expected a whole number, not the string `many`");
    insta::assert_snapshot!(refusal(&["sweep", "model.hidden=uniform(1,2)"]), @"model.hidden: `model.hidden`: expected a whole number, not the number `1.0`");
    insta::assert_snapshot!(refusal(&["sweep"]), @r"
    `sweep`: no option has several values
      help: give an option several values, such as `model.lr=log_uniform(1e-5,1e-1)`
    ");
    insta::assert_snapshot!(refusal(&["sweep", "model.lr=uniform(0,1)", "sweep.search=grid"]), @"sweep.search: a grid needs lists of values, and a range has any number of them");
    insta::assert_snapshot!(refusal(&["sweep", "trainer.default_root_dir=a,b"]), @"trainer.default_root_dir: `trainer.default_root_dir` has one value in a sweep: each trial has its own folder");
    insta::assert_snapshot!(refusal(&["sweep", "model.lr=1,2", "trainer.default_root_dir=s3://bucket/runs"]), @r"
    trainer.default_root_dir: the folder `s3://bucket/runs/sweep` is not on a disk
      help: choose one on a disk: `--sweep.folder=FOLDER`
    ");
    insta::assert_snapshot!(refusal(&["sweep", "model.lr=1,2", "--ckpt-path=last"]), @r"
    `sweep` starts from a new module, so `--ckpt-path` has no effect
      help: load weights in the function that builds the module
    ");
    insta::assert_snapshot!(refusal(&["sweep", "-m", "model.lr=1,2"]), @r"
    `--multirun` cannot be combined with `sweep`
      help: `sweep` itself runs the program with several values
    ");
    insta::assert_snapshot!(refusal(&["sweep", "model.lr=1,2", "sweep.moniter=x"]), @r"
    sweep.moniter: there is no option `sweep.moniter`
      help: did you mean `sweep.monitor`?
    ");
    insta::assert_snapshot!(refusal(&["fit", "--jobs=2"]), @r"
    `--jobs` has no effect on one run
      help: it is for `--multirun` and `sweep`
    ");
    insta::assert_snapshot!(refusal(&["-m", "model.lrr=1,2"]), @r"
    model.lrr: there is no option `model.lrr`
      help: did you mean `model.lr`?
    ");
    insta::assert_snapshot!(refusal(&["sweep", "model.lr=1,2", "--dry-run", "sweep.monitor=val_los"]), @r"
    sweep.monitor: `sweep.monitor`: a batch of each loader has logged no metric `val_los`
      help: did you mean `val_loss`?
    ");
}

struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits for something that other processes do. Far longer than they take on a busy machine.
fn wait_for(what: &str, is_there: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_there() {
        assert!(start.elapsed() < Duration::from_mins(2), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Starts a sweep of endless trials, and waits until two of them have checkpoints.
fn endless(folder: &Path) -> Started {
    let root = format!("--{}={}", crate::children::ROOT, folder.display());
    let mut command = Command::new(script(folder));
    command.args(["sweep", "--jobs=2", "model.lr=0.01,0.1", "trainer.max_epochs=1000000", &root]);
    let started = Started(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let has_checkpoint = |number: usize| {
        fs_err::read_dir(folder.join(format!("sweep/trial_{number}/checkpoints")))
            .is_ok_and(|mut files| files.any(|file| file.is_ok_and(|file| file.path().extension().is_some_and(|end| end == "ckpt"))))
    };
    wait_for("two trials have checkpoints", || has_checkpoint(0) && has_checkpoint(1));
    started
}

fn are_gone(processes: &[String]) -> bool {
    processes.iter().all(|process| !Path::new("/proc").join(process).join("exe").exists())
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_or_the_death_of_a_sweep_ends_its_trials() {
    for signal in ["TERM", "KILL"] {
        let folder = tempfile::tempdir().unwrap();
        let mut sweep = endless(folder.path());
        let trials = processes(folder.path())[1..].to_vec();
        assert_eq!(trials.len(), 2);
        let status = Command::new("sh").args(["-c", &format!("kill -{signal} {}", sweep.0.id())]).status().unwrap();
        assert!(status.success());
        assert!(!sweep.0.wait().unwrap().success());
        wait_for("the trials end with their sweep", || are_gone(&trials));
        // They have ended cleanly, and continue.
        for number in 0..2 {
            assert_eq!(trial(folder.path(), number)["state"], "running", "{signal}");
        }
    }
}

#[test]
fn tune_writes_a_file_with_what_it_has_found() {
    let folder = tempfile::tempdir().unwrap();
    let root = format!("--{}={}", crate::children::ROOT, folder.path().display());
    let tune = |words: &[&str]| program().try_run(&[words, &["tune", &root]].concat(), &[]);
    let Outcome::Tuned(tuned) = tune(&["tune.scale_batch_size.max=8", "tune.lr_find.num_training=40"]).unwrap() else {
        panic!("not tuned")
    };
    assert_eq!(tuned.batch_size, Some(("data.batch_size".into(), 8)));
    let (option, rate) = tuned.learning_rate.clone().unwrap();
    assert!(option == "model.lr" && (1e-8..=1.0).contains(&rate), "{rate}");
    assert_eq!(tuned.config, folder.path().join("tune_0/config.yaml"));
    let written = read(&tuned.config);
    assert!(
        written.starts_with("# program tune.")
            && written.ends_with(&format!("data:\n  batch_size: 8\nmodel:\n  lr: {}\n", inline_float(rate))),
        "{written}"
    );
    assert!(folder.path().join("tune_0/lr_find.svg").is_file());
    // The file is one for `-c`, and the best is used by a fit.
    let text = printed(program().try_run(&["--print-config=values", "-c", tuned.config.to_str().unwrap()], &[]));
    assert!(text.contains("batch_size: 8\n") && text.contains(&format!("lr: {}\n", inline_float(rate))), "{text}");
    // One of the two, into another folder.
    let Outcome::Tuned(tuned) = tune(&["tune.lr=null", "tune.scale_batch_size.max=4"]).unwrap() else { panic!("not tuned") };
    assert!(tuned.learning_rate.is_none() && tuned.config.ends_with("tune_1/config.yaml"));
    insta::assert_snapshot!(tune(&["tune.lr=model.lrr"]).unwrap_err().to_string(), @r"
    tune.lr: `tune.lr`: there is no option `model.lrr` that takes a number
      help: did you mean `model.lr`?
    ");
    insta::assert_snapshot!(tune(&["tune.lr=null", "tune.batch_size=null"]).unwrap_err().to_string(), @r"
    `tune` has nothing to find: `tune.lr` and `tune.batch_size` are null
      help: leave one of them out
    ");
    insta::assert_snapshot!(tune(&["--ckpt-path=last"]).unwrap_err().to_string(), @r"
    `tune` starts from a new module, so `--ckpt-path` has no effect
      help: load weights in the function that builds the module
    ");
    assert!(!folder.path().join("tune_2").exists());
}

fn inline_float(value: f64) -> String {
    crate::print::inline(&Node::new(crate::node::Tree::Float(value), &crate::source::Source::default_value()))
}

#[test]
fn a_space_that_cannot_be_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (word, expected) in [
        ("model.lr=uniform(2,1)", "model.lr: `model.lr`: 2..1 is not a range"),
        ("model.lr=log_uniform(0,1)", "model.lr: `model.lr`: 0..1 is not a range of positive numbers"),
        ("model.hidden=int(5,1)", "model.hidden: `model.hidden`: 5..=1 is empty"),
        ("--sweep.trials=0", "--sweep.trials: `sweep.trials`: expected a whole number of at least 1 and at most 10000, not the number `0`"),
    ] {
        let root = format!("--{}={}", crate::children::ROOT, folder.path().display());
        assert_eq!(refusal(&["sweep", &root, "data.batch_size=int(1,2)", word]), expected);
        assert!(fs_err::read_dir(folder.path()).unwrap().next().is_none(), "{word}");
    }
}

/// A flag wins over a file.
#[test]
fn a_value_of_the_line_replaces_the_space_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sweep.yaml");
    fs_err::write(&file, "sweep:\n  space:\n    model.lr: [0.1, 0.2]\n    model.hidden: [1, 2]\n").unwrap();
    let words = ["sweep", "-c", file.to_str().unwrap(), "model.lr=0.5", "--print-config=values"];
    let Ended::Printed(text) = ended(&words) else { panic!("nothing was printed") };
    assert!(text.contains("  lr: 0.5\n") && text.contains("  space:\n    model.hidden: [1, 2]\n"), "{text}");
}
