//! Loggers for metrics, hyperparameters and media. They work with or without a Trainer.
//!
//! A [`Logger`] receives metrics, hyperparameters and media. [`TensorBoardLogger`] and [`CsvLogger`] write files.
//! [`MemoryLogger`] keeps every call for a test. A custom logger implements four methods. [`Background`] runs any
//! logger on a separate thread, in order, so that recording does not delay a training loop. A resumed run has no
//! duplicate and no missing rows: see [`Logger::position`].
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

mod delivery;
mod error;
mod files;
pub mod for_trainer;
mod logger;
mod loggers;
mod names;
#[cfg(feature = "network")]
#[cfg_attr(not(feature = "all-loggers"), allow(dead_code, reason = "no tracker uses all of it"))]
mod network;
#[cfg_attr(not(feature = "all-loggers"), allow(dead_code, reason = "no logger uses all of them"))]
mod parts;
mod run_dir;
#[cfg(feature = "tracker")]
mod trackers;
mod trainer_yaml;
mod value;
mod writer;

pub use delivery::Delivery;
pub use error::{Error, Result};
pub use files::*;
pub use logger::{CheckpointInfo, ConsoleStream, Logger, Status};
pub use loggers::{Experiment, Loggers};
pub use names::shell_word;
#[cfg(feature = "network")]
pub use network::patience::Patience;
#[cfg(feature = "tracker")]
pub use parts::LogModel;
#[cfg(feature = "plotters")]
pub use plotters;
pub use run_dir::{DEFAULT_NAME, RunDir};
pub use serde_json::Value;
pub use stormfire_store::stand_in::remote_folder;
#[cfg(feature = "tracker")]
pub use trackers::*;
pub use value::{
    Artifact, Audio, Figure, FigureFormat, Graph, Histogram, HistogramStats, Hyperparams, Image, Metrics, Node, PrCurve, Reduce, Scalar,
    Secret, Table, Text, json,
};
pub use writer::{Background, QUEUE_CAPACITY};
