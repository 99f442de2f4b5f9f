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

/// The trackers that spool undelivered records. Each keeps its spools in a folder of its name.
#[cfg(feature = "network")]
const SPOOLING: [&str; 4] = ["comet", "mlflow", "trackio", "wandb"];

/// Functions that read and send the spools of a tracker. `None` if this build does not contain the tracker.
#[cfg(feature = "network")]
fn spools(tracker: &str) -> Option<sync::Spools> {
    match tracker {
        #[cfg(feature = "comet")]
        "comet" => Some(sync::Spools::of::<comet::Destination>()),
        #[cfg(feature = "mlflow")]
        "mlflow" => Some(sync::Spools::of::<mlflow::Note>()),
        #[cfg(feature = "trackio")]
        "trackio" => Some(sync::Spools::of::<trackio::Destination>()),
        #[cfg(feature = "wandb")]
        "wandb" => Some(sync::Spools::of::<wandb::Settings>()),
        _ => None,
    }
}
