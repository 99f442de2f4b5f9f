//! The built-in callbacks.

mod averaging;
#[cfg(feature = "device-stats")]
mod device_stats_monitor;
mod early_stopping;
mod files;
mod finetuning;
mod gradient_accumulation_scheduler;
mod gradient_norm_monitor;
mod histogram_monitor;
mod image_grid_monitor;
mod lambda;
mod learning_rate_monitor;
mod model_checkpoint;
mod model_summary;
mod on_exception_checkpoint;
mod period;
mod progress_bar;
mod rehearsal;
#[cfg(test)]
mod testing;
mod throughput_monitor;
mod timer;
mod to_loggers;

pub use averaging::{Annealing, Ema, StochasticWeightAveraging, SwaLrs, WeightAveraging};
#[cfg(feature = "device-stats")]
pub use device_stats_monitor::DeviceStatsMonitor;
pub use early_stopping::{EarlyStopping, StoppingReason};
pub use finetuning::{BackboneFinetuning, Finetuning};
pub use gradient_accumulation_scheduler::GradientAccumulationScheduler;
pub use gradient_norm_monitor::{GradientNorm, GradientNormMonitor};
pub use histogram_monitor::HistogramMonitor;
pub use image_grid_monitor::ImageGridMonitor;
pub use lambda::LambdaCallback;
pub use learning_rate_monitor::LearningRateMonitor;
pub use model_checkpoint::{ModelCheckpoint, SaveLast, SaveTopK};
pub use model_summary::{ModelSummary, Summary, SummaryRow, summarize};
pub use on_exception_checkpoint::OnExceptionCheckpoint;
pub use progress_bar::{Printer, ProgressBar};
pub use throughput_monitor::ThroughputMonitor;
pub use timer::{Interval, Timer};
