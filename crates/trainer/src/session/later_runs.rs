//! Runs after the first one of a Trainer: another fit, or a longer one.

use std::{path::PathBuf, sync::Arc};

use stormfire_loggers::Background;
use stormfire_module::{Error, LightningModule, Result};

use super::Session;
use crate::{
    checkpoint::{self, Resume},
    fit_state::RunState,
    setup::{OpenLoggers, folders_of_runs},
};

/// The end of a fit.
pub(super) struct Ended<M> {
    pub(super) state: RunState,
    /// The trained weights, if a callback has others in force.
    pub(super) trained: Option<M>,
}

impl<M: LightningModule> Session<M> {
    /// Gives another fit new logs, or those of the checkpoint that it resumes from. It uses the current logs if no fit
    /// has been logged to them.
    pub(crate) fn begin_new_logs(&mut self, resume: Option<&Resume>) -> Result<()> {
        let resume = resume.filter(|_| !self.engine.frame.config.new_version_on_resume);
        if !self.engine.frame.has_logged_fit && !self.engine.frame.logs_wait && resume.is_none() {
            return Ok(());
        }
        let opened = OpenLoggers::of_another_run(&self.engine.run.loggers, resume)?;
        self.log_dir = opened.log_dir();
        self.engine.run.loggers = opened.loggers;
        self.folders = opened.folders;
        (self.engine.frame.logs_wait, self.engine.frame.has_logged_fit) = (opened.some_continue, false);
        Ok(())
    }

    /// The final state of the newest fit, to continue from.
    pub(crate) fn newest_fit(&mut self, module: &M) -> Result<Resume> {
        let ended = self.end_of_newest_fit("fit_further", "resume from a checkpoint with `set_ckpt_path`")?;
        let (manifest, tensors) = checkpoint::in_memory(&mut self.engine, &mut module.clone(), &self.training, ended)?;
        Resume::in_memory(manifest, tensors)
    }

    /// The final state of the newest fit. A fit that failed has none. `method` needs it, `instead` is another way.
    pub(super) fn end_of_newest_fit(&self, method: &str, instead: &str) -> Result<RunState> {
        self.ended.as_ref().map(|ended| ended.state.clone()).ok_or_else(|| {
            let hint = format!("call it after a `Trainer::fit` that has returned a module, or {instead}");
            Error::config(method, "no fit has completed", hint)
        })
    }

    /// Sets new limits for later runs.
    pub(crate) fn set_limits(&mut self, max_epochs: Option<usize>, max_steps: Option<u64>) {
        if self.engine.frame.config.fast_dev_run == 0 {
            let config = Arc::make_mut(&mut self.engine.frame.config);
            (config.max_epochs, config.max_steps) = (max_epochs, max_steps);
        }
    }

    pub(super) fn state_at_the_end(&mut self, module: &M) -> Result<Ended<M>> {
        // A fit that continues from the end of another one should train longer.
        self.engine.run.place.requests.stops.clear();
        let trained = self.engine.given_weights(module)?.map(|_| module.valid());
        Ok(Ended { state: checkpoint::run_state(&mut self.engine)?, trained })
    }

    /// The folders of all runs of the loggers.
    pub(crate) fn folders_of_runs(&self) -> Result<Vec<PathBuf>> {
        let of_loggers = self.engine.run.loggers.iter().map(Background::log_dirs).collect::<Result<_, _>>()?;
        folders_of_runs(of_loggers, &self.engine.run.default_root_dir)
    }
}
