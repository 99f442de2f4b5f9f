//! Notes the loss of each step of the test, and ends it.

use std::sync::{Arc, OnceLock};

use stormfire_module::{Callback, Context, Error, LightningModule, Result, StepOutput};
use stormfire_optim::for_trainer::Ramp;
use stormfire_values::{Scalar, read::read};

use super::{point::LrPoint, smoothing::Smoothing};

/// Batches in a row without a step of the optimizer, for each batch of a window.
const STEPLESS: usize = 200;

pub(super) struct Recorder {
    rates: Vec<f64>,
    steps: Arc<OnceLock<Ramp>>,
    threshold: Option<f64>,
    /// The sums of losses and weights since the last step.
    window: [f64; 2],
    seen: u64,
    stepless: usize,
    smoothing: Smoothing,
    best: f64,
    points: Vec<LrPoint>,
}

impl Recorder {
    pub(super) fn new(rates: Vec<f64>, steps: Arc<OnceLock<Ramp>>, threshold: Option<f64>) -> Self {
        let (smoothing, points) = (Smoothing::default(), Vec::new());
        Self { rates, steps, threshold, window: [0.0; 2], seen: 0, stepless: 0, smoothing, best: f64::INFINITY, points }
    }

    pub(super) fn points(&self) -> &[LrPoint] {
        &self.points
    }

    /// Adds the loss of a batch, over all ranks.
    fn add(&mut self, output: &StepOutput) -> Result<()> {
        let mut sums = [0.0; 2];
        if let Some(loss) = output.loss() {
            let weight = output.given_weight().cloned().unwrap_or(Scalar::Host(1.0));
            for (sum, value) in sums.iter_mut().zip(read(&[Scalar::from(loss.clone()), weight])?) {
                *sum = value;
            }
        }
        let ranks = stormfire_ranks::here()?;
        if ranks.world() > 1 {
            ranks.all_reduce_f64(&mut sums)?;
        }
        for (total, sum) in self.window.iter_mut().zip(sums) {
            *total += sum;
        }
        Ok(())
    }

    /// The point of a step that was just made with this rate. Returns why the test should end.
    fn point(&mut self, rate: f64) -> Option<String> {
        let [loss, weight] = std::mem::take(&mut self.window);
        let loss = loss / weight;
        let smoothed = self.smoothing.add(loss);
        self.points.push(LrPoint { rate, loss, smoothed });
        if !smoothed.is_finite() {
            return Some(format!("the loss is {loss} at the learning rate {rate:.3e}"));
        }
        self.best = self.best.min(smoothed);
        if let Some(threshold) = self.threshold
            && self.points.len() > 1
            && smoothed > self.best + (threshold - 1.0) * self.best.abs()
        {
            return Some(format!("the smoothed loss {smoothed:.3} exceeds {threshold} times the smallest one"));
        }
        (self.points.len() >= self.rates.len()).then(|| format!("all {} learning rates were tried", self.rates.len()))
    }
}

impl<M: LightningModule> Callback<M> for Recorder {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M, output: &StepOutput, _batch_idx: usize) -> Result<()> {
        self.add(output)?;
        let steps = self.steps.get().map_or(0, Ramp::steps);
        if steps == self.seen {
            self.stepless += 1;
            let window = ctx.run().place.accumulate_grad_batches;
            if !self.window[0].is_finite() && self.stepless > window {
                let reason = format!("the loss is {} and the optimizer does not step", self.window[0]);
                return Err(Error::config("lr_find", reason, "start with a lower `min_lr`"));
            }
            if self.stepless > window.saturating_mul(STEPLESS) {
                let reason = format!("the optimizer did not step in {} batches", self.stepless);
                return Err(Error::config("lr_find", reason, "name another one with `optimizer`"));
            }
            return Ok(());
        }
        (self.seen, self.stepless) = (steps, 0);
        if self.window[1] == 0.0 {
            let hint = "return the loss of the batch: `Ok(loss.into())`";
            return Err(Error::config("lr_find", "the module stepped in a batch without returning a loss", hint));
        }
        let Some(rate) = self.rates.get(steps as usize - 1).or(self.rates.last()).copied() else { return Ok(()) };
        if let Some(end) = self.point(rate) {
            ctx.stop(end);
        }
        Ok(())
    }
}
