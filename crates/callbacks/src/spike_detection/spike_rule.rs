//! When a loss is a spike.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use stormfire_module::{Error, Result};
use stormfire_values::Mode;

/// The options of the rule.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    pub(super) window: usize,
    pub(super) warmup: u64,
    pub(super) rtol: Option<f64>,
    pub(super) atol: Option<f64>,
    pub(super) finite_only: bool,
    pub(super) mode: Mode,
}

impl Default for Rule {
    fn default() -> Self {
        Self { window: 10, warmup: 1, rtol: Some(2.0), atol: None, finite_only: true, mode: Mode::Min }
    }
}

impl Rule {
    pub(super) fn check(&self) -> Result<()> {
        if self.window == 0 {
            return Err(Error::config("SpikeDetection::window", "a mean needs a window of at least 1", "leave it at 10"));
        }
        for (option, value) in [("SpikeDetection::rtol", self.rtol), ("SpikeDetection::atol", self.atol)] {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value >= 0.0)) {
                return Err(Error::config(option, format!("{value} is not a number from 0 on"), "leave it out, or give another one"));
            }
        }
        Ok(())
    }
}

/// The losses so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    recent: VecDeque<f64>,
    last: Option<f64>,
    judged: u64,
    pub(super) spikes: u64,
}

impl History {
    /// The mean of the latest losses.
    pub(super) fn mean(&self) -> Option<f64> {
        (!self.recent.is_empty()).then(|| self.recent.iter().sum::<f64>() / self.recent.len() as f64)
    }

    /// Whether a loss is a spike. Another one is added.
    pub(super) fn is_spike(&mut self, loss: f64, rule: &Rule) -> bool {
        let is_spike = self.judged >= rule.warmup && self.stands_out(loss, rule);
        self.judged += 1;
        if is_spike {
            self.spikes += 1;
        } else if loss.is_finite() {
            self.last = Some(loss);
            self.recent.push_back(loss);
            while self.recent.len() > rule.window {
                self.recent.pop_front();
            }
        }
        is_spike
    }

    fn stands_out(&self, loss: f64, rule: &Rule) -> bool {
        if !loss.is_finite() {
            return rule.finite_only;
        }
        let (Some(mean), Some(last)) = (self.mean(), self.last) else { return false };
        let is_worse = match rule.mode {
            Mode::Min => loss > last,
            Mode::Max => loss < last,
        };
        let off = (loss - mean).abs();
        is_worse && rule.atol.is_none_or(|atol| off >= atol) && rule.rtol.is_none_or(|rtol| off >= (rtol * mean).abs())
    }
}
