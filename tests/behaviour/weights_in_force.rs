//! Validation with an average of the weights. `Callback::weights` provides it, or the hooks of a callback swap it in.

use std::{
    cell::Cell,
    path::Path,
    sync::{Arc, Mutex},
};

use burn::{module::Param, optim::AdamConfig, prelude::*};
use insta::assert_snapshot;
use stormfire::{
    Error, Event,
    checkpoint::Checkpoint,
    module::{Hook, requests::SaveRequest},
    prelude::*,
};

use crate::{
    error_text::error_text,
    repeatability::{Weights, weights},
    support::{Batch, Line, line_data, quiet},
};

thread_local! {
    /// The number of the evaluation batch that fails, counted over the fit.
    static FAILS_AT: Cell<Option<usize>> = const { Cell::new(None) };
    /// The fault of that batch.
    static FAULT: Cell<fn() -> Result<()>> = const { Cell::new(|| Err(Error::other("the lamp fell over"))) };
    static EVALUATED: Cell<usize> = const { Cell::new(0) };
    /// The weights that the callbacks of a failure have seen.
    static SEEN: Cell<Weights> = const { Cell::new(Vec::new()) };
}

/// A line that may fail in mid-validation.
#[derive(Module, Debug)]
struct Net {
    line: Line,
}

impl Net {
    fn new() -> Self {
        Self { line: Line::fixed() }
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.line.loss(batch).into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let number = EVALUATED.replace(EVALUATED.get() + 1);
        if FAILS_AT.get() == Some(number) {
            FAULT.get()()?;
        }
        self.log("val_loss", self.line.loss(batch));
        Ok(StepOutput::none())
    }

    fn test_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("test_loss", self.line.loss(batch));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 0.1).into())
    }
}

/// The way in which the average gets into the module.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    /// [`Callback::weights`].
    Weights,
    /// Hooks of the validation.
    Hooks,
    /// Not at all.
    None,
}

/// A running average of the weights.
struct Average {
    by: By,
    mean: Option<Net>,
    updates: u32,
    trained: Option<Net>,
}

impl Average {
    fn new(by: By) -> Self {
        Self { by, mean: None, updates: 0, trained: None }
    }
}

/// A copy of the module with separate parameters.
fn mean(a: &Net, b: &Net) -> Net {
    let mut net = Net::new();
    net.line.layer.weight = Param::from_tensor((a.line.layer.weight.val() + b.line.layer.weight.val()) * 0.5);
    net.line.layer.bias = b.line.layer.bias.as_ref().map(|bias| Param::from_tensor(bias.val()));
    net
}

impl Callback<Net> for Average {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, module: &mut Net, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        let now = module.valid();
        self.mean = Some(self.mean.take().map_or_else(|| now.clone(), |before| mean(&before, &now)));
        self.updates += 1;
        Ok(())
    }

    fn on_validation_start(&mut self, _ctx: &mut Context<'_>, module: &mut Net) -> Result<()> {
        if let (By::Hooks, Some(mean)) = (self.by, &self.mean) {
            self.trained = Some(std::mem::replace(module, mean.clone()));
        }
        Ok(())
    }

    fn on_validation_end(&mut self, _ctx: &mut Context<'_>, module: &mut Net) -> Result<()> {
        if let Some(trained) = self.trained.take() {
            *module = trained;
        }
        Ok(())
    }

    fn weights(&mut self, _module: &Net) -> Result<Option<Net>> {
        Ok(self.mean.clone().filter(|_| self.by == By::Weights))
    }

    fn state(&self) -> Result<Saved> {
        let saved: Saved = state::save(&self.updates)?;
        Ok(match &self.mean {
            Some(mean) => saved.with_module("mean", mean),
            None => saved,
        })
    }

    fn load_state(&mut self, mut state: Saved) -> Result<()> {
        state::load(&mut self.updates, state.take_json())?;
        self.mean = Some(state.load_module("mean", Net::new())?);
        Ok(())
    }
}

type Losses = Arc<Mutex<Vec<(usize, u64)>>>;

