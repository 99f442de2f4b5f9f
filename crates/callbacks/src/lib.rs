//! The built-in callbacks.

mod early_stopping;
mod files;
mod gradient_accumulation_scheduler;
mod lambda;
mod learning_rate_monitor;
mod model_checkpoint;
mod model_summary;
mod on_exception_checkpoint;
mod progress_bar;
mod rehearsal;
#[cfg(test)]
mod testing;
mod timer;

pub use early_stopping::{EarlyStopping, StoppingReason};
pub use gradient_accumulation_scheduler::GradientAccumulationScheduler;
pub use lambda::LambdaCallback;
pub use learning_rate_monitor::LearningRateMonitor;
pub use model_checkpoint::{ModelCheckpoint, SaveLast, SaveTopK};
pub use model_summary::{ModelSummary, Summary, SummaryRow, summarize};
pub use on_exception_checkpoint::OnExceptionCheckpoint;
pub use progress_bar::{Printer, ProgressBar};
pub use timer::{Interval, TimeLimit, Timer};
