//! The weight of a new value in an average.

use stormfire_module::{Context, Error, Result};
use stormfire_values::Every;

use super::pace::Since;

/// How an average is formed.
pub(super) enum Rule {
    /// All values have the same weight.
    Mean,
    /// Older values count less, by this factor for each update.
    Decay(f64),
    /// Older values count half after this period.
    HalfLife(Every),
    /// The share of the new value, by the number of updates before it.
    Custom(Box<dyn Fn(u64) -> f64>),
}

impl Rule {
    pub(super) fn check(&self, callback: &str) -> Result<()> {
        match self {
            Self::Decay(decay) if !(0.0..1.0).contains(decay) => Err(Error::config(
                format!("{callback}::new"),
                format!("the decay must be at least 0 and less than 1, not {decay}"),
                "use 0.999, for example",
            )),
            Self::HalfLife(period) => {
                let option = format!("{callback}::half_life");
                period.check().map_err(|reason| Error::config(&option, reason, "use `1000 steps`, for example"))?;
                if matches!(period, Every::Time(_)) {
                    let reason = "a half-life in time would give other weights when a fit is resumed";
                    return Err(Error::config(option, reason, "use steps, batches or epochs"));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Refuses a half-life in epochs of unknown length.
    pub(super) fn check_length(&self, callback: &str, ctx: &Context<'_>) -> Result<()> {
        match self {
            Self::HalfLife(period @ (Every::Epochs(_) | Every::Fraction(_))) if ctx.limits().train_batches.is_none() => Err(Error::config(
                format!("{callback}::half_life"),
                format!("`{period}` needs training data of known length"),
                "use a number of steps, or limit the data with `limit_train_batches`",
            )),
            _ => Ok(()),
        }
    }

    /// The share of the next value, after this number of updates. The first value is copied.
    pub(super) fn share(&self, updates: u64, since: Since, epoch_length: Option<usize>, warms_up: bool) -> f64 {
        if updates == 0 {
            return 1.0;
        }
        let done = updates as f64;
        let decay = match self {
            Self::Mean => return 1.0 / (done + 1.0),
            Self::Custom(share) => return share(updates),
            Self::Decay(decay) => *decay,
            Self::HalfLife(period) => {
                let length = epoch_length.map_or(f64::INFINITY, |length| length as f64);
                let passed = match *period {
                    Every::Steps(n) => since.steps as f64 / n as f64,
                    Every::Batches(n) => since.batches as f64 / n as f64,
                    Every::Epochs(n) => since.batches as f64 / (length * n as f64),
                    Every::Fraction(part) => since.batches as f64 / (length * part),
                    // Refused at the start.
                    Every::Time(_) => 0.0,
                };
                0.5_f64.powf(passed)
            }
        };
        1.0 - if warms_up { decay.min((1.0 + done) / (10.0 + done)) } else { decay }
    }
}
