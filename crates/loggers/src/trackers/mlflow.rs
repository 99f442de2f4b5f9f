//! MLflow: runs on a tracking server, or in the folder that MLflow's file store reads.

mod address;
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
mod upload;

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

/// Logs to [MLflow](https://mlflow.org): a tracking server, or a folder that MLflow reads.
///
/// * **Where.** [`tracking_uri`](Self::tracking_uri), else `MLFLOW_TRACKING_URI`, else the folder `mlruns` below
///   [`save_dir`](Self::save_dir). `http://` and `https://` are a server; `file:` and a plain path are the file store, written
///   without any server (`mlflow migrate-filestore` moves it into a database; MLflow 3 reads it in place with
///   `MLFLOW_ALLOW_FILE_STORE=true`). A database (`sqlite:`) is MLflow's own: start `mlflow server` before it.
/// * **Who.** [`basic_auth`](Self::basic_auth) or [`bearer_token`](Self::bearer_token), else what the address says
///   (`https://user:password@host`), else `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`, else
///   `MLFLOW_TRACKING_TOKEN`. Secrets are never written down.
/// * **Nothing waits for the server.** What is logged goes into a folder below `.stormfire/mlflow` and from there to the
///   server, in order, as often as it takes. [`finalize`](crate::Logger::finalize) waits, as long as something arrives every 30 s
///   ([`patience`](Self::patience)). What is left stays in the folder for `stormfire sync` ([`SpooledRun`](crate::SpooledRun)).
///   A login that is refused, or an experiment that is deleted, is waited out in the same way.
/// * **The run** is made when the first value is sent. It ends as `FINISHED`, `FAILED` or `KILLED`; a metric, hyperparameter
///   or medium that follows makes it `RUNNING` again.
/// * **Metrics** without a step have step 0. Names keep letters, digits and `_-./ :`, at most 250 characters; others are left
///   out. NaN is kept; a server shows infinities as ±1.8e308.
/// * **Hyperparameters** are texts, nested names joined with `/`, cut at 6000 characters. MLflow never changes one: another
///   value is refused with a warning, and the rest of the call goes on.
/// * **Media** are artifacts: images where MLflow's page looks for them (`images/`, as `mlflow.log_image`), tables as
///   `mlflow.log_table` writes them (`tables/`), the others as `texts/`, `figures/`, `audio/` and `histograms/`, a file for
///   each tag and step, and `graph.txt`.
/// * **Checkpoints** ([`log_model`](Self::log_model)) and artifacts of the kind `model` are models of the run: in a folder each,
///   with an `MLmodel` file, so that MLflow lists them and can register them (`mlflow.register_model("runs:/RUN/FOLDER", ..)`).
/// * **A continued run** is the same run. What was delivered before the kill is not sent twice; files are cut back.
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
    /// The run that is going to be resumed.
    resumed: Option<String>,
    sink: Option<Sink>,
    learnt: Learnt,
    fitter: Fitter,
    models: ModelLog,
    /// The run counts as ended until something is logged.
    ended: bool,
    tagged_images: bool,
    tables: Vec<String>,
    /// The models of the run, as its tag lists them.
    listed_models: Vec<Value>,
    /// The moment of the last image, in milliseconds since 1970.
    time: u64,
    /// Names and steps that a server has, and that will be logged again.
    delivered: HashMap<(String, u64), u32>,
}

impl Default for MlflowLogger {
    fn default() -> Self {
        Self::new()
    }
}

impl MlflowLogger {
    /// A new run of the experiment `lightning_logs`. Nothing is made or contacted yet.
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

    /// The run's id, once it is known: at once in a file store, else when the server was reached.
    pub fn run_id(&self) -> Option<String> {
        match &self.sink {
            Some(Sink::Files(store)) => Some(store.run_id()),
            _ => self.known().map(|known| known.run_id).or_else(|| self.settings.existing.clone()),
        }
    }

    /// The experiment's id, once it is known; see [`run_id`](Self::run_id).
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
