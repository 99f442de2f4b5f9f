//! Which loggers a Trainer has.

use stormfire_loggers::Logger;

/// Which loggers a Trainer has.
#[derive(Default)]
pub(crate) enum LoggerChoice {
    /// TensorBoard and CSV, in one folder.
    #[default]
    Default,
    Given(Vec<Box<dyn Logger>>),
}
