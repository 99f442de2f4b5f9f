//! Learning-rate schedules as plain data, for the configuration of a module.

use burn::lr_scheduler::{
    LrSchedulerConfig, cosine::CosineAnnealingLrSchedulerConfig, exponential::ExponentialLrSchedulerConfig,
    linear::LinearLrSchedulerConfig, sequential::SequentialLrSchedulerConfig, step::StepLrSchedulerConfig,
};
use serde::{Deserialize, Serialize};
use stormfire_values::{ConfigError, Every, Mode};

use crate::{error::Result, one_cycle::OneCycle, plateau::ReduceLrOnPlateau, schedule::Schedule};

/// A learning-rate schedule as plain data: a field of the configuration of a module. In a file it is
/// `schedule: {name: cosine, warmup_steps: 100}`. The highest rate is that of the optimizer.
///
/// A schedule that spans the fit has its length from [`OptimizerConfig::scheduled`](crate::OptimizerConfig::scheduled),
/// unless `steps` is given.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// The rate does not change.
    #[default]
    Constant,
    /// Half a cosine over the fit, in steps of the optimizer.
    Cosine {
        /// The last rate.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        min_lr: f64,
        /// Number of steps in which the rate first grows.
        #[serde(default)]
        warmup_steps: u64,
        /// Number of steps. Default: those of the fit.
        #[serde(default)]
        steps: Option<u64>,
    },
    /// A straight line over the fit, in steps of the optimizer.
    Linear {
        /// The last rate.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        min_lr: f64,
        /// Number of steps in which the rate first grows.
        #[serde(default)]
        warmup_steps: u64,
        /// Number of steps. Default: those of the fit.
        #[serde(default)]
        steps: Option<u64>,
    },
    /// A factor after each epoch.
    Exponential {
        /// The factor, above 0 and at most 1.
        #[cfg_attr(feature = "schema", schemars(range(max = 1), extend("exclusiveMinimum" = 0)))]
        gamma: f64,
    },
    /// A factor after every few epochs.
    Step {
        /// Number of epochs between two changes.
        #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
        step_size: usize,
        /// The factor.
        #[serde(default = "tenth")]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        gamma: f64,
    },
    /// One cycle over the fit, in steps of the optimizer: up to the rate of the optimizer and down again.
    OneCycle {
        /// Number of steps. Default: those of the fit.
        #[serde(default)]
        steps: Option<u64>,
    },
    /// A factor when a metric no longer improves.
    ReduceOnPlateau {
        /// The metric.
        monitor: String,
        /// Whether a lower or a higher value is better.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(with = "Better"))]
        mode: Mode,
        /// The factor.
        #[serde(default = "tenth")]
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1)))]
        factor: f64,
        /// Number of checks without improvement before a change.
        #[serde(default = "ten")]
        patience: u32,
        /// The lowest rate.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schemars(range(min = 0)))]
        min_lr: f64,
    },
}

/// The schema of [`Mode`].
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum Better {
    Min,
    Max,
}

fn tenth() -> f64 {
    0.1
}

fn ten() -> u32 {
    10
}

