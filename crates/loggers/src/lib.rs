//! Loggers for anyone who records numbers, with or without a Trainer.
//!
//! A [`Logger`] receives metrics, hyperparameters and media. [`TensorBoardLogger`] and [`CsvLogger`] write files,
//! [`MemoryLogger`] keeps every call for a test, and one's own takes four methods. [`Background`] runs any of them on its
//! own thread, in order, so that recording never holds up a training loop. A run that was killed is continued without rows
//! twice or missing: see [`Logger::position`].
//!
//! ```
//! use stormfire_loggers::{Background, CsvLogger, Metrics, Status};
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let logger = Background::spawn(Box::new(CsvLogger::new(folder)))?;
//! for step in 0..3 {
//!     logger.log_metrics(Metrics::from([("loss", 1.0 / (step + 1) as f64)]), Some(step))?;
//! }
//! logger.finalize(Status::Success)?;
//! let written = std::fs::read_to_string(folder.join("lightning_logs/version_0/metrics.csv"))?;
//! assert_eq!(written.lines().nth(1), Some("0,,1"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(
    not(all(
        feature = "comet",
        feature = "csv",
        feature = "mlflow",
        feature = "neptune",
        feature = "tensorboard",
        feature = "trackio",
        feature = "wandb"
    )),
    allow(dead_code, reason = "loggers share parts that none of them uses whole; with all of them nothing may be left over")
)]

mod absolute;
#[cfg(feature = "network")]
mod address;
mod append;
#[cfg(feature = "comet")]
mod comet;
#[cfg(feature = "csv")]
mod csv;
mod delivery;
mod error;
mod hold;
#[cfg(feature = "network")]
mod http;
mod hyperparams;
#[cfg(any(feature = "network", feature = "neptune", feature = "tensorboard"))]
mod identity;
pub mod json;
#[cfg(test)]
#[cfg(all(feature = "csv", feature = "tensorboard"))]
mod kill_tests;
mod logger;
mod loggers;
mod media;
mod memory;
#[cfg(feature = "mlflow")]
mod mlflow;
#[cfg(any(feature = "network", feature = "neptune"))]
mod model_log;
mod names;
#[cfg(feature = "neptune")]
mod neptune;
mod number;
#[cfg(feature = "network")]
mod outbox;
mod position;
#[cfg(feature = "network")]
mod private;
mod reduce;
#[cfg(test)]
#[cfg(all(feature = "csv", feature = "tensorboard"))]
mod resume_tests;
#[cfg(feature = "network")]
mod rows;
mod run_dir;
mod secret;
mod shared_version;
#[cfg(feature = "network")]
mod sync;
#[cfg(feature = "tensorboard")]
pub mod tensorboard;
#[cfg(test)]
#[cfg(feature = "network")]
mod test_server;
#[cfg(test)]
#[cfg(any(feature = "comet", feature = "mlflow", feature = "trackio", feature = "wandb"))]
mod tracker_tests;
#[cfg(feature = "trackio")]
mod trackio;
mod value;
#[cfg(feature = "wandb")]
mod wandb;
mod writer;

#[cfg(feature = "csv")]
pub use crate::csv::CsvLogger;
#[cfg(feature = "comet")]
pub use comet::CometLogger;
pub use delivery::Delivery;
pub use error::{Error, Result};
pub use hyperparams::{Hyperparams, Scalar};
pub use logger::{CheckpointInfo, ConsoleStream, Logger, Status};
pub use loggers::{Experiment, Loggers};
pub use memory::{Call, MemoryLogger};
#[cfg(feature = "mlflow")]
pub use mlflow::MlflowLogger;
#[cfg(any(feature = "network", feature = "neptune"))]
pub use model_log::LogModel;
#[cfg(feature = "neptune")]
pub use neptune::{NeptuneLogger, NeptuneRun, Point, Replayed, StoredFile};
#[cfg(feature = "plotters")]
pub use plotters;
pub use reduce::Reduce;
pub use run_dir::{DEFAULT_NAME, RunDir, remote_folder};
pub use secret::Secret;
pub use serde_json::Value;
pub use shared_version::share_versions;
#[cfg(feature = "network")]
pub use sync::SpooledRun;
#[cfg(feature = "tensorboard")]
pub use tensorboard::TensorBoardLogger;
#[cfg(feature = "trackio")]
pub use trackio::TrackioLogger;
pub use value::{Artifact, Audio, Figure, FigureFormat, Graph, Histogram, HistogramStats, Image, Metrics, Node, Table, Text};
#[cfg(feature = "wandb")]
pub use wandb::WandbLogger;
pub use writer::{Background, PendingPosition, QUEUE_CAPACITY};
