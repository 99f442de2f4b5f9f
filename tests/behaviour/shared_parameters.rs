//! Two fields that share a parameter. burn trains only the first one, so the fit is refused.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use burn::{
    nn::{Initializer, Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
};
use insta::assert_snapshot;
use stormfire::{
    optim::{ClipAlgorithm, independent_copy},
    prelude::*,
};

use crate::{
    error_text::error_text,
    support::{Batch, line_data, quiet},
};

#[derive(Module, Debug)]
struct Averaged {
    average: Option<Linear>,
    body: Linear,
}

impl LightningModule for Averaged {
    type Batch = Batch;

    fn training_step(&self, (x, _): Batch, _batch_idx: usize) -> Result<StepOutput> {
        // The gradient of the weight is 3.
        Ok((self.body.forward(x.ones_like()) * 3.0).mean().into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 0.1).into())
    }
}

fn body() -> Linear {
    LinearConfig::new(1, 1).with_bias(false).with_initializer(Initializer::Zeros).init(&Device::flex())
}

fn weight(layer: &Linear) -> f32 {
    layer.weight.val().into_scalar()
}

/// Copies the body at the start of the second epoch.
struct CopyLater(fn(&Linear) -> Linear);

impl Callback<Averaged> for CopyLater {
    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut Averaged) -> Result<()> {
        if ctx.current_epoch() == 1 {
            module.average = Some((self.0)(&module.body));
        }
        Ok(())
    }
}

/// Copies the body at the end of a batch.
struct CopyAfter(usize);

impl Callback<Averaged> for CopyAfter {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, module: &mut Averaged, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if batch_idx == self.0 {
            module.average = Some(module.body.clone());
        }
        Ok(())
    }
}

#[track_caller]
fn refuses(mut trainer: Trainer<Averaged>, module: Averaged) {
    let error = error_text(trainer.fit(module, line_data(2, 2)));
    insta::allow_duplicates! { assert_snapshot!(error, @"
    `module`: `average.weight` and `body.weight` are one parameter to burn: an optimizer would update only the first one, for both, and leave the second one unchanged
      hint: a `clone` keeps the ids of its parameters: copy with `stormfire::optim::independent_copy`; to tie weights, use one field twice
    ") };
}

#[test]
fn a_module_with_a_shared_parameter_is_refused() {
    for copy in [|body: &Linear| body.clone().freeze(), Linear::clone] {
        let body = body();
        let module = Averaged { average: Some(copy(&body)), body };
        refuses(quiet().max_epochs(1), module);
        let module = Averaged { average: None, body: self::body() };
        refuses(quiet().max_epochs(2).callback(CopyLater(copy)), module);
    }
}

#[test]
fn a_shared_parameter_that_a_hook_creates_ends_the_fit() {
    let new = || Averaged { average: None, body: body() };
    let end = |batches: usize| {
        let seen = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&seen);
        let counting = LambdaCallback::new().on_train_batch_start(move |_, _, _, _| {
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        let mut trainer = quiet().max_epochs(1).callback(CopyAfter(1)).callback(counting);
        let error = error_text(trainer.fit(new(), line_data(2 * batches, 2)));
        insta::allow_duplicates! { assert_snapshot!(error, @"
        `module`: `average.weight` and `body.weight` are one parameter to burn: an optimizer would update only the first one, for both, and leave the second one unchanged
          hint: a `clone` keeps the ids of its parameters: copy with `stormfire::optim::independent_copy`; to tie weights, use one field twice
        ") };
        seen.load(Ordering::Relaxed)
    };
    // The check is at the end of a short epoch, or after some batches of a long one.
    assert_eq!((end(4), end(400)), (4, 50));
}

#[test]
fn an_independent_copy_is_accepted() {
    let body = body();
    let average = independent_copy(&body).freeze();
    let fit = quiet()
        .max_epochs(1)
        .gradient_clip_algorithm(ClipAlgorithm::Norm)
        .gradient_clip_val(1.0)
        .fit(Averaged { average: Some(average), body }, line_data(2, 2))
        .unwrap();
    let (average, body) = (fit.module.average.unwrap(), fit.module.body);
    assert_eq!(weight(&average).to_bits(), 0.0_f32.to_bits());
    assert!((weight(&body) + 0.1).abs() < 1e-6, "clipped once: {}", weight(&body));

    let trainer = quiet().max_epochs(2).callback(CopyLater(|body| independent_copy(body).freeze()));
    let fit = { trainer }.fit(Averaged { average: None, body: self::body() }, line_data(2, 2)).unwrap();
    assert!((weight(&fit.module.average.unwrap()) + 0.3).abs() < 1e-6);
    assert!((weight(&fit.module.body) + 0.6).abs() < 1e-6);
}
