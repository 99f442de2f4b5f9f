//! What can go wrong with optimizers and schedules.

use stormfire_checkpoint::WeightsError;
use stormfire_values::ConfigError;

/// A result whose error is this crate's unless named.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An optimizer or schedule that cannot work.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An optimizer or its schedule cannot work.
    #[error("optimizer `{optimizer}`: {reason}")]
    Optimizer {
        /// The optimizer's name.
        optimizer: String,
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// An optimizer that `configure_optimizers` did not return.
    #[error("there is no optimizer `{name}`; there are: {}", list(.available))]
    UnknownOptimizer {
        /// The name that was asked for.
        name: String,
        /// The names that exist.
        available: Vec<String>,
    },
    /// An option that cannot work.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The state of an optimizer that cannot be saved or restored.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl Error {
    /// What to do about it, as a sentence part for `hint: …`.
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
