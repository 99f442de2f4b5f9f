//! Resumes a fit from a checkpoint.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use burn::{
    module::Module,
    tensor::{Device, FloatDType, TensorData},
};
use serde_json::Value;
use stormfire_checkpoint::{
    Checkpoint, Error as FileError, LoadOptions, Manifest, NamedTensors, ParamPaths, Saved, restore, storage,
    tensor_names::{IN_FORCE, OPTIMIZER, is_trained_weight, take_under, take_weights},
};
use stormfire_module::{
    Callback, Error, Event, LightningModule, Order, Result,
    for_trainer::{ChangeRequests as _, ModuleHooks},
    moment::Progress,
    place::Place,
    state,
};
use stormfire_optim::{
    for_trainer::{OptimizerStates, SaveOptimizers as _},
    trained,
};
use stormfire_values::nearest::did_you_mean;

use super::{locate::SearchFolders, of_ranks};
use crate::{
    accelerator::check_default_device,
    checkpoint_names::Names,
    data_facts::DataFacts,
    engine::Engine,
    fit_state::{DATA_MODULE, RunState, SavedRun, UNFINISHED},
    in_force::InForce,
    precision::has_parameters_of,
    saved_log::SavedLog,
    training::Training,
};

/// A checkpoint that was read and verified.
pub(crate) struct Resume {
    path: PathBuf,
    /// Whether the state is not from a file.
    is_in_memory: bool,
    is_named: bool,
    /// How often the run had been resumed when this fit starts.
    restarts: u64,
    manifest: Manifest,
    /// The state to resume.
    run: SavedRun,
    /// The state before the early end of its last epoch, from which a longer fit resumes.
    unfinished: Option<SavedRun>,
    /// The properties of the run's data.
    data: DataFacts,
    names: Names,
    optimizers: OptimizerStates,
    tensors: BTreeMap<String, TensorData>,
    /// What is reported once the weights and the optimizers fit. A refused fit reports its error alone.
    warnings: RefCell<Vec<String>>,
}

/// The limits of epochs and of steps may exceed the progress of a checkpoint, but must not be smaller. `fast_dev_run`
/// has limits that the user did not give.
fn check_limits((max_epochs, max_steps): (Option<usize>, Option<u64>), fast_dev_run: usize, done: &Progress, path: &Path) -> Result<()> {
    let path = path.display();
    let begun = done.epoch + usize::from(done.batch_in_epoch > 0);
    let is_past = max_epochs.is_some_and(|max| max < begun) || max_steps.is_some_and(|max| max < done.global_step);
    if fast_dev_run > 0 && is_past {
        let batches = if fast_dev_run == 1 { "batch" } else { "batches" };
        return Err(Error::config(
            "fast_dev_run",
            format!("a fit of {fast_dev_run} {batches} ends before `{path}`: epoch {}, step {}", done.epoch, done.global_step),
            "leave out this option, or the checkpoint",
        ));
    }
    if let Some(max) = max_epochs.filter(|&max| max < begun) {
        let what = if done.batch_in_epoch > 0 { "begun" } else { "completed" };
        return Err(Error::config(
            "max_epochs",
            format!("{max} is less than the {begun} epochs that `{path}` has {what}"),
            "raise it, or resume from an earlier checkpoint",
        ));
    }
    if let Some(max) = max_steps.filter(|&max| max < done.global_step) {
        return Err(Error::config(
            "max_steps",
            format!("{max} is less than the {} steps that `{path}` has done", done.global_step),
            "raise it, or resume from an earlier checkpoint",
        ));
    }
    Ok(())
}

impl Resume {
    /// Reads a checkpoint. `is_named`: the user gave its path. The error for a damaged file contains the newest valid
    /// one in its folders.
    pub(crate) fn read(path: &Path, is_named: bool, folders: &SearchFolders) -> Result<Self> {
        match Checkpoint::read(path) {
            Ok(checkpoint) => {
                let (manifest, tensors) = checkpoint.into_parts();
                let restarts = folders.restarts(&manifest, path);
                let resume = Self::of(path.into(), restarts, manifest, tensors).map_err(|error| Error::Checkpoint {
                    path: path.into(),
                    reason: error.to_string(),
                    hint: "it was edited manually, or written by another version: use another checkpoint".into(),
                })?;
                Ok(Self { is_named, ..resume })
            }
            Err(error) => {
                let is_missing = matches!(error, FileError::NotFound { .. });
                let word = is_missing.then(|| did_you_mean(&path.to_string_lossy(), ["last", "best"])).flatten();
                let good = || folders.beside(path).map(|good| format!("the newest good checkpoint in its folder is `{}`", good.display()));
                let hint = word.or_else(good).or_else(|| error.hint()).unwrap_or_default();
                Err(Error::Checkpoint { path: path.into(), reason: error.reason(), hint })
            }
        }
    }

