use std::num::NonZeroUsize;

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
fn a_page_of_help_needs_no_line_without_a_mistake() {
    for words in [&["--nope", "--help"][..], &["-h", "--print-schema", "fit"]] {
        assert_eq!(printed(words), printed(&["--help"]), "{words:?}");
    }
}

#[test]
fn printed_pages_have_no_secret_and_no_link() {
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

#[test]
fn all_mistakes_are_named_at_once() {
    let error = run(&["--rate=1", "--optimizer.rate=1"], &[("STORMFIRE__FOO", "1")]).unwrap_err().to_string();
    assert_snapshot!(error, @r"
    there is no flag `--rate`
      help: `--help` lists the options
    STORMFIRE__FOO: there is no option `foo`
    --optimizer.rate: there is no option `optimizer.rate`
      help: `optimizer` has `lr`
    ");
}

#[test]
fn a_file_without_its_flag_is_explained() {
    let error = run(&["-c", "a.yaml", "b.json"], &[]).unwrap_err().to_string();
    assert_eq!(error, "`b.json` is not an option with a value\n  help: `-c b.json` reads a file\na.yaml: the file does not exist");
    // Runs have no checkpoints.
    let error = run(&["last.ckpt"], &[]).unwrap_err().to_string();
    assert_eq!(error, "`last.ckpt` is not an option with a value\n  help: write `last.ckpt=VALUE` or `--last.ckpt VALUE`");
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Ranges {
    #[schemars(range(min = 1))]
    threads: usize,
    #[schemars(range(min = 1))]
    most: Option<usize>,
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    dropout: f64,
    batch: NonZeroUsize,
}

impl Default for Ranges {
    fn default() -> Self {
        Self { threads: 1, most: None, dropout: 0.0, batch: NonZeroUsize::MIN }
    }
}

#[test]
fn a_range_is_checked_with_the_source_of_the_value() {
    let told = |words: &[&str], variables: &[(&str, &str)]| try_parse::<Ranges>("Trains.", words, variables).unwrap_err().to_string();
    for name in ["threads", "most", "batch"] {
        let flag = format!("--{name}=0");
        let expected = format!("--{name}: `{name}`: expected a whole number of at least 1, not the number `0`");
        assert_eq!(told(&[flag.as_str()], &[]), expected);
    }
    let expected = "dropout: `dropout`: expected a number of at least 0 and less than 1, not the number `1`";
    assert_eq!(told(&["dropout=1"], &[]), expected);
    let expected = "STORMFIRE__THREADS: `threads`: expected a whole number of at least 1, not the number `0`";
    assert_eq!(told(&[], &[("STORMFIRE__THREADS", "0")]), expected);
    let words = ["--threads=2", "--most=null", "--dropout=0.5", "--batch=3"];
    assert!(matches!(try_parse::<Ranges>("Trains.", &words, &[]), Ok(Parsed::Options(Ranges { threads: 2, most: None, .. }))));
}

#[test]
fn a_variable_with_one_underscore_too_few_is_an_error() {
    let error = run(&[], &[("STORMFIRE_EPOCHS", "9")]).unwrap_err().to_string();
    assert_eq!(error, "STORMFIRE_EPOCHS: there is no option `epochs`\n  help: did you mean `STORMFIRE__EPOCHS`?");
    // It may belong to another program.
    assert_eq!(options(&[], &[("STORMFIRE_HOME", "9"), ("STORMFIRE_OPTIMIZER", "9")]), Options::default());
}

#[test]
fn a_variable_of_this_program_is_utf_8() {
    let told = |args: &[&str], names: &[&str]| {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let undecodable = names.iter().map(|name| (*name).to_owned()).collect();
        let process = Process { program: "program".into(), args, variables: Vec::new(), undecodable, columns: WIDTH };
        read::<Options>("Trains.", &process).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(told(&[], &["HOME", "STORMFIRE_KEY"]), Ok(()));
    let expected = "STORMFIRE__EPOCHS: the variable is not UTF-8\nSTORMFIRE__KEY: the variable is not UTF-8";
    assert_eq!(told(&[], &["STORMFIRE__KEY", "HOME", "STORMFIRE__EPOCHS"]), Err(expected.to_owned()));
    assert_eq!(told(&["--help"], &["STORMFIRE__KEY"]), Ok(()));
}

#[cfg(unix)]
#[test]
fn variables_that_are_not_utf_8_are_listed() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, process::Command};

    const NAME: &str = "STORMFIRE__TEST_BYTES";
    if std::env::var_os(NAME).is_some() {
        // The process below.
        assert!(process::environment().1.iter().any(|name| name == NAME));
        return;
    }
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "parse::tests::variables_that_are_not_utf_8_are_listed"]).env(NAME, OsStr::from_bytes(b"a\xff"));
    let output = child.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
