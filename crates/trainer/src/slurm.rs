//! SLURM: saves a job that is about to be ended, requeues it, and resumes it.

use std::{path::PathBuf, process::Command};

use stormfire_checkpoint::storage;
use stormfire_data::Stage;
use stormfire_module::{Error, Result};

use crate::{config::TrainerConfig, requeue_signal::RequeueSignal, signals::Signal};

/// The requeue settings of a Trainer's runs.
#[derive(Debug, PartialEq)]
pub(crate) struct Requeue {
    signal: Option<Signal>,
    /// The id for `scontrol`: `123`, or `120_3` in an array.
    job: Option<String>,
    root: PathBuf,
}

impl Requeue {
    /// Reads the options and this process's environment.
    pub(crate) fn of_this_process(config: &TrainerConfig) -> Self {
        Self::new(config, |name| std::env::var(name).ok())
    }

    /// Reads the options and an environment.
    fn new(config: &TrainerConfig, env: impl Fn(&str) -> Option<String>) -> Self {
        let job = job(env);
        let signal = match config.requeue_signal {
            RequeueSignal::Auto => job.is_some().then_some(Signal::User1),
            given => given.given(),
        };
        let signal = signal.filter(|_| config.handle_signals);
        let root = storage::absolute(&config.default_root_dir).unwrap_or_else(|_| config.default_root_dir.clone());
        Self { signal, job, root }
    }

    /// The signal to handle.
    pub(crate) fn signal(&self) -> Option<Signal> {
        self.signal
    }

    /// The path for the checkpoint of a fit.
    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.root.join(self.job.as_ref().map_or_else(|| "requeue.ckpt".into(), |job| format!("requeue-{job}.ckpt")))
    }

    /// The checkpoint that this job left when it was requeued.
    ///
    /// # Errors
    /// Fails if a store does not answer.
    pub(crate) fn saved(&self) -> Result<Option<PathBuf>> {
        let path = self.checkpoint();
        if self.signal.is_none() || self.job.is_none() || !storage::exists(&path)? {
            return Ok(None);
        }
        tracing::info!("this job was requeued: the fit resumes from `{}`", path.display());
        Ok(Some(path))
    }

    /// Removes that checkpoint, after the fit has completed.
    pub(crate) fn forget(&self) {
        let path = self.checkpoint();
        if self.signal.is_some()
            && self.job.is_some()
            && let Err(error) = storage::remove(&path)
        {
            tracing::warn!("the next fit of this job would resume from an old checkpoint: {error}");
        }
    }

    /// Requeues the job.
    ///
    /// # Errors
    /// Fails if `scontrol` cannot be called or returns an error.
    pub(crate) fn submit(&self, stage: Stage) -> Result<()> {
        let Some(job) = &self.job else {
            tracing::warn!("this is not a SLURM job, so it is not requeued");
            return Ok(());
        };
        let failed = |reason: String| {
            let hint = match stage {
                Stage::Fit => format!("the fit is saved: submit the job again with `ckpt_path(\"{}\")`", self.checkpoint().display()),
                _ => "submit the job again".into(),
            };
            Err(Error::config("requeue_signal", format!("`scontrol requeue {job}` failed: {reason}"), hint))
        };
        match Command::new("scontrol").args(["requeue", job]).output() {
            Ok(output) if output.status.success() => {
                tracing::info!("the job {job} was requeued");
                Ok(())
            }
            Ok(output) => {
                let said = format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
                failed(said.trim_end_matches(": ").into())
            }
            Err(error) => failed(error.to_string()),
        }
    }
}

/// The job of this process. An interactive shell is not a job, because it would not restart by itself.
fn job(env: impl Fn(&str) -> Option<String>) -> Option<String> {
    let id = env("SLURM_JOB_ID")?;
    if env("SLURM_JOB_NAME").is_some_and(|name| name == "bash" || name == "interactive") {
        return None;
    }
    Some(match (env("SLURM_ARRAY_JOB_ID"), env("SLURM_ARRAY_TASK_ID")) {
        (Some(array), Some(task)) => format!("{array}_{task}"),
        _ => id,
    })
}

#[cfg(test)]
mod tests {
    use fs_err as fs;

    use super::*;

    fn requeue(config: &TrainerConfig, env: &[(&str, &str)]) -> Requeue {
        Requeue::new(config, |name| env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into()))
    }

    #[test]
    fn signal_and_file_follow_from_options_and_environment() {
        let default = TrainerConfig::default;
        let with = |requeue_signal| TrainerConfig { requeue_signal, ..default() };
        let job = [("SLURM_JOB_ID", "123")];
        let array = [("SLURM_JOB_ID", "123"), ("SLURM_ARRAY_JOB_ID", "120"), ("SLURM_ARRAY_TASK_ID", "3")];
        let shell = [("SLURM_JOB_ID", "123"), ("SLURM_JOB_NAME", "bash")];
        let cases = [
            (default(), &[][..], None, "requeue.ckpt"),
            (default(), &job[..], Some(Signal::User1), "requeue-123.ckpt"),
            (default(), &array[..], Some(Signal::User1), "requeue-120_3.ckpt"),
            (default(), &shell[..], None, "requeue.ckpt"),
            (with(RequeueSignal::Off), &job[..], None, "requeue-123.ckpt"),
            (with(RequeueSignal::Usr1), &[][..], Some(Signal::User1), "requeue.ckpt"),
            (with(RequeueSignal::Usr2), &job[..], Some(Signal::User2), "requeue-123.ckpt"),
            (with(RequeueSignal::Hup), &job[..], Some(Signal::Hangup), "requeue-123.ckpt"),
            (with(RequeueSignal::Term), &job[..], Some(Signal::Terminate), "requeue-123.ckpt"),
        ];
        for (config, env, signal, file) in cases {
            let requeue = requeue(&config, env);
            // Valid even if the process changes its current folder.
            assert_eq!((requeue.signal(), requeue.checkpoint()), (signal, std::path::absolute(file).unwrap()), "{env:?}");
        }
        assert_eq!(requeue(&TrainerConfig { handle_signals: false, ..default() }, &job).signal(), None);
    }

    #[test]
    fn only_the_file_of_this_job_is_continued_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let config = |requeue_signal| TrainerConfig { requeue_signal, default_root_dir: folder.path().into(), ..TrainerConfig::default() };
        let auto = || config(RequeueSignal::Auto);
        let job = [("SLURM_JOB_ID", "123")];
        let file = folder.path().join("requeue-123.ckpt");
        assert_eq!(requeue(&auto(), &job).saved().unwrap(), None);
        fs::write(&file, "").unwrap();
        fs::write(folder.path().join("requeue.ckpt"), "").unwrap();
        assert_eq!(requeue(&auto(), &job).saved().unwrap(), Some(file.clone()));
        for other in [requeue(&auto(), &[("SLURM_JOB_ID", "124")]), requeue(&config(RequeueSignal::Off), &job), requeue(&auto(), &[])] {
            assert_eq!(other.saved().unwrap(), None);
            other.forget();
        }
        assert!(file.exists() && folder.path().join("requeue.ckpt").exists());
        requeue(&auto(), &job).forget();
        assert!(!file.exists());
    }
}
