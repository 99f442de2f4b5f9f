//! State in a checkpoint other than weights and optimizers: frozen parameters, the data module, and special floats.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use burn::{
    nn::{Initializer, Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use stormfire::{checkpoint::Checkpoint, data::Result as DataResult, module::requests::SaveRequest, prelude::*};

use crate::{
    repeatability::{Weights, weights},
    rig::run_of,
    support::{Batch, Line, line_data, quiet},
};

/// A frozen body and a trained head.
#[derive(Module, Debug)]
struct FineTuned {
    body: Linear,
    head: Line,
}

impl FineTuned {
    fn new() -> Self {
        // A drawn weight would depend on the other tests: burn's random generator is global.
        let body = LinearConfig::new(1, 1).with_initializer(Initializer::Constant { value: 0.5 });
        Self { body: body.init(&Device::flex()).freeze(), head: Line::new() }
    }
}

impl LightningModule for FineTuned {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.head.loss((self.body.forward(x), y)).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.1).into())
    }
}

/// Trains the body from the second epoch on.
struct Unfreeze;

impl Callback<FineTuned> for Unfreeze {
    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut FineTuned) -> Result<()> {
        if ctx.current_epoch() == 1 {
            module.body = module.body.clone().unfreeze();
        }
        Ok(())
    }
}

fn fine_tune(epochs: usize, from: Option<&Path>, saved: Option<&Path>) -> Weights {
    let mut trainer = quiet().seed(7).max_epochs(epochs).callback(Unfreeze);
    if let Some(path) = from {
        trainer = trainer.ckpt_path(path);
    }
    let fit = trainer.fit(FineTuned::new(), line_data(8, 2)).unwrap();
    if let Some(path) = saved {
        trainer.save_checkpoint(&fit.module, path).unwrap();
    }
    weights(&fit.module)
}

#[test]
fn parameters_that_a_callback_unfroze_stay_trainable_after_a_resume() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("a.ckpt");
    let uninterrupted = fine_tune(4, None, None);
    for epochs in [1, 3] {
        let before = fine_tune(epochs, None, Some(&saved));
        assert_eq!(fine_tune(4, Some(&saved), None), uninterrupted, "{epochs} epochs");
        assert_ne!(before[0], uninterrupted[0], "the body learns");
    }
    let frozen = Checkpoint::read(&saved).unwrap().manifest().frozen.clone();
    assert_eq!(frozen.as_deref(), Some(&[][..]));
}

/// Points whose difficulty grows with every epoch. The difficulty is the state.
struct Curriculum {
    level: usize,
    /// The level when the training loader was requested.
    asked: Arc<AtomicUsize>,
    given: Arc<AtomicUsize>,
}

impl Curriculum {
    fn new() -> Self {
        Self { level: 1, asked: Arc::default(), given: Arc::default() }
    }
}

impl DataModule for Curriculum {
    type Batch = Batch;

    fn train_dataloader(&mut self) -> DataResult<Loader<Batch>> {
        self.asked.store(self.level, Ordering::Relaxed);
        let given = self.given.clone();
        Ok(line_data(8, 2).map(move |batch| {
            given.fetch_add(1, Ordering::Relaxed);
            batch
        }))
    }

    fn state(&self) -> DataResult<Saved> {
        Ok(serde_json::json!({"level": self.level, "given": self.given.load(Ordering::Relaxed)}).into())
    }

    fn load_state(&mut self, state: Saved) -> DataResult<()> {
        assert_eq!(self.asked.load(Ordering::Relaxed), 0, "the loaders come after the state");
        self.level = state.json()["level"].as_u64().unwrap() as usize + 1;
        self.given.store(state.json()["given"].as_u64().unwrap() as usize, Ordering::Relaxed);
        Ok(())
    }
}

/// Requests checkpoints after these steps.
pub(crate) struct SaveAt(pub(crate) Vec<u64>, pub(crate) PathBuf);

impl<M: LightningModule> Callback<M> for SaveAt {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        let step = ctx.global_step();
        if self.0.contains(&step) {
            ctx.save_checkpoint(SaveRequest { path: self.1.join(format!("{step}.ckpt")), ..SaveRequest::default() });
        }
        Ok(())
    }
}

