//! Runs every example briefly on the committed data. They are the programs that the step `test` has built. The first
//! example can also run as a new user runs it, optimized and with only the features that it needs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::data;
use crate::step::Verdict;
use crate::system::{self, Workspace};

const PACKAGE: &str = "stormfire-examples";

/// The arguments of an example, and the files that it must write.
struct Run {
    example: &'static str,
    /// `{root}` stands for the folder of this run.
    arguments: &'static [&'static str],
    /// Paths below that folder. The last part may begin with `*`.
    leaves: &'static [&'static str],
    /// A file of metrics below that folder, a metric in it, and the least that its last value must be.
    quality: &'static [(&'static str, &'static str, f64)],
}

/// The default data of the MNIST example.
pub(crate) const MNIST_DATA: &str = "data/mnist-mini";

/// Hides the progress bar.
const QUIET: &str = "trainer.enable_progress_bar=false";

/// The folder of a run.
const ROOT: &str = "trainer.default_root_dir={root}";

const MNIST: Run = Run {
    example: "mnist",
    arguments: &["trainer.max_steps=60", "trainer.seed=1", "trainer.log_every_n_steps=5", QUIET, ROOT],
    leaves: &[
        "lightning_logs/version_0/metrics.csv",
        "lightning_logs/version_0/hparams.yaml",
        "lightning_logs/version_0/config.yaml",
        "lightning_logs/version_0/*.tfevents.*",
        "lightning_logs/version_0/checkpoints/*.ckpt",
    ],
    quality: &[],
};

/// The example whose weights are fetched.
const FINETUNE: &str = "finetune_text";
/// Vectors of sentences that `NumPy` has calculated.
const MINILM_TABLE: &str = "examples/testdata/minilm.json";

/// One row for each example. A missing row fails the step.
const RUNS: &[Run] = &[
    MNIST,
    Run {
        example: "char_gpt",
        arguments: &[
            "fit",
            "--trainer.max_steps=4",
            "--model.layers=1",
            "--model.width=16",
            "--data.context=16",
            "--data.batch_size=6",
            "--devices=2",
            "--model.dropout=0.1",
            QUIET,
            ROOT,
        ],
        leaves: &["lightning_logs/version_0/metrics.csv", "lightning_logs/version_0/checkpoints/*.ckpt"],
        quality: &[],
    },
    Run {
        example: FINETUNE,
        arguments: &["data.messages=640", "--model.compare", MINILM_TABLE, QUIET, ROOT],
        leaves: &["adapters.safetensors", "model.safetensors", "lightning_logs/version_2/checkpoints/*.ckpt"],
        quality: &[
            ("lightning_logs/version_0/metrics.csv", "test_f1", 0.55),
            ("lightning_logs/version_1/metrics.csv", "test_f1", 0.75),
            ("lightning_logs/version_2/metrics.csv", "test_f1", 0.75),
        ],
    },
    Run {
        example: "gan",
        arguments: &["trainer.max_steps=500", QUIET, ROOT],
        leaves: &[
            "lightning_logs/version_0/samples.png",
            "lightning_logs/version_0/metrics.csv",
            "lightning_logs/version_0/*.tfevents.*",
            "lightning_logs/version_0/checkpoints/*.ckpt",
        ],
        quality: &[],
    },
    Run {
        example: "custom_callback",
        arguments: &["--stop.threshold", "0.8", QUIET, ROOT],
        leaves: &["lightning_logs/version_0/metrics.csv", "lightning_logs/version_0/checkpoints/*.ckpt"],
        quality: &[],
    },
    Run {
        example: "new_blank",
        arguments: &["-c", "crates/stormfire/templates/blank.yaml", "--epochs", "2", "--root", "{root}"],
        leaves: &[
            "lightning_logs/version_0/metrics.csv",
            "lightning_logs/version_0/training.log",
            "lightning_logs/version_0/checkpoints/*.ckpt",
        ],
        quality: &[],
    },
    Run {
        example: "new_tabular",
        arguments: &["-c", "crates/stormfire/templates/tabular.yaml", "--root", "{root}"],
        leaves: &[
            "lightning_logs/version_0/metrics.csv",
            "lightning_logs/version_0/training.log",
            "lightning_logs/version_0/checkpoints/*.ckpt",
        ],
        quality: &[("lightning_logs/version_0/metrics.csv", "val_acc", 0.85)],
    },
    Run {
        example: "new_vision",
        arguments: &["-c", "crates/stormfire/templates/vision.yaml", "--root", "{root}"],
        leaves: &[
            "lightning_logs/version_0/metrics.csv",
            "lightning_logs/version_0/training.log",
            "lightning_logs/version_0/checkpoints/*.ckpt",
        ],
        quality: &[("lightning_logs/version_0/metrics.csv", "val_acc", 0.8)],
    },
    Run {
        example: "new_text",
        arguments: &["-c", "crates/stormfire/templates/text.yaml", "--epochs", "2", "--root", "{root}"],
        leaves: &[
            "lightning_logs/version_0/metrics.csv",
            "lightning_logs/version_0/training.log",
            "lightning_logs/version_0/checkpoints/*.ckpt",
        ],
        quality: &[],
    },
    Run {
        example: "custom_logger",
        arguments: &[QUIET, ROOT, "lines.file={root}/metrics.jsonl"],
        leaves: &["metrics.jsonl", "lightning_logs/version_0/metrics.csv", "lightning_logs/version_0/hparams.yaml"],
        quality: &[],
    },
    Run {
        example: "custom_logger",
        arguments: &[QUIET, ROOT, "-m", "model.lr=0.1,0.2", "--jobs=2", "lines.file={root}/metrics.jsonl"],
        leaves: &[
            "multirun_0/job_1/lightning_logs/version_0/config.yaml",
            "multirun_0/job_1/lightning_logs/version_0/metrics.csv",
            "multirun_0/job_1/output.log",
        ],
        quality: &[],
    },
    Run {
        example: "trackers",
        arguments: &["--epochs", "1", QUIET, ROOT],
        leaves: &[
            "lightning_logs/version_0/metrics.csv",
            "lightning_logs/version_0/hparams.yaml",
            "lightning_logs/version_0/training.log",
            "lightning_logs/version_0/report.md",
            "wandb/latest-run/*.wandb",
            "comet/*.zip",
            ".neptune/offline/run__*",
            "lightning_logs/version_0/*.tfevents.*",
            "lightning_logs/version_0/checkpoints/*.ckpt",
        ],
        quality: &[],
    },
];

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    let metadata = system::output(workspace.cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let known: BTreeSet<String> = RUNS.iter().map(|run| run.example.to_owned()).collect();
    let existing = targets(&metadata)?;
    if known != existing {
        bail!("the table `RUNS` in xtask/src/examples.rs has the examples {known:?}, the package {PACKAGE} has {existing:?}");
    }
    let mut skipped = None;
    for run in RUNS {
        if run.example == FINETUNE {
            if let Err(error) = data::minilm(workspace) {
                skipped = Some(format!("no weights for the example `{FINETUNE}`, which `cargo xtask data` fetches: {error:#}"));
                continue;
            }
            // The table, with which the example compares itself, is NumPy's.
            system::run(workspace.script(&data::python(workspace)?, "minilm.py").args([data::MINILM.folder, MINILM_TABLE]))?;
        }
        run_one(workspace, run)?;
    }
    Ok(skipped.map_or(Verdict::Passed, Verdict::Skipped))
}

