//! The logger for trackio, the tracker of Hugging Face.

mod carrier;
mod entry;
mod setup;
#[cfg(test)]
pub(crate) mod tests;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use carrier::Destination;
use carrier::Sender;
use entry::{Entry, Kept};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stormfire_store::folder::absolute;

use crate::logger::LONGEST_CALL;
use crate::network::address::{Address, check_server};
use crate::network::http::Auth;
use crate::network::outbox::{self, Outbox, Route, Sending};
use crate::parts::position;
use crate::parts::random::{random_hex, random_id};
use crate::parts::rows::{Row, Rows, SavedOpen};
use crate::{
    Audio, DEFAULT_NAME, Delivery, Error, Figure, FigureFormat, Histogram, Hyperparams, Image, Logger, Metrics, Patience, Result, Secret,
    Status, Table, Text,
};

/// Sends a run to a [trackio](https://github.com/gradio-app/trackio) server, your own or a Hugging Face Space: metrics,
/// configuration, images, histograms, tables, texts, sounds and figures.
///
/// * **Destination.** [`server_url`](Self::server_url) or [`space`](Self::space), else the environment variables
///   `TRACKIO_SPACE_ID` and `TRACKIO_SERVER_URL`. `trackio show` starts a server and prints its address.
/// * **One row per step.** Consecutive calls with the same step are merged ([`aggregate`](Self::aggregate)). The row is
///   sent with the first metric of another step, and at the end. Every other value has a separate row. A missing step
///   is the value of a metric named `step`, or else one more than the largest step so far.
/// * **Names.** trackio reserves some names. Like its own client, this logger puts `__` before `project`, `run`,
///   `timestamp`, `time`, `metrics` and names that start with `__`. NaN and infinities are kept.
/// * **The server may be unreachable.** Records stay in `.stormfire/trackio` until the server has accepted them. Only
///   the end of the run waits, for at most [`patience`](Self::patience) (30 s by default) without progress. trackio
///   sets the time of a row to the time of its arrival.
/// * **A resumed run** continues the same run, even in another process. Rows that the server has are not duplicated.
///
/// ```no_run
/// use stormfire_loggers::{Logger, Status, TrackioLogger};
/// // `TRACKIO_WRITE_TOKEN` contains the token.
/// let mut logger = TrackioLogger::new().server_url("http://127.0.0.1:7860").project("mnist").run("first");
/// logger.log_metrics(&[("loss", 0.5)].into(), Some(0))?;
/// logger.finalize(Status::Success)?;
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
#[derive(Debug)]
pub struct TrackioLogger {
    /// The address of a server, or the name of a Space.
    server: Option<Server>,
    token: Option<Secret>,
    group: Option<String>,
    prefix: String,
    save_dir: PathBuf,
    strict: bool,
    patience: Patience,
    limit: u64,
    /// Whether the user chose the name of the run.
    is_named: bool,
    /// Number of runs with these settings, including this one.
    runs: u32,
    run: Run,
    rows: Rows,
    outbox: Option<Outbox<Entry>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Server {
    Url {
        base: String,
        #[serde(skip)]
        token: Option<Secret>,
        #[serde(skip)]
        login: Option<(Secret, Secret)>,
    },
    Space(String),
}

/// The state that a resumed run needs.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    project: String,
    name: String,
    id: String,
    /// A part of all entry ids. Two processes that log to one run must not use the same ids.
    session: String,
    /// Number of entries.
    entries: u64,
    next_step: u64,
    params: Hyperparams,
    /// Whether the parameters are not sent yet.
    params_wait: bool,
    /// The id of the last entry.
    last: Option<String>,
}

/// See [`Logger::position`].
#[derive(Serialize, Deserialize)]
struct Position {
    run: Run,
    open: Option<SavedOpen>,
    outbox: u64,
}

impl Default for TrackioLogger {
    fn default() -> Self {
        Self::new()
    }
}

impl TrackioLogger {
    /// Logs to a new run of the project `lightning_logs`. Writes and sends nothing yet.
    pub fn new() -> Self {
        let run = Run {
            project: DEFAULT_NAME.to_owned(),
            name: format!("run-{}", random_id(6)),
            id: random_hex(32),
            session: random_hex(16),
            entries: 0,
            next_step: 0,
            params: Hyperparams::new(),
            params_wait: false,
            last: None,
        };
        Self {
            server: None,
            token: None,
            group: None,
            prefix: String::new(),
            save_dir: PathBuf::new(),
            strict: false,
            patience: Patience::default(),
            limit: outbox::LIMIT,
            is_named: false,
            runs: 1,
            run,
            rows: Rows::default(),
            outbox: None,
        }
    }

