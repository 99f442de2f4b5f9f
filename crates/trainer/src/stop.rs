//! The result of a fit.

use std::process::{ExitCode, Termination};

use stormfire_loggers::Metrics;
use stormfire_module::{moment::Progress, requests::StopRequest};

use crate::signals::Signal;

/// The result of a fit.
///
/// ```
/// use stormfire_trainer::{Fit, Stop};
///
/// /// The report that a program prints at its end, and the module, to be used.
/// fn report<M>(fit: Fit<M>) -> (String, M) {
///     let loss = fit.metrics.get("val_loss").unwrap_or(f64::NAN);
///     let progress = fit.progress;
///     (format!("{} epochs, {} steps, val_loss {loss:.3}: {}", progress.epoch, progress.global_step, fit.stop), fit.module)
/// }
///
/// assert_eq!(Stop::MaxEpochs(3).to_string(), "`max_epochs = 3` reached");
/// assert_eq!((Stop::MaxSteps(9).exit_code(), Stop::MaxSteps(9).is_interrupted()), (0, false));
/// # let _ = report::<()>;
/// ```
#[derive(Debug)]
#[must_use]
pub struct Fit<M> {
    /// The trained module, in training mode.
    pub module: M,
    /// Why the fit ended.
    pub stop: Stop,
    /// The progress of the fit.
    pub progress: Progress,
    /// The newest value of every metric that callbacks can monitor: `fit.metrics.get("val_loss")`.
    pub metrics: Metrics,
}

/// Why a fit ended. As the return value of `main` it sets the exit code: [`Signal::exit_code`] after a signal,
/// otherwise 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stop {
    /// `max_epochs`, this number, is reached.
    MaxEpochs(usize),
    /// `max_steps`, this number of optimizer steps, is reached.
    MaxSteps(u64),
    /// A callback or hook requested the stop.
    Requested(StopRequest),
    /// A loss or gradient is not finite, and [`on_non_finite`](crate::TrainerConfig::on_non_finite) is
    /// [`NonFinite::Stop`](crate::NonFinite::Stop). The text names the batch and the parameters.
    NonFinite(String),
    /// Nothing was to be trained: a command line evaluated, predicted or tuned, and this is complete.
    Complete,
    /// `limit_train_batches` leaves no training batches.
    NoTrainingBatches,
    /// A signal requested the stop.
    Interrupted(Signal),
}

impl Stop {
    /// Whether a signal ended the fit, so that the program should end, too.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Stop::Interrupted(_))
    }

    /// The exit code for a program that ends after this fit.
    pub fn exit_code(&self) -> u8 {
        match self {
            Stop::Interrupted(signal) => signal.exit_code(),
            _ => 0,
        }
    }
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Stop::MaxEpochs(epochs) => write!(f, "`max_epochs = {epochs}` reached"),
            Stop::MaxSteps(steps) => write!(f, "`max_steps = {steps}` reached"),
            Stop::Requested(request) => f.write_str(&request.reason),
            Stop::NonFinite(what) => f.write_str(what),
            Stop::Complete => f.write_str("the command is complete"),
            Stop::NoTrainingBatches => f.write_str("no training batches"),
            Stop::Interrupted(signal) => write!(f, "interrupted by {signal}"),
        }
    }
}

impl Termination for Stop {
    fn report(self) -> ExitCode {
        self.exit_code().into()
    }
}
