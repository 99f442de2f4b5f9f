//! Misuses of `log`.

use stormfire_metrics::MergeError;

use crate::hook::Hook;

/// A misuse of `log`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LogError {
    /// Logging is not allowed in this hook.
    #[error("you cannot log `{name}` in `{hook}`")]
    NotAllowed {
        /// The metric.
        name: String,
        /// The hook.
        hook: Hook,
    },
    /// This level is not allowed in this hook.
    #[error("`{name}`: you cannot log with `{level}` in `{hook}`")]
    Level {
        /// The metric.
        name: String,
        /// The hook.
        hook: Hook,
        /// `on_step(true)` or `on_epoch(false)`.
        level: &'static str,
    },
    /// The value would be recorded neither on step nor on epoch.
    #[error("`{name}`: logging with `on_step(false)` and `on_epoch(false)` in `{hook}` records nothing")]
    Useless {
        /// The metric.
        name: String,
        /// The hook.
        hook: Hook,
    },
    /// The value is not a single number.
    #[error("`{name}` in `{hook}` is {reason}")]
    Invalid {
        /// The metric.
        name: String,
        /// The hook.
        hook: Hook,
        /// A description of the value.
        reason: String,
    },
    /// A name that the framework generates.
    #[error("`{name}` in `{hook}` contains `/dataloader_idx_`, which is added by the framework")]
    ReservedName {
        /// The metric.
        name: String,
        /// The hook.
        hook: Hook,
    },
    /// The name was logged twice in one hook with different arguments.
    #[error("`{name}` was logged twice in `{hook}` with different arguments")]
    Twice {
        /// The metric.
        name: String,
        /// The hook.
        hook: Hook,
    },
    /// The checkpoint of the resumed run contains another kind of value for this name.
    #[error("`{name}` in `{hook}` is of another kind than in the checkpoint that the run resumes from")]
    Restored {
        /// The metric.
        name: String,
        /// The hook.
        hook: Hook,
    },
    /// The metric does not merge with that of an earlier batch.
    #[error("`{name}` in `{hook}` does not merge with the value of an earlier batch: {reason}")]
    Unmerged {
        /// The metric.
        name: String,
        /// The hook.
        hook: Hook,
        /// The difference.
        reason: MergeError,
    },
    /// A picture was logged with `on_step(true)`.
    #[error("`{name}` in `{hook}` is a picture, which is not logged on each step")]
    Picture {
        /// The metric.
        name: String,
        /// The hook.
        hook: Hook,
    },
    /// A mean over an epoch needs a batch size, and it is unknown.
    #[error("the batch size for the mean of `{name}` in `{hook}` is unknown")]
    BatchSize {
        /// The metric.
        name: String,
        /// The hook.
        hook: Hook,
    },
}

impl LogError {
    /// The remedy.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            LogError::NotAllowed { .. } => {
                "log it in a step, a batch or an epoch hook, or directly to a logger through `ctx.loggers()`".into()
            }
            LogError::Level { .. } => "this hook runs once an epoch: leave `on_step` and `on_epoch` out".into(),
            LogError::Useless { .. } => "set one of the two to true".into(),
            LogError::Invalid { .. } => "reduce it first, `tensor.mean()` for example".into(),
            LogError::ReservedName { .. } => "choose another name, or `add_dataloader_idx(false)`".into(),
            LogError::Twice { .. } => "use the same arguments, or two names".into(),
            LogError::Restored { .. } => "resume with the program that wrote it, or from a checkpoint at the end of an epoch".into(),
            LogError::Unmerged { .. } => "make it with the same options and for the same classes in each batch".into(),
            LogError::Picture { .. } => "leave `on_step` out: it is drawn at the end of the epoch".into(),
            LogError::BatchSize { .. } => {
                "give it with `.batch_size(n)`, implement `LightningModule::batch_size`, or set `items_per_batch` of the loader".into()
            }
        })
    }
}