    fn destination(&self) -> Result<Destination> {
        let server = self.server.clone().or_else(Server::from_env).ok_or_else(|| Error::Missing {
            logger: "trackio".to_owned(),
            what: "the address of a server",
            hint: "give a `server_url` or set `TRACKIO_SERVER_URL`; `trackio show` starts a server",
        })?;
        if let Server::Url { base, .. } = &server {
            check_server("TrackioLogger", "server_url", base)?;
        }
        let Run { project, name, id, .. } = self.run.clone();
        let [token, login] = server.auth(self.token.clone()).map(|auth| !matches!(auth, Auth::None));
        Ok(Destination { server, project, run: name, run_id: id, has_token: token, has_login: login })
    }

    fn outbox(&mut self) -> Result<&mut Outbox<Entry>> {
        let outbox = if let Some(outbox) = self.outbox.take() {
            outbox
        } else {
            let to = self.destination()?;
            self.save_dir = absolute(&self.save_dir)?;
            let (strict, patience, limit) = (self.strict, self.patience.clone(), self.limit);
            let sending = Sending { patience, strict, limit, ..Sending::new("trackio") };
            let folder = self.save_dir.join(".stormfire/trackio").join(&self.run.session);
            let outbox = Outbox::open(folder, Sender { client: to.server.client(self.token.clone()), to: to.clone() }, sending)?;
            to.save(outbox.folder())?;
            outbox
        };
        Ok(self.outbox.insert(outbox))
    }

    fn step(&mut self, step: Option<u64>) -> u64 {
        // The database of the server has signed integers.
        let step = step.unwrap_or(self.run.next_step).min(i64::MAX as u64);
        self.run.next_step = self.run.next_step.max(step + 1);
        step
    }

    fn push(&mut self, step: u64, values: Map<String, Value>, file: Option<Kept>) -> Result<()> {
        // The id contains the step, so that a resumed run that logs at other steps loses nothing.
        let id = format!("{}-{}-{step}", self.run.session, self.run.entries);
        self.push_as(id, step, values, file)?;
        self.run.entries += 1;
        Ok(())
    }

    fn push_as(&mut self, id: String, step: u64, values: Map<String, Value>, file: Option<Kept>) -> Result<()> {
        let config = self.run.params_wait.then(|| entry::config(&self.run.params, self.group.as_deref()));
        self.outbox()?.push(&Entry { id: id.clone(), step, values, config, file })?;
        self.run.params_wait = false;
        self.run.last = Some(id);
        Ok(())
    }

    fn push_row(&mut self, row: Option<Row>) -> Result<()> {
        let Some(Row { step, metrics }) = row else { return Ok(()) };
        let values = entry::row(&metrics, &self.prefix);
        self.push(step.unwrap_or(0), values, None)
    }

    fn push_value(&mut self, tag: &str, value: Value, step: Option<u64>) -> Result<()> {
        let step = self.step(step);
        let key = entry::key(&self.prefix, tag);
        self.push(step, Map::from_iter([(key, value)]), None)
    }

    fn push_file(&mut self, tag: &str, kind: &str, extension: &str, bytes: &[u8], step: Option<u64>) -> Result<()> {
        let step = self.step(step);
        let name = entry::file_name(self.run.entries, tag, extension);
        let value = entry::media(kind, &self.run.project, &self.run.name, step, &name);
        let path = self.outbox()?.keep(&name, bytes)?;
        let key = entry::key(&self.prefix, tag);
        self.push(step, Map::from_iter([(key, value)]), Some(Kept { path, name }))
    }
}

impl Server {
    fn from_env() -> Option<Self> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.trim().is_empty());
        variable("TRACKIO_SPACE_ID").map(Self::Space).or_else(|| variable("TRACKIO_SERVER_URL").map(|url| Self::at(&url)))
    }

    fn at(url: &str) -> Self {
        let address = Address::new(url);
        let token = address.field("write_token");
        Self::Url { base: address.text.trim_end_matches('/').to_owned(), token, login: address.login }
    }
}

impl Logger for TrackioLogger {
    /// The name of the project.
    #[expect(clippy::misnamed_getters, reason = "Lightning's loggers have the project as their name")]
    fn name(&self) -> &str {
        &self.run.project
    }

    /// The name of the run.
    fn version(&self) -> String {
        self.run.name.clone()
    }

    /// Includes the [`patience`](Self::patience) for an unreachable server.
    fn longest_call(&self) -> Duration {
        LONGEST_CALL + self.patience.time()
    }

    fn another(&self) -> Option<Box<dyn Logger>> {
        let Self { server, token, group, prefix, save_dir, strict, patience, limit, is_named, run, rows, runs, .. } = self;
        let (server, token, group) = (server.clone(), token.clone(), group.clone());
        let (prefix, save_dir, runs) = (prefix.clone(), save_dir.clone(), runs + 1);
        let fresh = Self::new();
        // A given name belongs to the first run.
        let given = run.name.strip_suffix(&format!("-{}", self.runs)).unwrap_or(&run.name);
        let name = if *is_named { format!("{given}-{runs}") } else { fresh.run.name.clone() };
        let run = Run { project: run.project.clone(), name, ..fresh.run.clone() };
        let (strict, patience, limit, is_named, rows) = (*strict, patience.clone(), *limit, *is_named, rows.another());
        Some(Box::new(Self { server, token, group, prefix, save_dir, strict, patience, limit, is_named, runs, run, rows, ..fresh }))
    }

