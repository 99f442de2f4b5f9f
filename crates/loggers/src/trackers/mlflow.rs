//! The MLflow logger: runs on a tracking server, or in the folder of MLflow's file store.

mod artifacts;
mod carrier;
mod entry;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod fault_tests;
mod file_store;
mod keys;
mod logging;
mod media;
mod models;
mod options;
#[cfg(test)]
mod resume_tests;
mod server_run;
mod sink;
mod system;
#[cfg(test)]
mod tests;
mod tracking_uri;

use std::collections::HashMap;
use std::sync::PoisonError;

use carrier::Learnt;
use entry::Entry;
use keys::Fitter;
use serde_json::Value;
pub(crate) use server_run::Note;
use sink::{Settings, Sink};

use crate::parts::model_log::ModelLog;
use crate::parts::random::random_hex;
use crate::{LogModel, Result};

/// Logs to [MLflow](https://mlflow.org): to a tracking server, or to a folder that MLflow reads.
///
/// * **Destination.** [`tracking_uri`](Self::tracking_uri), else `MLFLOW_TRACKING_URI`, else the folder `mlruns` below
///   [`save_dir`](Self::save_dir). `http://` and `https://` are a server. `file:` and a plain path are the file store,
///   which is written without a server. (`mlflow migrate-filestore` moves it into a database. MLflow 3 reads it in
///   place with `MLFLOW_ALLOW_FILE_STORE=true`.) A database (`sqlite:`) is only for MLflow itself: start `mlflow
///   server` for it.
/// * **Authentication.** [`basic_auth`](Self::basic_auth) or [`bearer_token`](Self::bearer_token), else the login in
///   the address (`https://user:password@host`), else `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, else
///   `MLFLOW_TRACKING_TOKEN`. Secrets are never written to the disk.
/// * **A slow server does not slow down the run.** Records are written into a folder below `.stormfire/mlflow` and sent
///   from there to the server, in order, with retries. [`finalize`](crate::Logger::finalize) waits until everything is
///   delivered, or until nothing was delivered for 30 s ([`patience`](Self::patience)). Remaining records stay in the
///   folder for `stormfire sync` ([`SpooledRun`](crate::SpooledRun)). Rejected credentials and a deleted experiment are
///   retried in the same way.
/// * **The run** is created with the first value. It ends as `FINISHED`, `FAILED` or `KILLED`. A later metric,
///   hyperparameter or medium sets it to `RUNNING` again.
/// * **Metrics** without a step have step 0. Names contain letters, digits and `_-./ :`, at most 250 bytes. Any other
///   character becomes `_`, and a changed name ends with a hash, so that different names stay different. NaN is kept. A
///   server displays infinities as ±1.8e308.
/// * **Hyperparameters** are strings of at most 6000 characters. Nested names are joined with `/`. MLflow never changes
///   a hyperparameter: another value is refused with a warning, and the rest of the call succeeds.
/// * **Media** are artifacts. Images are where MLflow's page expects them (`images/`, as `mlflow.log_image`), tables as
///   `mlflow.log_table` writes them (`tables/`). The others are in `texts/`, `figures/`, `audio/` and `histograms/`,
///   one file per tag and step, and `graph.txt`.
/// * **Checkpoints** ([`log_model`](Self::log_model)) and artifacts of the kind `model` are models of the run, each in
///   a folder with an `MLmodel` file. MLflow lists them and can register them
///   (`mlflow.register_model("runs:/RUN/FOLDER", ..)`).
/// * **A resumed run** is the same run. Records that were delivered before the kill are not sent again. Files are
///   truncated to the checkpoint.
///
/// ```
/// use stormfire_loggers::{Logger, MlflowLogger, Status};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let mut logger = MlflowLogger::new().tracking_uri(format!("file:{}/mlruns", folder.display())).experiment("mnist").run_name("first");
/// logger.log_metrics(&[("loss", 0.5)].into(), Some(49))?;
/// logger.finalize(Status::Success)?;
/// let run = folder.join("mlruns").join(logger.experiment_id().unwrap_or_default()).join(logger.run_id().unwrap_or_default());
/// assert!(std::fs::read_to_string(run.join("metrics/loss"))?.ends_with(" 0.5 49\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct MlflowLogger {
    settings: Settings,
    prefix: String,
    id: String,
    /// The run that will be resumed.
    resumed: Option<String>,
    sink: Option<Sink>,
    learnt: Learnt,
    fitter: Fitter,
    models: ModelLog,
    /// Whether the run counts as ended until the next value.
    ended: bool,
    tagged_images: bool,
    tables: Vec<String>,
    /// The models of the run, as listed in its tag.
    listed_models: Vec<Value>,
    /// The time of the last image, in milliseconds since 1970.
    time: u64,
    /// Names and steps that the server has and that will be logged again, with their number.
    delivered: HashMap<(String, u64), u32>,
}

impl Default for MlflowLogger {
    fn default() -> Self {
        Self::new()
    }
}

impl MlflowLogger {
    /// A new run of the experiment `lightning_logs`. Creates and contacts nothing yet.
    pub fn new() -> Self {
        Self {
            settings: Settings::default(),
            prefix: String::new(),
            id: random_hex(32),
            resumed: None,
            sink: None,
            learnt: Learnt::default(),
            fitter: Fitter::default(),
            models: ModelLog::new(LogModel::None),
            ended: false,
            tagged_images: false,
            tables: Vec::new(),
            listed_models: Vec::new(),
            time: 0,
            delivered: HashMap::new(),
        }
    }

    /// The id of the run. In a file store it is known at once, otherwise after the server was reached.
    pub fn run_id(&self) -> Option<String> {
        match &self.sink {
            Some(Sink::Files(store)) => Some(store.run_id()),
            _ => self.known().map(|known| known.run_id).or_else(|| self.settings.existing.clone()),
        }
    }

    /// The id of the experiment, if it is known. See [`run_id`](Self::run_id).
    pub fn experiment_id(&self) -> Option<String> {
        match &self.sink {
            Some(Sink::Files(store)) => Some(store.experiment_id()),
            _ => self.known().map(|known| known.experiment_id),
        }
    }

    /// Sets a tag of the run. At most 8000 characters are kept.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) on a full disk.
    pub fn set_tag(&mut self, key: &str, value: &str) -> Result<()> {
        let key = self.fitter.key(&self.settings.experiment, key);
        let value = self.fitter.tag(&self.settings.experiment, &key, value);
        self.sink()?.push(&Entry::Tag { key, value })
    }

    fn known(&self) -> Option<server_run::Known> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn sink(&mut self) -> Result<&mut Sink> {
        let sink = if let Some(sink) = self.sink.take() {
            sink
        } else {
            self.settings.fix_place()?;
            Sink::open(&self.settings, &self.id, &self.learnt, &mut self.fitter)?
        };
        Ok(self.sink.insert(sink))
    }
}

impl std::fmt::Debug for MlflowLogger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MlflowLogger").field("settings", &self.settings).field("id", &self.id).finish_non_exhaustive()
    }
}
