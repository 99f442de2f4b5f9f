//! The built-in callbacks.

mod averaging;
#[cfg(feature = "device-stats")]
mod device_stats_monitor;
mod early_stopping;
mod files;
mod finetuning;
mod generate;
mod gradient_accumulation_scheduler;
mod gradient_norm_monitor;
mod histogram_monitor;
mod image_grid_monitor;
mod lambda;
mod learning_rate_monitor;
mod memory_monitor;
mod model_checkpoint;
mod model_summary;
mod on_exception_checkpoint;
mod optimizer_monitor;
mod period;
mod prediction_writer;
mod process_memory;
mod progress_bar;
mod pruning;
mod rehearsal;
mod spike_detection;
#[cfg(test)]
mod testing;
mod throughput_monitor;
mod time_to_end;
mod timer;
mod to_loggers;

pub use averaging::{Annealing, Ema, StochasticWeightAveraging, SwaLrs, WeightAveraging};
#[cfg(feature = "device-stats")]
pub use device_stats_monitor::DeviceStatsMonitor;
pub use early_stopping::{EarlyStopping, StoppingReason};
pub use finetuning::{BackboneFinetuning, Finetuning};
pub use generate::Generate;
pub use gradient_accumulation_scheduler::GradientAccumulationScheduler;
pub use gradient_norm_monitor::{GradientNorm, GradientNormMonitor};
pub use histogram_monitor::HistogramMonitor;
pub use image_grid_monitor::ImageGridMonitor;
pub use lambda::LambdaCallback;
pub use learning_rate_monitor::LearningRateMonitor;
pub use memory_monitor::MemoryMonitor;
pub use model_checkpoint::{ModelCheckpoint, SaveLast, SaveTopK};
pub use model_summary::{
    ModelSummary, Summary, SummaryRow,
    forward_trace::{CountFlops, ForwardTrace, LayerCall},
    summarize,
};
pub use on_exception_checkpoint::OnExceptionCheckpoint;
pub use optimizer_monitor::{OptimizerMonitor, UpdatesOf};
pub use prediction_writer::{PredictionWriter, WriteInterval};
pub use progress_bar::{Printer, ProgressBar};
pub use pruning::{ModelPruning, PruningAmount, PruningNorm};
pub use spike_detection::{SpikeAction, SpikeDetection};
pub use throughput_monitor::ThroughputMonitor;
pub use timer::{Interval, Timer};
