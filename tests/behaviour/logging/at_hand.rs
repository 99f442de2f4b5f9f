//! A module, a callback and a user of the Trainer can reach the loggers by type, with every kind of value.

use burn::prelude::*;
use stormfire::{
    loggers::{Artifact, Call, Loggers, MemoryLogger, Table, Text},
    prelude::*,
};

use super::probe::{Probe, trainer, watch};
use crate::support::{Batch, Line, line_data, quiet, recording};

/// Logs a text in every step.
#[derive(Module, Debug)]
struct Showing {
    line: Line,
}

impl LightningModule for Showing {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.loggers().log_text("of training", Text::new("words"), None);
        Ok(self.line.loss(batch).into())
    }

    fn validation_step(&self, _batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.loggers().log_text("of validation", Text::new("words"), (batch_idx == 1).then_some(77));
        Ok(StepOutput::none())
    }

    fn test_step(&self, _batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let memory = self.loggers().experiment::<MemoryLogger>();
        let calls = memory.map(|memory| memory.call(|memory| Ok(memory.calls().len())));
        assert!(matches!(calls, Some(Ok(calls)) if calls > 0));
        assert!(self.loggers().experiment::<CsvLogger>().is_none());
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

/// `tag: step` of each text.
fn texts(memory: &MemoryLogger) -> Vec<String> {
    let of_call = |call: &Call| match call {
        Call::Text { tag, step, .. } => Some(format!("{tag}: {}", step.map_or("-".into(), |step| step.to_string()))),
        _ => None,
    };
    memory.calls().iter().filter_map(of_call).collect()
}

#[test]
fn a_module_logs_media_under_the_current_step() {
    let memory = MemoryLogger::new();
    let mut trainer = recording(&memory).num_sanity_val_steps(0).max_epochs(2);
    assert!(trainer.loggers().is_empty());
    let fit = trainer.fit(Showing { line: Line::new() }, (line_data(8, 4), line_data(8, 4))).unwrap();
    let expected = [
        ["of training: 0", "of training: 1", "of validation: 1", "of validation: 77"],
        ["of training: 2", "of training: 3", "of validation: 3", "of validation: 77"],
    ];
    assert_eq!(texts(&memory), expected.concat());
    assert!(fit.module.loggers().is_empty(), "the run has ended");

    memory.clear();
    trainer.loggers().log_text("later", Text::new("words"), 9);
    trainer.loggers().flush().unwrap();
    assert_eq!(texts(&memory), ["later: 9"]);
    assert_eq!(trainer.test(&fit.module, line_data(4, 4)).unwrap().len(), 1);
}

#[test]
fn a_callback_logs_through_the_logger_itself() {
    let memory = MemoryLogger::new();
    let at_the_end = watch(|ctx, hook| {
        if hook == Hook::TrainEnd {
            let loggers: &Loggers = ctx.loggers();
            loggers.log_table("table", Table::new(["a"]), None);
            loggers.log_artifact(Artifact::new("report.txt"));
        }
        Ok(())
    });
    let fit = trainer(&memory).max_epochs(1).callback(at_the_end).fit(Probe::silent(), line_data(12, 4)).unwrap();
    assert_eq!(fit.stop, Stop::MaxEpochs(1));
    let calls = memory.calls();
    assert!(calls.contains(&Call::Table { tag: "table".into(), table: Table::new(["a"]), step: Some(2) }), "{calls:?}");
    assert!(calls.contains(&Call::Artifact(Artifact::new("report.txt"))), "{calls:?}");
}

#[test]
fn media_without_loggers_are_ignored() {
    let fit = quiet().fast_dev_run(1).fit(Showing { line: Line::new() }, (line_data(8, 4), line_data(8, 4))).unwrap();
    assert_eq!(fit.progress.global_step, 1);
}

#[test]
fn a_logger_without_media_does_not_stop_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = quiet().max_epochs(1).log_every_n_steps(1).logger(CsvLogger::new(folder.path()));
    let fit = trainer.fit(Showing { line: Line::new() }, (line_data(8, 4), line_data(8, 4))).unwrap();
    assert_eq!(fit.stop, Stop::MaxEpochs(1));
}
