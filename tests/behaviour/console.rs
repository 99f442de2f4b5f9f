//! Reports of a run: their spans, their subscribers, and `training.log`.

use burn::prelude::*;
use insta::assert_snapshot;
use stormfire::{
    console::{Builder, Level},
    loggers::{Call, MemoryLogger, Status},
    prelude::*,
};
use tracing::{Dispatch, subscriber::with_default};

use crate::{
    rig::run_of,
    support::{Batch, Line, line_data},
};

/// Reports every step.
#[derive(Module, Debug)]
struct Talking {
    line: Line,
}

impl LightningModule for Talking {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        tracing::info!("trains");
        Ok(self.line.loss(batch).into())
    }

    fn validation_step(&self, _batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        tracing::info!("validates");
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

fn trainer(folder: &std::path::Path) -> Trainer<Talking> {
    Trainer::new().default_root_dir(folder).enable_progress_bar(false).enable_model_summary(false).num_sanity_val_steps(0)
}

/// The content of a run's `training.log`, without the times.
pub(crate) fn lines(run: &std::path::Path) -> Vec<String> {
    let text = std::fs::read_to_string(run.join("training.log")).unwrap();
    text.lines().map(|line| line.split_once(' ').unwrap().1.trim_start().to_owned()).collect()
}

#[test]
fn a_run_reports_into_its_folder_with_its_position() {
    let folder = tempfile::tempdir().unwrap();
    let levels = Builder::new().no_screen().file().level("behaviour", Level::INFO).level("stormfire_trainer", Level::WARN);
    let data = || (line_data(8, 4), line_data(4, 4));
    // With only one subscriber, tracing asks it on the wrong thread whether it is interested, because a test on another
    // thread may come first. A program has one subscriber for all threads.
    let _second = Dispatch::new(levels.clone().subscriber().unwrap());
    with_default(levels.clone().subscriber().unwrap(), || {
        let fit = trainer(folder.path()).max_epochs(2).fit(Talking { line: Line::new() }, data()).unwrap();
        assert_eq!(fit.progress.global_step, 4);
    });
    // Spans have the level info. The span of a step has a finer level.
    let quiet = ["INFO behaviour::console: trains"; 2];
    assert_eq!(lines(&run_of(folder.path())).iter().filter(|line| line.ends_with("trains")).count(), 4);
    assert_eq!(lines(&run_of(folder.path()))[..2], quiet);

    with_default(levels.level("stormfire_trainer", Level::DEBUG).subscriber().unwrap(), || {
        let mut trainer = trainer(folder.path()).max_epochs(3).ckpt_path("last");
        let fit = trainer.fit(Talking { line: Line::new() }, data()).unwrap();
        assert_eq!(fit.progress.global_step, 6);
    });
    let all = lines(&run_of(folder.path()));
    let has = |line: &str| assert!(all.iter().any(|other| other == line), "{line}\n{all:#?}");
    has("INFO fit:epoch{epoch=2}:step{step=4 batch_idx=0}: behaviour::console: trains");
    has("INFO fit:epoch{epoch=2}:step{step=5 batch_idx=1}:validation{stage=\"validate\"}: behaviour::console: validates");
    has("INFO stormfire_trainer::session: `Trainer.fit` stopped: `max_epochs = 3` reached");
    assert!(all.iter().any(|line| line.starts_with("DEBUG fit: stormfire_trainer::") && line.contains("saved `")), "{all:#?}");
    assert!(all.iter().any(|line| line.starts_with("INFO fit: ") && line.contains("`Trainer.fit` starts")), "{all:#?}");
}

#[test]
fn the_loggers_of_a_run_receive_its_log_lines() {
    let folder = tempfile::tempdir().unwrap();
    let levels = Builder::new().no_screen().level("behaviour", Level::INFO);
    let memory = MemoryLogger::new();
    let _second = Dispatch::new(levels.clone().subscriber().unwrap());
    with_default(levels.subscriber().unwrap(), || {
        tracing::warn!("before the run");
        let mut trainer = trainer(folder.path()).max_epochs(1).logger(memory.clone());
        assert!(trainer.fit(Talking { line: Line::new() }, line_data(8, 4)).is_ok());
        tracing::warn!("after the run");
    });
    let calls = memory.calls();
    let end = calls.iter().rposition(|call| *call == Call::Finalize(Status::Success)).unwrap();
    let mut reported = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        if let Call::Console { lines, .. } = call {
            reported.push((at, lines));
        }
    }
    assert_eq!(reported.iter().filter(|(_, line)| line.ends_with("INFO  behaviour: trains\n")).count(), 2, "{reported:#?}");
    assert!(reported.iter().all(|(_, line)| !line.contains("the run\n")), "{reported:#?}");
    assert!(reported.iter().all(|(at, _)| *at < end), "what comes later does not open the run again");
}