#[test]
fn the_state_of_a_data_module_is_restored_before_its_loaders_are_requested() {
    let folder = tempfile::tempdir().unwrap();
    let state = |name: &str| Checkpoint::read(folder.path().join(name)).unwrap().manifest().data_module.clone();
    let mut trainer = quiet().max_epochs(2).callback(SaveAt(vec![2, 5], folder.path().into()));
    let fit = trainer.fit(Line::new(), Curriculum::new()).unwrap();
    trainer.save_checkpoint(&fit.module, folder.path().join("end.ckpt")).unwrap();
    for (name, given) in [("2.ckpt", 2), ("5.ckpt", 5), ("end.ckpt", 8)] {
        assert_eq!(state(name), serde_json::json!({"level": 1, "given": given}), "{name}");
    }
    let data = Curriculum::new();
    let asked = data.asked.clone();
    let mut trainer = quiet().max_epochs(2).ckpt_path(folder.path().join("5.ckpt"));
    let fit = trainer.fit(Line::new(), data).unwrap();
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    trainer.save_checkpoint(&fit.module, folder.path().join("end.ckpt")).unwrap();
    assert_eq!(state("end.ckpt"), serde_json::json!({"level": 2, "given": 8}));
}

/// A line with hyperparameters.
#[derive(Module, Debug)]
struct Configured {
    line: Line,
    #[module(skip)]
    config: Config,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Config {
    clip: f32,
    name: String,
}

impl Configured {
    fn new(config: Config) -> Self {
        Self { line: Line::new(), config }
    }
}

impl LightningModule for Configured {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.line.loss(batch).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }

    fn hparams(&self) -> Result<Value> {
        state::save(&self.config)
    }

    fn on_save_checkpoint(&mut self, _ctx: &mut Context<'_>, checkpoint: &mut Map<String, Value>) -> Result<()> {
        checkpoint.insert("rates".into(), state::save(&[f64::NAN, f64::NEG_INFINITY, 0.5])?);
        Ok(())
    }

    fn on_load_checkpoint(&mut self, _ctx: &mut Context<'_>, checkpoint: &Map<String, Value>) -> Result<()> {
        let mut rates = [0.0_f64; 3];
        state::load(&mut rates, checkpoint["rates"].clone())?;
        assert!(rates[0].is_nan() && rates[1].is_infinite() && rates[1] < 0.0 && rates[2] > 0.0, "{rates:?}");
        Ok(())
    }
}

/// A typical callback.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Best {
    best: f64,
    by_name: std::collections::BTreeMap<String, Option<f32>>,
}

impl Best {
    fn new() -> Self {
        Self { best: f64::INFINITY, by_name: [("inf".to_owned(), Some(f32::NEG_INFINITY)), ("none".to_owned(), None)].into() }
    }
}

impl Callback<Configured> for Best {
    fn on_train_end(&mut self, _ctx: &mut Context<'_>, _module: &mut Configured) -> Result<()> {
        assert_eq!(*self, Self::new());
        Ok(())
    }

    fn state(&self) -> Result<Saved> {
        state::save(self)
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        // The initial values must not hide a missing saved value.
        (self.best, self.by_name) = (0.0, [].into());
        state::load(self, state)
    }
}

#[test]
fn nan_and_infinity_survive_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("a.ckpt");
    let config = Config { clip: f32::INFINITY, name: "inf".into() };
    let mut trainer = quiet().max_epochs(1).callback(Best::new());
    let fit = trainer.fit(Configured::new(config.clone()), line_data(8, 2)).unwrap();
    trainer.save_checkpoint(&fit.module, &saved).unwrap();
    let mut trainer = quiet().max_epochs(2).callback(Best::new()).ckpt_path(&saved);
    let fit = trainer.fit(Configured::new(config.clone()), line_data(8, 2)).unwrap();
    assert_eq!(fit.progress.epoch, 2);
    let loaded = Configured::load_from_checkpoint(&saved, Configured::new).unwrap();
    assert_eq!(loaded.config, config);
}

/// A line whose validation logs a value that JSON has no number for.
#[derive(Module, Debug)]
struct NoPositives {
    line: Line,
}

impl LightningModule for NoPositives {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.line.loss(batch).into())
    }

    fn validation_step(&self, _batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("auc", f64::NAN);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

#[test]
fn a_log_whose_newest_row_contains_nan_is_truncated_on_resume() {
    let folder = tempfile::tempdir().unwrap();
    let fit = |from: Option<&Path>| {
        let trainer = Trainer::new().default_root_dir(folder.path()).max_epochs(2).log_every_n_steps(1);
        let trainer = trainer.enable_progress_bar(false).enable_model_summary(false);
        let mut trainer = trainer.callback(ModelCheckpoint::new().filename("{epoch}").save_top_k(SaveTopK::All).monitor("epoch"));
        if let Some(from) = from {
            trainer.set_ckpt_path(from);
        }
        let _ = trainer.fit(NoPositives { line: Line::new() }, (line_data(4, 2), line_data(2, 2))).unwrap();
        std::fs::read_to_string(run_of(folder.path()).join("metrics.csv")).unwrap()
    };
    let whole = fit(None);
    assert_eq!(whole.matches("NaN").count(), 2, "{whole}");
    assert_eq!(fit(Some(&run_of(folder.path()).join("checkpoints/epoch=0.ckpt"))), whole);
}
