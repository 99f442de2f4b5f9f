//! The settings of a run, from arguments and the environment.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock;
use crate::network::address::{check_server, without_login};
use crate::network::outbox::{self, Sending};
use crate::parts::identity;
use crate::parts::random::random_id;
use crate::{DEFAULT_NAME, Error, Patience, Result, Secret};

pub(super) const API_KEY: &str = "WANDB_API_KEY";
const SERVICE: &str = "https://api.wandb.ai";
/// W&B has no shorter keys. A part of a key is the most common mistake.
const KEY_LENGTH: usize = 40;
/// W&B's own client sends every 15 seconds. The service limits the request rate of a run.
const LINGER: Duration = Duration::from_secs(10);
/// A run counts as crashed after some minutes without a heartbeat. W&B's own client has the same interval.
const HEARTBEAT: Duration = Duration::from_secs(30);
const KEY_HINT: &str = "take the key from https://wandb.ai/authorize and set `WANDB_API_KEY`, call `WandbLogger::api_key`, or put it into `~/.netrc`; or log without an account: `WandbLogger::offline` or `WANDB_MODE=offline`, and `wandb sync` later";

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Mode {
    #[default]
    Online,
    Offline,
    Disabled,
}

/// The fields that are not skipped are stored next to the records of an online run: see `outbox::Route`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Settings {
    #[serde(skip)]
    pub(super) mode: Mode,
    #[serde(skip)]
    pub(super) api_key: Option<Secret>,
    pub(super) base_url: String,
    pub(super) project: String,
    pub(super) entity: Option<String>,
    pub(super) group: Option<String>,
    pub(super) job_type: Option<String>,
    pub(super) run_name: Option<String>,
    pub(super) notes: Option<String>,
    pub(super) tags: Vec<String>,
    /// The sweep of an agent that has started this program.
    #[serde(default)]
    pub(super) sweep: Option<String>,
    pub(super) id: String,
    pub(super) host: String,
    pub(super) program: String,
    /// Whether the id was given, so that the run may exist already.
    #[serde(skip)]
    pub(super) id_is_given: bool,
    /// Number of earlier runs of this logger. A given id belongs to the first one.
    #[serde(skip)]
    pub(super) runs: u32,
    #[serde(skip)]
    pub(super) save_dir: PathBuf,
    #[serde(skip)]
    pub(super) prefix: String,
    #[serde(skip)]
    pub(super) strict: bool,
    /// See [`Sending`].
    #[serde(skip)]
    pub(super) linger: Duration,
    #[serde(skip)]
    pub(super) patience: Patience,
    #[serde(skip)]
    pub(super) limit: u64,
}

