//! Errors between a user's module and the Trainer.

use burn::data::dataset::DatasetError;
use stormfire_metrics::MergeError;
use stormfire_optim::{Error as OptimError, schedule::LookupError};
use stormfire_values::{
    ConfigError, ReadError,
    error_text::{one_line, with_causes},
    nearest::did_you_mean,
    text::TextError,
};

use crate::{hook::Hook, moment::Moment};

/// A result with Stormfire's error by default.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can end a run. [`Error::hint`] returns the remedy.
///
/// Modules, callbacks and the Trainer share this type, so that `?` works in every hook and in `main`.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option or a combination of options is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A required hook or step is not implemented.
    #[error("`{what}` is not implemented")]
    NotImplemented {
        /// The method.
        what: String,
        /// How to fix it.
        hint: String,
    },
    /// A misuse of `log`.
    #[error(transparent)]
    Log(#[from] crate::log_error::LogError),
    /// Two metrics do not merge.
    #[error("the metrics do not merge: {0}")]
    Merge(MergeError),
    /// A metric was not logged.
    #[error("metric `{name}` is not available; available are: {}", list(.available))]
    MetricMissing {
        /// The requested name.
        name: String,
        /// The available names.
        available: Vec<String>,
        /// Whether this is a fit without a validation, which could have logged it.
        lacks_validation: bool,
    },
    /// An optimizer or schedule is invalid or does not exist.
    #[error(transparent)]
    Optimizer(OptimError),
    /// A loss has not one element, or cannot be differentiated.
    #[error("the loss cannot be used: {reason}")]
    Loss {
        /// The reason.
        reason: String,
    },
    /// A second backward pass over the same loss, or over a part of its graph.
    #[error("`training_batch`: this loss, or a part of its forward pass, already had a backward pass, and burn allows only one")]
    UsedTape,
    /// A loss or gradient is NaN or infinite.
    #[error("{what} is not finite at epoch {epoch}, batch {batch_idx} (global step {global_step}){}", broken(.parameters))]
    NonFinite {
        /// `the training loss`, `a gradient`, or `a trained parameter` if no loss showed it.
        what: String,
        /// The 0-based epoch.
        epoch: usize,
        /// The 0-based batch in that epoch. A gradient may have broken the parameters one batch before a loss shows it.
        batch_idx: usize,
        /// Number of optimizer steps before it.
        global_step: u64,
        /// The parameters that were not finite at the detection, which may be some steps later. Empty if all are
        /// finite.
        parameters: Vec<String>,
    },
    /// Another rank of the run has failed, or the ranks do not do the same.
    #[error(transparent)]
    Ranks(#[from] stormfire_ranks::Error),
    /// The device failed to return values.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A saved state does not match its type.
    #[error("the state of `{what}` cannot be converted: {error}")]
    State {
        /// The type.
        what: String,
        /// The error of the JSON conversion.
        error: serde_json::Error,
    },
    /// A run cannot resume from a checkpoint, or a file of weights cannot be read.
    #[error("checkpoint `{}`: {reason}", .path.display())]
    Checkpoint {
        /// The file.
        path: std::path::PathBuf,
        /// The reason.
        reason: String,
        /// How to fix it.
        hint: String,
    },
    /// A checkpoint file cannot be written or read. The message contains its path.
    #[error(transparent)]
    CheckpointFile(#[from] stormfire_checkpoint::Error),
    /// Weights, or the state of an optimizer, cannot be read from a module or loaded into it.
    #[error(transparent)]
    Weights(#[from] stormfire_checkpoint::WeightsError),
    /// The weights, or the states of optimizers, in a file cannot be loaded into this module.
    #[error("`{}`: {error}", .path.display())]
    WeightsOf {
        /// The file.
        path: std::path::PathBuf,
        /// What does not fit.
        error: stormfire_checkpoint::WeightsError,
    },
    /// A file or folder cannot be used. The message contains its path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The data could not be loaded.
    #[error(transparent)]
    Data(#[from] stormfire_data::Error),
    /// A logger failed.
    #[error(transparent)]
    Logger(#[from] stormfire_loggers::Error),
    /// An error of a hook, with its position.
    #[error("{} (in `{hook}` of `{owner}`{})", with_causes(.error), when(*.hook, *.moment, .error))]
    InHook {
        /// The hook.
        hook: Hook,
        /// The callback or module.
        owner: String,
        /// The moment of the call. For a hook of a batch, the message contains epoch and batch.
        moment: Moment,
        /// The original error.
        error: Box<Error>,
    },
    /// A signal ended the run.
    #[error("interrupted by {by}")]
    Interrupted {
        /// The source of the interrupt: `Ctrl-C`, `SIGTERM`.
        by: String,
    },
    /// Code of the user or of a library panicked during the run. Rust has printed the panic, with its place, when it
    /// happened.
    #[error("panicked{}: {}", place(*.hook, *.moment), one_line(.message))]
    Panic {
        /// The hook that was running.
        hook: Option<Hook>,
        /// The moment of the call.
        moment: Moment,
        /// The panic's message.
        message: String,
    },
    /// A custom error.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Wraps a custom error, or a message.
    ///
    /// ```
    /// use stormfire_module::Error;
    /// assert_eq!(Error::other("the tokenizer is missing").to_string(), "the tokenizer is missing");
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Other(error.into())
    }

    /// A configuration error.
    pub fn config(option: impl Into<String>, reason: impl Into<String>, hint: impl Into<String>) -> Self {
        Error::Config(ConfigError::new(option, reason, hint))
    }

    /// A checkpoint or file of weights that cannot be read.
    pub fn unreadable(path: &std::path::Path, error: &stormfire_checkpoint::Error) -> Self {
        let text = error.to_string();
        // It may be about another file, such as one in this folder.
        let reason = if text.contains(&format!("`{}`", path.display())) { error.reason() } else { text };
        Error::Checkpoint { path: path.to_owned(), reason, hint: error.hint().unwrap_or_default() }
    }

    /// The same error, with the file whose weights it is about.
    #[must_use]
    pub fn of_file(self, path: &std::path::Path) -> Self {
        match self {
            Error::Weights(stormfire_checkpoint::WeightsError::PyTorch { path, reason, hint }) => Error::Checkpoint { path, reason, hint },
            Error::Weights(error) => Error::WeightsOf { path: path.to_owned(), error },
            other => other,
        }
    }

    /// The remedy, as a sentence part for `hint: …`.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::NotImplemented { hint, .. } | Error::Checkpoint { hint, .. } => Some(hint.clone()),
            Error::Config(error) => Some(error.hint.clone()),
            Error::Optimizer(error) => error.hint(),
            Error::Log(error) => error.hint(),
            Error::MetricMissing { name, available, lacks_validation } => Some(cure(name, available, *lacks_validation)),
            Error::Loss { .. } => Some(
                "return one element, such as the `mean()` of the losses, computed from the module's parameters and not detached".into(),
            ),
            Error::UsedTape => Some(
                "give all optimizers their gradients from one pass: `for (name, gradients) in opt.backward_all(self, &loss)? \
                 { opt.apply(&name, self, gradients)?; }`, or compute the loss again before each `opt.step`"
                    .into(),
            ),
            Error::NonFinite { .. } => {
                Some("lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`".into())
            }
            Error::InHook { error, .. } => error.hint(),
            // `serde_json` converts non-finite floats to null before the value reaches this code.
            Error::State { error, .. } if error.to_string().contains("null") => Some(
                "`json!` makes `null` of an infinite or NaN float: keep such a value with `state::save`, and restore it with `state::load`"
                    .into(),
            ),
            Error::Interrupted { .. } => {
                Some("later runs in this process are also refused; to run them anyway, call `forget_interrupt()` first".into())
            }
            Error::Ranks(error) => error.hint(),
            Error::CheckpointFile(error) => error.hint(),
            Error::Weights(error) | Error::WeightsOf { error, .. } => error.hint(),
            Error::Data(error) => error.hint(),
            Error::Logger(error) => error.hint(),
            _ => None,
        }
    }
}

/// The hint for a metric that is missing.
fn cure(name: &str, available: &[String], lacks_validation: bool) -> String {
    let general = "log it with `self.log(..)`, or monitor one of the available metrics";
    match did_you_mean(name, available.iter().map(String::as_str)) {
        Some(guess) => guess,
        None if lacks_validation => {
            format!("this fit has no validation: if the validation logs it, give `fit` a validation loader; else {general}")
        }
        None => general.to_owned(),
    }
}

/// Adds the hook, its owner and the moment of the call, unless the error already contains a position.
pub fn in_hook(error: Error, hook: Hook, owner: &str, moment: Moment) -> Error {
    match error {
        placed @ (Error::InHook { .. } | Error::Panic { .. } | Error::UsedTape | Error::Log(_)) => placed,
        error => Error::InHook { hook, owner: owner.into(), moment, error: Box::new(error) },
    }
}

/// The text of the outer error contains that of this one, so it is not its source.
impl From<MergeError> for Error {
    fn from(error: MergeError) -> Self {
        Self::Merge(error)
    }
}

/// Errors of its parts become the matching variants of this type.
impl From<OptimError> for Error {
    fn from(error: OptimError) -> Self {
        match error {
            OptimError::Config(error) => error.into(),
            OptimError::Weights(error) => error.into(),
            error => Error::Optimizer(error),
        }
    }
}

/// A dataset that is read outside of a loader.
impl From<DatasetError> for Error {
    fn from(error: DatasetError) -> Self {
        Error::Data(error.into())
    }
}

impl From<TextError> for Error {
    fn from(error: TextError) -> Self {
        Error::Config(error.into())
    }
}

impl LookupError for Error {
    fn is_missing(&self) -> bool {
        matches!(self, Error::MetricMissing { .. })
    }
}

/// The message with its causes, and the hint. `main` prints this when it returns the error.
impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&with_causes(self))?;
        self.hint().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ") }
}

