//! A fit that continues from a checkpoint.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::{module::Module, tensor::TensorData};
use serde_json::Value;
use stormfire_checkpoint::{Checkpoint, LoadOptions, Manifest, NamedTensors, ParamPaths, restore, storage};
use stormfire_module::{Callback, Error, Event, LightningModule, Result, moment::Progress, state, trained, window::Accumulated};

use super::locate::Places;
use crate::{
    accelerator::check_default_device, data_facts::DataFacts, engine::Engine, log_state::LogState, loop_state::LoopState,
    run_state::UnfinishedEpoch, training::Training,
};

/// A checkpoint that was read and verified.
pub(crate) struct Resume {
    path: PathBuf,
    /// Not of a file.
    is_in_memory: bool,
    is_named: bool,
    /// How often the run had been continued when this fit begins.
    restarts: u64,
    manifest: Manifest,
    tensors: BTreeMap<String, TensorData>,
}

impl Resume {
    /// Reads a checkpoint, which somebody has named or not. The error for a damaged one names the newest good one beside it.
    pub(crate) fn read(path: &Path, is_named: bool, places: &Places) -> Result<Self> {
        match Checkpoint::read(path) {
            Ok(checkpoint) => {
                let (manifest, tensors) = checkpoint.into_parts();
                let restarts = places.restarts(&manifest, path);
                Ok(Self { path: path.into(), is_in_memory: false, is_named, restarts, manifest, tensors })
            }
            Err(error) => {
                let hint = match places.beside(path) {
                    Some(good) => format!("the newest good checkpoint beside it is `{}`", good.display()),
                    None => error.hint().unwrap_or_default(),
                };
                Err(Error::Checkpoint { path: path.into(), reason: error.reason(), hint })
            }
        }
    }

    /// The state in which the newest fit has ended.
    pub(crate) fn in_memory(manifest: Manifest, tensors: NamedTensors) -> Self {
        let (path, restarts) = (PathBuf::from("the newest fit"), manifest.restarts);
        Self { path, is_in_memory: true, is_named: false, restarts, manifest, tensors: tensors.into_iter().collect() }
    }

    /// A fit that trains longer than the one before, by these options and callbacks, takes up the epoch in the middle of which
    /// that one had to end.
    pub(crate) fn take_up_epoch<M: LightningModule>(&mut self, max_steps: Option<u64>, callbacks: &[Box<dyn Callback<M>>]) -> Result<()> {
        self.withdraw_stop(callbacks)?;
        let is_stopped = !self.manifest.loops["requests"]["stop"].is_null();
        let goes_on = self.manifest.global_step().is_none_or(|done| max_steps.is_none_or(|max| max > done));
        if goes_on
            && !is_stopped
            && let Some(unfinished) = self.unfinished()?
        {
            unfinished.take_up(&mut self.manifest)?;
        }
        Ok(())
    }

    /// Takes back a stop if the callback that has asked for it would do so, or is gone.
    fn withdraw_stop<M: LightningModule>(&mut self, callbacks: &[Box<dyn Callback<M>>]) -> Result<()> {
        let Some(reason) = self.manifest.loops["requests"]["stop"].as_str() else { return Ok(()) };
        let has_asked = |saved: &Value| saved.as_object().is_some_and(|fields| fields.values().any(|field| field == reason));
        for (key, saved) in &self.manifest.callbacks {
            let withdraws = match callbacks.iter().find(|callback| callback.state_key() == *key) {
                Some(callback) => callback.withdraws_stop(reason, saved)?,
                None => has_asked(saved),
            };
            if withdraws {
                self.manifest.loops["requests"]["stop"] = Value::Null;
                break;
            }
        }
        Ok(())
    }

    fn unfinished(&mut self) -> Result<Option<UnfinishedEpoch>> {
        let saved = std::mem::take(&mut self.manifest.unfinished_epoch);
        let mut unfinished = UnfinishedEpoch::default();
        let is_there = !saved.is_null();
        state::load(&mut unfinished, saved)?;
        Ok(is_there.then_some(unfinished))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The same, wherever the process goes from here; `None` if there is no file.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        (!self.is_in_memory).then(|| storage::absolute(&self.path).unwrap_or_else(|_| self.path.clone()))
    }

