use insta::assert_snapshot;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::*;

/// One of its options has the name of a flag that changes the runs of a module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// The number of epochs, see [`Options`].
    epochs: usize,
    /// Processes.
    jobs: usize,
    optimizer: Sgd,
    /// The key of a service.
    #[schemars(extend("writeOnly" = true))]
    key: Option<String>,
}

/// The options of SGD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Sgd {
    /// The learning rate.
    lr: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { epochs: 4, jobs: 1, optimizer: Sgd::default(), key: None }
    }
}

impl Default for Sgd {
    fn default() -> Self {
        Self { lr: 0.1 }
    }
}

fn run(args: &[&str], variables: &[(&str, &str)]) -> Result<Parsed<Options>> {
    try_parse("Trains.", args, variables)
}

fn options(args: &[&str], variables: &[(&str, &str)]) -> Options {
    match run(args, variables).unwrap() {
        Parsed::Options(options) => options,
        Parsed::Printed(text) => panic!("{text}"),
    }
}

fn printed(args: &[&str]) -> String {
    match run(args, &[]).unwrap() {
        Parsed::Printed(text) => text,
        Parsed::Options(options) => panic!("{options:?}"),
    }
}

#[test]
fn options_come_from_files_variables_and_flags() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    fs_err::write(&file, "epochs = 5\njobs = 6\n[optimizer]\nlr = 0.5\n").unwrap();
    let file = file.to_str().unwrap();
    assert_eq!(options(&[], &[]), Options::default());
    let variables = [("STORMFIRE__JOBS", "7"), ("STORMFIRE__OPTIMIZER__LR", "0.7"), ("HOME", "/")];
    let merged = options(&["-c", file, "--optimizer.lr=0.8"], &variables);
    assert_eq!(merged, Options { epochs: 5, jobs: 7, optimizer: Sgd { lr: 0.8 }, key: None });
}

#[test]
fn an_option_may_have_the_name_of_a_flag_of_runs() {
    for words in [&["--jobs=3"][..], &["--jobs", "3"], &["jobs=3"]] {
        assert_eq!(options(words, &[]).jobs, 3, "{words:?}");
    }
}

#[test]
fn a_printed_configuration_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.yaml");
    fs_err::write(&file, printed(&["--epochs=9", "--print-config"])).unwrap();
    assert_eq!(options(&["-c", file.to_str().unwrap()], &[]), Options { epochs: 9, ..Options::default() });
}

#[test]
fn the_page_of_help() {
    assert_snapshot!(printed(&["--help"]));
}

#[test]
fn what_is_printed_has_no_secret_and_no_link() {
    for flag in ["--print-config", "--print-schema", "--completion=bash", "--completion=zsh", "--completion=fish"] {
        let text = printed(&["--key=hidden", flag]);
        assert!(!text.contains("hidden") && !text.contains("[`Options`]"), "{text}");
        // Without runs, there are neither commands nor their flags.
        assert!(text.contains("epochs") && !text.contains("ckpt-path") && !text.contains("validate"), "{text}");
    }
}

#[test]
fn errors_name_the_word() {
    let errors = [
        &["fit"][..],
        &["--ckpt-path=last"],
        &["--dry-run"],
        &["-m", "jobs=1,2"],
        &["--epoch=3"],
        &["epochs"],
        &["--epochs=many"],
        &["--optimizer.rate=1"],
        &["-c", "missing.yaml"],
    ];
    let errors: Vec<String> = errors.iter().map(|words| format!("{}: {}", words.join(" "), run(words, &[]).unwrap_err())).collect();
    assert_snapshot!(errors.join("\n"));
}
