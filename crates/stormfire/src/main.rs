//! The program `stormfire`: creates projects, shows runs and checkpoints, sends runs and spooled records to trackers.

mod convert;
mod new_project;
#[cfg(any(feature = "comet", feature = "mlflow", feature = "trackio", feature = "wandb"))]
mod sync;
mod view_runs;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Parser, Subcommand};
use console::Term;
use stormfire::checkpoint::{self, Error};

#[derive(Parser)]
#[command(name = "stormfire", version, about = "Tools for runs of Stormfire", max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Verify a checkpoint and show its content.
    ///
    /// The exit code is 1 if the file is damaged or not a checkpoint. The newest good checkpoint in the same folder is
    /// named.
    Inspect {
        /// The checkpoint, a `.ckpt` file.
        file: PathBuf,
        /// Shorten nothing, and show the configuration too.
        #[arg(long)]
        all: bool,
        /// Print everything as JSON.
        #[arg(long, conflicts_with = "all")]
        json: bool,
    },
    /// Create a project that builds and trains at once.
    New(new_project::New),
    /// Show runs in the terminal: curves, machine, checkpoints, settings and log lines.
    ///
    /// It follows runs that are written by another process, and shows runs that have ended. It reads `metrics.csv`,
    /// lines of JSON and TensorBoard's event files, also those of other trainers. `?` lists the keys.
    Watch(view_runs::Watch),
    /// Write one page about runs for a browser: curves, settings, checkpoints, media, warnings.
    ///
    /// The page is a single file. It requests nothing, and needs no script.
    Report(view_runs::Report),
    /// Replay offline runs of Neptune's client into another tracker.
    Convert(convert::Options),
    /// Send the records that tracking servers did not receive during their runs.
    ///
    /// Keys and tokens come from the environment, as for the logger. The exit code is 1 if a record is left or was
    /// refused.
    #[cfg(any(feature = "comet", feature = "mlflow", feature = "trackio", feature = "wandb"))]
    Sync(sync::Options),
}

fn main() -> ExitCode {
    let text = match Arguments::parse().command {
        Command::Inspect { file, all, json } => inspect(&file, all, json).map_err(|error| explain(&error, &file)),
        Command::New(options) => new_project::create(&options),
        Command::Watch(options) => match view_runs::watch(&options) {
            Ok(view_runs::Shown::Text(text)) => Ok(text),
            Ok(view_runs::Shown::Ended(code)) => return ExitCode::from(code),
            Err(text) => Err(text),
        },
        Command::Report(options) => view_runs::report(&options),
        Command::Convert(options) => convert::run(&options),
        #[cfg(any(feature = "comet", feature = "mlflow", feature = "trackio", feature = "wandb"))]
        Command::Sync(options) => sync::run(&options, &mut io::stdout()),
    };
    match text {
        Ok(text) => print(&text),
        Err(text) => {
            eprint!("{text}");
            ExitCode::FAILURE
        }
    }
}

/// A closed pipe is not a failure: `head`, for example, stops reading early.
fn print(text: &str) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn inspect(file: &Path, all: bool, json: bool) -> Result<String, Error> {
    let summary = checkpoint::inspect(file)?;
    Ok(if json {
        // The summary contains only strings, numbers and lists, so this cannot fail.
        serde_json::to_string_pretty(&summary).unwrap_or_default() + "\n"
    } else if all {
        format!("{summary:#}")
    } else {
        match Term::stdout().size_checked() {
            Some((_, columns)) => format!("{summary:columns$}", columns = usize::from(columns)),
            None => summary.to_string(),
        }
    })
}

fn explain(error: &Error, file: &Path) -> String {
    let hint = error.hint().map(|hint| format!("hint: {hint}\n"));
    let (place, (folder, depth)) = if file.is_dir() { ("in it", (file, 0)) } else { ("in its folder", checkpoint::neighbourhood(file)) };
    let other = checkpoint::newest_good(folder, depth, file);
    let other = other.map(|found| {
        let path = found.path.strip_prefix(".").unwrap_or(&found.path).display();
        format!("the newest good checkpoint {place} is `{path}`, step {}\n", found.global_step)
    });
    format!("error: {error}\n{}{}", hint.unwrap_or_default(), other.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;
    use insta::assert_snapshot;
    use stormfire::checkpoint::{Manifest, write};

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_its_help() {
        let mut program = Arguments::command().term_width(80);
        program.build();
        let mut pages = vec![program.render_long_help().to_string()];
        let commands = program.get_subcommands_mut().filter(|command| command.get_name() != "help");
        pages.extend(commands.map(|command| command.render_long_help().to_string()));
        assert!(pages.iter().flat_map(|page| page.lines()).all(|line| line.chars().count() <= 80));
        assert_snapshot!(pages.join("\n----\n"));
    }

    #[test]
    fn a_good_file_is_shown_and_a_bad_one_explained() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad) = (folder.path().join("good.ckpt"), folder.path().join("bad.ckpt"));
        let progress = serde_json::json!({"epoch": 1, "global_step": 50});
        write(&good, &Manifest { progress, config: serde_json::json!({"max_epochs": 3}), ..Manifest::default() }, &[]).unwrap();
        assert!(inspect(&good, false, false).unwrap().contains("checksum      good"));
        assert!(inspect(&good, true, false).unwrap().contains("max_epochs 3"));
        let json: serde_json::Value = serde_json::from_str(&inspect(&good, false, true).unwrap()).unwrap();
        assert_eq!(json["manifest"]["progress"]["global_step"], 50);
        std::fs::write(&bad, "").unwrap();
        let explained = |path: &Path| {
            explain(&inspect(path, false, false).unwrap_err(), path).replace(&folder.path().display().to_string(), "[folder]")
        };
        assert_snapshot!(explained(&bad), @"
        error: `[folder]/bad.ckpt` is empty
        hint: use an older checkpoint, or copy the file again if it was copied here
        the newest good checkpoint in its folder is `[folder]/good.ckpt`, step 50
        ");
        assert_snapshot!(explained(folder.path()), @"
        error: `[folder]` is not a checkpoint: it is a folder
        hint: name a file in it; `load_weights` also takes a folder with `model.safetensors` or its index
        the newest good checkpoint in it is `[folder]/good.ckpt`, step 50
        ");
    }
}
