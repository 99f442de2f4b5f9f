//! Mistakes that the types catch, with the errors of the compiler.

mod batches;

use std::{
    collections::BTreeSet,
    env,
    fmt::Write as _,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use insta::assert_snapshot;
use serde_json::Value;

/// The arguments of the compiler for a program that uses our crates.
struct Libraries {
    /// `NAME=FILE` for each direct dependency.
    externs: Vec<String>,
    /// The folders of all dependencies.
    folders: BTreeSet<PathBuf>,
}

/// The libraries that cargo linked to this test. They are up to date, so cargo only prints their paths.
fn libraries() -> &'static Libraries {
    static LIBRARIES: OnceLock<Libraries> = OnceLock::new();
    LIBRARIES.get_or_init(|| {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
        cargo.args(["build", "--workspace", "--test", "behaviour", "--message-format=json"]);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        // `cargo test` sets variables about this package. With them, cargo would run build scripts again.
        let names = env::vars_os().map(|(name, _)| name);
        for name in names.filter(|name| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.to_string_lossy().starts_with(start))) {
            cargo.env_remove(name);
        }
        let output = cargo.stderr(Stdio::inherit()).output().unwrap();
        assert!(output.status.success(), "cargo could not say where the libraries are");
        let text = String::from_utf8(output.stdout).unwrap();
        let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut libraries = Libraries { externs: Vec::new(), folders: BTreeSet::new() };
        for artifact in messages.filter(|message| message["reason"] == "compiler-artifact") {
            for file in artifact["filenames"].as_array().unwrap().iter().filter_map(Value::as_str).map(Path::new) {
                libraries.folders.extend(file.parent().map(Path::to_path_buf));
                let name = artifact["target"]["name"].as_str().unwrap();
                if ["burn", "stormfire"].contains(&name) && file.extension().is_some_and(|end| end == "rlib") {
                    libraries.externs.push(format!("{name}={}", file.display()));
                }
            }
        }
        assert_eq!(libraries.externs.len(), 2, "{:?}", libraries.externs);
        libraries
    })
}

/// The start of each program: a correct module and its data.
const START: &str = "
#![allow(unused)]
use burn::{nn::Linear, optim::SgdConfig, prelude::*};
use stormfire::prelude::*;

#[derive(Module, Debug)]
struct Line { layer: Linear }

impl LightningModule for Line {
    type Batch = (Tensor<2>, Tensor<2>);

    fn training_step(&self, (x, y): Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok((self.layer.forward(x) - y).mean().into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.1).into())
    }
}

fn line() -> Line { todo!() }
fn data() -> Loader<(Tensor<2>, Tensor<2>)> { todo!() }
";

/// The errors of the compiler for a program with these lines: message, line and notes. Suggestions and spans in other
/// files are omitted, because they differ between compilers.
fn errors(code: &str) -> String {
    let (libraries, folder) = (libraries(), tempfile::tempdir().unwrap());
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--error-format=json", "-"]).arg("--out-dir").arg(folder.path());
    for library in &libraries.externs {
        rustc.arg("--extern").arg(library);
    }
    for folder in &libraries.folders {
        rustc.arg("-L").arg(format!("dependency={}", folder.display()));
    }
    let mut running = rustc.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    running.stdin.take().unwrap().write_all(format!("{START}{code}").as_bytes()).unwrap();
    let output = running.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    let messages = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let errors = messages.filter(|message| message["level"] == "error" && !message["spans"].as_array().unwrap().is_empty());
    let mut shown: Vec<String> = errors.map(|error| show(&error)).collect();
    // The compiler reports a missing trait for each function in a chain of calls.
    shown.dedup();
    assert_eq!(output.status.success(), shown.is_empty(), "{text}");
    shown.concat()
}

