//! The callbacks and loggers of Stormfire. Their options have the names of the setters, and the defaults.

use std::{collections::BTreeMap, path::PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;
#[cfg(feature = "device-stats")]
use stormfire_callbacks::DeviceStatsMonitor;
use stormfire_callbacks::{
    BackboneFinetuning, EarlyStopping, Ema, GradientAccumulationScheduler, GradientNormMonitor, HistogramMonitor, LearningRateMonitor,
    MemoryMonitor, ModelCheckpoint, ModelPruning, ModelSummary, OnExceptionCheckpoint, OptimizerMonitor, ProgressBar, SpikeDetection,
    StochasticWeightAveraging, ThroughputMonitor, Timer, WeightAveraging,
};
use stormfire_loggers::{CsvLogger, DEFAULT_NAME, Error as LoggerError, RunDir, TensorBoardLogger};
use stormfire_module::{Error, LightningModule, Result};
use stormfire_optim::Patterns;
use stormfire_trainer::Trainer;
use stormfire_values::{Every, TimeLimit};

use super::{
    Registry,
    choices::{All, Anneal, Better, Either, Interval, Linked, Norm, Norms, OnSpike, Paths, Slices},
    text::Text,
};

/// One callback: the cargo feature that it needs, its type, its name, the arguments of `new`, and its setters. The
/// value of a setter is what a file has, unless a function sets it.
macro_rules! callbacks {
    ($($(#[doc = $doc:literal])* $(#[cfg(feature = $feature:literal)])?
    $callback:ident $name:ident ($($(#[doc = $arg_doc:literal])* $arg:ident: $arg_ty:ty),*) {
        $($(#[doc = $set_doc:literal])* $set:ident: $ty:ty $(=> $with:expr)?,)*
    })*) => {
        $(
            $(#[cfg(feature = $feature)])?
            mod $name {
                use super::*;

                $(#[doc = $doc])*
                #[derive(Deserialize, JsonSchema)]
                #[serde(deny_unknown_fields)]
                pub(super) struct Options {
                    $($(#[doc = $arg_doc])* pub(super) $arg: $arg_ty,)*
                    $($(#[doc = $set_doc])* #[serde(default)] pub(super) $set: Option<$ty>,)*
                }
            }
        )*

        fn callbacks<M: LightningModule>(registry: &mut Registry<M>) {
            $($(#[cfg(feature = $feature)])?
            registry.callback(stringify!($name), |options: $name::Options| {
                // A callback may have no options.
                let _ = &options;
                let callback = $callback::new($(options.$arg),*);
                $(let callback = match options.$set {
                    Some(value) => set!(callback $set value $(, $with)?),
                    None => callback,
                };)*
                Ok(callback)
            });)*
        }
    };
}

callbacks! {
    /// Stops a fit when a metric no longer improves.
    EarlyStopping early_stopping (
        /// The metric.
        monitor: String
    ) {
        /// Whether a lower or a higher value is better.
        mode: Better,
        /// The least change that counts as an improvement.
        min_delta: f64,
        /// Number of checks without improvement before the stop.
        patience: u32,
        /// Whether a missing metric is an error.
        strict: bool,
        /// Whether a value that is NaN or infinite stops the fit.
        check_finite: bool,
        /// The value at which the goal is reached.
        stopping_threshold: f64,
        /// The value beyond which the fit is hopeless.
        divergence_threshold: f64,
        /// Whether to check at the end of the training epoch instead of the validation.
        check_on_train_epoch_end: bool,
        /// Whether to report each improvement.
        verbose: bool,
        /// A name, for several of them.
        named: String,
    }
    /// Saves checkpoints, the best ones by a metric or the newest.
    ModelCheckpoint model_checkpoint () {
        /// The folder. Default: `checkpoints` in the folder of the run.
        dirpath: PathBuf,
        /// The name of a file, such as `{epoch}-{val_loss:.2}`.
        filename: String,
        /// The name of the file of `save_last`. Default: `last`.
        last_filename: String,
        /// The metric of the best checkpoints.
        monitor: String,
        /// Whether a lower or a higher value is better.
        mode: Better,
        /// The number of best checkpoints to keep, or `all`.
        save_top_k: Either<usize, All>,
        /// Whether to keep `last.ckpt`, too: `true`, or `link` for a symbolic link.
        save_last: Either<bool, Linked>,
        /// How often to save, such as `500 steps`.
        every: Text<Every>,
        /// Whether to save at the end of the training epoch instead of the validation.
        save_on_train_epoch_end: bool,
        /// Whether to save the weights alone.
        save_weights_only: bool,
        /// Whether to save when the fit fails.
        save_on_exception: bool,
        /// Whether a file name contains the name of a metric before its value.
        auto_insert_metric_name: bool,
        /// Whether a name that is taken gets `-v1`, `-v2`, …. If not, its file is overwritten.
        enable_version_counter: bool,
        /// Whether to report each file.
        verbose: bool,
        /// A name, for several of them.
        named: String,
    }
    /// Logs the learning rates.
    LearningRateMonitor learning_rate_monitor () {
        /// When to log.
        logging_interval: Interval,
    }
    /// Stops a fit after a time.
    Timer timer (
        /// The time: seconds, or a string such as `10 minutes`.
        limit: Text<TimeLimit>
    ) {
        /// When to check.
        interval: Interval,
        /// Whether to report the stop.
        verbose: bool,
        /// A name, for several of them.
        named: String,
    }
    /// Changes the number of accumulated batches at epochs.
    GradientAccumulationScheduler gradient_accumulation_scheduler (
        /// The number of batches by the epoch from which it applies, such as `{0: 1, 4: 8}`.
        factors: BTreeMap<usize, usize>
    ) {}
    /// Logs the norms of gradients.
    GradientNormMonitor gradient_norm_monitor () {
        /// Their kinds, such as `[l2, max]`.
        norms: Vec<Norm> => |monitor: GradientNormMonitor, norms: Vec<Norm>| monitor.norms(norms.into_iter().map(Into::into)),
        /// Whether to log those of each parameter.
        per_parameter: bool,
    }
    /// Logs histograms of parameters and gradients.
    HistogramMonitor histogram_monitor () {
        /// How often, such as `1 epoch`.
        every: Text<Every>,
        /// Whether to log parameters.
        parameters: bool,
        /// Whether to log gradients.
        gradients: bool,
    }
    /// Logs the speed of the training.
    ThroughputMonitor throughput_monitor () {
        /// Number of batches of a mean.
        window_size: usize,
        /// Floating-point operations of a batch.
        flops_per_batch: f64,
        /// Floating-point operations that the device makes in a second.
        available_flops: f64,
    }
    /// Logs norms of weights and updates.
    OptimizerMonitor optimizer_monitor () {
        /// Those to log besides the total.
        of: Norms => |monitor: OptimizerMonitor, of: Norms| monitor.of(of.into()),
    }
    /// Logs the memory of process and device.
    MemoryMonitor memory_monitor () {}
    /// Averages the weights exponentially.
    Ema ema (
        /// The weight of the average in each update, such as 0.999.
        decay: f64
    ) {
        /// Whether the decay grows from 0.
        warm_up: bool,
        /// When to start, such as `1000 steps`.
        start_after: Text<Every>,
        /// How often to update, such as `10 steps`.
        every: Text<Every>,
        /// Whether to average buffers, too.
        average_buffers: bool,
    }
    /// Averages the weights equally.
    WeightAveraging weight_averaging () {
        /// When to start, such as `1000 steps`.
        start_after: Text<Every>,
        /// How often to update, such as `1 epoch`.
        every: Text<Every>,
        /// Whether to average buffers, too.
        average_buffers: bool,
    }
    /// Averages the weights of the last epochs, which have a constant learning rate.
    StochasticWeightAveraging stochastic_weight_averaging (
        /// The constant learning rate, or a list with one for each rate.
        lr: Either<f64, Vec<f64>>
    ) {
        /// The first epoch of the average.
        start_epoch: usize,
        /// The first epoch of the average, as a share of all.
        start_share: f64,
        /// The epochs in which the rates become constant, such as `{epochs: 5, strategy: linear}`.
        annealing: Anneal => |average: StochasticWeightAveraging, anneal: Anneal| average.annealing(anneal.epochs, anneal.strategy),
    }
    /// Saves a checkpoint when the fit fails.
    OnExceptionCheckpoint on_exception_checkpoint (
        /// The folder.
        dirpath: PathBuf
    ) {
        /// The name of the file, without its ending.
        filename: String,
    }
    /// Prints the layers of the module.
    ModelSummary model_summary () {
        /// Levels of the tree of modules.
        max_depth: usize,
    }
    /// Shows the progress.
    ProgressBar progress_bar () {
        /// Updates in a second.
        refresh_rate: u32,
        /// Whether to show the time to the end, the memory and the ranks.
        details: bool,
    }
    /// Detects a loss that jumps.
    SpikeDetection spike_detection (
        /// What to do with a spike.
        action: OnSpike
    ) {
        /// Number of latest losses in the mean.
        window: usize,
        /// Number of first steps that are never spikes.
        warmup: u64,
        /// The least difference from the mean, as a multiple of the mean.
        rtol: f64,
        /// The least difference from the mean.
        atol: f64,
        /// Whether a loss that is not finite is a spike.
        finite_only: bool,
        /// Whether a lower or a higher loss is better.
        mode: Better,
        /// A name, for several of them.
        named: String,
    }
    /// Sets the smallest weights to zero at the end of each epoch.
    ModelPruning model_pruning (
        /// The share of the weights that are left, such as 0.2, or a number of weights.
        amount: Either<usize, f64>
    ) {
        /// Whether to compare the weights of each parameter alone.
        per_layer: bool => |pruning: ModelPruning, on: bool| if on { pruning.per_layer() } else { pruning },
        /// Whole slices of each parameter, such as `{dim: 1, norm: l2}`.
        structured: Slices => |pruning: ModelPruning, slices: Slices| pruning.structured(slices.dim, slices.norm.into()),
        /// The parameters, by their paths. Default: those with two or more dimensions.
        parameters: Paths => |pruning: ModelPruning, paths: Paths| {
            let patterns = Patterns::from(paths);
            pruning.parameters(move |path| patterns.matches(path))
        },
        /// A name, for several of them.
        named: String,
    }
    /// Trains a pretrained part of the module later and slower than the rest.
    BackboneFinetuning backbone_finetuning (
        /// The part, by the paths of its parameters.
        backbone: Paths
    ) {
        /// The epoch from which the part is trained.
        unfreeze_at_epoch: usize,
        /// The factor of its learning rate from one epoch to the next.
        lambda: f64 => |finetuning: BackboneFinetuning, factor: f64| finetuning.lambda(move |_| factor),
        /// Its first learning rate, as a share of that of the optimizer.
        initial_ratio: f64,
        /// Its first learning rate.
        initial_lr: f64,
        /// Whether its learning rate is at most that of the optimizer.
        align: bool,
        /// Whether batch normalizations of the frozen part are trained.
        train_bn: bool,
    }
    /// Logs the load of the processor, memory and NVIDIA GPUs.
    #[cfg(feature = "device-stats")]
    DeviceStatsMonitor device_stats_monitor () {
        /// Whether to log processor and memory.
        cpu_stats: bool,
        /// The numbers of the GPUs. Default: all.
        gpus: Vec<u32>,
    }
}

/// Writes files into the folder of the run.
#[derive(Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct RunOptions {
    /// The folder of all experiments. Default: `trainer.default_root_dir`.
    save_dir: Option<PathBuf>,
    /// The folder of the experiment in it.
    experiment: String,
    /// The folder of the run in that. Default: the next `version_N`.
    version: Option<String>,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self { save_dir: None, experiment: DEFAULT_NAME.into(), version: None }
    }
}

impl RunOptions {
    fn dir<M: LightningModule>(self, trainer: &Trainer<M>) -> Result<RunDir> {
        let root = self.save_dir.unwrap_or_else(|| trainer.config().default_root_dir.clone());
        let dir = RunDir::new(root).with_name(self.experiment);
        let dir = match self.version {
            Some(version) => dir.with_version(version),
            None => dir,
        };
        dir.check().map_err(|error| {
            let option = if matches!(error, LoggerError::Outside { what: "name", .. }) { "experiment" } else { "version" };
            Error::config(option, error.to_string(), error.hint().unwrap_or_default())
        })?;
        Ok(dir)
    }
}

pub(super) fn register<M: LightningModule>(registry: &mut Registry<M>) {
    callbacks(registry);
    // Loggers of one experiment share its version.
    registry.logger("csv", |options: RunOptions, trainer| Ok(CsvLogger::in_dir(options.dir(trainer)?)));
    registry.logger("tensor_board", |options: RunOptions, trainer| Ok(TensorBoardLogger::in_dir(options.dir(trainer)?)));
}
