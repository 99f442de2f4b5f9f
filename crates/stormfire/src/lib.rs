//! A training-loop framework in the style of PyTorch Lightning, built on [burn](https://burn.dev).
//!
//! Implement [`LightningModule`] for a burn module and pass it to a [`Trainer`]. The framework does the rest: the loop
//! and its hooks, callbacks, logging, checkpoints, progress.
//!
//! ```
//! use burn::{
//!     nn::{Linear, LinearConfig, loss::{MseLoss, Reduction}}, optim::SgdConfig, prelude::*,
//! };
//! use stormfire::prelude::*;
//!
//! #[derive(Module, Debug)]
//! struct Line { layer: Linear }
//!
//! impl LightningModule for Line {
//!     type Batch = (Tensor<2>, Tensor<2>);
//!
//!     fn training_step(&self, (x, y): Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
//!         let loss = MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean);
//!         self.log("train_loss", &loss).prog_bar(true);
//!         Ok(loss.into())
//!     }
//!
//!     fn configure_optimizers(&self) -> Result<Optimizers> {
//!         Ok(Optimizer::new(SgdConfig::new(), 0.1).into())
//!     }
//! }
//!
//! fn main() -> Result<()> {
//!     let device = Device::flex();
//!     let x = Tensor::<2>::from_floats([[0.0], [1.0], [2.0]], &device);
//!     let y = x.clone() * 3.0 + 1.0;
//!     let batches = Loader::from_batches(vec![(x, y); 50]);
//! #   let folder = std::env::temp_dir().join(format!("stormfire-doc-{}", std::process::id()));
//! #   let mut trainer = Trainer::new().max_epochs(2).default_root_dir(&folder).enable_progress_bar(false);
//! #   let fit = trainer.fit(Line { layer: LinearConfig::new(1, 1).init(&device) }, batches.clone())?;
//! #   assert_eq!(fit.progress.global_step, 100);
//! #   std::fs::remove_dir_all(&folder)?;
//! #   return Ok(());
//!     let mut trainer = Trainer::new().max_epochs(2);
//!     let fit = trainer.fit(Line { layer: LinearConfig::new(1, 1).init(&device) }, batches)?;
//!     println!("{}", fit.module.layer.weight.val());
//!     Ok(())
//! }
//! ```
//!
//! # The types that matter
//!
//! | type | what it is |
//! |---|---|
//! | [`LightningModule`] | your network, its steps and optimizers |
//! | [`StepOutput`] | what a step returns: the loss, its weight, values for hooks |
//! | [`Trainer`] | the options, and the runs: fit, validate, test, predict |
//! | [`Fit`] | what a fit returns: the trained module, why it ended, the metrics |
//! | [`Loader`] | batches of a dataset, of shards, of an iterator |
//! | [`DataModule`] | the loaders of an experiment, and how they are prepared |
//! | [`Optimizer`] | an optimizer of burn, with its learning rate, parameters and groups |
//! | [`Schedule`] | how its learning rate changes |
//! | [`Stepper`] | manual optimization: several optimizers, several steps in a batch |
//! | [`Callback`] | code that runs at named points of a run |
//! | [`Context`] | what such code can read and request |
//! | [`ModelCheckpoint`] | when checkpoints are written, and which are kept |
//!
//! The page of each has an example with all of its methods. [`Event`] shows the loop in pseudocode. Other parts have a
//! module: [`mod@metrics`], [`mod@loggers`], [`mod@callbacks`], [`mod@data`], [`mod@optim`], [`mod@tuner`],
//! [`mod@checkpoint`], [`mod@ranks`]. The book in `docs/` teaches all of it.
//!
//! Examples on the pages of single items use the crate that defines the item, like `stormfire_optim::Schedule`. A
//! program finds the item in the [`prelude`] or in the module of that name, like `stormfire::optim::Schedule`.

#[cfg(feature = "cli")]
pub use stormfire_cli as cli;
#[cfg(feature = "console")]
pub use stormfire_console as console;

/// Loading batches: loaders, samplers, splits, streams, augmentation, data modules.
pub mod data {
    pub use stormfire_data::{
        Batch, BatchSampler, Batches, BoxError, CastBatch, Caster, ClassBalancedSampler, CombinedLoader, DataModule, Error, FloatDType,
        Fold, KFold, Length, LengthSampler, Loader, Loaders, Pad, Padded, Part, Portion, Position, Random, Result, Sample, Sampler, Saved,
        Shards, SplitBatch, Splitter, Stage, StratifiedSampler, Subset, SubsetSampler, WeightedSampler, augment, common_items, items_of,
        random, random_split, shard_paths, sort_by_length, split_files,
    };
    #[cfg(feature = "images")]
    pub use stormfire_data::{ImageFolder, LabeledImage};
}

