//! The choice of a Trainer's loggers.

use stormfire_loggers::Logger;

/// The choice of a Trainer's loggers.
#[derive(Default)]
pub(crate) enum LoggerChoice {
    /// TensorBoard and CSV, in one folder.
    #[default]
    Default,
    Given(Vec<Box<dyn Logger>>),
}