fn show(error: &Value) -> String {
    let code = error["code"]["code"].as_str().map_or_else(String::new, |code| format!("[{code}]"));
    let mut shown = format!("error{code}: {}\n", error["message"].as_str().unwrap());
    for span in error["spans"].as_array().unwrap().iter().filter(|span| span["is_primary"] == true) {
        let line = span["text"][0]["text"].as_str().unwrap().trim();
        let label = span["label"].as_str().map_or_else(String::new, |label| format!(" // {label}"));
        writeln!(shown, "  {line}{label}").unwrap();
    }
    for note in error["children"].as_array().unwrap() {
        if note["level"] == "note" && note["spans"].as_array().unwrap().is_empty() {
            writeln!(shown, "  note: {}", note["message"].as_str().unwrap()).unwrap();
        }
    }
    shown
}

#[test]
fn a_correct_program_compiles() {
    assert_snapshot!(errors(
        "
        fn run() -> Result<Fit<Line>> {
            Trainer::new().fit(line(), data())
        }
    "
    ), @"");
}

#[test]
fn a_burn_module_without_steps_cannot_be_trained() {
    assert_snapshot!(errors(
        "
        #[derive(Module, Debug)]
        struct Net { layer: Linear }
        fn run(net: Net) {
            Trainer::new().fit(net, data());
        }
    "
    ), @"
    error[E0277]: `Net` is not a `LightningModule`
      Trainer::new().fit(net, data()); // a module of this type cannot be trained
      note: derive burn's `Module` for it, and write `impl LightningModule for Net` with its `Batch` and its steps
    ");
}

#[test]
fn a_module_names_the_type_of_its_batches() {
    assert_snapshot!(errors(
        "
        #[derive(Module, Debug)]
        struct Net { layer: Linear }
        impl LightningModule for Net {}
    "
    ), @"
    error[E0046]: not all trait items implemented, missing: `Batch`
      impl LightningModule for Net {} // missing `Batch` in implementation
    ");
}

#[test]
fn a_batch_can_be_sent_to_another_thread() {
    assert_snapshot!(errors(
        "
        #[derive(Module, Debug)]
        struct Net { layer: Linear }
        impl LightningModule for Net {
            type Batch = std::rc::Rc<f32>;
        }
    "
    ), @"
    error[E0277]: `Rc<f32>` cannot be sent between threads safely
      type Batch = std::rc::Rc<f32>; // `Rc<f32>` cannot be sent between threads safely
    ");
}

#[test]
fn a_step_returns_a_result() {
    assert_snapshot!(errors(
        "
        #[derive(Module, Debug)]
        struct Net { layer: Linear }
        impl LightningModule for Net {
            type Batch = Tensor<1>;
            fn training_step(&self, batch: Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
                batch
            }
        }
    "
    ), @"
    error[E0308]: mismatched types
      batch // expected `Result<StepOutput, Error>`, found `Tensor<1>`
      note: expected enum `std::result::Result<stormfire::StepOutput, stormfire::Error>`
     found struct `burn::Tensor<1>`
    ");
}

#[test]
fn a_module_without_a_predict_step_does_not_predict() {
    assert_snapshot!(errors(
        "
        fn run() {
            Trainer::new().predict(&line(), data());
        }
    "
    ), @"
    error[E0277]: `Line` is not a `PredictModule`
      Trainer::new().predict(&line(), data()); // a module of this type cannot predict
      note: write `impl PredictModule for Line` with its `Prediction` and its `predict_step`
    ");
}

#[test]
fn a_vector_of_batches_is_not_data() {
    assert_snapshot!(errors(
        "
        fn run(batches: Vec<(Tensor<2>, Tensor<2>)>) {
            Trainer::new().fit(line(), batches);
        }
    "
    ), @"
    error[E0277]: `Vec<(burn::Tensor<2>, burn::Tensor<2>)>` is not a data module
      Trainer::new().fit(line(), batches); // not a `Loader`, a pair `(train, val)` of them, or a `DataModule`
      note: make a loader of batches with `Loader::from_batches` or of a dataset with `Loader::collate`, or implement `DataModule`
    ");
}

#[test]
fn the_batches_of_the_data_are_those_of_the_module() {
    assert_snapshot!(errors(
        "
        fn run(images: Loader<Tensor<4>>) {
            Trainer::new().fit(line(), images);
        }
    "
    ), @"
    error[E0271]: type mismatch resolving `<Loader<Tensor<4>> as DataModule>::Batch == (Tensor<2>, Tensor<2>)`
      Trainer::new().fit(line(), images); // expected `(Tensor<2>, Tensor<2>)`, found `Tensor<4>`
      note: expected tuple `(burn::Tensor<2>, burn::Tensor<2>)`
      found struct `burn::Tensor<4>`
    ");
}

#[test]
fn the_batches_of_the_validation_are_those_of_the_training() {
    assert_snapshot!(errors(
        "
        fn run(images: Loader<Tensor<4>>) {
            Trainer::new().fit(line(), (data(), images));
        }
    "
    ), @"
    error[E0277]: the trait bound `Loaders<(burn::Tensor<2>, burn::Tensor<2>)>: From<stormfire::Loader<burn::Tensor<4>>>` is not satisfied
      Trainer::new().fit(line(), (data(), images)); // the trait `From<stormfire::Loader<burn::Tensor<4>>>` is not implemented for `Loaders<(burn::Tensor<2>, burn::Tensor<2>)>`
      note: required for `stormfire::Loader<burn::Tensor<4>>` to implement `Into<Loaders<(burn::Tensor<2>, burn::Tensor<2>)>>`
      note: required for `(stormfire::Loader<(burn::Tensor<2>, burn::Tensor<2>)>, stormfire::Loader<burn::Tensor<4>>)` to implement `DataModule`
    ");
}

#[test]
fn an_empty_loader_needs_a_type() {
    assert_snapshot!(errors(
        "
        fn run() {
            let loader = Loader::from_batches(Vec::new());
        }
    "
    ), @"
    error[E0283]: type annotations needed for `stormfire::Loader<_>`
      let loader = Loader::from_batches(Vec::new());
      note: cannot satisfy `_: Send`
    ");
}

#[test]
fn a_closure_is_not_a_callback() {
    insta::with_settings!({ filters => [(r"closure@<anon>:[\d: ]+", "closure")] }, {
        assert_snapshot!(errors(
        "
        fn run() {
            Trainer::<Line>::new().callback(|_: &mut Context<'_>, _: &mut Line| Ok(()));
        }
    "
    ), @"
        error[E0277]: `{closure}` is not a callback for `Line`
          Trainer::<Line>::new().callback(|_: &mut Context<'_>, _: &mut Line| Ok(())); // does not implement `Callback<Line>`
          note: write `impl<M: LightningModule> Callback<M> for ..` for modules of any type, or `impl Callback<Net> for ..` for one
          note: a closure goes into a `LambdaCallback`, at its hook: `LambdaCallback::new().on_train_epoch_end(|ctx, module| ..)`
        ");
    });
}

#[test]
fn a_callback_for_another_module_is_refused() {
    assert_snapshot!(errors(
        "
        #[derive(Module, Debug)]
        struct Net { layer: Linear }
        impl LightningModule for Net {
            type Batch = ();
        }
        struct ForNet;
        impl Callback<Net> for ForNet {}
        fn run() {
            Trainer::<Line>::new().callback(ForNet);
        }
    "
    ), @"
    error[E0277]: `ForNet` is not a callback for `Line`
      Trainer::<Line>::new().callback(ForNet); // does not implement `Callback<Line>`
      note: write `impl<M: LightningModule> Callback<M> for ..` for modules of any type, or `impl Callback<Net> for ..` for one
      note: a closure goes into a `LambdaCallback`, at its hook: `LambdaCallback::new().on_train_epoch_end(|ctx, module| ..)`
    ");
}

#[test]
fn a_string_cannot_be_logged() {
    assert_snapshot!(errors(
        r#"
        fn run() {
            log("state", "good");
        }
    "#
    ), @r#"
    error[E0277]: `&str` cannot be logged
      log("state", "good"); // not a number, a tensor of one element, or a `Metric`
      note: log a number, a `Tensor` with one element (`tensor.mean()`), or implement `stormfire::Metric`
      note: required for `&str` to implement `Loggable`
    "#);
}

#[test]
fn a_tensor_of_booleans_cannot_be_logged() {
    assert_snapshot!(errors(
        r#"
        fn run(flags: Tensor<1, Bool>) {
            line().log("flags", flags);
        }
    "#
    ), @r#"
    error[E0277]: `burn::Tensor<1, burn::tensor::Bool>` cannot be logged
      line().log("flags", flags); // not a number, a tensor of one element, or a `Metric`
      note: log a number, a `Tensor` with one element (`tensor.mean()`), or implement `stormfire::Metric`
      note: required for `burn::Tensor<1, burn::tensor::Bool>` to implement `Loggable`
    "#);
}

#[test]
fn a_metric_implements_its_trait() {
    assert_snapshot!(errors(
        "
        #[derive(Clone, Debug)]
        struct Hits(usize);
        fn value(_: impl Metric) {}
        fn run() {
            value(Hits(1));
        }
    "
    ), @"
    error[E0277]: `Hits` is not a `Metric`
      value(Hits(1)); // no result can be computed from values of this type
      note: use a metric such as `accuracy` or `Mean`, or derive `Merge` and implement `Metric::compute`
    ");
}

#[test]
fn a_logger_implements_its_trait() {
    assert_snapshot!(errors(
        "
        struct Lines;
        fn run() {
            Trainer::<Line>::new().logger(Lines);
        }
    "
    ), @"
    error[E0277]: `Lines` is not a `Logger`
      Trainer::<Line>::new().logger(Lines); // metrics cannot be logged to this type
      note: use a logger such as `CsvLogger`, or write `impl Logger for Lines`
    ");
}

#[test]
fn a_logger_can_be_sent_to_another_thread() {
    assert_snapshot!(errors(
        "
        use stormfire::loggers::{Error, Hyperparams, Metrics};
        struct Local(std::rc::Rc<f32>);
        impl Logger for Local {
            fn name(&self) -> &str { todo!() }
            fn version(&self) -> String { todo!() }
            fn log_metrics(&mut self, _: &Metrics, _: Option<u64>) -> Result<(), Error> { todo!() }
            fn log_hyperparams(&mut self, _: &Hyperparams, _: &Metrics) -> Result<(), Error> { todo!() }
        }
    "
    ), @"
    error[E0277]: `Rc<f32>` cannot be sent between threads safely
      impl Logger for Local { // `Rc<f32>` cannot be sent between threads safely
    ");
}

#[test]
fn an_optimizer_needs_a_learning_rate() {
    assert_snapshot!(errors(
        "
        fn run() {
            Optimizer::new(SgdConfig::new());
        }
    "
    ), @"
    error[E0061]: this function takes 2 arguments but 1 argument was supplied
      Optimizer::new(SgdConfig::new());
    ");
}

#[test]
fn a_period_has_a_unit() {
    assert_snapshot!(errors(
        "
        fn run() {
            Trainer::<Line>::new().val_check_interval(0.5);
        }
    "
    ), @"
    error[E0277]: the trait bound `Every: From<{float}>` is not satisfied
      Trainer::<Line>::new().val_check_interval(0.5); // the trait `From<{float}>` is not implemented for `Every`
      note: required for `{float}` to implement `Into<Every>`
      note: required for `Every` to implement `TryFrom<{float}>`
    ");
}

#[test]
fn the_parts_of_a_trainer_are_private() {
    assert_snapshot!(errors(
        "
        fn run(trainer: Trainer<Line>) {
            trainer.loggers;
            stormfire::trainer::Frame::new();
        }
    "
    ), @"
    error[E0433]: cannot find `trainer` in `stormfire`
      stormfire::trainer::Frame::new(); // could not find `trainer` in `stormfire`
    error[E0616]: field `loggers` of struct `stormfire::Trainer` is private
      trainer.loggers; // private field
    ");
}
