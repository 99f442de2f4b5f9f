//! The results of steps: errors with their position, and outputs that hooks see.

use std::sync::{Arc, Mutex};

use burn::prelude::*;
use insta::assert_snapshot;
use stormfire::prelude::*;

use crate::{
    error_text::error_text,
    support::{Batch, Line, line_data, quiet},
};

/// A [`Line`] that refuses batches of one point, and returns the number of points.
#[derive(Module, Debug)]
struct Strict {
    line: Line,
    #[module(skip)]
    seen: Seen,
}

/// The observations of hooks: observer, hook, points, loss, batch, loader.
#[derive(Clone, Debug, Default)]
struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    fn note(&self, who: &str, output: &StepOutput, batch_idx: usize, dataloader_idx: usize) {
        let (items, loss) = (output.payload::<usize>(), output.loss().map(Tensor::is_tracked));
        self.0.lock().unwrap().push(format!("{who} {items:?} {loss:?} b{batch_idx} l{dataloader_idx}"));
    }
}

impl Strict {
    fn new(seen: &Seen) -> Self {
        Self { line: Line::new(), seen: seen.clone() }
    }

    /// The number of points, or an error if there is only one.
    fn items((x, _): &Batch) -> Result<usize> {
        let [items, _] = x.dims();
        let items = i32::try_from(items).map_err(Error::other)?;
        if items > 1 { Ok(items as usize) } else { Err(Error::other(format!("{items} is too few"))) }
    }

    fn output(&self, batch: Batch) -> Result<StepOutput> {
        let items = Self::items(&batch)?;
        Ok(StepOutput::from(self.line.loss(batch)).with(items))
    }
}

impl LightningModule for Strict {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.output(batch)
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.output(batch)
    }

    fn test_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.output(batch)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }

    fn on_validation_batch_end(&mut self, _: &mut Context<'_>, output: &StepOutput, batch_idx: usize, loader: usize) -> Result<()> {
        self.seen.note("module val", output, batch_idx, loader);
        Ok(())
    }

    fn on_test_batch_end(&mut self, _: &mut Context<'_>, output: &StepOutput, batch_idx: usize, loader: usize) -> Result<()> {
        self.seen.note("module test", output, batch_idx, loader);
        Ok(())
    }
}

impl PredictModule for Strict {
    type Prediction = usize;

    fn predict_step(&self, batch: Batch, _batch_idx: usize) -> Result<usize> {
        Self::items(&batch)
    }
}

/// A Trainer that validates once an epoch, without a sanity check.
fn trainer() -> Trainer<Strict> {
    quiet().max_epochs(2).num_sanity_val_steps(0)
}

#[test]
fn an_error_in_a_step_names_the_step_epoch_and_batch() {
    let module = || Strict::new(&Seen::default());
    // Three batches. The last one has one point.
    let (whole, cut) = (|| line_data(4, 2), || line_data(5, 2));
    let errors = [
        error_text(trainer().fit(module(), cut())),
        error_text(trainer().fit(module(), (whole(), cut()))),
        error_text(quiet().num_sanity_val_steps(9).fit(module(), (whole(), cut()))),
        error_text(trainer().fit(module(), (whole(), vec![whole(), cut()]))),
        error_text(trainer().validate(&module(), cut())),
        error_text(trainer().test(&module(), cut())),
        error_text(trainer().predict(&module(), cut())),
    ];
    assert_snapshot!(errors.join("\n"), @"
    1 is too few (in `training_step` of `Strict`, epoch 0, batch 2)
    1 is too few (in `validation_step` of `Strict`, epoch 0, batch 2)
    1 is too few (in `validation_step` of `Strict`, epoch 0, batch 2)
    1 is too few (in `validation_step` of `Strict`, epoch 0, batch 2 of loader 1)
    1 is too few (in `validation_step` of `Strict`, epoch 0, batch 2)
    1 is too few (in `test_step` of `Strict`, epoch 0, batch 2)
    1 is too few (in `predict_step` of `Strict`, epoch 0, batch 2)
    ");
}

#[test]
fn hooks_see_the_outputs_of_evaluation_steps() {
    let seen = Seen::default();
    let (of_val, of_test) = (seen.clone(), seen.clone());
    let watch = LambdaCallback::new()
        .on_validation_batch_end(move |_, _, output, batch, loader| {
            of_val.note("callback val", output, batch, loader);
            Ok(())
        })
        .on_test_batch_end(move |_, _, output, batch, loader| {
            of_test.note("callback test", output, batch, loader);
            Ok(())
        });
    let mut trainer = trainer().max_epochs(1).callback(watch);
    let fit = trainer.fit(Strict::new(&seen), (line_data(4, 2), vec![line_data(5, 3), line_data(2, 2)])).unwrap();
    trainer.test(&fit.module, line_data(2, 2)).unwrap();
    assert_snapshot!(seen.0.lock().unwrap().join("\n"), @"
    callback val Some(3) Some(false) b0 l0
    module val Some(3) Some(false) b0 l0
    callback val Some(2) Some(false) b1 l0
    module val Some(2) Some(false) b1 l0
    callback val Some(2) Some(false) b0 l1
    module val Some(2) Some(false) b0 l1
    callback test Some(2) Some(false) b0 l0
    module test Some(2) Some(false) b0 l0
    ");
}