/// Loggers. They also work without a Trainer.
pub mod loggers {
    #[cfg(feature = "comet")]
    pub use stormfire_loggers::CometLogger;
    #[cfg(any(feature = "comet", feature = "mlflow", feature = "neptune", feature = "trackio", feature = "wandb"))]
    pub use stormfire_loggers::LogModel;
    #[cfg(feature = "mlflow")]
    pub use stormfire_loggers::MlflowLogger;
    #[cfg(feature = "trackio")]
    pub use stormfire_loggers::TrackioLogger;
    #[cfg(feature = "wandb")]
    pub use stormfire_loggers::WandbLogger;
    #[cfg(feature = "plotters")]
    pub use stormfire_loggers::plotters;
    pub use stormfire_loggers::{
        Artifact, Audio, Background, Call, CheckpointInfo, ConsoleStream, CsvLogger, DEFAULT_NAME, Delivery, Error, Experiment, Figure,
        FigureFormat, Graph, Histogram, HistogramStats, Hyperparams, Image, Logger, Loggers, MemoryLogger, Metrics, Node, PrCurve,
        QUEUE_CAPACITY, Reduce, Result, RunDir, Scalar, Secret, Status, Table, TensorBoardLogger, Text, Value, json, shell_word,
        tensorboard,
    };
    #[cfg(feature = "neptune")]
    pub use stormfire_loggers::{NeptuneLogger, NeptuneRun, Point, Replayed, StoredFile};
    #[cfg(any(feature = "comet", feature = "mlflow", feature = "trackio", feature = "wandb"))]
    pub use stormfire_loggers::{Patience, SpooledRun};
}

/// Reads, writes and inspects checkpoint files. Also works without a Trainer.
pub mod checkpoint {
    pub use stormfire_checkpoint::*;
}

/// The built-in callbacks.
pub mod callbacks {
    pub use stormfire_callbacks::*;
}

/// The parts of modules and callbacks: steps, hooks, events, the log.
pub mod module {
    pub use stormfire_module::{
        Callback, Context, Error, Event, ExportOptions, Hook, LightningModule, LoadOptions, LoadReport, LossScale, Moment, Order,
        PredictModule, Result, RunningStage, Stage, StepOutput, Stepper, WeightLayout, callback, event, hook, hook_table, hooks, load, log,
        log_dict, log_error, media, moment, place, prediction_sink, requests, run, state,
    };
}

/// Optimizers and schedules, and the arithmetic of gradients.
pub mod optim {
    pub use stormfire_optim::{
        AddDecay, ClipAlgorithm, Error, Group, IntoOptimizer, OneCycle, Optimizer, OptimizerConfig, Optimizers, Patterns, RateOf,
        ReduceLrOnPlateau, Result, Schedule, ScheduleConfig, freeze, gradients, independent_copy, schedule::IntoSchedule, unfreeze,
    };
}

/// Metrics. They also work without a Trainer.
pub mod metrics {
    pub use stormfire_metrics::*;
}

/// Finders for learning rate and batch size, sweeps over hyperparameters, and cross-validation.
pub mod tuner {
    pub use stormfire_tuner::{
        BatchSizeSearch, FoldScores, LrCurve, LrFind, LrPoint, Pruner, ScaleBatchSize, Space, Spacing, Suggestion, Sweep, SweepResult,
        Trial, TrialRecord, TrialState, Tuner, cross_validate,
    };
}

/// The processes or threads of one training. Also works without a Trainer.
pub mod ranks {
    pub use stormfire_ranks::*;
}

/// Numbers on a device, periods, times, options as strings.
pub mod values {
    pub use stormfire_values::{ConfigError, Every, Mode, ReadError, Scalar, TimeLimit, clock, every, reads_text, text};

    /// Reads numbers and tensors from a device.
    pub mod read {
        pub use stormfire_values::read::{Array, Part, ReadError, Reading, Tensors, device_reads, read, read_parts, sum_dtype, widen};
    }
}

#[cfg(feature = "device-stats")]
pub use stormfire_callbacks::DeviceStatsMonitor;
pub use stormfire_callbacks::{
    BackboneFinetuning, EarlyStopping, Ema, Finetuning, Generate, GradientAccumulationScheduler, GradientNorm, GradientNormMonitor,
    HistogramMonitor, ImageGridMonitor, LambdaCallback, LearningRateMonitor, MemoryMonitor, ModelCheckpoint, ModelPruning, ModelSummary,
    OnExceptionCheckpoint, OptimizerMonitor, PredictionWriter, ProgressBar, SaveLast, SaveTopK, SpikeAction, SpikeDetection,
    StochasticWeightAveraging, ThroughputMonitor, Timer, UpdatesOf, WeightAveraging,
};
pub use stormfire_data::{CastBatch, DataModule, Loader, Loaders, SplitBatch, Stage};
pub use stormfire_derive::{CastBatch, SplitBatch};
pub use stormfire_loggers::{CsvLogger, Logger, TensorBoardLogger};
pub use stormfire_metrics::{Merge, Metric, accuracy, top_k_accuracy};
pub use stormfire_module::{
    Callback, Context, Error, Event, ExportOptions, FullPrecision, Hook, LightningModule, LoadOptions, LoadReport, PredictModule, Result,
    StepOutput, Stepper, WeightLayout, log, log::ReduceFx, log_dict, media, state,
};
pub use stormfire_optim::{ClipAlgorithm, OneCycle, Optimizer, Optimizers, ReduceLrOnPlateau, Schedule};
pub use stormfire_trainer::{
    Accelerator, AcceleratorError, CkptPath, Devices, Fit, Limit, NonFinite, Precision, ProfilerKind, RequeueSignal, Signal, Stop, Trainer,
    TrainerConfig, forget_interrupt, seed_everything,
};
pub use stormfire_values::{Every, Mode, Scalar};

