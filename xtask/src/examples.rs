//! Runs every example on the committed data. They are the programs that the step `test` has built. The first example
//! can also run as a new user runs it, optimized and with only the features that it needs.

mod table;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::data;
use crate::step::Verdict;
use crate::system::{self, Workspace};
use crate::terminal::{END, Terminal};

const PACKAGE: &str = "stormfire-examples";
/// The pictures of results in the book.
const PICTURES: &str = "docs/pictures";
/// The folders of runs in the target folder.
const SHORT: &str = "examples-run";
const LONG: &str = "long-examples-run";
const DRAWN: &str = "pictures";

pub(crate) use table::MNIST_DATA;
use table::{FINETUNE_TEXT, FINETUNE_VISION, HIDES_BAR, LONG_RUNS, MINILM_TABLE, MNIST, Picture, RUNS, Run};

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    let metadata = system::metadata(workspace, &["--no-deps"])?;
    let known: BTreeSet<String> = RUNS.iter().map(|run| run.example.to_owned()).collect();
    let existing = targets(&metadata)?;
    if known != existing {
        bail!("the table `RUNS` in xtask/src/examples.rs has the examples {known:?}, the package {PACKAGE} has {existing:?}");
    }
    let mut skipped = None;
    for run in RUNS {
        if let Err(error) = fetch_weights(workspace, run) {
            skipped = Some(format!("no weights for the example `{}`, which `cargo xtask data` fetches: {error:#}", run.example));
            continue;
        }
        if run.example == FINETUNE_TEXT {
            // The table, with which the example compares itself, is NumPy's.
            system::run(workspace.script(&data::python(workspace)?, "minilm.py").args([data::MINILM.folder, MINILM_TABLE]))?;
        }
        run_one(workspace, run, SHORT)?;
    }
    exit_codes(workspace)?;
    Ok(skipped.map_or(Verdict::Passed, Verdict::Skipped))
}

/// Help goes to stdout and ends with 0. A mistake on the command line goes to stderr and ends with 2.
fn exit_codes(workspace: &Workspace) -> Result<()> {
    let program = mnist_program(workspace)?;
    for (argument, code) in [("--help", 0), ("--print-config", 0), ("--modl.hidden=1", 2), ("-c=missing.yaml", 2)] {
        let output = workspace.command(&program).arg(argument).output()?;
        let (told, silent) = if code == 0 { (output.stdout, output.stderr) } else { (output.stderr, output.stdout) };
        if output.status.code() != Some(code) || told.is_empty() || !silent.is_empty() {
            bail!("`{} {argument}` ended with {}, expected {code} and text on one stream only", MNIST.example, output.status);
        }
    }
    Ok(())
}

/// Fetches the weights that an example needs, unless they exist.
fn fetch_weights(workspace: &Workspace, run: &Run) -> Result<()> {
    match run.example {
        FINETUNE_TEXT => data::MINILM.fetch(workspace),
        FINETUNE_VISION => data::EFFICIENTNET.fetch(workspace),
        _ => Ok(()),
    }
}

/// Runs the examples that need minutes to reach their quality.
pub(crate) fn long_step(workspace: &Workspace) -> Result<Verdict> {
    for run in LONG_RUNS {
        run_one(workspace, run, LONG)?;
    }
    Ok(Verdict::Passed)
}

/// `cargo xtask pictures`: runs the examples, and puts the pictures of their results into the book.
pub(crate) fn pictures(workspace: &Workspace, is_wanted: &dyn Fn(&str) -> bool) -> Result<()> {
    for run in RUNS.iter().chain(LONG_RUNS).filter(|run| is_wanted(run.example)) {
        let Some(end) = picture_end(run) else { continue };
        let to = workspace.root.join(PICTURES).join(format!("{}.{end}", run.example));
        match run.picture {
            Picture::None => {}
            Picture::File(picture) => {
                let root = run_one(workspace, run, DRAWN)?;
                fs_err::copy(root.join(picture), &to)?;
                println!("{}", to.display());
            }
            Picture::Terminal(lines, then) => terminal(workspace, run, lines, then, &to)?,
        }
    }
    Ok(())
}

/// The file name extension of its picture.
fn picture_end(run: &Run) -> Option<&'static str> {
    match run.picture {
        Picture::None => None,
        Picture::File(path) => path.rsplit('.').next(),
        Picture::Terminal(..) => Some("svg"),
    }
}

