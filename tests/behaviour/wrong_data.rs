//! Errors for missing, empty and consumed data, for missing steps, and for an unusable loss.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::{
    data::dataset::{Dataset, DatasetError},
    optim::SgdConfig,
    prelude::*,
};
use insta::assert_snapshot;
use stormfire::{data::CombinedLoader, module::Event, prelude::*};

use crate::{
    error_text::error_text,
    support::{Batch, Line, line_data, quiet},
};

/// A data module without loaders.
struct Nothing;

impl DataModule for Nothing {
    type Batch = Batch;
}

#[test]
fn a_missing_loader_is_named_by_its_stage() {
    let line = Line::new();
    let errors = [
        error_text(quiet().fit(Line::new(), Nothing)),
        error_text(quiet().validate(&line, Nothing)),
        error_text(quiet().test(&line, Nothing)),
        error_text(quiet().predict(&line, Nothing)),
        error_text(quiet().fit(Line::new(), Loaders::from(line_data(8, 2)))),
        error_text(quiet().test(&line, (line_data(8, 2), line_data(8, 2)))),
    ];
    assert_snapshot!(errors.join("\n"), @"
    there is no loader for stage `fit`
      hint: return a loader from `train_dataloader`, or pass one to the run
    there is no loader for stage `validate`
      hint: return loaders from `val_dataloader`, or pass them to the run
    there is no loader for stage `test`
      hint: return loaders from `test_dataloader`, or pass them to the run
    there is no loader for stage `predict`
      hint: return loaders from `predict_dataloader`, or pass them to the run
    there is no loader for stage `fit`
      hint: return a loader from `train_dataloader`, or pass one to the run
    there is no loader for stage `test`
      hint: return loaders from `test_dataloader`, or pass them to the run
    ");
}

impl PredictModule for Line {
    type Prediction = Tensor<2>;

    fn predict_step(&self, (x, _): Batch, _batch_idx: usize) -> Result<Tensor<2>> {
        Ok(self.layer.forward(x))
    }
}

#[test]
fn empty_data_is_refused_before_training() {
    let fit = |data| error_text(quiet().fit(Line::new(), data));
    let errors = [
        fit(line_data(0, 2)),
        fit(line_data(3, 4).drop_last(true)),
        fit(Loader::from_batches(Vec::new())),
        error_text(quiet().fit(Line::new(), (line_data(8, 2), line_data(0, 2)))),
        error_text(quiet().test(&Line::new(), line_data(0, 2))),
        // It has no length.
        fit(Loader::from_fn(|_| std::iter::from_fn(|| None))),
    ];
    assert_snapshot!(errors.join("\n"), @"
    `train_dataloader`: the loader is empty: its dataset has no items
      hint: check where the data is read from; with `drop_last` a dataset smaller than one batch has none
    `train_dataloader`: the loader is empty: its dataset has 3 items, fewer than one full batch
      hint: check where the data is read from; with `drop_last` a dataset smaller than one batch has none
    `train_dataloader`: the loader is empty: it is made from an iterator without batches
      hint: check where the data is read from; with `drop_last` a dataset smaller than one batch has none
    `val_dataloader`: the loader is empty: its dataset has no items
      hint: check where the data is read from; with `drop_last` a dataset smaller than one batch has none
    `test_dataloader`: the loader is empty: its dataset has no items
      hint: check where the data is read from; with `drop_last` a dataset smaller than one batch has none
    `train_dataloader`: it gave no batch
      hint: is the data empty, or smaller than a batch with `drop_last`?
    ");
}

#[test]
fn wrong_options_of_a_loader_are_refused() {
    let fit = |data| error_text(quiet().fit(Line::new(), data));
    let errors = [
        fit(line_data(8, 0)),
        fit(line_data(8, 2).prefetch(0)),
        fit(Loader::from_batches(batches(2)).shuffle(true)),
        error_text(quiet().fit(Line::new(), CombinedLoader::sequential([]))),
    ];
    assert_snapshot!(errors.join("\n"), @"
    `train_dataloader`: `batch_size` cannot be 0
      hint: `batch_size` must be at least 1
    `train_dataloader`: `prefetch` cannot be 0
      hint: `prefetch` must be at least 1
    `train_dataloader`: `shuffle` has no effect on a loader made from an iterator
      hint: `shuffle` works on `Loader::new` with a dataset and a batcher; here the iterator decides
    `train_dataloader`: a combined loader needs at least one loader
      hint: pass one or more loaders
    ");
}

fn batches(count: usize) -> Vec<Batch> {
    let x = Tensor::<2>::ones([2, 1], &Device::flex());
    vec![(x.clone(), x * 3.0); count]
}

#[test]
fn an_iterator_serves_one_epoch_only() {
    assert_snapshot!(error_text(quiet().max_epochs(2).fit(Line::new(), Loader::from_iter(batches(3)))), @"
    the iterator of this loader was already consumed, so there is nothing left for epoch 1
      hint: use `Loader::from_fn`, which makes a fresh iterator for each epoch, or `Loader::from_batches`
    ");
    let fit = quiet().max_epochs(1).fit(Line::new(), Loader::from_iter(batches(3))).unwrap();
    assert_eq!(fit.progress.global_step, 3);
}

/// The fault of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The loss is NaN from this step on.
    NanFrom(u64),
    /// The loss is finite, but its gradient is not.
    NanGradient,
    /// The loss has no tape.
    OffTheTape,
    /// The loss has a tape, but is detached from the parameters.
    Detached,
    /// The loss has several elements.
    NotReduced,
}

thread_local! {
    static FAULT: std::cell::Cell<Fault> = const { std::cell::Cell::new(Fault::NanGradient) };
}

#[derive(Module, Debug)]
struct Faulty {
    line: Line,
}

impl LightningModule for Faulty {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.line.loss(batch.clone());
        let loss = match FAULT.get() {
            Fault::NanFrom(step) if self.global_step() >= step => loss * f64::NAN,
            Fault::NanFrom(_) => loss,
            // The slope of a square root is infinite at 0, and 0 · ∞ is NaN.
            Fault::NanGradient => (self.line.layer.weight.val() * 0.0).sqrt().sum() + loss,
            Fault::OffTheTape => loss.inner(),
            Fault::Detached => loss.detach(),
            Fault::NotReduced => self.line.layer.forward(batch.0).flatten::<1>(0, 1),
        };
        Ok(loss.into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.01).into())
    }
}

/// The error of a fit of a module with this fault.
#[track_caller]
fn error_of(fault: Fault, trainer: Trainer<Faulty>) -> String {
    FAULT.set(fault);
    error_text(trainer.max_epochs(1).fit(Faulty { line: Line::new() }, line_data(16, 2)))
}

#[test]
fn a_nan_loss_is_noticed_when_values_are_read() {
    // The first read is at the end of the epoch.
    assert_snapshot!(error_of(Fault::NanFrom(3), quiet()), @"
    the training loss is not finite at epoch 0, batch 3 (global step 3); by now these parameters are not finite: `line.layer.weight`, `line.layer.bias`
      hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
    ");
}

#[test]
fn detect_anomaly_notices_nan_at_once() {
    let anomaly = || quiet().detect_anomaly(true);
    assert_snapshot!(error_of(Fault::NanFrom(3), anomaly()), @"
    the training loss is not finite at epoch 0, batch 3 (global step 3) (in `training_step` of `Faulty`)
      hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
    ");
    assert_snapshot!(error_of(Fault::NanGradient, anomaly()), @"
    the gradient of `line.layer.weight` is not finite at epoch 0, batch 0 (global step 0) (in `training_step` of `Faulty`)
      hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
    ");
}

#[test]
fn a_loss_that_does_not_depend_on_the_parameters_is_refused() {
    let errors = [Fault::OffTheTape, Fault::Detached, Fault::NotReduced].map(|fault| error_of(fault, quiet()));
    assert_snapshot!(errors.join("\n"), @"
    the loss cannot be used: it does not depend on the module's parameters (in `training_step` of `Faulty`, epoch 0, batch 0)
      hint: return one element, such as the `mean()` of the losses, computed from the module's parameters and not detached
    the loss cannot be used: it does not depend on the module's parameters (in `training_step` of `Faulty`, epoch 0, batch 0)
      hint: return one element, such as the `mean()` of the losses, computed from the module's parameters and not detached
    the loss cannot be used: it has shape [2] instead of [1] (in `training_step` of `Faulty`, epoch 0, batch 0)
      hint: return one element, such as the `mean()` of the losses, computed from the module's parameters and not detached
    ");
}

/// Returns the losses of the items, which are not reduced, for its own hooks or a callback.
#[derive(Module, Debug)]
struct PerItem {
    line: Line,
}

impl LightningModule for PerItem {
    type Batch = Batch;

    fn training_batch(&mut self, batch: Batch, _batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        opt.step("SGD", self, &self.line.loss(batch.clone()))?;
        self.test_step(batch, 0)
    }

    fn validation_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.test_step(batch, batch_idx)
    }

    fn test_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok((self.line.layer.forward(x) - y).square().flatten::<1>(0, 1).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

#[test]
fn a_loss_that_was_not_reduced_is_refused_in_every_step() {
    let module = || PerItem { line: Line::new() };
    let refused = "the loss cannot be used: it has shape [2] instead of [1] (in `";
    let data = || line_data(16, 2);
    let of = |error: stormfire::Error| error.to_string().strip_prefix(refused).map(|rest| rest.split('`').next().unwrap().to_owned());
    assert_eq!(of(quiet().fit(module(), data()).unwrap_err()).as_deref(), Some("training_step"));
    assert_eq!(of(quiet().validate(&module(), data()).unwrap_err()).as_deref(), Some("validation_step"));
    assert_eq!(of(quiet().test(&module(), data()).unwrap_err()).as_deref(), Some("test_step"));
}

/// Implements nothing.
#[derive(Module, Debug)]
struct Bare {
    line: Line,
}

impl LightningModule for Bare {
    type Batch = Batch;
}

/// Can only train.
#[derive(Module, Debug)]
struct TrainsOnly {
    line: Line,
}

impl LightningModule for TrainsOnly {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.line.loss(batch).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.01).into())
    }
}

/// Has an optimizer, but no step.
#[derive(Module, Debug)]
struct OptimizesOnly {
    line: Line,
}

impl LightningModule for OptimizesOnly {
    type Batch = Batch;

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.01).into())
    }
}

