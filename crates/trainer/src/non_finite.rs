//! Policies for a loss or gradient that is NaN or infinite.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize, Serializer};
use stormfire_module::{Error, Result};
use stormfire_values::{reads_text, text::TextError};

/// The policy of a fit for a loss or gradient that is NaN or infinite.
///
/// With [`NonFinite::Error`] and [`NonFinite::Stop`], the losses are checked, and also the parameters, for faults
/// without a trace in a loss. With [`NonFinite::Skip`], the gradients are checked as well, in the form that the
/// optimizer gets: after `on_before_optimizer_step`, before clipping. With accumulation, this happens once per window,
/// at the batch that closes it.
///
/// In a configuration it is a string: `"error"`, `"skip:5"`, `"stop"`, `"off"`.
///
/// ```
/// use stormfire_trainer::NonFinite;
///
/// assert_eq!("skip:5".parse::<NonFinite>()?, NonFinite::Skip { max_in_a_row: 5 });
/// assert_eq!(NonFinite::default().to_string(), "error");
/// # Ok::<(), stormfire_module::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum NonFinite {
    /// The fit fails with [`Error::NonFinite`], which names the first batch and step with such a loss, and the
    /// parameters that are broken by then. A bad gradient is detected by the loss of the next batch, or by the
    /// parameter that it breaks.
    ///
    /// The check does not wait for the device. It takes place when step metrics are read (every `log_every_n_steps`),
    /// before a checkpoint is written, and at the end of an epoch. Until then training continues. Trained parameters
    /// are checked at intervals of at least 50 batches, together with other reads, at the end of an epoch, and before
    /// they are written to a file. No checkpoint contains a trained parameter that is not finite. The default.
    #[default]
    Error,
    /// The optimizer skips the step. Its parameters, its state and `global_step` stay unchanged, and callbacks see
    /// [`Run::step_skipped`](stormfire_module::run::Run::step_skipped). The values logged in that batch (in all batches
    /// of its window, with accumulation) are excluded from the values of the epoch. From the first epoch with skipped
    /// batches on, each epoch logs their number as `skipped_batches`.
    ///
    /// The check is needed before the step, so each step waits for the device once.
    Skip {
        /// The fit fails if more steps than this are skipped in a row. At least 1.
        max_in_a_row: u32,
    },
    /// The fit stops cleanly, with the batch and step as the reason. The check is that of [`NonFinite::Error`].
    /// Checkpoints requested after the fault are not written, so the last checkpoint is from before it.
    Stop,
    /// No checks and no computations for them.
    Off,
}

impl NonFinite {
    pub(crate) fn check(self) -> Result<()> {
        if self == (NonFinite::Skip { max_in_a_row: 0 }) {
            return Err(Error::config("on_non_finite", "skipping 0 steps in a row skips nothing", "use `error`, or 1 or more"));
        }
        Ok(())
    }
}

impl fmt::Display for NonFinite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NonFinite::Error => f.write_str("error"),
            NonFinite::Skip { max_in_a_row } => write!(f, "skip:{max_in_a_row}"),
            NonFinite::Stop => f.write_str("stop"),
            NonFinite::Off => f.write_str("off"),
        }
    }
}

impl FromStr for NonFinite {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let skip = || Some(NonFinite::Skip { max_in_a_row: text.strip_prefix("skip:")?.parse().ok()? });
        match text {
            "error" => Ok(NonFinite::Error),
            "stop" => Ok(NonFinite::Stop),
            "off" => Ok(NonFinite::Off),
            _ => skip().ok_or_else(|| TextError {
                text: text.into(),
                what: "a policy for values that are not finite",
                reason: "it is not a known value".into(),
                forms: "`error`, `stop`, `off`, or `skip:5` with the number of steps that may be skipped in a row",
            }),
        }
    }
}

reads_text!(NonFinite);

impl Serialize for NonFinite {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_a_round_trip() {
        for text in ["error", "skip:1", "skip:20", "stop", "off"] {
            let policy: NonFinite = text.parse().unwrap();
            assert_eq!(policy.to_string(), text);
            assert_eq!(serde_json::from_str::<NonFinite>(&serde_json::to_string(&policy).unwrap()).unwrap(), policy);
        }
        let errors = ["", "skip", "skip:", "skip:-1", "Error", "5"].map(|text| text.parse::<NonFinite>().unwrap_err().to_string());
        insta::assert_snapshot!(errors.join("\n"), @r"
        cannot read `` as a policy for values that are not finite: it is not a known value; write `error`, `stop`, `off`, or `skip:5` with the number of steps that may be skipped in a row
        cannot read `skip` as a policy for values that are not finite: it is not a known value; write `error`, `stop`, `off`, or `skip:5` with the number of steps that may be skipped in a row
        cannot read `skip:` as a policy for values that are not finite: it is not a known value; write `error`, `stop`, `off`, or `skip:5` with the number of steps that may be skipped in a row
        cannot read `skip:-1` as a policy for values that are not finite: it is not a known value; write `error`, `stop`, `off`, or `skip:5` with the number of steps that may be skipped in a row
        cannot read `Error` as a policy for values that are not finite: it is not a known value; write `error`, `stop`, `off`, or `skip:5` with the number of steps that may be skipped in a row
        cannot read `5` as a policy for values that are not finite: it is not a known value; write `error`, `stop`, `off`, or `skip:5` with the number of steps that may be skipped in a row
        ");
    }
}
