//! The loggers of experiment trackers, whose cargo features are on. Keys and passwords come from the variables of each
//! tracker, such as `WANDB_API_KEY`, and have no options.

#[cfg(any(feature = "comet", feature = "mlflow", feature = "neptune", feature = "trackio", feature = "wandb"))]
use std::path::PathBuf;

#[cfg(any(feature = "comet", feature = "mlflow", feature = "neptune", feature = "trackio", feature = "wandb"))]
use schemars::JsonSchema;
#[cfg(any(feature = "comet", feature = "mlflow", feature = "neptune", feature = "trackio", feature = "wandb"))]
use serde::Deserialize;
use stormfire_module::LightningModule;
#[cfg(any(feature = "comet", feature = "mlflow", feature = "trackio", feature = "wandb"))]
use stormfire_values::TimeLimit;

use super::Registry;
#[cfg(any(feature = "comet", feature = "mlflow", feature = "trackio", feature = "wandb"))]
use super::text::Text;

/// Which checkpoints are stored with the run.
#[cfg(any(feature = "comet", feature = "mlflow", feature = "neptune", feature = "wandb"))]
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum LogModel {
    /// None.
    None,
    /// The best and the newest, at the end.
    AtEnd,
    /// Every checkpoint.
    All,
}

#[cfg(any(feature = "comet", feature = "mlflow", feature = "neptune", feature = "wandb"))]
impl From<LogModel> for stormfire_loggers::LogModel {
    fn from(which: LogModel) -> Self {
        match which {
            LogModel::None => Self::None,
            LogModel::AtEnd => Self::AtEnd,
            LogModel::All => Self::All,
        }
    }
}

#[cfg(any(feature = "comet", feature = "mlflow", feature = "trackio", feature = "wandb"))]
/// The address of a server. A login or a token in it is a secret.
#[derive(Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline, extend("x-address" = true))]
struct Address(String);

