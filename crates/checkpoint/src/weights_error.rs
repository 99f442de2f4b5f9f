//! Errors of weights and optimizer states.

use std::path::PathBuf;

use crate::load_report::LoadReport;

/// A result whose error is [`WeightsError`].
pub(crate) type Result<T, E = WeightsError> = std::result::Result<T, E>;

/// An error while weights or optimizer states are saved or restored. [`WeightsError::hint`] returns the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The device failed to return values.
    #[error("reading {count} tensors from the device failed: {reason}")]
    Read {
        /// The number of requested tensors.
        count: usize,
        /// The error of the device.
        reason: String,
    },
    /// A parameter of a kind that cannot be saved.
    #[error("parameter `{path}` is quantized, and a quantized parameter cannot be saved")]
    Quantized {
        /// The parameter.
        path: String,
    },
    /// Names, shapes or kinds of the weights differ from those of the module.
    #[error("the weights do not fit the module: {0}")]
    Misfit(Box<LoadReport>),
    /// The patterns of `only` and `except` select no parameter.
    #[error("no parameter to load: {patterns} select none")]
    NothingSelected {
        /// The given patterns.
        patterns: String,
    },
    /// A pattern is not a regular expression.
    #[error("`{pattern}` is not a regular expression: {error}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The error of the parser.
        error: Box<regex::Error>,
    },
    /// Two tensors have the same name after renaming.
    #[error("`{first}` and `{second}` are both renamed to `{path}`")]
    RenamedTwice {
        /// The first name in the file.
        first: String,
        /// The second name in the file.
        second: String,
        /// The shared name.
        path: String,
    },
    /// The state of an optimizer does not belong to this one.
    #[error("optimizer `{optimizer}`: {reason}")]
    Optimizer {
        /// The optimizer's name.
        optimizer: String,
        /// The inconsistency.
        reason: String,
        /// How to fix it.
        hint: String,
    },
    /// A tensor in the state of a callback or data module has another kind than requested.
    #[error("the saved tensor `{name}` cannot be restored: {reason}")]
    Part {
        /// The name.
        name: String,
        /// The inconsistency.
        reason: String,
    },
    /// burn could not write or read its own record.
    #[error("burn cannot convert its record: {0}")]
    Record(String),
    /// A value in a saved state is not a number.
    #[error("`{name}` is {value}, which is not a number of an optimizer or schedule")]
    Scalar {
        /// The name.
        name: String,
        /// The value.
        value: String,
    },
    /// The values of a tensor cannot be read from its file.
    #[error("the values of `{path}` cannot be read: {reason}")]
    Values {
        /// The parameter.
        path: String,
        /// The reason.
        reason: String,
    },
    /// A value does not fit into the dtype of its parameter.
    #[error("`{path}` contains {value} in the file ({file}), which does not fit into the {module} of the module")]
    Overflow {
        /// The parameter.
        path: String,
        /// The value.
        value: String,
        /// The name of the file's dtype.
        file: &'static str,
        /// The name of the module's dtype.
        module: &'static str,
    },
    /// An adapter or another reparameterization, which files of PyTorch cannot contain.
    #[error("`{path}` is a part of an adapter, and other programs know only whole weights")]
    Adapter {
        /// The path of the part.
        path: String,
    },
    /// The file does not say the layout of its weights.
    #[error("{reason}")]
    Layout {
        /// The reason.
        reason: String,
        /// How to fix it.
        hint: String,
    },
    /// A file of PyTorch cannot be read.
    #[error("`{}`: {reason}", .path.display())]
    PyTorch {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
        /// How to fix it.
        hint: String,
    },
}

impl WeightsError {
    /// The remedy, as a sentence part for `hint: …`.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Part { .. } => Some("request it as it was saved: check the code that saves and restores this state".into()),
            Self::Read { .. } => Some("the device is lost for this process: start again from the last checkpoint".into()),
            Self::Quantized { .. } => Some("save before `quantize_weights`, and quantize again after loading".into()),
            Self::Misfit(report) if report.rename.is_some() => report.rename.as_ref().map(|(from, to)| {
                format!(
                    "build the module as it was when it was saved; most names fit with `LoadOptions::rename(r\"{from}\", \"{to}\")`, and \
                     `strict(false)` loads what fits"
                )
            }),
            Self::Misfit(_) => {
                Some("build the module as it was when it was saved; `rename` maps other names, `strict(false)` loads what fits".into())
            }
            Self::NothingSelected { .. } => Some("the patterns are searched in paths such as `encoder.0.weight`".into()),
            Self::Pattern { .. } => Some("write a literal dot as `\\.`, and see the documentation of the crate `regex`".into()),
            Self::RenamedTwice { .. } => Some("anchor the pattern with `^`, or rename one of the two first".into()),
            Self::Optimizer { hint, .. } | Self::Layout { hint, .. } | Self::PyTorch { hint, .. } => Some(hint.clone()),
            Self::Values { .. } => Some("was the file copied completely, or is another program writing it?".into()),
            Self::Overflow { .. } => Some("load it with `LoadOptions::adopt_dtype(true)`, or leave it out with `except`".into()),
            Self::Adapter { .. } => Some("export `module.clone().materialize()`, which adds the adapters to their weights".into()),
            Self::Record(_) | Self::Scalar { .. } => Some("the checkpoint is damaged or was edited manually: use another one".into()),
        }
    }
}
