//! The policies for a loss or gradient that is NaN or infinite, and their cost.

mod saved;

use std::sync::{Arc, Mutex};

use burn::{module::Param, optim::AdamConfig, prelude::*};
use insta::assert_snapshot;
use stormfire::{
    Error,
    loggers::{MemoryLogger, Status},
    optim::ClipAlgorithm,
    prelude::*,
    values::{
        Scalar,
        read::{device_reads, read},
    },
};
use stormfire_values::read::DistantCpu;

use crate::{
    error_text::error_text,
    support::{Batch, Line, line_data, quiet, recording},
};

/// The fault of a batch.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Loss,
    /// The loss is finite, but its gradient is not.
    Gradient,
    /// As `Gradient`, for a parameter that no other loss depends on.
    Aside,
}

/// A line with bad batches in its first epoch.
#[derive(Module, Debug)]
struct Sick {
    line: Line,
    aside: Param<Tensor<1>>,
    /// Infinite on purpose, and not trained.
    mask: Param<Tensor<1>>,
}

thread_local! {
    static FAULTS: std::cell::RefCell<Vec<(usize, Fault)>> = const { std::cell::RefCell::new(Vec::new()) };
}

impl Sick {
    fn new(faults: &[(usize, Fault)]) -> Self {
        FAULTS.set(faults.to_vec());
        let (line, device) = (Line::fixed(), Device::flex());
        let aside = Param::from_tensor(Tensor::from_floats([1.0], &device));
        let mask = Param::from_tensor(Tensor::from_floats([f32::NEG_INFINITY], &device)).set_require_grad(false);
        Self { line, aside, mask }
    }

    fn weights(&self) -> Vec<f64> {
        let weight = self.line.layer.weight.val().flatten::<1>(0, 1);
        let bias = self.line.layer.bias.as_ref().unwrap().val();
        read(&[weight, bias].map(Scalar::from)).unwrap()
    }
}

impl LightningModule for Sick {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let loss = self.line.loss(batch);
        self.log("train_loss", &loss);
        let fault = FAULTS.with_borrow(|faults| faults.iter().find(|(at, _)| *at == batch_idx).map(|(_, fault)| *fault));
        let loss = match fault {
            Some(Fault::Loss) => loss * f64::INFINITY,
            // The slope of a square root is infinite at 0, and 0 · ∞ is NaN.
            Some(Fault::Gradient) => (self.line.layer.weight.val() * 0.0).sqrt().sum() + loss,
            Some(Fault::Aside) => (self.aside.val() * 0.0).sqrt().sum() + loss,
            None => loss,
        };
        Ok(loss.into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 0.01).into())
    }
}

/// The observations of a callback at the end of each batch and of the training.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Notes>>);

#[derive(Default)]
struct Notes {
    batches: usize,
    skipped: Vec<usize>,
    /// Device reads of this thread before the end of each batch.
    reads: Vec<u64>,
    has_ended: bool,
}

impl<M: LightningModule> Callback<M> for Seen {
    fn on_train_start(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.0.lock().unwrap().reads.push(device_reads());
        Ok(())
    }

    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        let mut notes = self.0.lock().unwrap();
        notes.batches += 1;
        notes.reads.push(device_reads());
        if ctx.run().step_skipped {
            notes.skipped.push(batch_idx);
        }
        Ok(())
    }

    fn on_train_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        let mut notes = self.0.lock().unwrap();
        notes.reads.push(device_reads());
        notes.has_ended = true;
        Ok(())
    }
}

/// Waits for the loggers after each batch, so all values sent to them have been read.
struct Flush;

impl<M: LightningModule> Callback<M> for Flush {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        Ok(ctx.loggers().iter().try_for_each(stormfire::loggers::Background::flush)?)
    }
}