impl Settings {
    /// The settings in the environment. `variable` reads one variable. An empty variable counts as not set.
    pub(super) fn from_env(variable: impl Fn(&str) -> Option<String>) -> Self {
        let get = |name: &str| variable(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let mode = match get("WANDB_MODE").as_deref() {
            Some("offline" | "dryrun") => Mode::Offline,
            Some("disabled") => Mode::Disabled,
            _ => Mode::Online,
        };
        let tags = get("WANDB_TAGS").unwrap_or_default();
        let id = get("WANDB_RUN_ID");
        Self {
            mode,
            api_key: get(API_KEY).map(Secret::new),
            base_url: get("WANDB_BASE_URL").map_or_else(|| SERVICE.to_owned(), |url| without_login(&url, "W&B")),
            project: get("WANDB_PROJECT").unwrap_or_else(|| DEFAULT_NAME.to_owned()),
            entity: get("WANDB_ENTITY"),
            group: get("WANDB_RUN_GROUP"),
            job_type: get("WANDB_JOB_TYPE"),
            run_name: get("WANDB_NAME"),
            notes: get("WANDB_NOTES"),
            tags: tags.split(',').map(|tag| tag.trim().to_owned()).filter(|tag| !tag.is_empty()).collect(),
            sweep: get("WANDB_SWEEP_ID"),
            id_is_given: id.is_some(),
            id: id.unwrap_or_else(|| random_id(8)),
            host: identity::host(),
            program: clock::program(),
            runs: 1,
            save_dir: get("WANDB_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from),
            prefix: String::new(),
            strict: false,
            linger: LINGER,
            patience: Patience::default(),
            limit: outbox::LIMIT,
        }
    }

    /// The settings of another run. A given id gets a number, as in `first-2`.
    pub(super) fn another(&self) -> Self {
        let runs = self.runs + 1;
        let given = self.id.strip_suffix(&format!("-{}", self.runs)).unwrap_or(&self.id);
        let id = if self.id_is_given { format!("{given}-{runs}") } else { random_id(8) };
        Self { id, runs, ..self.clone() }
    }

    /// # Errors
    /// As [`Logger::check`](crate::Logger::check).
    pub(super) fn check(&self) -> Result<()> {
        self.check_id()?;
        check_server("WandbLogger", "base_url", &self.base_url)?;
        if self.mode == Mode::Online { self.key().map(drop) } else { Ok(()) }
    }

    /// # Errors
    /// An error for an id that W&B refuses. Such an id could also lead to another folder.
    fn check_id(&self) -> Result<()> {
        let id = &self.id;
        let refused = |letter: char| letter.is_control() || r"/\#?%:".contains(letter);
        if (1..=128).contains(&id.len()) && !matches!(id.as_str(), "." | "..") && !id.contains(refused) {
            return Ok(());
        }
        let shown = id.escape_debug();
        let reason = format!(r"the W&B run id `{shown}` is empty, longer than 128, or contains one of `/\#?%:`, which W&B refuses");
        Err(Error::Setting { logger: "WandbLogger", option: "id", reason, hint: "choose another id, or leave it out" })
    }

    pub(super) fn sending(&self) -> Sending {
        let (linger, patience, strict, limit) = (self.linger, self.patience.clone(), self.strict, self.limit);
        let sending = Sending { max_records: 10_000, max_bytes: 4 << 20, idle_every: Some(HEARTBEAT), ..Sending::new("wandb") };
        Sending { linger, patience, strict, limit, ..sending }
    }

    /// The key for the service, from any source.
    ///
    /// # Errors
    /// [`Error::Missing`] if the key is missing or too short.
    pub(super) fn key(&self) -> Result<Secret> {
        let key = self.api_key.clone().or_else(|| from_netrc(&self.base_url));
        let what = match &key {
            Some(key) if key.expose().len() < KEY_LENGTH => "an API key of at least 40 characters (the given one is shorter)",
            Some(key) => return Ok(key.clone()),
            None => "an API key",
        };
        Err(Error::Missing { logger: "wandb".to_owned(), what, hint: KEY_HINT })
    }
}

fn from_netrc(base_url: &str) -> Option<Secret> {
    let named = std::env::var_os("NETRC").map(PathBuf::from);
    let home = || std::env::home_dir().map(|home| [home.join(".netrc"), home.join("_netrc")].into_iter().find(|path| path.exists()));
    let path = named.or_else(|| home().flatten())?;
    password(&fs_err::read_to_string(path).ok()?, host(base_url)).map(Secret::new)
}

/// The host of an address, without the port.
fn host(base_url: &str) -> &str {
    let rest = base_url.split_once("://").map_or(base_url, |(_, rest)| rest);
    let host = rest.split('/').next().unwrap_or(rest);
    host.split_once(':').map_or(host, |(host, _)| host)
}

/// The password for a machine in the text of a `.netrc` file.
fn password(netrc: &str, machine: &str) -> Option<String> {
    let mut words = netrc.split_whitespace();
    let mut ours = false;
    while let Some(word) = words.next() {
        match word {
            "machine" => ours = words.next()? == machine,
            "default" => ours = true,
            "password" if ours => return words.next().map(str::to_owned),
            "login" | "account" | "password" => drop(words.next()),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_that_of_the_python_client() {
        let variables =
            [("WANDB_MODE", "dryrun"), ("WANDB_PROJECT", "p"), ("WANDB_TAGS", "a, b,"), ("WANDB_ENTITY", " "), ("WANDB_RUN_ID", "r")];
        let get = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let settings = Settings::from_env(get);
        assert_eq!((settings.mode, settings.project.as_str(), settings.entity.as_deref()), (Mode::Offline, "p", None));
        let sweep = Settings::from_env(|name| (name == "WANDB_SWEEP_ID").then(|| "s".to_owned())).sweep;
        assert_eq!((settings.sweep, sweep.as_deref()), (None, Some("s")));
        assert_eq!((settings.tags.as_slice(), settings.id.as_str()), (["a".to_owned(), "b".to_owned()].as_slice(), "r"));
        let settings = Settings::from_env(|_| None);
        assert_eq!((settings.mode, settings.project.as_str(), settings.id.len()), (Mode::Online, "lightning_logs", 8));
    }

    #[test]
    fn a_missing_or_short_key_says_where_to_get_one_and_does_not_show_it() {
        let mut settings = Settings::from_env(|_| None);
        settings.base_url = "http://nowhere.invalid:1".to_owned();
        let error = settings.key().unwrap_err();
        assert_eq!(error.to_string(), "logger `wandb` needs an API key");
        insta::assert_snapshot!(error.hint().unwrap(), @"take the key from https://wandb.ai/authorize and set `WANDB_API_KEY`, call `WandbLogger::api_key`, or put it into `~/.netrc`; or log without an account: `WandbLogger::offline` or `WANDB_MODE=offline`, and `wandb sync` later");
        settings.api_key = Some("short-secret".into());
        let error = settings.key().unwrap_err();
        assert!(!format!("{error}{error:?}").contains("short-secret"), "{error}");
        insta::assert_snapshot!(error, @"logger `wandb` needs an API key of at least 40 characters (the given one is shorter)");
        settings.api_key = Some("k".repeat(40).into());
        assert_eq!(settings.key().unwrap().expose().len(), 40);
    }

    #[test]
    fn a_netrc_file_has_a_password_for_each_machine() {
        let netrc = "machine other\n login user\n password no\nmachine api.wandb.ai login user password yes\n";
        assert_eq!(password(netrc, host("https://api.wandb.ai/")).as_deref(), Some("yes"));
        assert_eq!(password(netrc, host("http://other:80/x")).as_deref(), Some("no"));
        assert_eq!(password(netrc, "third"), None);
    }
}