impl ScheduleConfig {
    /// The schedule of an optimizer with this rate, in a fit of this length. `None` if the rate does not change.
    ///
    /// # Errors
    /// If the schedule needs the length, and neither `steps` nor the configuration has one.
    pub fn build(&self, lr: f64, steps: Option<u64>) -> Result<Option<Schedule>> {
        let length = |own: Option<u64>| {
            let missing = || {
                let reason = "the length of the fit is unknown, so the schedule has no end";
                ConfigError::new("schedule.steps", reason, "give it, or limit the fit with `max_epochs` or `max_steps`")
            };
            own.or(steps).ok_or_else(missing)
        };
        let count = |steps: u64| usize::try_from(steps).unwrap_or(usize::MAX).max(1);
        let after_warmup = |warmup: u64, main: LrSchedulerConfig| {
            if warmup == 0 {
                return Schedule::new(SequentialLrSchedulerConfig::new(vec![main], Vec::new()));
            }
            let up = LinearLrSchedulerConfig::new(lr / (warmup as f64 + 1.0), lr, count(warmup));
            Schedule::new(SequentialLrSchedulerConfig::new(vec![LrSchedulerConfig::Linear(up), main], vec![count(warmup)]))
        };
        let schedule = match self {
            Self::Constant => return Ok(None),
            Self::Cosine { min_lr, warmup_steps, steps } => {
                let length = length(*steps)?;
                let down = CosineAnnealingLrSchedulerConfig::new(lr, count(length.saturating_sub(*warmup_steps))).with_min_lr(*min_lr);
                after_warmup(*warmup_steps, LrSchedulerConfig::Cosine(down)).every(Every::Steps(1))
            }
            Self::Linear { min_lr, warmup_steps, steps } => {
                let length = length(*steps)?;
                let down = LinearLrSchedulerConfig::new(lr, *min_lr, count(length.saturating_sub(*warmup_steps)));
                after_warmup(*warmup_steps, LrSchedulerConfig::Linear(down)).every(Every::Steps(1))
            }
            Self::Exponential { gamma } => Schedule::new(ExponentialLrSchedulerConfig::new(lr, *gamma)),
            Self::Step { step_size, gamma } => Schedule::new(StepLrSchedulerConfig::new(lr, *step_size).with_gamma(*gamma)),
            Self::OneCycle { steps } => Schedule::new(OneCycle::new(lr, length(*steps)?)).every(Every::Steps(1)),
            Self::ReduceOnPlateau { monitor, mode, factor, patience, min_lr } => {
                let plateau = ReduceLrOnPlateau::new().mode(*mode).factor(*factor).patience(*patience).min_lr(*min_lr);
                Schedule::new(plateau).monitor(monitor)
            }
        };
        Ok(Some(schedule))
    }
}

#[cfg(test)]
mod tests {
    use stormfire_values::every::Tick;

    use super::*;
    use crate::error::Error;

    /// The rates of the steps or epochs of a fit of ten steps.
    fn rates(json: &str) -> Vec<f64> {
        let config: ScheduleConfig = serde_json::from_str(json).unwrap();
        let mut schedule = config.build(0.5, Some(10)).unwrap().unwrap();
        schedule.start("Adam", 0.5, &[]).unwrap();
        let mut rates = Vec::new();
        for n in 1..=10 {
            rates.push((schedule.rate().unwrap().base() * 1e4).round() / 1e4);
            for tick in [Tick::of_step(n), Tick::of_epoch(n)] {
                schedule.step("Adam", &tick, &mut |_| Ok::<_, Error>(Some(1.0))).unwrap();
            }
        }
        rates
    }

    #[test]
    fn schedules_span_the_fit_and_start_at_the_rate() {
        let cosine = rates(r#"{"name": "cosine", "min_lr": 0.1}"#);
        assert_eq!((cosine[0], cosine[5]), (0.5, 0.3));
        assert!(cosine.is_sorted_by(|a, b| a > b) && cosine[9] < 0.12, "{cosine:?}");
        let warm = rates(r#"{"name": "cosine", "warmup_steps": 4}"#);
        assert_eq!(warm[..5], [0.1, 0.2, 0.3, 0.4, 0.5]);
        assert!(warm[4..].is_sorted_by(|a, b| a > b), "{warm:?}");
        let line = rates(r#"{"name": "linear", "steps": 5}"#);
        assert_eq!(line[..6], [0.5, 0.4, 0.3, 0.2, 0.1, 0.0]);
        let cycle = rates(r#"{"name": "one_cycle"}"#);
        assert!((cycle.iter().copied().fold(0.0, f64::max) - 0.5).abs() < 1e-3, "{cycle:?}");
    }

    #[test]
    fn schedules_of_epochs_multiply() {
        assert_eq!(rates(r#"{"name": "exponential", "gamma": 0.5}"#)[..3], [0.5, 0.25, 0.125]);
        assert_eq!(rates(r#"{"name": "step", "step_size": 2}"#)[..5], [0.5, 0.5, 0.05, 0.05, 0.005]);
        let plateau = rates(r#"{"name": "reduce_on_plateau", "monitor": "loss", "patience": 1, "factor": 0.5}"#);
        assert_eq!(plateau[..5], [0.5, 0.5, 0.5, 0.25, 0.25]);
    }

    #[test]
    fn a_schedule_without_an_end_is_refused() {
        let config: ScheduleConfig = serde_json::from_str(r#"{"name": "cosine"}"#).unwrap();
        let error = config.build(0.5, None).err().unwrap();
        assert_eq!(error.to_string(), "`schedule.steps`: the length of the fit is unknown, so the schedule has no end");
        assert!(ScheduleConfig::default().build(0.5, None).unwrap().is_none());
    }
}