/// The items that most programs need. It exports nothing that `burn::prelude` exports.
///
/// Import other items by name. Modules such as [`mod@loggers`] and [`mod@data`] have their own
/// `Error` and `Result`. If you import all items of such a module next to the prelude, these names are ambiguous.
pub mod prelude {
    #[cfg(feature = "device-stats")]
    pub use crate::DeviceStatsMonitor;
    pub use crate::{
        Accelerator, BackboneFinetuning, Callback, CastBatch, ClipAlgorithm, Context, CsvLogger, DataModule, Devices, EarlyStopping, Ema,
        Error, Every, ExportOptions, Finetuning, Fit, FullPrecision, Generate, GradientAccumulationScheduler, GradientNorm,
        GradientNormMonitor, HistogramMonitor, Hook, ImageGridMonitor, LambdaCallback, LearningRateMonitor, LightningModule, Limit,
        LoadOptions, Loader, Loaders, Logger, MemoryMonitor, Merge, Metric, Mode, ModelCheckpoint, ModelPruning, ModelSummary, NonFinite,
        OnExceptionCheckpoint, OneCycle, Optimizer, OptimizerMonitor, Optimizers, Precision, PredictModule, PredictionWriter, ProfilerKind,
        ProgressBar, ReduceFx, ReduceLrOnPlateau, Result, SaveLast, SaveTopK, Scalar, Schedule, SpikeAction, SpikeDetection, SplitBatch,
        Stage, StepOutput, Stepper, StochasticWeightAveraging, Stop, TensorBoardLogger, ThroughputMonitor, Timer, Trainer, TrainerConfig,
        WeightAveraging, WeightLayout, accuracy, data::Error as DataError, log_dict, media, state, state::Saved, state::Value,
        top_k_accuracy,
    };
    // Only the function: a module of this name would make that of the crate `log` ambiguous.
    pub use stormfire_module::log::log;
}

/// Compiles the programs of the README and of the book as doctests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../../docs/accelerators.md")]
    struct Accelerators;
    #[doc = include_str!("../../../docs/averaging.md")]
    struct Averaging;
    #[doc = include_str!("../../../docs/callbacks.md")]
    struct Callbacks;
    #[cfg(feature = "cli")]
    #[doc = include_str!("../../../docs/command-line.md")]
    struct CommandLine;
    #[cfg(feature = "console")]
    #[doc = include_str!("../../../docs/console.md")]
    struct Console;
    #[doc = include_str!("../../../docs/data.md")]
    struct Data;
    #[doc = include_str!("../../../docs/deploying.md")]
    struct Deploying;
    #[doc = include_str!("../../../docs/devices.md")]
    struct Devices;
    #[doc = include_str!("../../../docs/endings.md")]
    struct Endings;
    #[doc = include_str!("../../../docs/fine-tuning.md")]
    struct FineTuning;
    #[doc = include_str!("../../../docs/from-burn-train.md")]
    struct FromBurnTrain;
    #[doc = include_str!("../../../docs/from-lightning.md")]
    struct FromLightning;
    #[doc = include_str!("../../../docs/levels.md")]
    struct Levels;
    #[doc = include_str!("../../../docs/logging.md")]
    struct Logging;
    #[cfg(all(feature = "mlflow", feature = "wandb"))]
    #[doc = include_str!("../../../docs/loggers.md")]
    struct Loggers;
    #[doc = include_str!("../../../docs/metrics.md")]
    struct Metrics;
    #[doc = include_str!("../../../docs/module.md")]
    struct Module;
    #[cfg(feature = "device-stats")]
    #[doc = include_str!("../../../docs/monitoring.md")]
    struct Monitoring;
    #[doc = include_str!("../../../docs/optimization.md")]
    struct Optimization;
    #[doc = include_str!("../../../docs/precision.md")]
    struct Precision;
    #[cfg(feature = "cli")]
    #[doc = include_str!("../../../docs/prediction.md")]
    struct Prediction;
    #[doc = include_str!("../../../docs/ranks.md")]
    struct Ranks;
    #[cfg(feature = "console")]
    #[doc = include_str!("../../../README.md")]
    struct Readme;
    #[doc = include_str!("../../../docs/remote-folders.md")]
    struct RemoteFolders;
    #[doc = include_str!("../../../docs/reproducibility.md")]
    struct Reproducibility;
    #[doc = include_str!("../../../docs/resuming.md")]
    struct Resuming;
    #[doc = include_str!("../../../docs/saving.md")]
    struct Saving;
    #[doc = include_str!("../../../docs/start.md")]
    struct Start;
    #[doc = include_str!("../../../docs/tuning.md")]
    struct Tuning;
    #[doc = include_str!("../../../docs/weights.md")]
    struct Weights;
}
