//! Errors of optimizers and schedules.

use stormfire_checkpoint::WeightsError;
use stormfire_values::ConfigError;

/// A result with this crate's error by default.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of an optimizer or a schedule.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An optimizer or its schedule is invalid.
    #[error("optimizer `{optimizer}`: {reason}")]
    Optimizer {
        /// The optimizer's name.
        optimizer: String,
        /// The reason.
        reason: String,
        /// How to fix it.
        hint: String,
    },
    /// An optimizer was not returned by `configure_optimizers`.
    #[error("there is no optimizer `{name}`; there are: {}", list(.available))]
    UnknownOptimizer {
        /// The requested name.
        name: String,
        /// The available names.
        available: Vec<String>,
    },
    /// An option is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state of an optimizer cannot be saved or restored.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl Error {
    /// The remedy, as a sentence part for `hint: …`.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Optimizer { hint, .. } => Some(hint.clone()),
            Error::UnknownOptimizer { .. } => Some("name it with `Optimizer::named` in `configure_optimizers`".into()),
            Error::Config(error) => Some(error.hint.clone()),
            Error::Weights(error) => error.hint(),
        }
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ") }
}
