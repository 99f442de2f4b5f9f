//! Loads weights into a module, and exports them, without a Trainer.
//!
//! ```no_run
//! use burn::{nn::{Linear, LinearConfig}, prelude::*};
//! use serde::{Deserialize, Serialize};
//! use stormfire_module::{ExportOptions, LightningModule, LoadOptions, Result, state::{self, Value}};
//!
//! #[derive(Clone, Debug, Serialize, Deserialize)]
//! struct LineConfig { inputs: usize }
//!
//! #[derive(Module, Debug)]
//! struct Line {
//!     layer: Linear,
//!     #[module(skip)]
//!     config: LineConfig,
//! }
//!
//! impl Line {
//!     fn new(config: LineConfig, device: &Device) -> Self {
//!         Line { layer: LinearConfig::new(config.inputs, 1).init(device), config }
//!     }
//! }
//!
//! impl LightningModule for Line {
//!     type Batch = Tensor<2>;
//!
//!     fn hparams(&self) -> Result<Value> {
//!         state::save(&self.config)
//!     }
//! }
//!
//! let device = Device::flex();
//! let line = Line::load_from_checkpoint("line.ckpt", |config| Line::new(config, &device))?;
//!
//! // Fine-tuning: the same layers of another model, without its head.
//! let options = LoadOptions::new().except("^head").strict(false);
//! let (line, report) = Line::new(LineConfig { inputs: 2 }, &device).load_weights("pretrained.ckpt", &options)?;
//! println!("{report}");
//!
//! // A model from Hugging Face, whose network is `bert`.
//! # let line = Line::new(LineConfig { inputs: 2 }, &device);
//! let (line, _) = line.load_weights("model.safetensors", &LoadOptions::new().rename(r"^bert\.", ""))?;
//!
//! // For PyTorch.
//! line.export_weights("exported/model.safetensors", &ExportOptions::new())?;
//! # Ok::<(), stormfire_module::Error>(())
//! ```

use std::path::{Path, PathBuf};

use burn::module::Module;
use serde::de::DeserializeOwned;
use stormfire_checkpoint::{Checkpoint, ExportOptions, LoadOptions, LoadReport, WeightsFile, export, restore};

use stormfire_loggers::json;

use crate::error::{Error, Result};

/// [`LightningModule::load_from_checkpoint`](crate::LightningModule::load_from_checkpoint).
pub(crate) fn from_checkpoint<M: Module, H: DeserializeOwned>(path: &Path, build: impl FnOnce(H) -> M) -> Result<M> {
    let mut checkpoint = Checkpoint::read(path).map_err(|error| Error::unreadable(path, &error))?;
    let tensors = checkpoint.take_weights();
    let hparams = checkpoint.into_parts().0.hparams;
    if hparams.is_null() {
        let hint = "implement `LightningModule::hparams`, or build the module yourself and call `load_weights`";
        return Err(refuse(path, "it contains no hyperparameters", hint));
    }
    let hparams = json::from_value(hparams).map_err(|e| {
        let hint = format!("read them as the type that `hparams` saved; this one is `{}`", std::any::type_name::<H>());
        refuse(path, format!("its hyperparameters do not match: {e}"), &hint)
    })?;
    let restored = restore(build(hparams), tensors, &LoadOptions::new());
    Ok(restored.map_err(|error| Error::from(error).of_file(path))?.0)
}

/// [`LightningModule::load_weights`](crate::LightningModule::load_weights).
pub(crate) fn weights<M: Module>(module: M, path: &Path, options: &LoadOptions) -> Result<(M, LoadReport)> {
    let file = WeightsFile::read(path).map_err(|error| Error::unreadable(path, &error))?;
    file.restore(module, options).map_err(|error| Error::from(error).of_file(path))
}

/// [`LightningModule::export_weights`](crate::LightningModule::export_weights).
pub(crate) fn export_weights<M: Module>(module: &M, path: &Path, options: &ExportOptions) -> Result<Vec<PathBuf>> {
    export(module, path, options)
}

fn refuse(path: &Path, reason: impl std::fmt::Display, hint: &str) -> Error {
    Error::Checkpoint { path: path.into(), reason: reason.to_string(), hint: hint.into() }
}

#[cfg(test)]
mod tests;