/// The reports of a fit after its stop.
fn last_words(folder: &std::path::Path, trainer: Trainer<Talking>) -> String {
    let path = folder.join("said.log");
    let levels = Builder::new().no_screen().file_at(&path).level("behaviour", Level::OFF);
    let _second = Dispatch::new(levels.clone().subscriber().unwrap());
    with_default(levels.subscriber().unwrap(), || {
        let mut trainer = trainer.enable_progress_bar(false).enable_model_summary(false).num_sanity_val_steps(0).max_epochs(2);
        assert!(trainer.fit(Talking { line: Line::new() }, (line_data(8, 4), line_data(4, 4))).is_ok());
    });
    let said = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    let (_, after) = said.split_once("stopped: ").unwrap();
    let whereabouts = after.split_once("whereabouts: ").map_or("", |(_, words)| words);
    whereabouts.replace(&folder.display().to_string(), "[folder]")
}

#[test]
fn all_messages_of_a_fit_name_its_folder_from_the_current_one() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let (name, path) = (folder.path().file_name().unwrap().to_str().unwrap(), folder.path().join("said.log"));
    let levels = Builder::new().no_screen().file_at(&path).level("behaviour", Level::OFF);
    let _second = Dispatch::new(levels.clone().subscriber().unwrap());
    with_default(levels.subscriber().unwrap(), || {
        let fit = |epochs| {
            let mut trainer = trainer(std::path::Path::new(name)).max_epochs(epochs).ckpt_path("last");
            assert!(trainer.fit(Talking { line: Line::new() }, line_data(8, 4)).is_ok());
        };
        fit(1);
        fit(2);
    });
    let said = std::fs::read_to_string(&path).unwrap();
    let commands = ["stormfire watch", "stormfire report", "tensorboard --logdir"];
    let messages = ["starts device", "the run is in", "(\"last\")` is `", "continues from"].into_iter().chain(commands);
    for message in messages {
        assert!(said.lines().any(|line| line.contains(message) && line.contains(name)), "{message}: {said}");
    }
    // The warning that there is no checkpoint yet lists absolute folders.
    let paths = said.lines().filter(|line| !line.contains("searched")).flat_map(|line| line.split([' ', '=', '`']));
    assert!(paths.filter(|word| word.contains(name)).all(|word| word.starts_with(name)), "{said}");
}

