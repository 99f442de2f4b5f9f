//! A test of growing learning rates, as in Lightning's `LearningRateFinder`.

mod chart;
mod choices;
mod curve;
mod point;
mod recorder;
mod smoothing;
mod suggest;

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use stormfire_data::DataModule;
use stormfire_module::{Error, LightningModule, Result};
use stormfire_trainer::{
    Stop, Trainer,
    for_tuner::{ProbeTrainer as _, RateSweep},
};
use stormfire_values::text::{Misread, TextError};

pub use choices::{Spacing, Suggestion};
pub use curve::LrCurve;
pub use point::LrPoint;

use crate::copied_data::CopiedData;
use recorder::Recorder;

/// The options of [`Tuner::lr_find`](crate::Tuner::lr_find).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LrFind {
    /// The rate of the first step.
    min_lr: f64,
    /// The rate of the last step.
    max_lr: f64,
    /// Number of optimizer steps, each with its own rate.
    num_training: usize,
    spacing: Spacing,
    #[serde(skip)]
    misread: Misread,
    /// Stops when the smoothed loss exceeds this multiple of the smallest one.
    early_stop_threshold: Option<f64>,
    /// The optimizer, if there are several.
    optimizer: Option<String>,
    suggestion: Suggestion,
    /// The numbers of first and last points that suggestions ignore.
    skip: (usize, usize),
    #[serde(skip)]
    apply: bool,
}

impl Default for LrFind {
    fn default() -> Self {
        Self {
            min_lr: 1e-8,
            max_lr: 1.0,
            num_training: 100,
            spacing: Spacing::default(),
            misread: Misread::default(),
            early_stop_threshold: Some(4.0),
            optimizer: None,
            suggestion: Suggestion::default(),
            skip: (10, 1),
            apply: false,
        }
    }
}

impl LrFind {
    /// 100 steps from 1e-8 to 1.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rate of the first step. Default: 1e-8.
    pub fn min_lr(mut self, rate: f64) -> Self {
        self.min_lr = rate;
        self
    }

    /// The rate of the last step. Default: 1.
    pub fn max_lr(mut self, rate: f64) -> Self {
        self.max_lr = rate;
        self
    }

    /// Number of optimizer steps, each with its own rate. Default: 100.
    pub fn num_training(mut self, steps: usize) -> Self {
        self.num_training = steps;
        self
    }

    /// The [`Spacing`] of the rates, or its name. Default: exponential.
    pub fn spacing(mut self, spacing: impl TryInto<Spacing, Error: Into<TextError>>) -> Self {
        self.misread.set("LrFind::spacing", &mut self.spacing, spacing);
        self
    }

    /// Stops when the smoothed loss exceeds this multiple of the smallest one. For a negative loss, the distance to the
    /// smallest one counts in the same way. `None` never stops early, except for a loss that is not finite. Default: 4.
    pub fn early_stop_threshold(mut self, multiple: impl Into<Option<f64>>) -> Self {
        self.early_stop_threshold = multiple.into();
        self
    }

    /// The optimizer whose rate grows, by its name. The others keep their rates. Default: the only one.
    pub fn optimizer(mut self, name: impl Into<String>) -> Self {
        self.optimizer = Some(name.into());
        self
    }

    /// How [`LrCurve::suggestion`] chooses: a [`Suggestion`], or its name. Default: valley.
    pub fn suggestion(mut self, suggestion: impl TryInto<Suggestion, Error: Into<TextError>>) -> Self {
        self.misread.set("LrFind::suggestion", &mut self.suggestion, suggestion);
        self
    }

    /// The numbers of first and last points that suggestions ignore. Default: 10 and 1.
    pub fn skip(mut self, first: usize, last: usize) -> Self {
        self.skip = (first, last);
        self
    }

    /// Whether later fits of the Trainer use the suggested rate, as with
    /// [`Trainer::set_learning_rate`](stormfire_trainer::Trainer::set_learning_rate). Default: no.
    pub fn apply(mut self, on: bool) -> Self {
        self.apply = on;
        self
    }

    /// Checks the options, as [`Tuner::lr_find`](crate::Tuner::lr_find) does.
    ///
    /// # Errors
    /// For an option that cannot be used.
    pub fn check(&self) -> Result<()> {
        self.misread.check()?;
        let (usual, (first, last)) = (Self::default(), self.skip);
        if !(self.min_lr > 0.0 && self.max_lr.is_finite() && self.min_lr < self.max_lr) {
            let reason = format!("{} to {} is not a range of positive rates", self.min_lr, self.max_lr);
            // A default is not the mistake.
            let is_max = !self.max_lr.is_finite() || self.min_lr.to_bits() == usual.min_lr.to_bits();
            let option = if is_max { "LrFind::max_lr" } else { "LrFind::min_lr" };
            return Err(Error::config(option, reason, "use a `min_lr` above 0 and below `max_lr`, such as 1e-8 and 1"));
        }
        if self.num_training < first.saturating_add(last).saturating_add(2) {
            let steps = self.num_training;
            let reason = format!("{steps} steps are too few: suggestions ignore the first {first} and the last {last}, and need 2");
            let option = if steps == usual.num_training { "LrFind::skip" } else { "LrFind::num_training" };
            return Err(Error::config(option, reason, "take 100, or ignore fewer points with `skip`"));
        }
        match self.early_stop_threshold {
            Some(multiple) if !(multiple.is_finite() && multiple >= 1.0) => {
                let reason = format!("{multiple} is not a number of at least 1");
                Err(Error::config("LrFind::early_stop_threshold", reason, "use 4, or no threshold"))
            }
            _ => Ok(()),
        }
    }

