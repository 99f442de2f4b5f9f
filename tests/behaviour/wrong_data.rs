//! Missing, empty and used-up data; steps that are not there; a loss that cannot be used.

use std::sync::atomic::{AtomicUsize, Ordering};

use burn::{
    data::dataset::{Dataset, DatasetError},
    optim::SgdConfig,
    prelude::*,
};
use stormfire::{data::CombinedLoader, module::Event, prelude::*};

use crate::{
    support::{Batch, Line, line_data, quiet},
    wrong_input::check,
};

/// A data module that has nothing.
struct Nothing;

impl DataModule for Nothing {
    type Batch = Batch;
}

#[test]
fn a_missing_loader_is_named_by_its_stage() {
    let hint = |method: &str, what: &str| {
        Some(format!("return {what} from `{method}`, or pass {} to the run", if what == "a loader" { "one" } else { "them" }))
    };
    let line = Line::new();
    let text = |stage: &str| format!("there is no loader for stage `{stage}`");
    let many = "loaders";
    check(quiet().fit(Line::new(), Nothing), &text("fit"), hint("train_dataloader", "a loader").as_deref());
    check(quiet().validate(&line, Nothing), &text("validate"), hint("val_dataloader", many).as_deref());
    check(quiet().test(&line, Nothing), &text("test"), hint("test_dataloader", many).as_deref());
    check(quiet().predict(&line, Nothing), &text("predict"), hint("predict_dataloader", many).as_deref());
    check(quiet().fit(Line::new(), Loaders::from(line_data(8, 2))), &text("fit"), hint("train_dataloader", "a loader").as_deref());
    check(quiet().test(&line, (line_data(8, 2), line_data(8, 2))), &text("test"), hint("test_dataloader", many).as_deref());
}

impl PredictModule for Line {
    type Prediction = Tensor<2>;

    fn predict_step(&self, (x, _): Batch, _batch_idx: usize) -> Result<Tensor<2>> {
        Ok(self.layer.forward(x))
    }
}

#[test]
fn empty_data_is_refused_before_training() {
    let hint = Some("check where the data is read from; with `drop_last` a dataset smaller than one batch has none");
    let fit = |data| quiet().fit(Line::new(), data);
    check(fit(line_data(0, 2)), "`train_dataloader`: the loader is empty: its dataset has no items", hint);
    check(
        fit(line_data(3, 4).drop_last(true)),
        "`train_dataloader`: the loader is empty: its dataset has 3 items, fewer than one full batch",
        hint,
    );
    check(
        fit(Loader::from_batches(Vec::new())),
        "`train_dataloader`: the loader is empty: it is made from an iterator without batches",
        hint,
    );
    let text = |of: &str| format!("`{of}`: the loader is empty: its dataset has no items");
    check(quiet().fit(Line::new(), (line_data(8, 2), line_data(0, 2))), &text("val_dataloader"), hint);
    check(quiet().test(&Line::new(), line_data(0, 2)), &text("test_dataloader"), hint);
    let text = "`train_dataloader`: it gave no batch";
    let unsized_and_empty = Loader::from_fn(|_| std::iter::from_fn(|| None));
    check(fit(unsized_and_empty), text, Some("is the data empty, or smaller than a batch with `drop_last`?"));
}

#[test]
fn options_of_a_loader_that_make_no_sense_are_refused() {
    let fit = |data| quiet().fit(Line::new(), data);
    check(fit(line_data(8, 0)), "`train_dataloader`: `batch_size` cannot be 0", Some("`batch_size` must be at least 1"));
    check(fit(line_data(8, 2).prefetch(0)), "`train_dataloader`: `prefetch` cannot be 0", Some("`prefetch` must be at least 1"));
    let text = "`train_dataloader`: `shuffle` has no effect on a loader made from an iterator";
    let hint = "`shuffle` works on `Loader::new` with a dataset and a batcher; here the iterator decides";
    check(fit(Loader::from_batches(batches(2)).shuffle(true)), text, Some(hint));
    let text = "`train_dataloader`: a combined loader needs at least one loader";
    check(fit(CombinedLoader::sequential([])), text, Some("pass one or more loaders"));
}

fn batches(count: usize) -> Vec<Batch> {
    let x = Tensor::<2>::ones([2, 1], &Device::flex());
    vec![(x.clone(), x * 3.0); count]
}

#[test]
fn an_iterator_serves_one_epoch_only() {
    let hint = Some("use `Loader::from_fn`, which makes a fresh iterator for each epoch, or `Loader::from_batches`");
    let text = "the iterator of this loader was already consumed, so there is nothing left for epoch 1";
    check(quiet().max_epochs(2).fit(Line::new(), Loader::from_iter(batches(3))), text, hint);
    let fit = quiet().max_epochs(1).fit(Line::new(), Loader::from_iter(batches(3))).unwrap();
    assert_eq!(fit.progress.global_step, 3);
}