/// The folder with the logs of the MNIST example. Runs the example if no earlier step did.
pub(crate) fn mnist_logs(workspace: &Workspace) -> Result<PathBuf> {
    let logs = folder(workspace, &MNIST).join("lightning_logs/version_0");
    if !logs.exists() {
        run_one(workspace, &MNIST)?;
    }
    Ok(logs)
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

fn folder(workspace: &Workspace, run: &Run) -> PathBuf {
    workspace.target.join("examples-run").join(run.example)
}

fn run_one(workspace: &Workspace, run: &Run) -> Result<()> {
    let built = system::build(workspace, &["--example", run.example])?;
    run_as(workspace, workspace.command(system::program(&built.join("examples"), run.example)), run)
}

/// Runs exactly the command that the README gives to a new user.
pub(crate) fn first(workspace: &Workspace) -> Result<Verdict> {
    let mut cargo = workspace.cargo();
    cargo.args(["run", "--quiet", "--release", "--example", MNIST.example, "--"]);
    run_as(workspace, cargo, &MNIST)?;
    Ok(Verdict::Passed)
}

/// Runs a command, and looks for the files that it must write.
fn run_as(workspace: &Workspace, mut command: Command, run: &Run) -> Result<()> {
    let root = folder(workspace, run);
    system::fresh_folder(&root)?;
    for argument in run.arguments {
        command.arg(argument.replace("{root}", &root.display().to_string()));
    }
    system::run(&mut command)?;
    for path in run.leaves {
        if !exists(&root, path)? {
            bail!("the example `{}` left no `{path}` in `{}`", run.example, root.display());
        }
    }
    for (path, metric, least) in run.quality {
        let value = last_value(&fs_err::read_to_string(root.join(path))?, metric);
        println!("{}: {metric} {value:?} in {path}", run.example);
        if value.is_none_or(|value| value < *least) {
            bail!("the example `{}` has {metric} {value:?} in {path}, and at least {least} is usual", run.example);
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

fn targets(metadata: &str) -> Result<BTreeSet<String>> {
    let metadata: Value = serde_json::from_str(metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let ours = packages.iter().filter(|package| package["name"] == PACKAGE);
    let targets = ours.filter_map(|package| package["targets"].as_array()).flatten();
    Ok(targets.filter(|target| target["kind"][0] == "example").filter_map(|target| target["name"].as_str().map(str::to_owned)).collect())
}

#[cfg(test)]
mod tests {
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
    fn the_last_value_of_a_column_counts() {
        let csv = "epoch,loss,test_f1\n0,0.5,\n0,,0.25\n1,0.4,0.75\n1,0.3,\n";
        assert_eq!((last_value(csv, "test_f1"), last_value(csv, "f1"), last_value("", "f1")), (Some(0.75), None, None));
    }

    #[test]
    fn only_targets_of_the_examples_package_count() {
        let metadata = r#"{"packages": [
            {"name": "stormfire-examples", "targets": [{"kind": ["lib"], "name": "a"}, {"kind": ["example"], "name": "mnist"}]},
            {"name": "stormfire-loggers", "targets": [{"kind": ["example"], "name": "b"}]}
        ]}"#;
        assert_eq!(targets(metadata).unwrap(), BTreeSet::from(["mnist".to_owned()]));
        assert!(targets("{}").is_err());
    }
}