    fn will_resume(&mut self, position: &Value) {
        if let Ok(Position { run, .. }) = crate::value::json::from_value(position.clone())
            && run.project == self.run.project
            && !self.is_named
        {
            self.run.name = run.name;
        }
    }

    fn check(&self) -> Result<()> {
        self.destination().map(drop)
    }

    /// Determines the server and creates the folder for waiting records.
    ///
    /// # Errors
    /// [`Error::Missing`] if no server is given, [`Error::Io`] if the folder cannot be created.
    fn open(&mut self) -> Result<()> {
        self.outbox().map(drop)
    }

    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()> {
        let step = self.step(step.or_else(|| metrics.step()));
        let complete = self.rows.push(Some(step), metrics);
        self.push_row(complete)
    }

    /// The hyperparameters are sent with the next row, or at the end of the run. Initial metrics make no row, because
    /// their first real values will. A key that starts with `_` gets the prefix `param`, because trackio reserves such
    /// keys.
    fn log_hyperparams(&mut self, params: &Hyperparams, _initial_metrics: &Metrics) -> Result<()> {
        let known = self.run.params.clone();
        self.run.params.update(params.clone());
        self.run.params_wait |= self.run.params != known;
        Ok(())
    }

    fn log_image(&mut self, tag: &str, image: &Image, step: Option<u64>) -> Result<()> {
        self.push_file(tag, "image", "png", &image.to_png()?, step)
    }

    fn log_histogram(&mut self, tag: &str, histogram: &Histogram, step: Option<u64>) -> Result<()> {
        self.push_value(tag, entry::histogram(histogram), step)
    }

    fn log_text(&mut self, tag: &str, text: &Text, step: Option<u64>) -> Result<()> {
        self.push_value(tag, entry::text(text), step)
    }

    /// A WAV file with 16 bits per sample.
    fn log_audio(&mut self, tag: &str, audio: &Audio, step: Option<u64>) -> Result<()> {
        self.push_file(tag, "audio", "wav", &audio.to_wav()?, step)
    }

    /// A PNG as an image, an SVG as a page.
    fn log_figure(&mut self, tag: &str, figure: &Figure, step: Option<u64>) -> Result<()> {
        match figure.format() {
            FigureFormat::Png => self.push_file(tag, "image", "png", figure.bytes(), step),
            FigureFormat::Svg => {
                let page = entry::page(&String::from_utf8_lossy(figure.bytes()));
                self.push_file(tag, "html", "html", page.as_bytes(), step)
            }
        }
    }

    fn log_table(&mut self, tag: &str, table: &Table, step: Option<u64>) -> Result<()> {
        self.push_value(tag, entry::table(table), step)
    }

    fn delivery(&self) -> Option<Delivery> {
        self.outbox.as_ref().map(Outbox::delivery)
    }

    /// Hands complete rows to the sending thread. The row of the current step stays open.
    fn save(&mut self) -> Result<()> {
        self.outbox.as_mut().map_or(Ok(()), Outbox::flush)
    }

    /// Sends everything and waits for the server, for at most [`patience`](TrackioLogger::patience) (30 s by default)
    /// without progress. trackio keeps no status of a run.
    fn finalize(&mut self, _status: Status) -> Result<()> {
        let row = self.rows.take();
        self.push_row(row)?;
        if self.run.params_wait {
            match self.run.last.clone() {
                // The server skips the known row, but accepts the configuration.
                Some(id) => self.push_as(id, 0, Map::new(), None)?,
                None => self.push(0, Map::new(), None)?,
            }
        }
        self.outbox.as_mut().map_or(Ok(()), |outbox| outbox.settle().map(drop))
    }

    fn position(&mut self) -> Result<Value> {
        let outbox = self.outbox()?.position()?;
        position::save(&Position { run: self.run.clone(), open: self.rows.open(), outbox })
    }

    fn position_names_run(&self) -> bool {
        true
    }

    /// Continues the run of the position, unless another project or run was chosen.
    fn resume(&mut self, position: Value) -> Result<()> {
        let Some(Position { run, open, outbox }) = position::load(position, &self.save_dir) else { return Ok(()) };
        if run.project != self.run.project || (self.is_named && run.name != self.run.name) {
            tracing::info!(project = self.run.project, run = self.run.name, "not the run of the checkpoint; it starts from scratch");
            return Ok(());
        }
        self.outbox = None;
        self.run = run;
        self.rows.reopen(open);
        // Delivered entries after the position get the same ids again, so the server skips them.
        self.outbox()?.rewind(outbox).map(drop)
    }
}
