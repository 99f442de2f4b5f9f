//! Building blocks of loggers. Each logger uses some of them.

pub(crate) mod identity;
#[cfg(feature = "tracker")]
pub(crate) mod model_log;
pub(crate) mod notice;
pub(crate) mod position;
pub(crate) mod prefix;
#[cfg(feature = "tracker")]
pub(crate) mod random;
pub(crate) mod reductions;
pub(crate) mod rows;

#[cfg(feature = "tracker")]
pub use model_log::LogModel;
