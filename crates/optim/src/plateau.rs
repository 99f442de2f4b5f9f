//! A schedule that reduces the learning rate when a metric stops improving.

use serde::{Deserialize, Serialize};

use stormfire_values::{
    ConfigError, Mode,
    text::{Misread, TextError},
};

/// Reduces the learning rate when a monitored metric has stopped improving:
/// `torch.optim.lr_scheduler.ReduceLROnPlateau`, with its defaults and a relative threshold.
///
/// Starts from the optimizer's learning rate. Set the metric with [`Schedule::monitor`](crate::Schedule::monitor).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReduceLrOnPlateau {
    mode: Mode,
    factor: f64,
    patience: u32,
    threshold: f64,
    cooldown: u32,
    min_lr: f64,
    #[serde(skip)]
    misread: Misread,
}

impl Default for ReduceLrOnPlateau {
    fn default() -> Self {
        Self { mode: Mode::Min, factor: 0.1, patience: 10, threshold: 1e-4, cooldown: 0, min_lr: 0.0, misread: Misread::default() }
    }
}

impl ReduceLrOnPlateau {
    /// The defaults of torch: factor 0.1 after 10 checks without an improvement of more than 0.01 %, lower is better.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether lower or higher is better: a [`Mode`], or `"max"`. Default [`Mode::Min`].
    pub fn mode(mut self, mode: impl TryInto<Mode, Error: Into<TextError>>) -> Self {
        self.misread.set("ReduceLrOnPlateau::mode", &mut self.mode, mode);
        self
    }

    /// The factor of a reduction. Default 0.1. Must be below 1.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor;
        self
    }

    /// Number of tolerated checks without improvement. Default 10.
    pub fn patience(mut self, looks: u32) -> Self {
        self.patience = looks;
        self
    }

    /// The minimum improvement, relative to the best value. Default 1e-4.
    pub fn threshold(mut self, relative: f64) -> Self {
        self.threshold = relative;
        self
    }

    /// Number of checks after a reduction that do not count. Default 0.
    pub fn cooldown(mut self, looks: u32) -> Self {
        self.cooldown = looks;
        self
    }

    /// The minimum learning rate. Default 0.
    pub fn min_lr(mut self, rate: f64) -> Self {
        self.min_lr = rate;
        self
    }

    /// Checks that the factor reduces the rate, and that strings could be parsed.
    ///
    /// # Errors
    /// [`ConfigError`] if not.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.misread.check()?;
        if !(self.min_lr >= 0.0 && self.min_lr.is_finite()) {
            let reason = format!("{} is not a number of at least 0", self.min_lr);
            return Err(ConfigError::new("ReduceLrOnPlateau::min_lr", reason, "use 0, or 1e-6, for example"));
        }
        if self.factor > 0.0 && self.factor < 1.0 {
            return Ok(());
        }
        Err(ConfigError::new("ReduceLrOnPlateau::factor", format!("{} is not between 0 and 1", self.factor), "use 0.1, for example"))
    }
}

/// The state of the plateau schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct PlateauState {
    pub(crate) lr: f64,
    best: Option<f64>,
    bad: u32,
    cooling: u32,
}

impl PlateauState {
    pub(crate) fn new(lr: f64) -> Self {
        Self { lr, best: None, bad: 0, cooling: 0 }
    }

    /// A check of the metric, as torch's `step`.
    pub(crate) fn look(&mut self, config: &ReduceLrOnPlateau, metric: f64) {
        let best = self.best.unwrap_or(config.mode.worst());
        let bar = match config.mode {
            Mode::Min if best.is_finite() => best * (1.0 - config.threshold),
            Mode::Max if best.is_finite() => best * (1.0 + config.threshold),
            _ => best,
        };
        if config.mode.is_better(metric, bar) {
            self.best = Some(metric);
            self.bad = 0;
        } else {
            self.bad += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad = 0;
        }
        if self.bad > config.patience {
            let lower = (self.lr * config.factor).max(config.min_lr);
            // torch's `eps`: insignificant changes are not made.
            if self.lr - lower > 1e-8 {
                self.lr = lower;
            }
            self.cooling = config.cooldown;
            self.bad = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(config: &ReduceLrOnPlateau, metrics: &[f64]) -> Vec<f64> {
        let mut state = PlateauState::new(1.0);
        metrics
            .iter()
            .map(|&m| {
                state.look(config, m);
                state.lr
            })
            .collect()
    }

    #[test]
    fn the_rate_falls_once_the_patience_is_exceeded() {
        let config = ReduceLrOnPlateau::new().factor(0.5).patience(1);
        assert_eq!(rates(&config, &[1.0, 0.9, 0.95, 0.95, 0.95, 0.95]), [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn a_tiny_improvement_and_nan_are_none() {
        let config = ReduceLrOnPlateau::new().factor(0.5).patience(0);
        assert_eq!(rates(&config, &[1.0, 0.99999, f64::NAN]), [1.0, 0.5, 0.25]);
        let max = config.mode(Mode::Max);
        assert_eq!(rates(&max, &[0.1, 0.2, 0.2]), [1.0, 1.0, 0.5]);
    }

    #[test]
    fn cooldown_and_the_floor_hold() {
        let config = ReduceLrOnPlateau::new().factor(0.5).patience(0).cooldown(2).min_lr(0.4);
        assert_eq!(rates(&config, &[1.0; 7]), [1.0, 0.5, 0.5, 0.5, 0.4, 0.4, 0.4]);
        assert!(ReduceLrOnPlateau::new().factor(1.5).check().is_err());
    }
}
