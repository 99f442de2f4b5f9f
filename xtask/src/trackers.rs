//! Each tracker's own software reads what our logger wrote or sent.

pub(crate) mod comet;
pub(crate) mod mlflow;
pub(crate) mod neptune;
pub(crate) mod tensorboard;
pub(crate) mod trackio;
pub(crate) mod wandb;