    /// The final state of the newest fit.
    pub(crate) fn in_memory(manifest: Manifest, tensors: NamedTensors) -> Result<Self> {
        let resume = Self::of("the newest fit".into(), manifest.restarts, manifest, tensors.into_iter().collect())?;
        Ok(Self { is_in_memory: true, ..resume })
    }

    fn of(path: PathBuf, restarts: u64, manifest: Manifest, tensors: BTreeMap<String, TensorData>) -> Result<Self> {
        let (run, unfinished) = (SavedRun::of(&manifest)?, SavedRun::unfinished(&manifest)?);
        let (mut data, mut names, mut optimizers) = (DataFacts::default(), Names::default(), OptimizerStates::default());
        state::load(&mut data, manifest.data.clone())?;
        state::load(&mut names, manifest.names.clone())?;
        state::load(&mut optimizers, manifest.optimizers.clone())?;
        let (is_in_memory, is_named) = (false, false);
        let warnings = RefCell::default();
        Ok(Self { path, is_in_memory, is_named, restarts, manifest, run, unfinished, data, names, optimizers, tensors, warnings })
    }

    /// A fit that trains longer, by these options and callbacks, resumes the epoch that the previous one ended early.
    pub(crate) fn take_up_epoch<M: LightningModule>(&mut self, max_steps: Option<u64>, callbacks: &[Box<dyn Callback<M>>]) -> Result<()> {
        self.withdraw_stops(callbacks).map_err(|error| self.named_in(error))?;
        let is_longer = max_steps.is_none_or(|max| max > self.run.progress.global_step);
        if is_longer
            && self.run.place.requests.stop().is_none()
            && let Some(unfinished) = self.unfinished.take()
        {
            let savers = callbacks.iter().filter(|callback| callback.order() == Order::Save).map(|callback| callback.state_key()).collect();
            self.run = unfinished.in_place_of(std::mem::take(&mut self.run), &savers, &mut self.tensors);
            let earlier = take_under(&mut self.tensors, UNFINISHED);
            self.tensors.extend(earlier);
        }
        Ok(())
    }