/// One tracker: its feature, logger and name, how a logger is made for a folder, the variable that names that folder,
/// and its setters. The value of a setter is what a file has, unless a function sets it.
macro_rules! trackers {
    ($($(#[doc = $doc:literal])* $feature:literal $logger:ident $name:ident ($new:expr) $(unless $variable:literal)? {
        $($(#[doc = $set_doc:literal])* $set:ident: $ty:ty $(=> $with:expr)?,)*
    })*) => {
        $(
            #[cfg(feature = $feature)]
            mod $name {
                use super::*;

                pub(super) use stormfire_loggers::$logger;

                $(#[doc = $doc])*
                #[derive(Deserialize, JsonSchema)]
                #[serde(deny_unknown_fields)]
                pub(super) struct Options {
                    /// The folder of the files. Default: `trainer.default_root_dir`.
                    #[serde(default)]
                    pub(super) save_dir: Option<PathBuf>,
                    $($(#[doc = $set_doc])* #[serde(default)] pub(super) $set: Option<$ty>,)*
                }
            }
        )*

        pub(super) fn register<M: LightningModule>(registry: &mut Registry<M>) {
            let _ = &registry;
            $(
                #[cfg(feature = $feature)]
                registry.logger(stringify!($name), |options: $name::Options, trainer| {
                    use $name::$logger;
                    let variable: Option<&str> = None$(.or(Some($variable)))?;
                    let folder = options.save_dir.or_else(|| default_folder(&trainer.config().default_root_dir, variable));
                    let new: fn(Option<PathBuf>) -> $logger = $new;
                    let logger = new(folder);
                    $(let logger = match options.$set {
                        Some(value) => set!(logger $set value $(, $with)?),
                        None => logger,
                    };)*
                    Ok(logger)
                });
            )*
        }
    };
}

/// The folder of the run, if it was chosen, is on a disk, and no variable names another one.
#[cfg(any(feature = "comet", feature = "mlflow", feature = "neptune", feature = "trackio", feature = "wandb"))]
fn default_folder(root: &std::path::Path, variable: Option<&str>) -> Option<PathBuf> {
    let is_set = variable.is_some_and(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if is_set || root.as_os_str() == "." { None } else { stormfire_checkpoint::storage::on_disk(root).map(std::path::Path::to_owned) }
}

trackers! {
    /// Logs to Weights & Biases. The variables of its client apply, also those of a sweep's agent.
    "wandb" WandbLogger wandb (|folder| folder.into_iter().fold(WandbLogger::new(), WandbLogger::save_dir)) unless "WANDB_DIR" {
        /// Whether to write files for `wandb sync` in place of sending.
        offline: bool,
        /// The address of the server.
        base_url: Address => |logger: WandbLogger, address: Address| logger.base_url(address.0),
        /// The project.
        project: String,
        /// The user or team.
        entity: String,
        /// The group of the run.
        group: String,
        /// The kind of the run, such as `train`.
        job_type: String,
        /// The name of the run.
        run_name: String,
        /// Notes on the run.
        notes: String,
        /// The tags of the run.
        tags: Vec<String> => |logger, tags: Vec<String>| tags.into_iter().fold(logger, WandbLogger::tag),
        /// The id of the run.
        id: String,
        /// The prefix of every name.
        prefix: String,
        /// Which checkpoints are stored with the run.
        log_model: LogModel => |logger: WandbLogger, which: LogModel| logger.log_model(which.into()),
        /// Whether a refused record is an error.
        strict: bool,
        /// The most bytes that wait for the server.
        spool_limit: u64,
        /// The time that the end of a run waits for the server: seconds, or a string such as `10 s`. 0 does not wait.
        patience: Text<TimeLimit>,
    }
    /// Logs to an MLflow server, or into a folder.
    "mlflow" MlflowLogger mlflow (|folder| folder.into_iter().fold(MlflowLogger::new(), MlflowLogger::save_dir)) {
        /// The address of the server, or a folder.
        tracking_uri: Address => |logger: MlflowLogger, address: Address| logger.tracking_uri(address.0),
        /// The experiment.
        experiment: String,
        /// Where the server stores the files of a new experiment.
        artifact_location: Address => |logger: MlflowLogger, address: Address| logger.artifact_location(address.0),
        /// The name of the run.
        run_name: String,
        /// The id of a run that continues.
        existing_run: String,
        /// The id of the run above this one.
        parent_run: String,
        /// The tags of the run.
        tags: std::collections::BTreeMap<String, String> => |logger, tags: std::collections::BTreeMap<String, String>| {
            tags.into_iter().fold(logger, |logger: MlflowLogger, (key, value)| logger.tag(key, value))
        },
        /// Which checkpoints are stored with the run.
        log_model: LogModel => |logger: MlflowLogger, which: LogModel| logger.log_model(which.into()),
        /// The prefix of every name.
        prefix: String,
        /// Whether a certificate that cannot be verified is accepted.
        insecure_tls: bool,
        /// The file of the server's certificate.
        server_certificate: PathBuf,
        /// Whether a refused record is an error.
        strict: bool,
        /// The most bytes that wait for the server.
        spool_limit: u64,
        /// The time that the end of a run waits for the server: seconds, or a string such as `10 s`. 0 does not wait.
        patience: Text<TimeLimit>,
    }
    /// Logs to Comet.
    "comet" CometLogger comet (|folder| folder.into_iter().fold(CometLogger::new(), CometLogger::save_dir)) unless "COMET_OFFLINE_DIRECTORY" {
        /// Whether to write an archive for `comet upload` in place of sending.
        offline: bool,
        /// The address of the server.
        server: Address => |logger: CometLogger, address: Address| logger.server(address.0),
        /// The workspace.
        workspace: String,
        /// The project.
        project: String,
        /// The key of the experiment.
        experiment_key: String,
        /// The name of the experiment.
        experiment_name: String,
        /// The tags of the experiment.
        tags: Vec<String> => |logger, tags: Vec<String>| tags.into_iter().fold(logger, CometLogger::tag),
        /// The prefix of every name.
        prefix: String,
        /// Which checkpoints are stored with the run.
        log_model: LogModel => |logger: CometLogger, which: LogModel| logger.log_model(which.into()),
        /// Whether a refused record is an error.
        strict: bool,
        /// The most bytes that wait for the server.
        spool_limit: u64,
        /// The time that the end of a run waits for the server: seconds, or a string such as `10 s`. 0 does not wait.
        patience: Text<TimeLimit>,
    }
    /// Writes files of Neptune, whose service has ended.
    "neptune" NeptuneLogger neptune (|folder| NeptuneLogger::new(folder.unwrap_or_else(|| ".".into()))) {
        /// The name of the run.
        run_name: String,
        /// The tags of the run.
        tags: Vec<String> => |logger, tags: Vec<String>| tags.into_iter().fold(logger, NeptuneLogger::tag),
        /// The prefix of every name.
        prefix: String,
        /// Which checkpoints are stored with the run.
        log_model: LogModel => |logger: NeptuneLogger, which: LogModel| logger.log_model(which.into()),
    }
    /// Logs to trackio.
    "trackio" TrackioLogger trackio (|folder| folder.into_iter().fold(TrackioLogger::new(), TrackioLogger::save_dir)) {
        /// The project.
        project: String,
        /// The name of the run.
        run: String,
        /// The group of the run.
        group: String,
        /// The address of the server.
        server_url: Address => |logger: TrackioLogger, address: Address| logger.server_url(address.0),
        /// A Space of Hugging Face, such as `user/space`.
        space: String,
        /// The prefix of every name.
        prefix: String,
        /// Whether a refused record is an error.
        strict: bool,
        /// The most bytes that wait for the server.
        spool_limit: u64,
        /// The time that the end of a run waits for the server: seconds, or a string such as `10 s`. 0 does not wait.
        patience: Text<TimeLimit>,
    }
}