#[test]
fn a_fit_reports_where_its_files_are() {
    let folder = tempfile::tempdir().unwrap();
    let said = |trainer| last_words(folder.path(), trainer);
    let new = || Trainer::new().default_root_dir(folder.path());
    assert_snapshot!(said(new()), @"
    the run is in `[folder]/lightning_logs/version_0`
      newest checkpoint: `checkpoints/epoch=1-step=4.ckpt`
      to view it:
        stormfire watch [folder]/lightning_logs/version_0
        stormfire report [folder]/lightning_logs/version_0
        tensorboard --logdir [folder]/lightning_logs
    ");
    let scored = |name: &str| {
        struct Scores;
        impl Callback<Talking> for Scores {
            fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut Talking) -> Result<()> {
                ctx.log("score", ctx.current_epoch() as f64 + 0.5);
                Ok(())
            }
        }
        let best = ModelCheckpoint::new().dirpath(folder.path().join(name)).filename("{epoch}");
        (Scores, best.monitor("score"))
    };
    let (first, best) = scored("best");
    let (_, highest) = scored("highest");
    let two = new()
        .callback(first)
        .callback(best)
        .callback(highest.mode(Mode::Max))
        .callback(ModelCheckpoint::new().save_top_k(0).every(Every::Steps(1)));
    assert_snapshot!(said(two), @"
    the run is in `[folder]/lightning_logs/version_1`
      best checkpoint: `[folder]/best/epoch=0.ckpt` (score = 0.500)
      best checkpoint: `[folder]/highest/epoch=1.ckpt` (score = 1.500)
      to view it:
        stormfire watch [folder]/lightning_logs/version_1
        stormfire report [folder]/lightning_logs/version_1
        tensorboard --logdir [folder]/lightning_logs
    ");
    // A folder with a space in its name.
    let spaced = TensorBoardLogger::new(folder.path().join("a b")).name("");
    assert_snapshot!(said(new().enable_checkpointing(false).logger(spaced)), @"
    the run is in `[folder]/a b/version_0`
      to view it:
        stormfire watch '[folder]/a b/version_0'
        stormfire report '[folder]/a b/version_0'
        tensorboard --logdir '[folder]/a b'
    ");
    assert_snapshot!(said(new().enable_checkpointing(false).logger(CsvLogger::new(folder.path()))), @"
    the run is in `[folder]/lightning_logs/version_2`
      to view it:
        stormfire watch [folder]/lightning_logs/version_2
        stormfire report [folder]/lightning_logs/version_2
    ");
    assert_snapshot!(said(new().no_logger()), @"newest checkpoint: `[folder]/checkpoints/epoch=1-step=4.ckpt`");
    let silent = [new().enable_checkpointing(false).logger(MemoryLogger::new()), new().barebones(true), new().fast_dev_run(1)];
    assert_eq!(silent.map(said), [""; 3]);
    assert!(folder.path().join("lightning_logs").exists());
}

#[test]
fn a_run_without_a_folder_has_no_file() {
    let folder = tempfile::tempdir().unwrap();
    with_default(Builder::new().no_screen().file().subscriber().unwrap(), || {
        let fit = trainer(folder.path()).fast_dev_run(1).fit(Talking { line: Line::new() }, line_data(8, 4)).unwrap();
        assert_eq!(fit.progress.global_step, 1);
    });
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[derive(Module, Debug)]
struct Forgetful {
    line: Line,
}

impl LightningModule for Forgetful {
    type Batch = Batch;

    fn training_step(&self, _batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(StepOutput::none())
    }

    fn validation_step(&self, _batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

#[test]
fn a_fit_that_trains_or_validates_nothing_warns() {
    let warnings = |interval: Every| {
        let folder = tempfile::tempdir().unwrap();
        let levels = Builder::new().no_screen().file().level("stormfire", Level::WARN);
        // As in `a_run_reports_into_its_folder_with_its_position`.
        let _second = Dispatch::new(levels.clone().subscriber().unwrap());
        with_default(levels.subscriber().unwrap(), || {
            let trainer = Trainer::new().default_root_dir(folder.path()).enable_progress_bar(false).enable_model_summary(false);
            let data = (line_data(8, 4), line_data(4, 4));
            let fit = { trainer }.max_epochs(2).val_check_interval(interval).fit(Forgetful { line: Line::new() }, data).unwrap();
            assert_eq!(fit.progress.global_step, 0);
        });
        lines(&run_of(folder.path())).join("\n")
    };
    assert_snapshot!(warnings(Every::Batches(4)), @"WARN stormfire_trainer::fit::end: no optimizer has stepped in the first epoch: `training_step` must return its loss");
    let never = [Every::Batches(5), Every::Steps(5), Every::Epochs(3)];
    assert_snapshot!(never.map(warnings).join("\n\n"), @"
    WARN stormfire_trainer::setup: `val_check_interval` is 5 batches, longer than the whole fit, which never validates
    WARN stormfire_trainer::fit::end: no optimizer has stepped in the first epoch: `training_step` must return its loss

    WARN stormfire_trainer::setup: `val_check_interval` is 5 steps, longer than the whole fit, which never validates
    WARN stormfire_trainer::fit::end: no optimizer has stepped in the first epoch: `training_step` must return its loss

    WARN stormfire_trainer::setup: `val_check_interval` is 3 epochs, longer than the whole fit, which never validates
    WARN stormfire_trainer::fit::end: no optimizer has stepped in the first epoch: `training_step` must return its loss
    ");
}