    /// Withdraws the stops of callbacks that no longer exist or no longer request them.
    fn withdraw_stops<M: LightningModule>(&mut self, callbacks: &[Box<dyn Callback<M>>]) -> Result<()> {
        for stop in self.run.place.requests.stops.clone() {
            let saved = self.run.callbacks.get(&stop.by).unwrap_or(&Value::Null);
            let withdraws = match callbacks.iter().find(|callback| callback.state_key() == stop.by) {
                Some(callback) => callback.withdraws_stop(saved).map_err(|error| of_callback(error, &stop.by))?,
                None => stop.by != Callback::<M>::state_key(&ModuleHooks),
            };
            if withdraws {
                self.run.place.requests.withdraw_stop(&stop.by);
            }
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The absolute path, which stays valid if the process changes its current folder. `None` without a file.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        (!self.is_in_memory).then(|| storage::absolute(&self.path).unwrap_or_else(|_| self.path.clone()))
    }

    pub(crate) fn is_named(&self) -> bool {
        self.is_named
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reports this if the fit can resume.
    pub(super) fn warn(&self, warning: String) {
        self.warnings.borrow_mut().push(warning);
    }

    fn refuse(&self, reason: impl Into<String>, hint: impl Into<String>) -> Error {
        Error::Checkpoint { path: self.path.clone(), reason: reason.into(), hint: hint.into() }
    }

    /// The seed of the run's data.
    pub(crate) fn data_seed(&self) -> Option<u64> {
        self.data.seed
    }

    /// Takes the state of the data module, if it had one.
    pub(crate) fn take_data_module(&mut self, device: &Device) -> Option<Saved> {
        let json = std::mem::take(&mut self.run.data_module);
        Some(Saved::read(json, take_under(&mut self.tensors, DATA_MODULE), device)).filter(|state| !state.is_empty())
    }

    /// The positions of the loggers.
    pub(super) fn loggers(&self) -> &[SavedLog] {
        &self.run.loggers
    }

    /// Rejects a file that a fit cannot resume from.
    pub(crate) fn check_is_whole(&self) -> Result<()> {
        if self.manifest.weights_only {
            return Err(self.refuse(
                "it contains only weights, so a fit cannot resume from it",
                "start a new fit from its weights with `LightningModule::load_weights`, or save without `save_weights_only`",
            ));
        }
        let missing = self.manifest.missing();
        if !missing.is_empty() {
            let missing: Vec<_> = missing.into_iter().map(|name| format!("`{name}`")).collect();
            return Err(self.refuse(
                format!("it does not contain a whole run: it lacks {}", missing.join(", ")),
                "start a new fit from its weights with `LightningModule::load_weights`, or use a checkpoint that a `Trainer` wrote",
            ));
        }
        Ok(())
    }

    /// The module with all weights of the checkpoint that were in force, with their dtypes.
    pub(crate) fn into_weights_in_force<M: Module>(mut self, module: M) -> Result<M> {
        let dtype = module.devices().first().unwrap_or(&Device::flex()).settings().float_dtype;
        let options = self.options(dtype);
        with_weights(module, take_weights(&mut self.tensors), &options).map_err(|error| error.of_file(&self.path))
    }

    /// How to load the weights into a module of this type: with the types of the file, unless another precision has
    /// left them.
    fn options(&self, dtype: FloatDType) -> LoadOptions {
        LoadOptions::new().adopt_dtype(has_parameters_of(&self.manifest.precision, dtype))
    }

    /// A fit in another precision: the states of the optimizers get the type of the parameters.
    fn take_up_precision<M: LightningModule>(&mut self, engine: &Engine<M>) -> LoadOptions {
        let (from, to) = (&self.manifest.precision, engine.precision.name(&engine.frame.device));
        if *from != to {
            tracing::info!("the checkpoint is of a fit in `{from}`, which continues in `{to}`");
        }
        let dtype = engine.precision.of_parameters(&engine.frame.device);
        if !has_parameters_of(from, dtype) {
            for (_, data) in self.tensors.iter_mut().filter(|(name, data)| name.starts_with(OPTIMIZER) && data.dtype().is_float()) {
                *data = std::mem::replace(data, TensorData::from([0_u8])).convert_dtype(dtype.into());
            }
        }
        self.options(dtype)
    }

    /// The progress of the fit.
    pub(crate) fn progress(&self) -> &Progress {
        &self.run.progress
    }

    /// Gives the module the weights of the checkpoint, and the optimizers their states. Refuses a fit with these limits
    /// of epochs and of steps that cannot resume from it. Changes no file.
    pub(crate) fn restore_trained<M: LightningModule>(
        &mut self,
        engine: &Engine<M>,
        limits: (Option<usize>, Option<u64>),
        module: &mut M,
        training: &mut Training,
    ) -> Result<()> {
        check_limits(limits, engine.frame.of_run().fast_dev_run, &self.run.progress, &self.path)?;
        self.check_data(engine)?;
        self.restore_tensors(engine, module, training).map_err(|error| self.named_in(error))?;
        for warning in self.warnings.take() {
            tracing::warn!("{warning}");
        }
        Ok(())
    }

    fn restore_tensors<M: LightningModule>(&mut self, engine: &Engine<M>, module: &mut M, training: &mut Training) -> Result<()> {
        let options = self.take_up_precision(engine);
        let weights = self.tensors.iter().filter(|(name, _)| is_trained_weight(name));
        *module = with_weights(module.clone(), weights.map(|(name, data)| (name.clone(), data.clone())), &options)?;
        if !training.optimizers.is_empty() {
            check_default_device()?;
        }
        if let Some(frozen) = &self.manifest.frozen {
            let (as_saved, changed) = trained::with_frozen(module.clone(), frozen);
            *module = as_saved;
            if !changed.is_empty() {
                tracing::info!("frozen or trained as in the checkpoint, not as in the given module: `{}`", changed.join("`, `"));
            }
        }
        let of_optimizers: Vec<_> = self.tensors.extract_if(.., |name, _| name.starts_with(OPTIMIZER)).collect();
        training.optimizers.load(std::mem::take(&mut self.optimizers), of_optimizers, &ParamPaths::of(module))?;
        Ok(())
    }

    /// Restores the rest of a fit, after [`restore_trained`](Self::restore_trained).
    pub(crate) fn run<M: LightningModule>(self, engine: &mut Engine<M>, module: &mut M, training: &mut Training) -> Result<()> {
        let (path, is_in_memory) = (self.path.clone(), self.is_in_memory);
        self.restore_rest(engine, module, training).map_err(|error| if is_in_memory { error } else { of_states(error, &path) })
    }

    fn restore_rest<M: LightningModule>(self, engine: &mut Engine<M>, module: &mut M, training: &mut Training) -> Result<()> {
        self.names.finish_after_a_kill(&self.path, &self.manifest, &self.tensors);
        // A state in memory is that of this rank.
        let rank = if self.is_in_memory && self.run.log.ranks.is_empty() { (0, 1) } else { (engine.rank(), engine.world()) };
        let Self { manifest, mut tensors, restarts, mut run, unfinished, .. } = self;
        let device = engine.frame.device.clone();
        training.unfinished = unfinished.map(|saved| RunState::load(saved, UNFINISHED, &mut tensors, &device));
        training.accumulated = of_ranks::window_of(&mut tensors, module, &mut run.place, rank);
        let has_swapped = !take_under(&mut tensors, IN_FORCE).is_empty();
        let RunState { place, log, callbacks, .. } = RunState::load(run, "", &mut tensors, &device);
        engine.run.id = manifest.run_id;
        engine.books.restarts = restarts + 1;
        engine.seed = engine.frame.config.seed.or(manifest.seed);
        engine.run.place = resumed(place, engine.run.place.accumulate_grad_batches, engine.world());
        if has_swapped && engine.run.place.is_in_validation() {
            engine.books.in_force = InForce::ToSwapAgain;
        }
        engine.store.restore(&of_ranks::log_of(log, engine.run.place.window.batches > 0, rank), &device)?;
        for key in load_callbacks(engine, callbacks)?.into_keys() {
            tracing::warn!("the checkpoint contains the state of `{key}`, which this Trainer does not have");
        }
        engine.fire(module, Event::LoadCheckpoint { checkpoint: &manifest.extra })
    }

    /// Restores the states of the callbacks in a rehearsal, as [`run`](Self::run) does. The callbacks that options add
    /// are not in it.
    pub(crate) fn rehearse_callbacks<M: LightningModule>(self, engine: &mut Engine<M>, module: &mut M) -> Result<()> {
        let Self { path, manifest, mut tensors, run, .. } = self;
        let device = engine.frame.device.clone();
        let callbacks = RunState::load(run, "", &mut tensors, &device).callbacks;
        load_callbacks(engine, callbacks).map_err(|error| of_states(error, &path))?;
        engine.fire(module, Event::LoadCheckpoint { checkpoint: &manifest.extra })
    }

    /// An error of a saved state, with the file.
    fn named_in(&self, error: Error) -> Error {
        if self.is_in_memory { error } else { of_states(error, &self.path) }
    }

    fn check_data<M: LightningModule>(&self, engine: &Engine<M>) -> Result<()> {
        let Some(difference) = self.data.difference(&engine.books.data) else { return Ok(()) };
        if self.run.progress.batch_in_epoch > 0 {
            return Err(self.refuse(
                format!("it was written in the middle of an epoch, and the training data is not the same: {difference}"),
                "resume with the data it was written with, or from a checkpoint that was written at the end of an epoch",
            ));
        }
        self.warn(format!("the training data is not that of the checkpoint: {difference}"));
        Ok(())
    }
}

/// An error of the states in this file, with its path.
fn of_states(error: Error, path: &Path) -> Error {
    if !matches!(error, Error::Optimizer(_) | Error::State { .. }) {
        return error.of_file(path);
    }
    let hint = error.hint().unwrap_or_else(|| "start a new fit from its weights, or use another checkpoint".to_owned());
    Error::Checkpoint { path: path.to_owned(), reason: error.to_string(), hint }
}

/// An error of a callback's state, with the key of the callback in place of the type.
fn of_callback(error: Error, key: &str) -> Error {
    match error {
        Error::State { error, .. } => Error::State { what: key.to_owned(), error },
        other => other,
    }
}

/// Restores the states of the callbacks. Returns those that belong to none.
fn load_callbacks<M: LightningModule>(engine: &mut Engine<M>, mut states: BTreeMap<String, Saved>) -> Result<BTreeMap<String, Saved>> {
    for (callback, key) in engine.callbacks_with_keys() {
        if let Some(saved) = states.remove(key) {
            callback.load_state(saved).map_err(|error| of_callback(error, key))?;
        }
    }
    Ok(states)
}

/// The module with all of these weights.
fn with_weights<M: Module>(module: M, weights: impl IntoIterator<Item = (String, TensorData)>, options: &LoadOptions) -> Result<M> {
    Ok(restore(module, weights, options)?.0)
}

/// The position of a resumed fit. The given number of batches per step applies to a new epoch.
fn resumed(mut place: Place, accumulate_grad_batches: usize, ranks: usize) -> Place {
    let of_all = place.accumulate_grad_batches.saturating_mul(place.ranks.max(1));
    // The same number of batches in a step, if the ranks can share them.
    place.accumulate_grad_batches = if of_all.is_multiple_of(ranks) { of_all / ranks } else { accumulate_grad_batches };
    place.ranks = ranks;
    if !place.progress.has_begun() {
        // A fit that has not trained yet starts again with its sanity check.
        place.evaluating = None;
    }
    if place.progress.batch_in_epoch == 0 {
        // At the start of an epoch the options and the scheduler callback decide again.
        place.accumulate_grad_batches = accumulate_grad_batches;
    }
    place.last_validation.start();
    place
}
