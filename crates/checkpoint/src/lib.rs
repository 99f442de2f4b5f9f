//! Checkpoint files: weights, optimizer state and everything else of a run as plain data.
//!
//! A checkpoint is one [safetensors](https://huggingface.co/docs/safetensors) file with the extension `.ckpt`. It
//! contains the tensors by name, the [`Manifest`] as a JSON string in the metadata, and a checksum over everything.
//! Reading a checkpoint executes no code. `docs/checkpoints.md` describes the format.
//!
//! ```
//! use burn::tensor::TensorData;
//! use stormfire_checkpoint::{Checkpoint, Manifest, write};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("last.ckpt");
//! let manifest = Manifest { seed: Some(42), ..Manifest::default() };
//! write(&path, &manifest, &[("layer.bias".to_owned(), TensorData::from([0.5_f32, -0.5]))])?;
//!
//! let mut checkpoint = Checkpoint::read(&path)?;
//! assert_eq!(checkpoint.manifest().seed, Some(42));
//! assert_eq!(checkpoint.take("layer.bias"), Some(TensorData::from([0.5_f32, -0.5])));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The state of a run is named tensors ([`TensorData`](burn::tensor::TensorData) on the host) and JSON. [`Snapshot`]
//! takes the tensors of a module for a reader on another thread. [`restore`](fn@restore) puts them back.
//! [`optimizer_state`] does the same for burn's optimizers. All of them use the path of a parameter (`hidden.weight`),
//! never burn's random ids.

#[cfg(target_endian = "big")]
compile_error!("checkpoints hold little-endian numbers, and burn gives those of the machine");

// The file format.
mod decode;
mod dtype;
mod encode;
mod error;
mod file_kind;
mod finite;
mod header;
mod inspect;
mod manifest;
mod manifest_views;
mod neighbours;
mod number;
#[cfg(test)]
mod samples;
pub mod storage;
mod text;
pub use decode::{Checkpoint, verify};
pub use encode::{Encoder, write, write_snapshot};
pub use error::{Error, Result};
pub use file_kind::FileKind;
pub use finite::is_finite;
pub use inspect::{Summary, TensorInfo, inspect};
pub use manifest::{BURN_VERSION, FORMAT_VERSION, Manifest};
pub use manifest_views::{Progress, SavedOptimizer, SavedSchedule};
pub use neighbours::{Found, neighbourhood, newest_good};

// The contents.
pub mod export;
mod fill;
mod load_options;
mod load_report;
pub mod optimizer_state;
pub mod origin;
pub mod param_paths;
#[cfg(feature = "pytorch")]
mod pytorch;
mod pytorch_names;
pub mod restore;
mod saved;
pub mod scalars;
mod similar_names;
pub mod snapshot;
pub mod tensor_names;
mod unread;
mod unread_file;
pub mod weights_error;
mod weights_file;

pub use export::{ExportOptions, export};
pub use param_paths::ParamPaths;
pub use restore::{LoadOptions, LoadReport, WeightLayout, restore};
pub use saved::Saved;
pub use snapshot::{NamedTensors, Snapshot};
pub use weights_error::WeightsError;
pub use weights_file::WeightsFile;