#[test]
fn the_first_bad_batch_and_step_are_named() {
    type Make = fn() -> Trainer<Sick>;
    let _distant = DistantCpu::new();
    let makes: [(&str, Make, usize); 6] = [
        ("nothing is read before the end", quiet, 1),
        ("every step is read", || recording(&MemoryLogger::new()).log_every_n_steps(1), 1),
        ("some steps are read", || recording(&MemoryLogger::new()).log_every_n_steps(7).callback(Flush), 1),
        ("clipping by norm", || quiet().gradient_clip_val(1.0), 1),
        ("clipping by value", || quiet().gradient_clip_val(1.0).gradient_clip_algorithm(ClipAlgorithm::Value), 1),
        ("windows of three", || quiet().accumulate_grad_batches(3), 3),
    ];
    for (name, make, window) in makes {
        for fault in [Fault::Loss, Fault::Gradient] {
            // Batch 150 is beyond the losses that are kept individually.
            for at in [0, 13, 150] {
                // Accumulated gradients change parameters at the end of the window.
                let next = (at / window + 1) * window;
                let (what, batch) = match (fault, name) {
                    (Fault::Loss, _) => ("the training loss", at),
                    // Clipping computes the norm anyway.
                    (_, "clipping by norm") => ("a gradient", next - 1),
                    _ => ("the training loss", next),
                };
                let step = batch / window;
                let text = format!("{what} is not finite at epoch 0, batch {batch} (global step {step})");
                let outcome = make().max_epochs(1).fit(Sick::new(&[(at, fault), (at + 20, Fault::Loss)]), line_data(400, 2));
                let error = outcome.unwrap_err();
                assert!(error.to_string().starts_with(&text), "{name}: {error}, not {text}");
                let Error::NonFinite { parameters, .. } = error else { panic!("{name}: {error}") };
                // Clamping makes an infinite value finite.
                assert!(!parameters.is_empty() || name == "clipping by value", "{name}");
            }
        }
    }
    assert_snapshot!(error_text(quiet().max_epochs(1).fit(Sick::new(&[(5, Fault::Gradient)]), line_data(40, 2))), @"
    the training loss is not finite at epoch 0, batch 6 (global step 6); by now these parameters are not finite: `line.layer.weight`, `line.layer.bias`
      hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
    ");
}

#[test]
fn a_bad_gradient_without_a_bad_loss_is_found_in_its_parameter() {
    let _distant = DistantCpu::new();
    let sick = || Sick::new(&[(12, Fault::Aside)]);
    // At the end of the epoch, if no value is read before.
    assert_snapshot!(error_text(quiet().max_epochs(1).fit(sick(), line_data(80, 2))), @"
    a trained parameter is not finite at epoch 0, batch 39 (global step 39); by now these parameters are not finite: `aside`
      hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
    ");
    // With the next read, which is not at every step.
    let seen = Seen::default();
    let trainer = recording(&MemoryLogger::new()).log_every_n_steps(5).callback(seen.clone()).callback(Flush);
    assert_snapshot!(error_text(trainer.max_epochs(1).fit(sick(), line_data(400, 2))), @"
    a trained parameter is not finite at epoch 0, batch 49 (global step 49); by now these parameters are not finite: `aside`
      hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
    ");
    // The logger reads it after its batch, and at the latest during the end of the next batch.
    assert!((50..=51).contains(&seen.0.lock().unwrap().batches));
}

#[test]
fn nan_is_noticed_when_the_loggers_read() {
    let _distant = DistantCpu::new();
    let seen = Seen::default();
    let trainer = recording(&MemoryLogger::new()).log_every_n_steps(10).callback(seen.clone()).callback(Flush);
    let outcome = trainer.max_epochs(1).fit(Sick::new(&[(12, Fault::Gradient)]), line_data(4000, 2));
    assert_snapshot!(error_text(outcome), @"
    the training loss is not finite at epoch 0, batch 13 (global step 13); by now these parameters are not finite: `line.layer.weight`, `line.layer.bias`
      hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
    ");
    // Step 19 is logged at the end of its batch, and read at the latest during the end of the next batch.
    assert!((20..=21).contains(&seen.0.lock().unwrap().batches));
}

/// A read of the CPU does not wait.
#[test]
fn on_the_cpu_nan_is_noticed_at_its_batch() {
    let errors = [0, 10].map(|log_every_n_steps| {
        let seen = Seen::default();
        let trainer = recording(&MemoryLogger::new()).log_every_n_steps(log_every_n_steps).callback(seen.clone());
        let outcome = trainer.max_epochs(1).fit(Sick::new(&[(12, Fault::Gradient)]), line_data(4000, 2));
        assert_eq!(seen.0.lock().unwrap().batches, 13);
        outcome.unwrap_err().to_string()
    });
    assert_snapshot!(errors.join("\n"), @r"
    the training loss is not finite at epoch 0, batch 13 (global step 13); by now these parameters are not finite: `line.layer.weight`, `line.layer.bias`
    the training loss is not finite at epoch 0, batch 13 (global step 13); by now these parameters are not finite: `line.layer.weight`, `line.layer.bias`
    ");
}

/// The device reads of each of 20 batches, and of the end.
fn reads(trainer: Trainer<Sick>) -> Vec<u64> {
    let seen = Seen::default();
    let fit = trainer.max_epochs(1).callback(seen.clone()).fit(Sick::new(&[]), line_data(40, 2)).unwrap();
    assert_eq!(fit.progress.global_step, 20);
    let notes = seen.0.lock().unwrap();
    notes.reads.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn only_the_skip_policy_needs_a_read_per_step() {
    let _distant = DistantCpu::new();
    let end = |of_a_batch: u64, at_the_end: u64| [vec![of_a_batch; 20], vec![at_the_end]].concat();
    for policy in [NonFinite::Error, NonFinite::Stop] {
        assert_eq!(reads(quiet().on_non_finite(policy)), end(0, 1), "{policy}");
        assert_eq!(reads(recording(&MemoryLogger::new()).log_every_n_steps(5).on_non_finite(policy)), end(0, 1), "{policy}");
    }
    assert_eq!(reads(quiet().on_non_finite(NonFinite::Skip { max_in_a_row: 1 })), end(1, 1));
    assert_eq!(reads(quiet().on_non_finite(NonFinite::Off)), end(0, 1), "the metric at the end of the epoch");
}

#[test]
fn a_skipped_step_leaves_no_trace() {
    let skip = |max_in_a_row| quiet().max_epochs(1).on_non_finite(NonFinite::Skip { max_in_a_row });
    for clip in [None, Some(0.5)] {
        let clipping = |trainer: Trainer<Sick>| match clip {
            Some(value) => trainer.gradient_clip_val(value),
            None => trainer,
        };
        let batches: Vec<Batch> = line_data(20, 2)
            .batches(stormfire::data::Position::new(0, 0), &Device::flex().autodiff())
            .unwrap()
            .map(|batch| batch.unwrap().value)
            .collect();
        let faults = [(0, Fault::Loss), (4, Fault::Gradient), (5, Fault::Loss)];
        let seen = Seen::default();
        let sick = clipping(skip(2)).callback(seen.clone()).fit(Sick::new(&faults), Loader::from_batches(batches.clone())).unwrap();
        assert_eq!((sick.progress.global_step, sick.progress.batches), (7, 10));
        assert_eq!(seen.0.lock().unwrap().skipped, [0, 4, 5]);

        let is_bad = |at: usize| faults.iter().any(|(bad, _)| *bad == at);
        let good: Vec<Batch> = batches.into_iter().enumerate().filter(|(at, _)| !is_bad(*at)).map(|(_, batch)| batch).collect();
        let healthy = clipping(quiet().max_epochs(1)).fit(Sick::new(&[]), Loader::from_batches(good)).unwrap();
        assert_eq!(sick.module.weights(), healthy.module.weights(), "clipping {clip:?}");
    }

    let faults = [(2, Fault::Loss), (5, Fault::Loss), (6, Fault::Gradient)];
    assert_snapshot!(error_text(skip(1).fit(Sick::new(&faults), line_data(20, 2))), @"
    after 1 skipped step in a row the gradient of `line.layer.weight` is not finite at epoch 0, batch 6 (global step 4)
      hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
    ");
    // One bad gradient skips its whole window.
    let fit = skip(1).accumulate_grad_batches(2).fit(Sick::new(&[(2, Fault::Gradient)]), line_data(20, 2)).unwrap();
    assert_eq!((fit.progress.global_step, fit.progress.batches), (4, 10));
}

/// Logs the returned loss.
#[derive(Module, Debug)]
struct Honest {
    sick: Sick,
}

impl LightningModule for Honest {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let output = self.sick.training_step(batch, batch_idx)?;
        self.log("loss", output.loss().unwrap()).on_epoch(true);
        self.log("batches", 1).on_step(false).on_epoch(true).reduce_fx(ReduceFx::Sum);
        Ok(output)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.sick.configure_optimizers()
    }
}

#[test]
fn a_skipped_batch_is_counted_and_excluded_from_means() {
    let fit = |faults: &[(usize, Fault)], window: usize, batches: usize| {
        let (memory, seen) = (MemoryLogger::new(), Arc::new(Mutex::new(Vec::new())));
        let looking = {
            let seen = Arc::clone(&seen);
            // The end hook belongs to its batch. A monitor sees the count together with the means.
            LambdaCallback::new()
                .on_train_batch_end(|ctx, _: &mut Honest, _, _| {
                    ctx.log("ends", 1).on_step(false).on_epoch(true).reduce_fx(ReduceFx::Sum);
                    Ok(())
                })
                .on_train_epoch_end(move |ctx, _| {
                    let value = |name: &str, ctx: &mut Context<'_>| ctx.metric(name).ok();
                    seen.lock().unwrap().push((value("loss_epoch", ctx), value("skipped_batches", ctx)));
                    Ok(())
                })
        };
        let trainer = recording(&memory).max_epochs(2).accumulate_grad_batches(window).callback(looking);
        let trainer = trainer.on_non_finite(NonFinite::Skip { max_in_a_row: 1 });
        let fit = { trainer }.fit(Honest { sick: Sick::new(faults) }, line_data(2 * batches, 2)).unwrap();
        let seen = seen.lock().unwrap().clone();
        (fit.metrics, seen, memory)
    };
    // Each of the two epochs loses 1 batch, or a window of 2.
    for (window, lost) in [(1, 1.0), (2, 2.0)] {
        for fault in [Fault::Loss, Fault::Gradient] {
            let (metrics, seen, memory) = fit(&[(4, fault)], window, 10);
            let loss = metrics.get("loss_epoch").unwrap();
            assert!(loss.is_finite(), "{fault:?}: {loss}");
            assert_eq!((metrics.get("skipped_batches"), metrics.get("batches")), (Some(lost), Some(10.0 - lost)), "{fault:?}");
            assert_eq!(metrics.get("ends"), Some(10.0 - lost));
            assert_eq!(seen.last(), Some(&(Some(loss), Some(lost))));
            let rows = memory.rows().into_iter().filter(|(name, ..)| name == "skipped_batches");
            assert_eq!(rows.map(|(_, value, _)| value).collect::<Vec<_>>(), [lost, lost]);
        }
    }
    // Without a skipped batch, the count is not logged.
    let (metrics, seen, _) = fit(&[], 1, 4);
    assert_eq!((metrics.get("skipped_batches"), seen[0].1), (None, None));
}

#[test]
fn the_stop_policy_ends_the_fit_cleanly() {
    let _distant = DistantCpu::new();
    let (seen, memory) = (Seen::default(), MemoryLogger::new());
    let trainer = recording(&memory).log_every_n_steps(5).callback(Flush).callback(seen.clone()).min_epochs(2);
    let fit = trainer.on_non_finite(NonFinite::Stop).fit(Sick::new(&[(7, Fault::Loss)]), line_data(400, 2)).unwrap();
    let Stop::NonFinite(what) = fit.stop else { panic!("{}", fit.stop) };
    assert_snapshot!(what, @"the training loss is not finite at epoch 0, batch 7 (global step 7); by now these parameters are not finite: `line.layer.weight`, `line.layer.bias`");
    // Steps 4 and 9 are logged. Step 9 is read during the end of batch 10.
    assert_eq!(fit.progress.batches, 12);
    assert!(seen.0.lock().unwrap().has_ended);
    assert_eq!(memory.statuses(), [Status::Success]);
}

#[test]
fn the_off_policy_trains_on_with_nan() {
    for trainer in [quiet().on_non_finite(NonFinite::Off), Trainer::new().barebones(true)] {
        let fit = trainer.max_epochs(1).fit(Sick::new(&[(7, Fault::Loss)]), line_data(40, 2)).unwrap();
        assert_eq!((fit.stop, fit.progress.global_step), (Stop::MaxEpochs(1), 20));
        assert!(fit.module.weights().iter().all(|weight| weight.is_nan()));
    }
}

/// Requests a checkpoint after the fourth batch.
struct SavesAfterTwo(std::path::PathBuf);

impl Callback<Sick> for SavesAfterTwo {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut Sick, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if batch_idx == 3 {
            ctx.save_checkpoint(stormfire::module::requests::SaveRequest { path: self.0.clone(), ..Default::default() });
        }
        Ok(())
    }
}

#[test]
fn skipped_steps_are_counted_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.ckpt");
    let faults = [2, 3, 4].map(|batch| (batch, Fault::Loss));
    let trainer = || quiet().max_epochs(1).on_non_finite(NonFinite::Skip { max_in_a_row: 2 });
    let first = trainer().callback(SavesAfterTwo(path.clone())).fit(Sick::new(&faults), line_data(40, 2)).unwrap_err();
    let second = trainer().ckpt_path(&path).fit(Sick::new(&faults), line_data(40, 2)).unwrap_err();
    assert_snapshot!(first, @"after 2 skipped steps in a row the training loss is not finite at epoch 0, batch 4 (global step 2)");
    assert_eq!(second.to_string(), first.to_string());
}
