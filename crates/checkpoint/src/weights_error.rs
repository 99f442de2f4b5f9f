//! What can go wrong between a module's weights, an optimizer's state, and the names in a file.

use std::path::PathBuf;

use crate::load_report::LoadReport;

/// A result whose error is [`WeightsError`].
pub(crate) type Result<T, E = WeightsError> = std::result::Result<T, E>;

/// Why weights or optimizer states could not be taken or put back. [`WeightsError::hint`] tells what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The device failed to hand over values.
    #[error("reading {count} tensors from the device failed: {reason}")]
    Read {
        /// How many tensors were asked for.
        count: usize,
        /// What the device said.
        reason: String,
    },
    /// A parameter of a kind that has no plain form.
    #[error("parameter `{path}` is quantized, and a quantized parameter cannot be saved")]
    Quantized {
        /// The parameter.
        path: String,
    },
    /// Names, shapes or types of the weights are not those of the module.
    #[error("the weights do not fit the module: {0}")]
    Misfit(Box<LoadReport>),
    /// The patterns of `only` and `except` leave nothing to load.
    #[error("no parameter is left to load: {patterns} select none")]
    NothingSelected {
        /// The patterns, as they were given.
        patterns: String,
    },
    /// A pattern that is no regular expression.
    #[error("`{pattern}` is not a regular expression: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What the parser said.
        source: Box<regex::Error>,
    },
    /// Two tensors that would have the same name after renaming.
    #[error("`{first}` and `{second}` are both renamed to `{path}`")]
    RenamedTwice {
        /// One name in the file.
        first: String,
        /// The other.
        second: String,
        /// The name they would share.
        path: String,
    },
    /// The state of an optimizer does not belong to this one.
    #[error("optimizer `{optimizer}`: {reason}")]
    Optimizer {
        /// The optimizer's name.
        optimizer: String,
        /// What does not fit.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// A tensor of a callback's or data module's state that is of another kind than the one that is asked for.
    #[error("the saved tensor `{name}` cannot be taken back: {reason}")]
    Part {
        /// Its name.
        name: String,
        /// What does not fit.
        reason: String,
    },
    /// burn could not write or read a record of its own.
    #[error("burn cannot convert its record: {0}")]
    Record(String),
    /// A number in a saved state that is none.
    #[error("`{name}` holds {value}, which is no number of an optimizer or schedule")]
    Scalar {
        /// Its name.
        name: String,
        /// What is there.
        value: String,
    },
    /// Weights of another program that cannot be turned into burn's.
    #[error("{reason}")]
    Layout {
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// A file of PyTorch that cannot be read.
    #[error("`{}`: {reason}", .path.display())]
    PyTorch {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },
}

impl WeightsError {
    /// What to do about it, as a sentence part for `hint: …`.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Part { .. } => Some("ask for it as it was saved: see the code that makes and takes back this state".into()),
            Self::Read { .. } => Some("the device is lost for this process: start again from the last checkpoint".into()),
            Self::Quantized { .. } => Some("save before `quantize_weights`, and quantize again after loading".into()),
            Self::Misfit(_) => {
                Some("build the module as it was when it was saved; `rename` maps other names, `strict(false)` loads what fits".into())
            }
            Self::NothingSelected { .. } => Some("the patterns are searched in paths such as `encoder.0.weight`".into()),
            Self::Pattern { .. } => Some("write a literal dot as `\\.`, and see the documentation of the crate `regex`".into()),
            Self::RenamedTwice { .. } => Some("anchor the pattern with `^`, or rename one of the two first".into()),
            Self::Optimizer { hint, .. } | Self::Layout { hint, .. } | Self::PyTorch { hint, .. } => Some(hint.clone()),
            Self::Record(_) | Self::Scalar { .. } => Some("the checkpoint is damaged or was changed by hand: use another one".into()),
        }
    }
}
