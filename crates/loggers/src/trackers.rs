//! The loggers of experiment trackers, one folder per tracker. Only this file lists them.

#[cfg(feature = "comet")]
mod comet;
#[cfg(feature = "mlflow")]
mod mlflow;
#[cfg(feature = "neptune")]
mod neptune;
#[cfg(feature = "network")]
mod sync;
#[cfg(test)]
#[cfg(any(feature = "comet", feature = "mlflow", feature = "trackio", feature = "wandb"))]
mod tracker_tests;
#[cfg(feature = "trackio")]
mod trackio;
#[cfg(feature = "wandb")]
mod wandb;

#[cfg(feature = "comet")]
pub use comet::CometLogger;
#[cfg(feature = "mlflow")]
pub use mlflow::MlflowLogger;
#[cfg(feature = "neptune")]
pub use neptune::{NeptuneLogger, NeptuneRun, Point, Replayed, StoredFile};
#[cfg(feature = "network")]
pub use sync::SpooledRun;
#[cfg(feature = "trackio")]
pub use trackio::TrackioLogger;
#[cfg(feature = "wandb")]
pub use wandb::WandbLogger;

/// A table of trackers. The name of a tracker is also that of its cargo feature.
#[cfg(feature = "network")]
macro_rules! spooling {
    ($($tracker:literal $route:ty,)+) => {
        [$(
            #[cfg(feature = $tracker)]
            ($tracker, Some(sync::Spools::of::<$route>())),
            #[cfg(not(feature = $tracker))]
            ($tracker, None),
        )+]
    };
}

/// The trackers that spool undelivered records, with the functions that read and send their spools. Each keeps its
/// spools in a folder of its name. The functions are `None` if this build does not contain the tracker.
#[cfg(feature = "network")]
const SPOOLING: [(&str, Option<sync::Spools>); 4] = spooling![
    "comet" comet::Destination,
    "mlflow" mlflow::Note,
    "trackio" trackio::Destination,
    "wandb" wandb::Settings,
];
