//! Reports the location of a fit's files, at its end.

use std::path::Path;

use stormfire_callbacks::ModelCheckpoint;
use stormfire_loggers::{for_trainer::from_here, shell_word};
use stormfire_module::{Callback, LightningModule, run::Run};
use stormfire_values::number_text;

use crate::config::TrainerConfig;

/// Reports the folder of the run, its checkpoints, and the commands that show its logs, each in a line that can be
/// copied. Reports nothing for a run without files.
pub(crate) fn tell<M: LightningModule>(config: &TrainerConfig, run: &Run, log_dir: Option<&Path>, callbacks: &[Box<dyn Callback<M>>]) {
    if config.barebones || run.fast_dev_run {
        return;
    }
    let (mut lines, mut commands) = (Vec::new(), Vec::new());
    let folder = log_dir.map(from_here);
    if let Some((local, folder)) = log_dir.zip(folder) {
        let of_store = stormfire_loggers::remote_folder(local).map(|url| format!(", sent to `{}`", url.display())).unwrap_or_default();
        lines.push(format!("the run is in `{}`{of_store}", folder.display()));
        let folder = folder.display().to_string();
        commands.extend(["watch", "report"].map(|command| format!("stormfire {command} {}", shell_word(&folder))));
    }
    for saving in callbacks.iter().filter_map(|callback| (callback.as_ref() as &dyn std::any::Any).downcast_ref::<ModelCheckpoint>()) {
        let Some(path) = saving.best_model_path().map(from_here) else { continue };
        let path = folder.and_then(|folder| path.strip_prefix(folder).ok()).unwrap_or(path).display();
        lines.push(match saving.monitored().zip(saving.best_model_score()) {
            Some((metric, score)) => format!("best checkpoint: `{path}` ({metric} = {})", number_text::short(score)),
            None => format!("newest checkpoint: `{path}`"),
        });
    }
    commands.extend(run.loggers.iter().filter_map(|logger| logger.shown_by()).map(str::to_owned));
    commands.dedup();
    if !commands.is_empty() {
        lines.push(format!("to view it:\n  {}", commands.join("\n  ")));
    }
    if !lines.is_empty() {
        tracing::info!("{}", lines.join("\n").replace('\n', "\n  "));
    }
}