/// What a line does wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    /// The loss is NaN from this step on.
    NanFrom(u64),
    /// The loss is a number, its gradient is not.
    NanGradient,
    /// The loss is off the tape.
    OffTheTape,
    /// The loss is on the tape, but cut off from the parameters.
    Detached,
    /// The loss is not one number.
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
            // The slope of a square root is infinite at 0, and 0 · ∞ is no number.
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

#[track_caller]
fn fit_faulty(fault: Fault, trainer: Trainer<Faulty>, text: &str, hint: &str) {
    FAULT.set(fault);
    let mut trainer = trainer.max_epochs(1);
    check(trainer.fit(Faulty { line: Line::new() }, line_data(16, 2)), text, Some(hint));
}

const FIND_IT: &str = "lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`";

#[test]
fn a_loss_that_is_nan_is_noticed_when_values_are_read() {
    // Nothing is read before the end of the epoch.
    let text = "the training loss is not finite at epoch 0, batch 3 (global step 3); \
                by now these parameters are not finite: `line.layer.weight`, `line.layer.bias`";
    fit_faulty(Fault::NanFrom(3), quiet(), text, FIND_IT);
}

#[test]
fn with_detect_anomaly_nan_is_noticed_at_once() {
    let anomaly = || quiet().detect_anomaly(true);
    let text = "the training loss is not finite at epoch 0, batch 3 (global step 3) (in `training_step` of `Faulty`)";
    fit_faulty(Fault::NanFrom(3), anomaly(), text, FIND_IT);
    let text = "the gradient of `line.layer.weight` is not finite at epoch 0, batch 0 (global step 0) (in `training_step` of `Faulty`)";
    fit_faulty(Fault::NanGradient, anomaly(), text, FIND_IT);
}

#[test]
fn a_loss_without_a_way_to_the_parameters_is_refused() {
    let hint = "return the loss as computed from the module's parameters, as a tensor of one element that was not detached";
    let text = |reason: &str| format!("the loss cannot be differentiated: {reason} (in `training_step` of `Faulty`, epoch 0, batch 0)");
    fit_faulty(Fault::OffTheTape, quiet(), &text("it does not depend on the module's parameters"), hint);
    fit_faulty(Fault::Detached, quiet(), &text("it does not depend on the module's parameters"), hint);
    fit_faulty(Fault::NotReduced, quiet(), &text("it has shape [2] instead of [1]"), hint);
}

/// Implements nothing.
#[derive(Module, Debug)]
struct Bare {
    line: Line,
}

impl LightningModule for Bare {
    type Batch = Batch;
}

/// Can train, and nothing else.
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
fn a_method_that_is_needed_is_named() {
    let bare = Bare { line: Line::new() };
    let hint = "return `Ok(Optimizer::new(AdamConfig::new(), 1e-3).into())`, or `Ok(Optimizers::none())` to train nothing";
    check(quiet().fit(bare.clone(), line_data(8, 2)), "`configure_optimizers` is not implemented", Some(hint));
    let stepless = OptimizesOnly { line: Line::new() };
    let hint = "implement `training_step`, or override `training_batch`";
    check(quiet().fit(stepless, line_data(8, 2)), "`training_step` is not implemented", Some(hint));
    let hint = |step: &str| format!("implement `LightningModule::{step}`, or give no loader for it");
    check(quiet().test(&bare, line_data(8, 2)), "`test_step` is not implemented", Some(&hint("test_step")));
    check(quiet().validate(&bare, line_data(8, 2)), "`validation_step` is not implemented", Some(&hint("validation_step")));
}

/// Counts validations that began.
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
fn a_validation_loader_without_a_step_is_worth_a_warning_only() {
    static BEGAN: AtomicUsize = AtomicUsize::new(0);
    for (sanity_steps, began) in [(2, 1), (0, 2)] {
        let mut trainer = quiet().max_epochs(3).num_sanity_val_steps(sanity_steps).callback(Validations(&BEGAN));
        let fit = trainer.fit(TrainsOnly { line: Line::new() }, (line_data(8, 2), line_data(8, 2))).unwrap();
        assert_eq!((fit.stop, fit.progress.global_step), (Stop::MaxEpochs(3), 12));
        assert_eq!(BEGAN.load(Ordering::Relaxed), began, "it is tried once a fit");
    }
}

/// Eight items, of which one cannot be read.
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
fn a_dataset_that_fails_is_told_with_its_item() {
    for workers in 0..3 {
        let collate = |items: Vec<f32>, device: &Device| {
            let x = Tensor::<1>::from_floats(items.as_slice(), device).unsqueeze_dim::<2>(1);
            (x.clone(), x)
        };
        let data = Loader::collate(Torn, collate).batch_size(2).workers(workers);
        check(quiet().fit(Line::new(), data), "the dataset failed at item 5 of batch 2: the file is torn", None);
    }
}
