//! `stormfire convert`: replays runs of a discontinued tracker into another one.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
#[cfg(feature = "comet")]
use stormfire::loggers::CometLogger;
#[cfg(feature = "mlflow")]
use stormfire::loggers::MlflowLogger;
#[cfg(feature = "trackio")]
use stormfire::loggers::TrackioLogger;
#[cfg(feature = "wandb")]
use stormfire::loggers::WandbLogger;
use stormfire::loggers::{CsvLogger, Error, Logger, NeptuneRun, TensorBoardLogger};

#[derive(Args)]
pub(crate) struct Options {
    /// The folder of a run, or a folder that contains runs, such as `.neptune`.
    folder: PathBuf,
    /// The target of the runs. The address and key of a server come from the environment, as for the logger.
    #[arg(long)]
    to: Target,
    /// The output folder.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// The experiment or project that gets the runs.
    #[arg(long, default_value = "neptune")]
    project: String,
}

/// The target of the runs. Each tracker is a cargo feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    /// A table of metrics, and the hyperparameters in the same folder.
    Csv,
    /// Event files of TensorBoard.
    Tensorboard,
    /// The server that `MLFLOW_TRACKING_URI` names, or the folder `mlruns`.
    #[cfg(feature = "mlflow")]
    Mlflow,
    /// Comet with `COMET_API_KEY`, otherwise an archive for `comet upload`.
    #[cfg(feature = "comet")]
    Comet,
    /// The server that trackio's variables name.
    #[cfg(feature = "trackio")]
    Trackio,
    /// W&B. With `WANDB_MODE=offline`, a folder for `wandb sync`.
    #[cfg(feature = "wandb")]
    Wandb,
}

/// Converts every run and returns the text to print.
pub(crate) fn run(options: &Options) -> Result<String, String> {
    let runs = NeptuneRun::find(&options.folder).map_err(|error| explain(&error))?;
    let mut text = String::new();
    for folder in runs {
        text += &convert(&folder, options).map_err(|error| format!("{text}in `{}`:\n{}", folder.display(), explain(&error)))?;
    }
    Ok(text)
}

fn convert(folder: &Path, options: &Options) -> Result<String, Error> {
    let run = NeptuneRun::read(folder)?;
    let own = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = run.name().map_or(own, str::to_owned);
    let mut logger = logger(options, &name);
    let done = run.replay(&mut *logger)?;
    let place = logger.log_dir().map_or(String::new(), |folder| format!(" in `{}`", folder.display()));
    Ok(format!("`{name}` is `{}` of `{}`{place}: {done}\n", logger.version(), logger.name()))
}

fn logger(options: &Options, name: &str) -> Box<dyn Logger> {
    let Options { to, out, project, .. } = options;
    // A separator in the name would change the folder.
    let folder_name = name.replace(['/', '\\'], "_");
    match to {
        Target::Csv => Box::new(CsvLogger::new(out).name(project).version(folder_name)),
        Target::Tensorboard => Box::new(TensorBoardLogger::new(out).name(project).version(folder_name)),
        #[cfg(feature = "mlflow")]
        Target::Mlflow => Box::new(MlflowLogger::new().experiment(project).run_name(name).save_dir(out).strict(true)),
        #[cfg(feature = "comet")]
        Target::Comet => Box::new(CometLogger::new().project(project).experiment_name(name).save_dir(out).strict(true)),
        #[cfg(feature = "trackio")]
        Target::Trackio => Box::new(TrackioLogger::new().project(project).run(name).save_dir(out).strict(true)),
        #[cfg(feature = "wandb")]
        Target::Wandb => Box::new(WandbLogger::new().project(project).run_name(name).save_dir(out).strict(true)),
    }
}

pub(crate) fn explain(error: &Error) -> String {
    let hint = error.hint().map(|hint| format!("hint: {hint}\n"));
    format!("error: {error}\n{}", hint.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use stormfire::loggers::{NeptuneLogger, Status};

    use super::*;

    #[test]
    fn a_folder_of_runs_becomes_tables_of_the_same_values() {
        let folder = tempfile::tempdir().unwrap();
        for (name, value) in [("first", 0.5), ("a/b", 0.25)] {
            let mut logger = NeptuneLogger::new(folder.path()).run_name(name);
            logger.log_metrics(&[("loss", value)].into(), Some(3)).unwrap();
            logger.finalize(Status::Success).unwrap();
        }
        let out = folder.path().join("out");
        let options = Options { folder: folder.path().to_owned(), to: Target::Csv, out: out.clone(), project: "old".to_owned() };
        let text = run(&options).unwrap();
        assert_eq!(text.matches("1 metric values, 0 hyperparameters").count(), 2, "{text}");
        for (name, value) in [("first", "0.5"), ("a_b", "0.25")] {
            let table = std::fs::read_to_string(out.join("old").join(name).join("metrics.csv")).unwrap();
            assert_eq!(table, format!("step,epoch,loss\n3,,{value}\n"));
        }
    }

    #[test]
    fn a_folder_without_runs_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { folder: folder.path().to_owned(), to: Target::Csv, out: "out".into(), project: "old".to_owned() };
        let text = run(&options).unwrap_err().replace(&folder.path().display().to_string(), "[folder]");
        insta::assert_snapshot!(text, @"error: `[folder]` contains no Neptune run: it has no `data-*.log`");
    }
}