/// Draws the last lines of a terminal in which the example has run, with its progress bar.
fn terminal(workspace: &Workspace, run: &Run, lines: u32, then: Option<&str>, to: &Path) -> Result<()> {
    fetch_weights(workspace, run)?;
    let program = system::program(&system::build(workspace, &["--example", run.example])?.join("examples"), run.example);
    let root = workspace.target.join(DRAWN).join(run.example);
    system::fresh_folder(&root)?;
    let script = format!(r#""$0" "$@" && {}"#, then.unwrap_or("true"));
    let program = program.to_string_lossy();
    let arguments: Vec<String> = run.arguments.iter().map(|argument| argument.replace("{root}", ".")).collect();
    let arguments = arguments.iter().map(String::as_str).filter(|argument| !HIDES_BAR.contains(argument));
    let command: Vec<&str> = ["sh", "-c", &script, &program].into_iter().chain(arguments).collect();
    Terminal { columns: 80, lines, until: END }.draw(workspace, &root, &command, to)?;
    check(run, &root)
}

/// The MNIST example.
pub(crate) fn mnist_program(workspace: &Workspace) -> Result<PathBuf> {
    let built = system::build(workspace, &["--example", MNIST.example])?;
    Ok(system::program(&built.join("examples"), MNIST.example))
}

/// The MNIST example with the speed that the README's command has.
pub(crate) fn optimized_mnist(workspace: &Workspace) -> Result<PathBuf> {
    system::run(workspace.cargo().args(["build", "--quiet", "--release", "--example", MNIST.example]))?;
    Ok(system::program(&workspace.target.join("release/examples"), MNIST.example))
}

/// The folder with the logs of the MNIST example. Runs the example if no earlier step did.
pub(crate) fn mnist_logs(workspace: &Workspace) -> Result<PathBuf> {
    let logs = "lightning_logs/version_0";
    let root = workspace.target.join(SHORT).join(MNIST.example);
    Ok(if root.join(logs).exists() { root } else { run_one(workspace, &MNIST, SHORT)? }.join(logs))
}

/// The checkpoint that the run saved at its end.
pub(crate) fn mnist_checkpoint(workspace: &Workspace) -> Result<PathBuf> {
    let folder = mnist_logs(workspace)?.join("checkpoints");
    let mut paths = fs_err::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|end| end == "ckpt"));
    match paths.as_slice() {
        [path] => Ok(path.clone()),
        _ => bail!("`{}` has {} checkpoints, where the run leaves one", folder.display(), paths.len()),
    }
}

/// Returns the folder of the run.
fn run_one(workspace: &Workspace, run: &Run, parent: &str) -> Result<PathBuf> {
    let built = system::build(workspace, &["--example", run.example])?;
    let root = workspace.target.join(parent).join(run.example);
    run_as(workspace.command(system::program(&built.join("examples"), run.example)), run, &root)?;
    Ok(root)
}

/// Runs exactly the command that the README gives to a new user.
pub(crate) fn first(workspace: &Workspace) -> Result<Verdict> {
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--quiet", "--release", "--example", MNIST.example, "--"]);
    run_as(cargo, &MNIST, &workspace.target.join(SHORT).join(MNIST.example))?;
    Ok(Verdict::Passed)
}

/// Runs a command, and checks what it leaves.
fn run_as(mut command: Command, run: &Run, root: &Path) -> Result<()> {
    system::fresh_folder(root)?;
    for argument in run.arguments {
        command.arg(argument.replace("{root}", &root.display().to_string()));
    }
    let start = Instant::now();
    system::run(&mut command)?;
    println!("{} took {:.0} s", run.example, start.elapsed().as_secs_f64());
    check(run, root)
}

/// Whether the run has written its files, and reached what is usual.
fn check(run: &Run, root: &Path) -> Result<()> {
    let picture = if let Picture::File(path) = run.picture { Some(path) } else { None };
    for path in run.leaves.iter().copied().chain(picture) {
        if !exists(root, path)? {
            bail!("the example `{}` left no `{path}` in `{}`", run.example, root.display());
        }
    }
    for (path, metric, usual) in run.quality {
        let value = last_value(&fs_err::read_to_string(root.join(path))?, metric);
        println!("{}: {metric} {value:?} in {path}", run.example);
        if value.is_none_or(|value| !usual.contains(&value)) {
            bail!("the example `{}` has {metric} {value:?} in {path}, and {usual:?} is usual", run.example);
        }
    }
    Ok(())
}

