//! Checkpoint files: weights, optimizer state and everything else of a run as plain data.
//!
//! A checkpoint is one [safetensors](https://huggingface.co/docs/safetensors) file with the extension `.ckpt`: the
//! tensors by name, the [`Manifest`] as one JSON text in its metadata, and a checksum over all of it. Reading one runs no
//! code. `docs/checkpoints.md` describes the format.
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

#[cfg(target_endian = "big")]
compile_error!("checkpoints hold little-endian numbers, and burn gives those of the machine");

// The file.
mod decode;
mod dtype;
mod encode;
mod error;
mod file_kind;
mod header;
mod inspect;
mod manifest;
mod neighbours;
mod place;
#[cfg(test)]
mod samples;
mod text;
pub use decode::{Checkpoint, verify};
pub use encode::Encoder;
pub use error::{Error, Result};
pub use file_kind::FileKind;
pub use inspect::{Summary, TensorInfo, inspect};
pub use manifest::{BURN_VERSION, FORMAT_VERSION, Manifest};
pub use neighbours::{Found, newest_good};
pub use place::{link_or_copy, symlink_or_copy, write};
