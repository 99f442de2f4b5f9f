//! Another process removes the folder of a run, or files in it, during the run.
#![cfg(unix)]

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use stormfire::{
    console::{Builder, Level},
    loggers::{CometLogger, MlflowLogger, NeptuneLogger, SpooledRun, TrackioLogger, WandbLogger},
    prelude::*,
};

use crate::{
    child::{folder, part, play},
    files::{names, read_csv, read_events, steps_of},
    rig::{Logging, checkpoint_of, logging, resumes_from, run_of},
    support::line_data,
};

/// Removes a path after this step. The values logged before are already on disk.
struct Removes(u64, PathBuf);

impl Callback<Logging> for Removes {
    fn on_train_batch_start(&mut self, ctx: &mut Context<'_>, _: &mut Logging, _: &crate::support::Batch, _: usize) -> Result<()> {
        if ctx.global_step() == self.0 {
            ctx.loggers().flush()?;
            // A concurrent write may make the removal fail.
            while self.1.is_dir() && std::fs::remove_dir_all(&self.1).is_err() {}
            if self.1.is_file() {
                std::fs::remove_file(&self.1)?;
            }
        }
        Ok(())
    }
}

/// A fit of 20 steps. It saves in the foreground, so no checkpoint is being written during the repeated removals.
fn fit(trainer: Trainer<Logging>) {
    let fit = { trainer }.async_checkpointing(false).max_epochs(1).fit(Logging::new(), line_data(40, 2)).unwrap();
    assert_eq!(fit.progress.global_step, 20);
}

#[test]
fn tables_and_events_are_complete_after_any_removal() {
    for removed in
        ["lightning_logs", "lightning_logs/version_0", "lightning_logs/version_0/metrics.csv", "lightning_logs/version_0/checkpoints"]
    {
        let folder = tempfile::tempdir().unwrap();
        fit(logging(folder.path()).callback(Removes(12, folder.path().join(removed))));
        let run = run_of(folder.path());
        assert_eq!(read_csv(&run).steps(), (0..20).collect::<Vec<_>>(), "{removed}");
        assert_eq!(steps_of(&read_events(&run), "train_loss"), (0..20).collect::<Vec<_>>(), "{removed}");
        let checkpoint = checkpoint_of(&run);
        assert!(checkpoint.ends_with("epoch=0-step=20.ckpt"), "{removed}: {}", checkpoint.display());
        resumes_from(&checkpoint);
    }
}

/// Every other logger with files also continues.
#[test]
fn a_run_continues_with_every_logger() {
    type Given = fn(&Path) -> Trainer<Logging>;
    let given: [(&str, Given); 5] = [
        ("mlruns", |folder| logging(folder).logger(MlflowLogger::new().tracking_uri(folder.join("mlruns").display().to_string()))),
        ("wandb", |folder| logging(folder).logger(WandbLogger::new().offline(true).save_dir(folder))),
        ("comet", |folder| logging(folder).logger(CometLogger::new().offline(true).save_dir(folder.join("comet")))),
        ("neptune", |folder| logging(folder).logger(NeptuneLogger::new(folder.join("neptune")))),
        ("csv", |folder| logging(folder).logger(CsvLogger::new(folder.join("csv")).jsonl(true))),
    ];
    for (name, trainer) in given {
        let folder = tempfile::tempdir().unwrap();
        fit(trainer(folder.path()).callback(Removes(12, folder.path().join(name))));
        assert!(!names(&folder.path().join(name)).is_empty(), "{name}");
    }
}

/// The spool for an unreachable server is recreated completely: with the records from before the removal, the note
/// about the server, and the lock.
#[test]
fn a_spool_is_complete_after_any_removal() {
    type Given = fn(&Path) -> Trainer<Logging>;
    // No server listens there.
    const AWAY: &str = "http://127.0.0.1:9";
    const KEY: &str = "0123456789012345678901234567890123456789";
    const NO_WAIT: Duration = Duration::ZERO;
    let given: [(&str, Given); 4] = [
        ("mlflow", |folder| logging(folder).logger(MlflowLogger::new().tracking_uri(AWAY).save_dir(folder).patience(NO_WAIT))),
        ("wandb", |folder| logging(folder).logger(WandbLogger::new().base_url(AWAY).api_key(KEY).save_dir(folder).patience(NO_WAIT))),
        ("comet", |folder| logging(folder).logger(CometLogger::new().server(AWAY).api_key(KEY).save_dir(folder).patience(NO_WAIT))),
        ("trackio", |folder| logging(folder).logger(TrackioLogger::new().server_url(AWAY).save_dir(folder).patience(NO_WAIT))),
    ];
    for (name, trainer) in given {
        let records = |removed: Option<&str>| {
            let folder = tempfile::tempdir().unwrap();
            let trainer = trainer(folder.path());
            fit(match removed {
                Some(removed) => trainer.callback(Removes(12, folder.path().join(removed))),
                None => trainer,
            });
            let spools = SpooledRun::find(folder.path()).unwrap();
            assert_eq!(spools.len(), 1, "{name}, {removed:?}");
            assert_eq!((spools[0].tracker(), spools[0].server(), spools[0].damaged()), (name, AWAY, 0), "{removed:?}");
            spools[0].records()
        };
        let whole = records(None);
        assert!(whole >= 20, "{name}: {whole}");
        for removed in [".stormfire".to_owned(), format!(".stormfire/{name}")] {
            assert_eq!(records(Some(&removed)), whole, "{name}, {removed}");
        }
    }
}

/// Helper test for a child process. Loggers report on separate threads, which only the subscriber of the process
/// receives.
#[test]
#[ignore = "a part of `a_removed_folder_is_reported_once`"]
fn reports() {
    let Some(folder) = folder() else { return };
    let console = Builder::new()
        .no_screen()
        .level("stormfire", Level::OFF)
        .level("stormfire_store", Level::WARN)
        .level("stormfire_loggers", Level::WARN);
    console.file_at(folder.join("said.log")).init().unwrap();
    fit(logging(&folder).callback(Removes(12, folder.join("lightning_logs"))));
}

#[test]
fn a_removed_folder_is_reported_once() {
    let folder = tempfile::tempdir().unwrap();
    play(part("removed_folders::reports", folder.path()));
    let said = std::fs::read_to_string(folder.path().join("said.log")).unwrap();
    let expected = format!("`{}` or files in it were removed during the run", run_of(folder.path()).display());
    assert_eq!((said.matches(&expected).count(), said.lines().count()), (1, 1), "{said}");
}