/// The last value in a column.
fn last_value(csv: &str, column: &str) -> Option<f64> {
    let mut lines = csv.lines();
    let place = lines.next()?.split(',').position(|name| name == column)?;
    lines.filter_map(|line| line.split(',').nth(place)?.parse().ok()).next_back()
}

/// Whether the folder has a non-empty file that matches the path. Each `*` in the last part matches any text.
fn exists(root: &Path, pattern: &str) -> Result<bool> {
    let (parent, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
    let pieces: Vec<&str> = name.split('*').collect();
    let Ok(entries) = fs_err::read_dir(root.join(parent)) else {
        return Ok(false);
    };
    for entry in entries {
        let entry = entry?;
        if matches(&entry.file_name().to_string_lossy(), &pieces) && entry.metadata()?.len() > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

fn matches(name: &str, pieces: &[&str]) -> bool {
    match pieces {
        [] => name.is_empty(),
        [only] => name == *only,
        [first, middle @ .., last] => {
            let Some(mut rest) = name.strip_prefix(first) else {
                return false;
            };
            for piece in middle {
                match rest.split_once(piece) {
                    Some((_, after)) => rest = after,
                    None => return false,
                }
            }
            rest.ends_with(last)
        }
    }
}

fn targets(metadata: &Value) -> Result<BTreeSet<String>> {
    let ours = system::packages(metadata)?.iter().filter(|package| package["name"] == PACKAGE);
    let targets = ours.filter_map(|package| package["targets"].as_array()).flatten();
    Ok(targets.filter(|target| target["kind"][0] == "example").filter_map(|target| target["name"].as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn stars_match_any_text_and_empty_files_do_not_count() {
        let root = tempfile::tempdir().unwrap();
        fs_err::create_dir(root.path().join("logs")).unwrap();
        fs_err::write(root.path().join("logs/events.out.tfevents.1.host.2.0"), "x").unwrap();
        fs_err::write(root.path().join("logs/metrics.csv"), "").unwrap();
        for (pattern, expected) in [
            ("logs/*.tfevents.*", true),
            ("logs/events*", true),
            ("logs/*.ckpt", false),
            ("logs/tfevents", false),
            ("logs/metrics.csv", false),
            ("other/*", false),
        ] {
            assert_eq!(exists(root.path(), pattern).unwrap(), expected, "{pattern}");
        }
    }

    #[test]
    fn every_example_has_a_quality_and_a_picture_on_its_page() {
        let page = include_str!("../../docs/examples.md");
        let runs = || RUNS.iter().chain(LONG_RUNS);
        for example in RUNS.iter().map(|run| run.example) {
            let of_example = || runs().filter(|run| run.example == example);
            assert!(of_example().any(|run| !run.quality.is_empty()), "`{example}` reaches nothing that is checked");
            if example.starts_with("new_") {
                continue;
            }
            let end = of_example().find_map(picture_end).unwrap_or_else(|| panic!("`{example}` has no picture"));
            let shown = format!("](pictures/{example}.{end})");
            assert!(page.contains(&shown), "docs/examples.md does not show `{shown}`");
        }
    }

    #[test]
    fn the_last_value_of_a_column_counts() {
        let csv = "epoch,loss,test_f1\n0,0.5,\n0,,0.25\n1,0.4,0.75\n1,0.3,\n";
        assert_eq!((last_value(csv, "test_f1"), last_value(csv, "f1"), last_value("", "f1")), (Some(0.75), None, None));
    }

    #[test]
    fn only_targets_of_the_examples_package_count() {
        let metadata = json!({"packages": [
            {"name": "stormfire-examples", "targets": [{"kind": ["lib"], "name": "a"}, {"kind": ["example"], "name": "mnist"}]},
            {"name": "stormfire-loggers", "targets": [{"kind": ["example"], "name": "b"}]}
        ]});
        assert_eq!(targets(&metadata).unwrap(), BTreeSet::from(["mnist".to_owned()]));
        assert!(targets(&json!({})).is_err());
    }
}