#[test]
fn a_missing_method_is_named() {
    let bare = Bare { line: Line::new() };
    let errors = [
        error_text(quiet().fit(bare.clone(), line_data(8, 2))),
        error_text(quiet().fit(OptimizesOnly { line: Line::new() }, line_data(8, 2))),
        error_text(quiet().test(&bare, line_data(8, 2))),
        error_text(quiet().validate(&bare, line_data(8, 2))),
    ];
    assert_snapshot!(errors.join("\n"), @"
    `configure_optimizers` is not implemented
      hint: return `Ok(Optimizer::new(AdamConfig::new(), 1e-3).into())`, or `Ok(Optimizers::none())` to train nothing
    `training_step` is not implemented
      hint: implement `training_step`, or override `training_batch`
    `test_step` is not implemented
      hint: implement `LightningModule::test_step`, or give no loader for it
    `validation_step` is not implemented
      hint: implement `LightningModule::validation_step`, or give no loader for it
    ");
}

/// Counts the validations that started.
struct Validations<'a>(&'a AtomicUsize);

impl<M: LightningModule> Callback<M> for Validations<'static> {
    fn on_event(&mut self, _ctx: &mut Context<'_>, _module: &mut M, event: &mut Event<'_, M::Batch>) -> Result<()> {
        if matches!(event, Event::ValidationStart) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

#[test]
fn a_validation_loader_without_a_step_is_only_a_warning() {
    static BEGAN: AtomicUsize = AtomicUsize::new(0);
    for (sanity_steps, began) in [(2, 1), (0, 2)] {
        let mut trainer = quiet().max_epochs(3).num_sanity_val_steps(sanity_steps).callback(Validations(&BEGAN));
        let fit = trainer.fit(TrainsOnly { line: Line::new() }, (line_data(8, 2), line_data(8, 2))).unwrap();
        assert_eq!((fit.stop, fit.progress.global_step), (Stop::MaxEpochs(3), 12));
        assert_eq!(BEGAN.load(Ordering::Relaxed), began, "each fit tries it once");
    }
}

/// Eight items. One of them cannot be read.
struct Torn;

impl Dataset<f32> for Torn {
    fn len(&self) -> usize {
        8
    }

    fn get(&self, index: usize) -> Result<f32, DatasetError> {
        if index == 5 { Err(DatasetError::new(std::io::Error::other("the file is torn"))) } else { Ok(index as f32) }
    }
}

#[test]
fn an_error_of_a_dataset_names_the_item() {
    let errors = [0, 1, 2].map(|workers| {
        let collate = |items: Vec<f32>, device: &Device| {
            let x = Tensor::<1>::from_floats(items.as_slice(), device).unsqueeze_dim::<2>(1);
            (x.clone(), x)
        };
        error_text(quiet().fit(Line::new(), Loader::collate(Torn, collate).batch_size(2).workers(workers)))
    });
    assert_snapshot!(errors[0], @"the dataset failed at item 5 of batch 2: the file is torn");
    assert!(errors.iter().all(|error| *error == errors[0]), "{errors:?}");
}