/// The validation losses of a fit, by epoch.
#[derive(Clone, Default)]
struct Record(Losses);

impl Callback<Net> for Record {
    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut Net) -> Result<()> {
        let loss = ctx.metric("val_loss")?.to_bits();
        self.0.lock().unwrap().push((ctx.current_epoch(), loss));
        Ok(())
    }
}

/// Saves when the fit fails. With `keeps`, saves the state of the last boundary.
struct SaveOnFailure<'a> {
    path: &'a Path,
    keeps: bool,
}

impl Callback<Net> for SaveOnFailure<'static> {
    fn on_train_start(&mut self, ctx: &mut Context<'_>, _module: &mut Net) -> Result<()> {
        if self.keeps {
            ctx.keep_state();
        }
        Ok(())
    }

    fn on_exception(&mut self, ctx: &mut Context<'_>, module: &mut Net, _error: &Error) -> Result<()> {
        SEEN.set(weights_of(module));
        ctx.save_checkpoint(SaveRequest { path: self.path.into(), ..SaveRequest::default() });
        Ok(())
    }
}

fn trainer(by: By, record: &Record) -> Trainer<Net> {
    EVALUATED.set(0);
    FAILS_AT.set(None);
    quiet().seed(3).num_sanity_val_steps(0).max_epochs(3).callback(Average::new(by)).callback(record.clone())
}

fn data() -> (Loader<Batch>, Loader<Batch>) {
    (line_data(12, 2), line_data(8, 2))
}

/// The weights by name, as in a file.
fn weights_of(net: &Net) -> Weights {
    let mut weights = weights(net);
    weights.sort();
    weights
}

/// The trained weights of a file, and the weights in force if they differ.
fn saved(path: &Path) -> (Weights, Option<Weights>) {
    let mut checkpoint = Checkpoint::read(path).unwrap();
    let bits = |tensors: std::collections::BTreeMap<String, burn::tensor::TensorData>| {
        tensors.into_iter().map(|(name, data)| (name, data.iter::<f32>().map(f32::to_bits).collect())).collect()
    };
    let trained = bits(checkpoint.take_training_weights());
    let in_force = checkpoint.take_under("in_force");
    (trained, (!in_force.is_empty()).then(|| bits(in_force)))
}

#[test]
fn the_average_is_validated_and_the_trained_weights_are_trained() {
    let run = |by| {
        let record = Record::default();
        let fit = trainer(by, &record).fit(Net::new(), data()).unwrap();
        (weights_of(&fit.module), record.0.lock().unwrap().clone())
    };
    let (plain, plain_losses) = run(By::None);
    let (given, given_losses) = run(By::Weights);
    let (swapped, swapped_losses) = run(By::Hooks);
    assert_eq!((&given, &swapped), (&plain, &plain));
    assert_eq!(given_losses, swapped_losses);
    assert_ne!(given_losses, plain_losses);
}

#[test]
fn a_checkpoint_contains_the_trained_weights_and_those_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let fit = |by: By, epochs: usize, from: Option<&Path>| {
        let record = Record::default();
        let saving =
            ModelCheckpoint::new().dirpath(path(&format!("{by:?}"))).filename("{epoch}").monitor("val_loss").save_top_k(SaveTopK::All);
        let mut trainer = trainer(by, &record).enable_checkpointing(true).max_epochs(epochs).callback(saving);
        if let Some(from) = from {
            trainer = trainer.ckpt_path(from);
        }
        let fit = trainer.fit(Net::new(), data()).unwrap();
        let losses = record.0.lock().unwrap().clone();
        (trainer, weights_of(&fit.module), losses, fit.module)
    };
    let (_, plain, ..) = fit(By::None, 3, None);
    assert!(saved(&path("None/epoch=2.ckpt")).1.is_none(), "nothing replaced the trained weights");
    for by in [By::Weights, By::Hooks] {
        let (mut trainer, uninterrupted, losses, module) = fit(by, 3, None);
        let file = path(&format!("{by:?}/epoch=2.ckpt"));
        let (own, in_force) = saved(&file);
        assert_eq!((&own, &uninterrupted), (&plain, &plain), "{by:?}");
        let in_force = in_force.unwrap_or_else(|| panic!("{by:?}: the average is not there"));
        assert_ne!(in_force, own);

        // The evaluation uses the weights that were scored.
        let loaded = Net::new().load_weights(&file, &LoadOptions::new()).unwrap().0;
        assert_eq!(weights_of(&loaded), in_force, "{by:?}");
        trainer.set_ckpt_path(&*file);
        let validated = trainer.validate(&module, Loaders::from(line_data(8, 2))).unwrap();
        let score = validated[0].get("val_loss").unwrap();
        assert_eq!(losses.last(), Some(&(2, score.to_bits())), "{by:?}");

        // A fit continues with the trained weights.
        let (_, continued, later, _) = fit(by, 3, Some(&path(&format!("{by:?}/epoch=0.ckpt"))));
        assert_eq!((&continued, &later[..]), (&uninterrupted, &losses[1..]), "{by:?}");
    }
}

