//! Shared by the tests of failures and signals: a line that logs, a witness of the end of a run, and readers of its
//! files.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use burn::{optim::AdamConfig, prelude::*};
use stormfire::{Error, checkpoint::Checkpoint, data::Result as DataResult, module::Event, prelude::*};

use crate::{
    files::names,
    support::{Batch, Line, line_data, quiet},
};

/// A line that logs its loss at every step, and can run extra code in its steps.
#[derive(Module, Debug)]
pub(crate) struct Logging {
    line: Line,
}

thread_local! {
    static IN_STEP: std::cell::Cell<fn(u64)> = const { std::cell::Cell::new(|_| {}) };
}

impl Logging {
    pub(crate) fn new() -> Self {
        Self { line: Line::new() }
    }

    /// Calls the function with the global step at the start of every training step on this thread.
    pub(crate) fn in_step(code: fn(u64)) {
        IN_STEP.set(code);
    }
}

impl LightningModule for Logging {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        IN_STEP.get()(self.global_step());
        let loss = self.line.loss(batch);
        self.log("train_loss", &loss);
        Ok(loss.into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 0.01).into())
    }

    fn on_exception(&mut self, ctx: &mut Context<'_>, error: &Error) -> Result<()> {
        // The last logged values must arrive, too.
        assert!(!error.to_string().is_empty());
        ctx.log_metrics(&[("at_the_end", 1.0)].into())
    }
}

/// The last events of a run.
#[derive(Clone, Default)]
pub(crate) struct Witness(Arc<Mutex<Vec<String>>>);

impl Witness {
    pub(crate) fn seen(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }
}

impl<M: LightningModule> Callback<M> for Witness {
    fn on_event(&mut self, _ctx: &mut Context<'_>, _module: &mut M, event: &mut Event<'_, M::Batch>) -> Result<()> {
        match event {
            Event::Exception { error } => self.note(format!("exception: {error}")),
            Event::Teardown { stage } => self.note(format!("teardown: {stage}")),
            Event::TrainEnd | Event::FitEnd => self.note(event.hook().name()),
            _ => {}
        }
        Ok(())
    }
}

/// Loaders that report their end to the witness.
pub(crate) struct Watched {
    pub(crate) train: Loader<Batch>,
    pub(crate) witness: Witness,
}

impl DataModule for Watched {
    type Batch = Batch;

    fn train_dataloader(&mut self) -> DataResult<Loader<Batch>> {
        Ok(self.train.clone())
    }

    fn on_exception(&mut self, _error: &(dyn std::error::Error + 'static)) {
        self.witness.note("data: exception");
    }

    fn teardown(&mut self, stage: Stage) -> DataResult<()> {
        self.witness.note(format!("data: teardown: {stage}"));
        Ok(())
    }
}

/// Logs every step with the default loggers and saves every fifth step, below a folder.
pub(crate) fn logging<M: LightningModule>(folder: &Path) -> Trainer<M> {
    Trainer::new()
        .default_root_dir(folder)
        .log_every_n_steps(1)
        .enable_progress_bar(false)
        .enable_model_summary(false)
        .callback(ModelCheckpoint::new().every(Every::Steps(5)))
}

/// The folder of the first run below a folder.
pub(crate) fn run_of(folder: &Path) -> PathBuf {
    folder.join("lightning_logs/version_0")
}

/// The only checkpoint of a run. Ignores files that a kill left incomplete.
#[track_caller]
pub(crate) fn checkpoint_of(run: &Path) -> PathBuf {
    let folder = run.join("checkpoints");
    let saved: Vec<String> = names(&folder).into_iter().filter(|name| !name.starts_with(".saving-")).collect();
    // A kill may come after the new file is complete and before the old one is removed.
    assert!((1..=2).contains(&saved.len()), "{saved:?}");
    let newest = saved.into_iter().max_by_key(|name| step_of(name)).unwrap();
    folder.join(newest)
}

/// The step in the name of a checkpoint, such as `epoch=0-step=10.ckpt`.
pub(crate) fn step_of(checkpoint: &str) -> u64 {
    checkpoint.rsplit_once("step=").unwrap().1.strip_suffix(".ckpt").unwrap().parse().unwrap()
}

/// Resumes from a checkpoint with a new Trainer, for two more steps.
#[track_caller]
pub(crate) fn resumes_from(checkpoint: &Path) {
    Logging::in_step(|_| {});
    let saved = step_of(checkpoint.to_str().unwrap());
    let items = Checkpoint::read(checkpoint).unwrap().manifest().data["items"].as_u64().unwrap();
    let mut trainer = quiet().max_steps(saved + 2).ckpt_path(checkpoint);
    let fit = trainer.fit(Logging::new(), line_data(items as usize, 2)).unwrap();
    assert_eq!((fit.stop, fit.progress.global_step), (Stop::MaxSteps(saved + 2), saved + 2));
}
