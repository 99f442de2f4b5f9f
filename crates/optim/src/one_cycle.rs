//! The 1cycle policy: up to a large learning rate, then down to far below the initial one.

use burn::lr_scheduler::{LrScheduler, LrSchedulerRecord};
use serde::{Deserialize, Serialize};
use stormfire_values::ConfigError;

/// The 1cycle learning-rate policy of Smith and Topin (2018), with the defaults of
/// `torch.optim.lr_scheduler.OneCycleLR`.
///
/// The rate rises from `max_lr / div_factor` to `max_lr` over the first `pct_start` of `total_steps`. Then it falls to
/// `max_lr / div_factor / final_div_factor`. Both parts are half a cosine. After `total_steps` it stays constant.
/// Momentum is not cycled, because burn's optimizers do not support changing it.
///
/// ```
/// use burn::lr_scheduler::LrScheduler;
/// use stormfire_optim::OneCycle;
///
/// let mut schedule = OneCycle::new(0.1, 10);
/// let rates: Vec<f64> = (0..10).map(|_| schedule.step()).collect();
/// assert!((rates[0] - 0.004).abs() < 1e-12);
/// assert!((rates[2] - 0.1).abs() < 1e-12);
/// assert!((rates[9] - 4e-7).abs() < 1e-12);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneCycle {
    max_lr: f64,
    total_steps: u64,
    pct_start: f64,
    div_factor: f64,
    final_div_factor: f64,
    #[serde(default)]
    done: u64,
}

impl OneCycle {
    /// A cycle of `total_steps` steps with the maximum `max_lr`.
    pub fn new(max_lr: f64, total_steps: u64) -> Self {
        Self { max_lr, total_steps, pct_start: 0.3, div_factor: 25.0, final_div_factor: 1e4, done: 0 }
    }

    /// The share of the steps before the maximum. Default 0.3.
    pub fn pct_start(mut self, share: f64) -> Self {
        self.pct_start = share;
        self
    }

    /// The initial rate is `max_lr / div_factor`. Default 25.
    pub fn div_factor(mut self, factor: f64) -> Self {
        self.div_factor = factor;
        self
    }

    /// The last rate is the initial one divided by this factor. Default 10,000.
    pub fn final_div_factor(mut self, factor: f64) -> Self {
        self.final_div_factor = factor;
        self
    }

    /// Checks that the cycle is valid.
    ///
    /// # Errors
    /// [`ConfigError`] if it is not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let refuse = |option: &str, reason: String, hint: &str| Err(ConfigError::new(format!("OneCycle::{option}"), reason, hint));
        let is_positive = |number: f64| number.is_finite() && number > 0.0;
        if self.total_steps == 0 {
            return refuse(
                "new",
                "a cycle of 0 steps".into(),
                "give the number of optimizer steps, as `self.estimated_stepping_batches()` says",
            );
        }
        if !is_positive(self.max_lr) {
            return refuse("new", format!("`max_lr` {} is not a positive number", self.max_lr), "use 0.01, for example");
        }
        if !(0.0..=1.0).contains(&self.pct_start) {
            return refuse("pct_start", format!("{} is not a fraction between 0 and 1", self.pct_start), "use 0.3, for example");
        }
        let factors =
            [("div_factor", self.div_factor, "use 25, for example"), ("final_div_factor", self.final_div_factor, "use 1e4, for example")];
        match factors.into_iter().find(|(_, factor, _)| !is_positive(*factor)) {
            Some((option, factor, hint)) => refuse(option, format!("{factor} is not a positive number"), hint),
            None => Ok(()),
        }
    }

    pub(crate) fn described(&self) -> String {
        format!("`OneCycle` of {} steps", self.total_steps)
    }

    fn rate(&self, step: u64) -> f64 {
        // The phases of torch: the first ends at pct_start·total − 1, the second at total − 1.
        let last = (self.total_steps as f64 - 1.0).max(1.0);
        let peak = (self.pct_start * self.total_steps as f64 - 1.0).max(0.0);
        let initial = self.max_lr / self.div_factor;
        let lowest = initial / self.final_div_factor;
        let step = (step as f64).min(last);
        let cosine = |from: f64, to: f64, share: f64| to + (from - to) / 2.0 * (1.0 + (std::f64::consts::PI * share).cos());
        if step <= peak && peak > 0.0 {
            cosine(initial, self.max_lr, step / peak)
        } else {
            cosine(self.max_lr, lowest, (step - peak) / (last - peak))
        }
    }
}

impl LrScheduler for OneCycle {
    fn step(&mut self) -> f64 {
        let rate = self.rate(self.done);
        self.done += 1;
        rate
    }

    fn to_record(&self) -> LrSchedulerRecord {
        LrSchedulerRecord::new().with_scalar("done", self.done)
    }

    fn load_record(&mut self, record: LrSchedulerRecord) {
        self.done = record.scalar("done").unwrap_or(self.done);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `torch.optim.lr_scheduler.OneCycleLR(opt, max_lr=1.0, total_steps=8)`, torch 2.x, computed from its source.
    #[test]
    fn the_rates_are_torchs() {
        let mut schedule = OneCycle::new(1.0, 8);
        let rates: Vec<f64> = (0..10).map(|_| schedule.step()).collect();
        let peak = 0.3 * 8.0 - 1.0;
        let up = |s: f64| 1.0 + (0.04 - 1.0) / 2.0 * (1.0 + (std::f64::consts::PI * s / peak).cos());
        let down = |s: f64| 4e-6 + (1.0 - 4e-6) / 2.0 * (1.0 + (std::f64::consts::PI * (s - peak) / (7.0 - peak)).cos());
        let expected = [0.04, up(1.0), down(2.0), down(3.0), down(4.0), down(5.0), down(6.0), 4e-6, 4e-6, 4e-6];
        for (rate, expected) in rates.iter().zip(expected) {
            assert!((rate - expected).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn a_loaded_record_continues() {
        let mut first = OneCycle::new(0.1, 20);
        for _ in 0..7 {
            first.step();
        }
        let mut second = OneCycle::new(0.1, 20);
        second.load_record(first.to_record());
        assert!((first.step() - second.step()).abs() < 1e-15);
    }
}