/// A validation fails in one of its batches. The trained weights are saved, and the fit resumes from them.
#[test]
fn a_failure_in_mid_validation_does_not_save_the_average_as_the_weights() {
    let faults: [fn() -> Result<()>; 2] = [|| Err(Error::other("the lamp fell over")), || panic!("the lamp fell over")];
    for (by, fault) in [By::Weights, By::Hooks].into_iter().flat_map(|by| faults.map(|fault| (by, fault))) {
        let folder = tempfile::tempdir().unwrap();
        FAULT.set(fault);
        let record = Record::default();
        let whole = trainer(by, &record).fit(Net::new(), data()).unwrap();
        let losses = record.0.lock().unwrap().clone();
        // The numbers of the batches of the second validation.
        for (at, keeps) in [(4, true), (6, true), (7, true), (6, false)] {
            let what = format!("{by:?}, batch {at}, keeps {keeps}");
            let path: &'static Path = Box::leak(folder.path().join(format!("{by:?}-{at}-{keeps}.ckpt")).into_boxed_path());
            let mut failing = trainer(by, &Record::default()).callback(SaveOnFailure { path, keeps });
            FAILS_AT.set(Some(at));
            let _ = failing.fit(Net::new(), data()).unwrap_err();
            let (own, in_force) = saved(path);
            assert_ne!(Some(&own), in_force.as_ref(), "{what}");
            assert!(in_force.is_some(), "{what}");
            assert_eq!(SEEN.take(), own, "{what}");
            // The Trainer has no fit whose end could be saved.
            let error = error_text(failing.save_checkpoint(&Net::new(), folder.path().join("end.ckpt")));
            insta::allow_duplicates! { assert_snapshot!(error, @r"
            `save_checkpoint`: no fit has completed
              hint: call it after a `Trainer::fit` that has returned a module, or use `ModelCheckpoint`
            ") };

            let record = Record::default();
            let mut resumed = trainer(by, &record).ckpt_path(path);
            let fit = resumed.fit(Net::new(), data()).unwrap();
            assert_eq!(weights_of(&fit.module), weights_of(&whole.module), "{what}");
            assert_eq!(*record.0.lock().unwrap(), losses[1..], "{what}");
        }
    }
}

/// Helper test for a child process: a signal comes in the batches of a validation.
#[test]
#[ignore = "a part of `a_signal_in_mid_validation_saves_no_average_as_the_weights`"]
#[cfg(unix)]
fn is_interrupted() {
    let Some(folder) = crate::child::folder() else { return };
    for by in [By::Weights, By::Hooks] {
        let record = Record::default();
        let whole = trainer(by, &record).fit(Net::new(), data()).unwrap();
        let losses = record.0.lock().unwrap().clone();
        // The first, a middle and the last batch of the second validation.
        for (at, keeps) in [(4, true), (6, true), (7, true), (6, false)] {
            let what = format!("{by:?}, batch {at}, keeps {keeps}");
            let path: &'static Path = Box::leak(folder.join(format!("{by:?}-{at}-{keeps}.ckpt")).into_boxed_path());
            let record = Record::default();
            let mut ending = trainer(by, &record).callback(SaveOnFailure { path, keeps });
            FAULT.set(|| {
                crate::signals::kill_self("TERM");
                Ok(())
            });
            FAILS_AT.set(Some(at));
            let ended = ending.fit(Net::new(), data()).unwrap();
            assert!(ended.stop.is_interrupted(), "{what}");
            let (own, in_force) = saved(path);
            assert_eq!(weights_of(&ended.module), own, "{what}: the program gets the trained weights");
            assert!(in_force.is_some_and(|in_force| in_force != own), "{what}");

            assert!(stormfire::forget_interrupt().is_some());
            let fit = trainer(by, &record).ckpt_path(path).fit(Net::new(), data()).unwrap();
            assert_eq!(weights_of(&fit.module), weights_of(&whole.module), "{what}");
            assert_eq!(*record.0.lock().unwrap(), losses, "{what}");
        }
    }
}

#[test]
#[cfg(unix)]
fn a_signal_in_mid_validation_saves_no_average_as_the_weights() {
    crate::child::play(crate::child::part("weights_in_force::is_interrupted", tempfile::tempdir().unwrap().path()));
}

/// Changes the weights permanently, in a hook after the validation.
struct Prune(Hook);

impl Callback<Net> for Prune {
    fn on_event(&mut self, _ctx: &mut Context<'_>, module: &mut Net, event: &mut Event<'_, Batch>) -> Result<()> {
        if event.hook() == self.0 {
            let zero = |values: Tensor<1>| {
                if values.is_autodiff() { Tensor::from_inner(values.inner() * 0.0).require_grad() } else { values * 0.0 }
            };
            module.line.layer.bias = module.line.layer.bias.take().map(|bias| bias.map(zero));
        }
        Ok(())
    }
}

#[test]
fn weights_that_hooks_change_permanently_are_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for hook in [Hook::ValidationEnd, Hook::TrainEpochEnd, Hook::TrainEnd] {
        let path = folder.path().join(format!("{hook}.ckpt"));
        let mut trainer = trainer(By::None, &Record::default()).callback(Prune(hook));
        let fit = trainer.fit(Net::new(), data()).unwrap();
        trainer.save_checkpoint(&fit.module, &path).unwrap();
        assert_eq!(saved(&path), (weights_of(&fit.module), None), "{hook}");
        let loaded = Net::new().load_weights(&path, &LoadOptions::new()).unwrap().0;
        assert_eq!(weights_of(&loaded), weights_of(&fit.module), "{hook}");
        // Also weights that the program has replaced.
        trainer.save_checkpoint(&Net::new(), &path).unwrap();
        assert_eq!(saved(&path), (weights_of(&Net::new()), None), "{hook}");
    }
}

#[test]
fn a_step_after_the_validation_is_in_the_file() {
    struct Skip;
    impl Callback<Net> for Skip {
        fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut Net) -> Result<()> {
            ctx.skip_epoch();
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let saving = ModelCheckpoint::new().dirpath(folder.path()).filename("{epoch}").save_on_train_epoch_end(true);
    let trainer = trainer(By::None, &Record::default()).max_epochs(1).enable_checkpointing(true).callback(saving).callback(Skip);
    // The window is open during the validation. Its step follows.
    let fit = trainer.val_check_interval(Every::Batches(3)).accumulate_grad_batches(2).fit(Net::new(), data()).unwrap();
    assert_eq!(fit.progress.global_step, 2);
    assert_eq!(saved(&folder.path().join("epoch=0.ckpt")), (weights_of(&fit.module), None));
}

#[test]
fn two_callbacks_with_weights_are_refused_by_name() {
    struct Another;
    impl Callback<Net> for Another {
        fn weights(&mut self, module: &Net) -> Result<Option<Net>> {
            Ok(Some(module.clone()))
        }
    }
    let record = Record::default();
    let mut trainer = trainer(By::Weights, &record).callback(Another);
    assert_snapshot!(error_text(trainer.fit(Net::new(), data())), @"
    `callback`: `Average` and `Another` both provide weights to use instead of the trained ones
      hint: use one of them
    ");
}
