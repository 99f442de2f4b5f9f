//! Mistakes that the types catch, with the errors of the compiler.

mod attached;
mod batches;
mod loaders;
mod logged;
mod modules;

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