    pub(crate) fn is_named(&self) -> bool {
        self.is_named
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn refuse(&self, reason: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Checkpoint { path: self.path.clone(), reason: reason.into(), hint: hint.into() }
    }

    /// What the data of the run was.
    pub(crate) fn data(&self) -> Result<DataFacts> {
        let mut facts = DataFacts::default();
        state::load(&mut facts, self.manifest.data.clone())?;
        Ok(facts)
    }

    /// The state of the data module, if it had one.
    pub(crate) fn data_module(&self) -> Option<Value> {
        Some(self.manifest.data_module.clone()).filter(|state| !state.is_null())
    }

    /// Refuses a file that no fit can continue from.
    pub(crate) fn check_is_whole(&self) -> Result<()> {
        if self.manifest.weights_only {
            return Err(self.refuse(
                "it holds weights only, so a fit cannot continue from it",
                "start a new fit from its weights with `LightningModule::load_weights`, or save without `save_weights_only`",
            ));
        }
        let missing = self.manifest.missing();
        if !missing.is_empty() {
            let missing: Vec<_> = missing.into_iter().map(|name| format!("`{name}`")).collect();
            return Err(self.refuse(
                format!("it holds no whole run: it has nothing in {}", missing.join(", ")),
                "start a new fit from its weights with `LightningModule::load_weights`, or use a checkpoint that a `Trainer` wrote",
            ));
        }
        Ok(())
    }

    /// The module with the weights of the checkpoint, all of them, with their types.
    pub(crate) fn weights<M: Module>(&self, module: M) -> Result<M> {
        let weights = self.tensors.iter().filter(|(name, _)| !name.contains('/'));
        let weights = weights.map(|(name, data)| (name.clone(), data.clone()));
        Ok(restore(module, weights, &LoadOptions::new().adopt_dtype(true))?.0)
    }

    /// How far the fit was.
    pub(crate) fn progress(&self) -> Result<Progress> {
        let mut progress = Progress::default();
        state::load(&mut progress, self.manifest.progress.clone())?;
        Ok(progress)
    }

    /// Puts a fit where the checkpoint left it.
    pub(crate) fn run<M: LightningModule>(mut self, engine: &mut Engine<M>, module: &mut M, training: &mut Training) -> Result<()> {
        let progress = self.progress()?;
        self.check_limits(engine, &progress)?;
        self.check_data(engine, &progress)?;
        *module = self.weights(module.clone())?;
        if !training.optimizers.is_empty() {
            check_default_device()?;
        }
        if let Some(frozen) = &self.manifest.frozen {
            let (as_saved, changed) = trained::with_frozen(module.clone(), frozen);
            *module = as_saved;
            if !changed.is_empty() {
                tracing::info!("frozen or trained as in the checkpoint, and not as the module was made: `{}`", changed.join("`, `"));
            }
        }
        let paths = ParamPaths::of(module);
        training.unfinished = self.unfinished()?;
        let mut loops = LoopState::default();
        state::load(&mut loops, std::mem::take(&mut self.manifest.loops))?;
        training.accumulated = Accumulated::load(&mut self.tensors, module, &loops.window);
        self.manifest.progress = state::save(&progress)?;
        loops.names.finish_after_a_kill(&self.path, &self.manifest, &self.tensors);
        let Self { manifest, tensors, restarts, .. } = self;
        training.optimizers.load(manifest.optimizers, tensors, &paths)?;
        engine.run.id = manifest.run_id;
        engine.restarts = restarts + 1;
        engine.seed = engine.config.seed.or(manifest.seed);
        engine.run.progress = progress;
        loops.restore(&mut engine.clock, &mut engine.run);
        let mut log = LogState::default();
        state::load(&mut log, manifest.log)?;
        engine.store.restore(&log, &engine.device)?;
        let mut states = manifest.callbacks;
        for callback in engine.callbacks_mut() {
            if let Some(saved) = states.remove(&callback.state_key()) {
                callback.load_state(saved)?;
            }
        }
        for key in states.keys() {
            tracing::warn!("the checkpoint holds the state of `{key}`, which this Trainer does not have");
        }
        engine.fire(module, Event::LoadCheckpoint { checkpoint: &manifest.extra })
    }

    /// More than a checkpoint has done may be asked for, less may not.
    fn check_limits<M: LightningModule>(&self, engine: &Engine<M>, done: &Progress) -> Result<()> {
        let limits = &engine.run.limits;
        let path = self.path.display();
        let begun = done.epoch + usize::from(done.batch_in_epoch > 0);
        if let Some(max) = limits.max_epochs.filter(|&max| max < begun) {
            let what = if done.batch_in_epoch > 0 { "begun" } else { "completed" };
            return Err(Error::config(
                "max_epochs",
                format!("{max} is less than the {begun} epochs that `{path}` has {what}"),
                "raise it, or continue from an earlier checkpoint",
            ));
        }
        if let Some(max) = limits.max_steps.filter(|&max| max < done.global_step) {
            return Err(Error::config(
                "max_steps",
                format!("{max} is less than the {} steps that `{path}` has done", done.global_step),
                "raise it, or continue from an earlier checkpoint",
            ));
        }
        Ok(())
    }

    fn check_data<M: LightningModule>(&self, engine: &Engine<M>, done: &Progress) -> Result<()> {
        let Some(difference) = self.data()?.difference(&engine.data) else { return Ok(()) };
        if done.batch_in_epoch > 0 {
            return Err(self.refuse(
                format!("it was written in the middle of an epoch, and the training data is not the same: {difference}"),
                "continue with the data it was written with, or from a checkpoint that was written at the end of an epoch",
            ));
        }
        tracing::warn!("the training data is not that of the checkpoint: {difference}");
        Ok(())
    }
}