    /// The rates of the steps: those of Lightning, whose second step is already two steps above the first.
    fn rates(&self) -> Vec<f64> {
        let at = |step: usize| {
            let share = if step == 1 { 0.0 } else { step as f64 / self.num_training as f64 };
            match self.spacing {
                Spacing::Exponential => self.min_lr * (self.max_lr / self.min_lr).powf(share),
                Spacing::Linear => self.min_lr + share * (self.max_lr - self.min_lr),
            }
        };
        (1..=self.num_training).map(at).collect()
    }
}

/// A module may step only in some of its batches. More batches than this for each point are an error.
const BATCHES_A_POINT: u64 = 1000;

pub(crate) fn run<M: LightningModule, D: DataModule<Batch = M::Batch>>(
    trainer: &mut Trainer<M>,
    module: &M,
    data: D,
    options: &LrFind,
) -> Result<LrCurve> {
    let curve = train(trainer, module, data, options, options.num_training)?;
    let rate = curve.suggestion()?;
    tracing::info!("`lr_find` suggests the learning rate {rate:.3e} after {} steps: {}", curve.points().len(), curve.end());
    if options.apply {
        trainer.set_learning_rate(options.optimizer.as_deref(), rate);
    }
    Ok(curve)
}

/// The first step of [`Tuner::lr_find`](crate::Tuner::lr_find), which finds nothing.
///
/// # Errors
/// As the test, for what its first step shows.
pub fn try_lr_find<M: LightningModule, D: DataModule<Batch = M::Batch>>(
    trainer: &mut Trainer<M>,
    module: &M,
    data: D,
    options: &LrFind,
) -> Result<()> {
    let curve = train(trainer, module, data, options, 1)?;
    let continues = curve.points().first().is_some_and(|point| point.smoothed.is_finite());
    // The test would end here, without a suggestion.
    if continues { Ok(()) } else { curve.suggestion().map(drop) }
}

/// Trains with the first rates, one for each step.
fn train<M: LightningModule, D: DataModule<Batch = M::Batch>>(
    trainer: &mut Trainer<M>,
    module: &M,
    data: D,
    options: &LrFind,
    points: usize,
) -> Result<LrCurve> {
    options.check()?;
    trainer.check_trains()?;
    let copy = trainer.copy_of(module)?;
    let (mut rates, steps) = (options.rates(), Arc::new(OnceLock::new()));
    rates.truncate(points);
    // The recorder stops the fit. The limit is that of `estimated_stepping_batches`.
    let most = BATCHES_A_POINT * options.num_training as u64;
    let recorder = Recorder::new(rates.clone(), Arc::clone(&steps), options.early_stop_threshold);
    let mut probe = trainer.probe(module)?.max_steps(most).callback(recorder);
    probe.sweep_rates(RateSweep { optimizer: options.optimizer.clone(), rates, steps });
    let fit = probe.fit(copy, CopiedData::new(data))?;
    if let Stop::Interrupted(signal) = fit.stop {
        return Err(signal.into());
    }
    let points = probe.get::<Recorder>().map(|recorder| recorder.points().to_vec()).unwrap_or_default();
    Ok(LrCurve::new(points, options.skip, options.suggestion, fit.stop.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_those_of_lightning() {
        let close = |found: &[f64], expected: &[f64]| found.iter().zip(expected).all(|(a, b)| (a / b - 1.0).abs() < 1e-12);
        let options = LrFind::new().min_lr(1e-4).max_lr(1.0).num_training(4).skip(0, 0);
        assert!(close(&options.rates(), &[1e-4, 1e-2, 1e-1, 1.0]), "{:?}", options.rates());
        let linear = options.spacing("linear").min_lr(0.2);
        assert!(close(&linear.rates(), &[0.2, 0.6, 0.8, 1.0]), "{:?}", linear.rates());
    }

    #[test]
    fn wrong_options_are_named() {
        let cases = [
            (LrFind::new().min_lr(0.0), "`LrFind::min_lr`"),
            (LrFind::new().min_lr(2.0), "`LrFind::min_lr`: 2 to 1"),
            (LrFind::new().max_lr(f64::NAN), "`LrFind::max_lr`: 0.00000001 to NaN"),
            (LrFind::new().min_lr(1.0).max_lr(f64::INFINITY), "`LrFind::max_lr`: 1 to inf"),
            (LrFind::new().min_lr(0.2).max_lr(0.1), "`LrFind::min_lr`: 0.2 to 0.1"),
            (LrFind::new().skip(99, usize::MAX), "`LrFind::skip`: 100 steps are too few"),
            (LrFind::new().num_training(12), "`LrFind::num_training`: 12 steps are too few"),
            (LrFind::new().early_stop_threshold(0.5), "`LrFind::early_stop_threshold`"),
            (LrFind::new().spacing("cubic"), "`LrFind::spacing`"),
        ];
        for (options, text) in cases {
            let error = options.check().unwrap_err();
            assert!(error.to_string().starts_with(text) && error.hint().is_some(), "{error}");
        }
        assert!(LrFind::new().num_training(13).check().is_ok());
    }
}
