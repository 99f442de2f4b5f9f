use std::path::PathBuf;

use burn::data::dataset::DatasetError;
use stormfire_values::error_text::{one_line, with_causes};

use crate::{Stage, row_error::RowError};

/// An error of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error while batches are configured, loaded or delivered.
///
/// Wrap your own error with [`Error::other`]. `?` converts `std::io::Error`, `serde_json::Error`, burn's `DatasetError`
/// and boxed errors.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The dataset returned an error for an item.
    #[error("the dataset failed {} of batch {batch}: {}", item_text(*item), with_causes(cause))]
    Dataset {
        /// Index of the item in the dataset, if it is known.
        item: Option<usize>,
        /// Index of the batch in its epoch.
        batch: usize,
        /// The error of the dataset.
        cause: DatasetError,
    },
    /// User code panicked while a batch was made, on a worker or on the training thread.
    #[error("the {place} panicked at batch {batch}: {}", one_line(.message))]
    Panic {
        /// The code that panicked: `dataset`, `batcher`, `iterator`, ….
        place: &'static str,
        /// Index of the batch in its epoch.
        batch: usize,
        /// The message of the panic.
        message: String,
    },
    /// An iterator of results yielded an error, or the function given to `map` did.
    #[error("loading batch {batch} failed: {}", with_causes(cause.as_ref()))]
    Source {
        /// Index of the batch in its epoch.
        batch: usize,
        /// The error of the iterator.
        cause: BoxError,
    },
    /// A second pass was requested from a loader made from an iterator.
    #[error("the iterator of this loader was already consumed, so there is nothing left for epoch {epoch}")]
    Consumed {
        /// The requested epoch.
        epoch: usize,
    },
    /// The loader has no batch at all.
    #[error("the loader is empty: {reason}")]
    Empty {
        /// Why no batch is available.
        reason: String,
    },
    /// A run needs a loader that is missing.
    #[error("there is no loader for stage `{stage}`")]
    LoaderMissing {
        /// The stage of the run.
        stage: Stage,
    },
    /// The requested start of a pass is past its end.
    #[error("cannot start at batch {batch}: the pass has only {length} batches")]
    SeekPastEnd {
        /// The requested batch.
        batch: usize,
        /// The number of batches.
        length: usize,
    },
    /// An option has an invalid value.
    #[error("`{option}` cannot be {value}")]
    InvalidOption {
        /// The setter's name.
        option: &'static str,
        /// The value of the option.
        value: usize,
    },
    /// An option was set on a loader that does not support it.
    #[error("`{option}` has no effect on a loader made from {kind}")]
    NoEffect {
        /// The setter's name.
        option: &'static str,
        /// The source of the loader.
        kind: &'static str,
    },
    /// Two options of a loader decide the same.
    #[error("`{option}` and `{with}` cannot be used together")]
    Conflict {
        /// The setter's name.
        option: &'static str,
        /// The other setter's name.
        with: &'static str,
    },
    /// A sampler does not fit its dataset, or its epochs have different lengths.
    #[error("the sampler of a loader: {reason}")]
    Sampler {
        /// The reason.
        reason: String,
    },
    /// A file with data is missing or damaged, or one of its records cannot be decoded.
    #[error("the data file `{}`{}: {}", path.display(), place_text(at.as_deref()), with_causes(cause.as_ref()))]
    DataFile {
        /// Its path.
        path: PathBuf,
        /// The place in the file, such as ``line 8, column `rooms` `` or `record 7, byte 4096`. Lines are counted from
        /// 1, records from 0. `None` for the file as a whole.
        at: Option<String>,
        /// The error of this place.
        cause: BoxError,
    },
    /// A series is not a whole number of moments.
    #[error("series {item} of the batch has {numbers} numbers, which is not a multiple of {features} features")]
    Series {
        /// Its index in the batch.
        item: usize,
        /// Its length.
        numbers: usize,
        /// The features of a moment.
        features: usize,
    },
    /// A batch cannot be augmented as requested.
    #[error("the batch cannot be augmented: {reason}")]
    Augment {
        /// The reason.
        reason: String,
    },
    /// A dataset cannot be split as requested.
    #[error("the dataset cannot be split: {reason}")]
    Split {
        /// The reason.
        reason: String,
    },
    /// The ranks of a run cannot share the batches of this loader.
    #[error("a loader made from {kind} cannot be shared by several ranks, because its batches may differ from rank to rank")]
    NotDivisible {
        /// The source of the loader.
        kind: &'static str,
    },
    /// A combined loader was made from no loaders.
    #[error("a combined loader needs at least one loader")]
    NothingToCombine,
    /// One of the loaders of a combined loader failed.
    #[error("loader {loader} of the combined loader: {}", with_causes(error))]
    Combined {
        /// Index of the loader.
        loader: usize,
        /// The error of the loader.
        error: Box<Error>,
    },
    /// A batch cannot be divided among threads, because two of its fields have different numbers of items.
    #[error("a batch cannot be split: its field `{}` has {} items, and `{}` has {}", fields[0].0, fields[0].1, fields[1].0, fields[1].1)]
    UnevenBatch {
        /// The names of the two fields, and their numbers of items.
        fields: [(String, usize); 2],
    },
    /// burn's own loader stopped before its end without an error. Its workers do so when a batcher panics.
    #[error("burn's data loader ended after {processed} of {total} items without an error")]
    Truncated {
        /// Items delivered.
        processed: usize,
        /// Items expected.
        total: usize,
    },
    /// A worker thread ended without a result.
    #[error("a loader worker ended before it delivered batch {batch}")]
    WorkerLost {
        /// Index of the batch in its epoch.
        batch: usize,
    },
    /// A worker thread could not be started.
    #[error("cannot start a loader worker: {0}")]
    Spawn(std::io::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A saved tensor is not of the requested type.
    #[error(transparent)]
    State(#[from] stormfire_checkpoint::WeightsError),
    /// State or hyperparameters could not be converted.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    /// An error of the user's own type.
    #[error(transparent)]
    Other(#[from] BoxError),
}

impl Error {
    /// Wraps an error of any type, or a message.
    ///
    /// ```
    /// use stormfire_data::Error;
    ///
    /// let error = "maybe".parse::<bool>().map_err(Error::other).unwrap_err();
    /// assert_eq!(error.to_string(), "provided string was not `true` or `false`");
    /// ```
    pub fn other(error: impl Into<BoxError>) -> Self {
        Self::Other(error.into())
    }

    /// [`Error::Sampler`], for a custom sampler.
    pub fn sampler(reason: impl Into<String>) -> Self {
        Self::Sampler { reason: reason.into() }
    }

    pub(crate) fn augment(reason: impl Into<String>) -> Self {
        Self::Augment { reason: reason.into() }
    }

    pub(crate) fn split(reason: impl Into<String>) -> Self {
        Self::Split { reason: reason.into() }
    }

    /// How to fix it, if that is known.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::State(error) => return error.hint(),
            Self::Panic { .. } => "`workers(0)` keeps loading on the training thread".into(),
            Self::Consumed { .. } => "use `Loader::from_fn`, which makes a fresh iterator for each epoch, or `Loader::from_batches`".into(),
            Self::Empty { .. } => "check where the data is read from; with `drop_last` a dataset smaller than one batch has none".into(),
            Self::LoaderMissing { stage } => match stage {
                Stage::Fit => "return a loader from `train_dataloader`, or pass one to the run".into(),
                Stage::Validate => "return loaders from `val_dataloader`, or pass them to the run".into(),
                Stage::Test => "return loaders from `test_dataloader`, or pass them to the run".into(),
                Stage::Predict => "return loaders from `predict_dataloader`, or pass them to the run".into(),
            },
            Self::SeekPastEnd { .. } => {
                "the data has changed since the position was saved: resume with the same dataset and batch size".into()
            }
            Self::InvalidOption { option, .. } => format!("`{option}` must be at least 1"),
            Self::NoEffect { option, kind } => no_effect_hint(option, kind),
            Self::Conflict { option, with } => format!("remove `{option}`: the `{with}` decides it"),
            Self::UnevenBatch { .. } => {
                "the first axis of every tensor in a batch counts its items; mark a field that is the same for all of them with \
                 `#[split(clone)]`, or use `devices(1)`"
                    .into()
            }
            Self::NotDivisible { kind: "shards" } => "count the records before: `Shards::counted`, or `Shards::with_counts`".into(),
            Self::NotDivisible { .. } => "use `Loader::new`, `Loader::collate` or `Loader::from_batches`".into(),
            Self::NothingToCombine => "pass one or more loaders".into(),
            Self::Combined { error, .. } => return error.hint(),
            Self::DataFile { cause, .. } => return cause.downcast_ref::<RowError>().and_then(|error| error.hint.clone()),
            Self::Truncated { .. } => {
                "burn loses the message of a panic in a worker; use `Loader::new` with the same dataset and batcher to see it".into()
            }
            Self::Dataset { .. }
            | Self::Source { .. }
            | Self::Sampler { .. }
            | Self::Augment { .. }
            | Self::Series { .. }
            | Self::Split { .. }
            | Self::WorkerLost { .. }
            | Self::Spawn(_)
            | Self::Io(_)
            | Self::Json(_)
            | Self::Other(_) => return None,
        })
    }
}

impl From<DatasetError> for Error {
    fn from(error: DatasetError) -> Self {
        Self::Other(Box::new(error))
    }
}

fn place_text(at: Option<&str>) -> String {
    at.map(|at| format!(", {at}")).unwrap_or_default()
}

fn item_text(item: Option<usize>) -> String {
    item.map_or_else(|| "at an item".into(), |item| format!("at item {item}"))
}

fn no_effect_hint(option: &str, kind: &str) -> String {
    match (option, kind) {
        ("items_per_batch", _) => "remove it: the number of items is known here".into(),
        (_, "other loaders") => format!("call `{option}` on the loaders it was made from"),
        (_, "burn's data loader") => {
            format!("set `{option}` on burn's `DataLoaderBuilder`, or use `Loader::new` with the dataset and the batcher")
        }
        (_, "shards") => {
            format!("`{option}` works on `Loader::new` with a dataset and a batcher; shards are read from the first to the last record")
        }
        _ => format!("`{option}` works on `Loader::new` with a dataset and a batcher; here the iterator decides"),
    }
}
