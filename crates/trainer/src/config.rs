//! Every number, string and flag of the Trainer, as data that is saved with each run.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};
use stormfire_checkpoint::{Error as CheckpointError, storage};
use stormfire_module::{Error, Result};
use stormfire_optim::ClipAlgorithm;
use stormfire_ranks::Strategy;
use stormfire_values::Every;

use crate::{
    accelerator::Accelerator, devices::Devices, limit::Limit, non_finite::NonFinite, option_table::options, precision::Precision,
    profiler::ProfilerKind, requeue_signal::RequeueSignal,
};

macro_rules! config_struct {
    ($($(#[doc = $doc:literal])* $(#[serde($($serde:tt)*)])? $option:ident: $ty:ty = $default:expr, $how:ident($($value:tt)*);)*) => {
        /// The Trainer's options. Each has a setter of the same name on [`Trainer`](crate::Trainer).
        /// [`TrainerConfig::check`] runs at the start of each run.
        ///
        /// ```
        /// use stormfire_trainer::TrainerConfig;
        ///
        /// let config: TrainerConfig = serde_json::from_str(r#"{"max_epochs": 3, "val_check_interval": "0.5 epochs"}"#)?;
        /// assert_eq!(config.log_every_n_steps, 50);
        /// assert!(serde_json::from_str::<TrainerConfig>(r#"{"max_epoch": 3}"#).is_err());
        /// # Ok::<(), serde_json::Error>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[allow(clippy::struct_excessive_bools, reason = "they are Lightning's flags, each independent of the others")]
        pub struct TrainerConfig {
            $($(#[doc = $doc])* $(#[serde($($serde)*)])? pub $option: $ty,)*
        }

        impl Default for TrainerConfig {
            fn default() -> Self {
                Self { $($option: $default,)* }
            }
        }
    };
}

options!(config_struct);

impl TrainerConfig {
    /// Checks values and combinations.
    ///
    /// # Errors
    /// [`Error::Config`], with the option and the remedy.
    pub fn check(&self) -> Result<()> {
        let limits = [
            ("limit_train_batches", self.limit_train_batches),
            ("limit_val_batches", self.limit_val_batches),
            ("limit_test_batches", self.limit_test_batches),
            ("limit_predict_batches", self.limit_predict_batches),
            ("overfit_batches", self.overfit_batches),
        ];
        for (option, limit) in limits {
            if let Limit::Fraction(f) = limit
                && !(0.0..=1.0).contains(&f)
            {
                return Err(Error::config(
                    option,
                    format!("{f} is not a fraction between 0 and 1"),
                    "a whole number counts batches: `10`, not `10.0`",
                ));
            }
        }
        let refuse_root = |reason: String, hint: String| Err(Error::config("default_root_dir", reason, hint));
        match storage::absolute(&self.default_root_dir) {
            Err(error @ CheckpointError::Url { .. }) => return refuse_root(error.to_string(), error.hint().unwrap_or_default()),
            Ok(root) if root.to_str().is_none() => {
                let reason = format!("`{}` is not valid UTF-8", root.display());
                return refuse_root(reason, "choose a folder with another name".into());
            }
            _ => {}
        }
        self.val_check_interval.check().map_err(|reason| {
            Error::config("val_check_interval", reason, "use `1 epoch`, or 0 as `limit_val_batches` for no validation")
        })?;
        if self.accumulate_grad_batches == 0 {
            return Err(Error::config("accumulate_grad_batches", "a step needs at least one batch", "use 1 or more"));
        }
        if let Some(value) = self.gradient_clip_val
            && !(value.is_finite() && value > 0.0)
        {
            return Err(Error::config("gradient_clip_val", format!("{value} is not a positive number"), "leave it out to clip nothing"));
        }
        if let (Some(min), Some(max)) = (self.min_epochs, self.max_epochs)
            && min > max
        {
            return Err(Error::config("min_epochs", format!("{min} is more than `max_epochs` = {max}"), "lower one of them"));
        }
        if let (Some(min), Some(max)) = (self.min_steps, self.max_steps)
            && min > max
        {
            return Err(Error::config("min_steps", format!("{min} is more than `max_steps` = {max}"), "lower one of them"));
        }
        if self.max_time.is_some_and(|time| time.is_zero()) {
            return Err(Error::config("max_time", "the limit is zero", "leave it out, or give a longer one"));
        }
        if !self.overfit_batches.is_none() && self.fast_dev_run > 0 {
            return Err(Error::config("overfit_batches", "it cannot be combined with `fast_dev_run`", "use one of them"));
        }
        self.on_non_finite.check()?;
        if self.detect_anomaly && matches!(self.on_non_finite, NonFinite::Skip { .. }) {
            let reason = "it ends the run at the first value that is not finite, so `on_non_finite` has nothing to skip";
            return Err(Error::config("detect_anomaly", reason, "use one of them"));
        }
        if !self.handle_signals && self.requeue_signal.given().is_some() {
            return Err(Error::config("requeue_signal", "it has no effect with `handle_signals(false)`", "leave one of them out"));
        }
        self.check_barebones()
    }

    /// `barebones` excludes everything that costs extra time, so these options contradict it.
    fn check_barebones(&self) -> Result<()> {
        let contradicting =
            [("fast_dev_run", self.fast_dev_run > 0), ("detect_anomaly", self.detect_anomaly), ("profiler", self.profiler.is_some())];
        match contradicting.iter().find(|(_, set)| self.barebones && *set) {
            Some((option, _)) => Err(Error::config(*option, "it cannot be combined with `barebones`", "leave `barebones` out")),
            None => Ok(()),
        }
    }

    /// Maximum number of epochs of a fit. `None` for no limit. `is_timed`: the fit has a time limit.
    pub(crate) fn resolved_max_epochs(&self, is_timed: bool) -> Option<usize> {
        match self.max_epochs {
            _ if self.fast_dev_run > 0 => Some(1),
            None if self.max_steps.is_none() && !is_timed => {
                tracing::warn!("`max_epochs` was not set: training for 1,000 epochs");
                Some(1000)
            }
            given => given,
        }
    }

    /// The effective options, with `fast_dev_run`, `overfit_batches` and `barebones` applied.
    pub(crate) fn resolved(&self) -> Self {
        let mut config = self.clone();
        if !config.overfit_batches.is_none() {
            (config.limit_train_batches, config.limit_val_batches) = (config.overfit_batches, config.overfit_batches);
        }
        if config.fast_dev_run > 0 {
            let n = Limit::Batches(config.fast_dev_run);
            (config.limit_train_batches, config.limit_val_batches) = (n, n);
            (config.limit_test_batches, config.limit_predict_batches) = (n, n);
            config.max_steps = Some(config.fast_dev_run as u64);
            config.num_sanity_val_steps = Some(0);
            config.val_check_interval = Every::Epochs(1);
            config.enable_checkpointing = false;
        }
        if config.barebones {
            config.log_every_n_steps = 0;
            config.on_non_finite = NonFinite::Off;
            config.num_sanity_val_steps = Some(0);
            (config.enable_checkpointing, config.enable_progress_bar, config.enable_model_summary) = (false, false, false);
        }
        config
    }

    /// These options without the loops that another run leaves out. A `fast_dev_run` alone has a batch of each.
    pub(crate) fn without_loops_that_lack_in(mut self, other: &Self) -> Self {
        let limits = [
            (&mut self.limit_train_batches, other.limit_train_batches),
            (&mut self.limit_val_batches, other.limit_val_batches),
            (&mut self.limit_test_batches, other.limit_test_batches),
            (&mut self.limit_predict_batches, other.limit_predict_batches),
        ];
        for (own, limit) in limits.into_iter().filter(|(_, limit)| limit.is_none()) {
            *own = limit;
        }
        self
    }
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use stormfire_values::TimeLimit;

    #[allow(clippy::ref_option, reason = "serde calls it with a reference to the field")]
    pub(super) fn serialize<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        time.map(|t| t.as_secs_f64()).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Option::<TimeLimit>::deserialize(deserializer).map(|limit| limit.map(|limit| limit.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_survives_json() {
        let config = TrainerConfig {
            max_epochs: Some(3),
            max_time: Some(Duration::from_millis(1500)),
            limit_val_batches: Limit::Fraction(0.5),
            limit_train_batches: Limit::Batches(10),
            num_sanity_val_steps: None,
            on_non_finite: NonFinite::Skip { max_in_a_row: 3 },
            requeue_signal: RequeueSignal::Usr2,
            ..TrainerConfig::default()
        };
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<TrainerConfig>(&json).unwrap(), config);
    }

    #[test]
    fn bad_flags_are_named_with_a_hint() {
        let default = TrainerConfig::default;
        let configs = [
            TrainerConfig { limit_train_batches: Limit::Fraction(1.5), ..default() },
            TrainerConfig { overfit_batches: Limit::Fraction(-0.1), ..default() },
            TrainerConfig { val_check_interval: Every::Fraction(2.0), ..default() },
            TrainerConfig { accumulate_grad_batches: 0, ..default() },
            TrainerConfig { gradient_clip_val: Some(f64::NAN), ..default() },
            TrainerConfig { min_epochs: Some(3), max_epochs: Some(2), ..default() },
            TrainerConfig { min_steps: Some(3), max_steps: Some(2), ..default() },
            TrainerConfig { max_time: Some(Duration::ZERO), ..default() },
            TrainerConfig { barebones: true, detect_anomaly: true, ..default() },
            TrainerConfig { on_non_finite: NonFinite::Skip { max_in_a_row: 0 }, ..default() },
            TrainerConfig { detect_anomaly: true, on_non_finite: NonFinite::Skip { max_in_a_row: 1 }, ..default() },
            TrainerConfig { handle_signals: false, requeue_signal: RequeueSignal::Term, ..default() },
            TrainerConfig { fast_dev_run: 1, overfit_batches: Limit::Batches(1), ..default() },
        ];
        let errors = configs.map(|config| format!("{:?}", config.check().unwrap_err()));
        insta::assert_snapshot!(errors.join("\n"), @r"
        `limit_train_batches`: 1.5 is not a fraction between 0 and 1
          hint: a whole number counts batches: `10`, not `10.0`
        `overfit_batches`: -0.1 is not a fraction between 0 and 1
          hint: a whole number counts batches: `10`, not `10.0`
        `val_check_interval`: the fraction of an epoch must be in (0, 1], not 2
          hint: use `1 epoch`, or 0 as `limit_val_batches` for no validation
        `accumulate_grad_batches`: a step needs at least one batch
          hint: use 1 or more
        `gradient_clip_val`: NaN is not a positive number
          hint: leave it out to clip nothing
        `min_epochs`: 3 is more than `max_epochs` = 2
          hint: lower one of them
        `min_steps`: 3 is more than `max_steps` = 2
          hint: lower one of them
        `max_time`: the limit is zero
          hint: leave it out, or give a longer one
        `detect_anomaly`: it cannot be combined with `barebones`
          hint: leave `barebones` out
        `on_non_finite`: skipping 0 steps in a row skips nothing
          hint: use `error`, or 1 or more
        `detect_anomaly`: it ends the run at the first value that is not finite, so `on_non_finite` has nothing to skip
          hint: use one of them
        `requeue_signal`: it has no effect with `handle_signals(false)`
          hint: leave one of them out
        `overfit_batches`: it cannot be combined with `fast_dev_run`
          hint: use one of them
        ");
        assert!(default().check().is_ok());
    }
}
