//! Checkpoint files: weights, optimizer state and everything else of a run as plain data.
//!
//! What a run consists of on this page is named tensors ([`TensorData`](burn::tensor::TensorData) on the host) and JSON.
//! [`Snapshot`] takes a module's tensors for a reader on another thread, [`restore`](fn@restore) puts them back,
//! [`optimizer_state`] does the same for burn's optimizers; all go by the path of a parameter (`hidden.weight`), never by
//! burn's random ids.

pub mod optimizer_state;
pub mod param_paths;
#[cfg(feature = "pytorch")]
pub mod pytorch;
pub mod restore;
pub mod scalars;
pub mod snapshot;
pub mod weights_error;

pub use param_paths::ParamPaths;
#[cfg(feature = "pytorch")]
pub use pytorch::{ImportOptions, import_pytorch, import_tensors};
pub use restore::{LoadOptions, LoadReport, restore};
pub use snapshot::Snapshot;
pub use weights_error::WeightsError;

/// Tensors on the host by name: a parameter's path, or a name with a slash for anything else.
pub type NamedTensors = Vec<(String, burn::tensor::TensorData)>;
