//! Reports the location of a fit's files, at its end.

use std::path::Path;

use stormfire_callbacks::ModelCheckpoint;
use stormfire_loggers::{for_trainer::from_here, shell_word};
use stormfire_module::{Callback, LightningModule, run::Run};
use stormfire_values::number_text;

use crate::config::TrainerConfig;

/// Reports the folder of the run, the commands to view its logs, and its checkpoints. Reports nothing for a run without
/// files.
pub(crate) fn tell<M: LightningModule>(config: &TrainerConfig, run: &Run, log_dir: Option<&Path>, callbacks: &[Box<dyn Callback<M>>]) {
    if config.barebones || run.fast_dev_run {
        return;
    }
    if let Some(folder) = log_dir {
        let of_store = stormfire_loggers::remote_folder(folder).map(|url| format!(", sent to `{}`", url.display())).unwrap_or_default();
        let folder = from_here(folder);
        tracing::info!("the run is in `{}`{of_store}", folder.display());
        let word = shell_word(&folder.display().to_string()).into_owned();
        tracing::info!("to see it: `stormfire watch {word}`, or as a page: `stormfire report {word}`");
    }
    let mut commands: Vec<_> = run.loggers.iter().filter_map(|logger| logger.shown_by()).collect();
    commands.dedup();
    for command in commands {
        tracing::info!("to view its logs: `{command}`");
    }
    for saving in callbacks.iter().filter_map(|callback| (callback.as_ref() as &dyn std::any::Any).downcast_ref::<ModelCheckpoint>()) {
        let Some(path) = saving.best_model_path().map(from_here) else { continue };
        if let Some((metric, score)) = saving.monitored().zip(saving.best_model_score()) {
            tracing::info!("the best checkpoint is `{}` ({metric} = {})", path.display(), number_text::short(score));
        } else {
            tracing::info!("the newest checkpoint is `{}`", path.display());
        }
    }
}