fn broken(parameters: &[String]) -> String {
    if parameters.is_empty() { String::new() } else { format!("; by now these parameters are not finite: {}", list(parameters)) }
}

fn place(hook: Option<Hook>, moment: Moment) -> String {
    hook.map_or_else(String::new, |hook| format!(" in `{hook}`{}", at(hook, moment)))
}

/// Epoch and batch, unless the error contains them.
fn when(hook: Hook, moment: Moment, source: &Error) -> String {
    if matches!(source, Error::NonFinite { .. }) { String::new() } else { at(hook, moment) }
}

fn at(hook: Hook, Moment { epoch, batch_idx, dataloader_idx, num_dataloaders, .. }: Moment) -> String {
    let loader = if num_dataloaders > 1 { format!(" of loader {dataloader_idx}") } else { String::new() };
    if hook.is_of_batch() { format!(", epoch {epoch}, batch {batch_idx}{loader}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use stormfire_checkpoint::WeightsError;

    use super::*;

    #[test]
    fn an_error_of_a_dataset_keeps_its_text() {
        let error = Error::from(DatasetError::new(std::io::Error::other("the disk is unreachable")));
        assert_eq!((error.to_string().as_str(), matches!(error, Error::Data(_))), ("the disk is unreachable", true));
    }

    /// The message of a user's error is often the context alone.
    #[test]
    fn no_cause_is_lost() {
        #[derive(Debug, thiserror::Error)]
        #[error("the tokenizer cannot be read")]
        struct Tokenizer(#[from] std::io::Error);
        let own = || Tokenizer(std::io::Error::other("the disk is unreachable"));
        let batch = stormfire_data::Error::Source { batch: 3, cause: Box::new(own()) };
        let errors = [Error::other(own()), in_hook(Error::other(own()), Hook::TrainStart, "Timer", Moment::default()), batch.into()];
        insta::assert_snapshot!(errors.map(|error| format!("{error:?}")).join("\n"), @r"
        the tokenizer cannot be read: the disk is unreachable
        the tokenizer cannot be read: the disk is unreachable (in `on_train_start` of `Timer`)
        loading batch 3 failed: the tokenizer cannot be read: the disk is unreachable
        ");
    }

    #[test]
    fn a_chain_says_nothing_twice() {
        let io = || std::io::Error::other("the disk is unreachable");
        let json = serde_json::from_str::<u32>("null").unwrap_err();
        let data = stormfire_data::Error::from(io());
        for error in [
            Error::from(io()),
            Error::from(data),
            Error::other("the lamp fell over"),
            Error::from(crate::log_error::LogError::NotAllowed { name: "loss".into(), hook: Hook::Setup }),
            Error::State { what: "Timer".into(), error: json },
            Error::from(MergeError::new("sum", "is missing")),
            Error::from(OptimError::from(WeightsError::Read { count: 1, reason: "the device is unreachable".into() })),
            Error::from(OptimError::from(ConfigError::new("OneCycle::new", "a cycle of 0 steps", "give more"))),
            in_hook(Error::from(io()), Hook::TrainStart, "Timer", Moment::default()),
        ] {
            let mut said = vec![error.to_string()];
            let mut source = std::error::Error::source(&error);
            while let Some(inner) = source {
                let text = inner.to_string();
                assert!(!said.iter().any(|outer| outer.contains(&text)), "{said:?} and {text}");
                said.push(text);
                source = inner.source();
            }
        }
    }
}
