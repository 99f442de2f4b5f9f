//! The destination of a run's entries: an outbox for a server, or files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use stormfire_store::folder::absolute;

use super::carrier::{Learnt, Server};
use super::entry::Entry;
use super::file_store::{self, FileStore};
use super::keys::Fitter;
use super::server_run::{Known, Note};
use super::system;
use super::tracking_uri::{self, Place};
use crate::network::address::Address;
use crate::network::http::{Auth, Client};
use crate::network::outbox::{self, Outbox, Route, Sending};
use crate::parts::random::random_hex;
use crate::parts::{identity, position};
use crate::{Delivery, Error, Patience, Result};

/// The settings of a logger before it is opened.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    pub(super) uri: Option<Address>,
    pub(super) auth: Auth,
    pub(super) insecure: bool,
    /// A PEM file with trusted authorities.
    pub(super) authorities: Option<PathBuf>,
    pub(super) experiment: String,
    pub(super) artifact_location: Option<String>,
    pub(super) run_name: Option<String>,
    pub(super) existing: Option<String>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) save_dir: PathBuf,
    pub(super) strict: bool,
    pub(super) patience: Patience,
    /// See [`Sending`].
    pub(super) limit: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            uri: None,
            auth: Auth::None,
            insecure: false,
            authorities: None,
            experiment: crate::DEFAULT_NAME.to_owned(),
            artifact_location: None,
            run_name: None,
            existing: None,
            tags: Vec::new(),
            save_dir: PathBuf::new(),
            strict: false,
            patience: Patience::default(),
            limit: outbox::LIMIT,
        }
    }
}

impl Settings {
    fn address(&self) -> Address {
        let given = self.uri.clone();
        let named = || std::env::var("MLFLOW_TRACKING_URI").ok().filter(|uri| !uri.trim().is_empty()).map(|uri| Address::new(&uri));
        let own = || Address::of_folder(&self.save_dir.join("mlruns"));
        given.or_else(named).unwrap_or_else(own)
    }

    pub(super) fn place(&self) -> Result<Place> {
        Place::of(&self.address())
    }

    fn auth(&self) -> Auth {
        tracking_uri::auth(&self.auth, &self.address())
    }

    /// Makes the folders absolute, so that they stay valid if the process changes its current folder.
    pub(super) fn fix_place(&mut self) -> Result<()> {
        self.save_dir = absolute(&self.save_dir)?;
        if let Place::Folder(root) = self.place()? {
            self.uri = Some(Address::of_folder(&absolute(&root)?));
        }
        Ok(())
    }

    fn note(&self, id: &str, server: &str, fitter: &mut Fitter) -> Note {
        let mut tags = system::tags();
        for (key, value) in &self.tags {
            let key = fitter.key(&self.experiment, key);
            let value = fitter.tag(&self.experiment, &key, value);
            tags.retain(|(known, _)| *known != key);
            tags.push((key, value));
        }
        Note {
            id: id.to_owned(),
            server: server.to_owned(),
            has_login: !server.is_empty() && !matches!(self.auth(), Auth::None),
            experiment: self.experiment.clone(),
            artifact_location: self.artifact_location.clone(),
            run_name: self.run_name.clone(),
            tags,
            user: identity::user(),
            start: identity::now_ms(),
            existing: self.existing.clone(),
            catches_up: false,
            sent: BTreeMap::new(),
            asked: false,
            known: None,
        }
    }

    fn spool(&self, id: &str) -> PathBuf {
        self.save_dir.join(".stormfire/mlflow").join(id)
    }

    fn outbox(&self, folder: PathBuf, note: &Note, learnt: &Learnt) -> Result<Outbox<Entry>> {
        let mut client = Client::new(&note.server, self.auth());
        if self.insecure || tracking_uri::insecure_by_environment() {
            client = client.without_verification();
        } else if let Some(authorities) = self.authorities.clone().or_else(tracking_uri::authorities_by_environment) {
            client = client.trusting(&authorities)?;
        }
        learnt.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&note.known);
        let carrier = Server::new(client, note.clone(), folder.clone(), Arc::clone(learnt));
        let (strict, patience, limit) = (self.strict, self.patience.clone(), self.limit);
        let sending = Sending { patience, strict, limit, ..Sending::new(&self.experiment) };
        let outbox = Outbox::open(folder, carrier, sending)?;
        note.save(outbox.folder())?;
        Ok(outbox)
    }
}

impl Route for Note {
    fn run(&self) -> String {
        let id = self.known.as_ref().map(|known| &known.run_id).or(self.existing.as_ref());
        format!("{}/{}", self.experiment, self.run_name.as_ref().or(id).unwrap_or(&self.id))
    }

    fn server(&self) -> String {
        self.server.clone()
    }

    fn deliver(self, folder: &Path, patience: Duration) -> Result<Delivery> {
        let settings = Settings { experiment: self.experiment.clone(), strict: true, patience: patience.into(), ..Settings::default() };
        // The address in the environment may contain the login for this server.
        let named = settings.address();
        let is_same = matches!(Place::of(&named), Ok(Place::Server(server)) if server == self.server);
        let uri = if is_same { named } else { Address::new(&self.server) };
        let settings = Settings { uri: Some(uri), ..settings };
        if self.has_login && matches!(settings.auth(), Auth::None) {
            return Err(Error::Missing {
                logger: self.experiment,
                what: "the token or login that the run had for its server",
                hint: "set `MLFLOW_TRACKING_TOKEN`, or `MLFLOW_TRACKING_USERNAME` and `MLFLOW_TRACKING_PASSWORD`",
            });
        }
        settings.outbox(folder.to_owned(), &self, &Learnt::default())?.settle()
    }
}

/// See the module.
pub(super) enum Sink {
    Server(Box<Outbox<Entry>>),
    Files(Box<FileStore>),
}

/// The position in a run.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Position {
    Server {
        /// The name of the outbox's folder.
        spool: String,
        at: u64,
        /// The run, if it was known at that time.
        run: Option<Known>,
    },
    Files(file_store::Position),
}

impl Sink {
    pub(super) fn open(settings: &Settings, id: &str, learnt: &Learnt, fitter: &mut Fitter) -> Result<Self> {
        match settings.place()? {
            Place::Folder(root) => {
                let note = settings.note(id, "", fitter);
                FileStore::open(&root, &note, &settings.experiment, settings.strict).map(Box::new).map(Self::Files)
            }
            Place::Server(server) => {
                let note = settings.note(id, &server, fitter);
                settings.outbox(settings.spool(id), &note, learnt).map(Box::new).map(Self::Server)
            }
        }
    }

    pub(super) fn push(&mut self, entry: &Entry) -> Result<()> {
        match self {
            Self::Server(outbox) => outbox.push(entry),
            Self::Files(store) => store.apply(entry),
        }
    }

    /// Writes bytes to the artifacts.
    pub(super) fn put(&mut self, to: String, bytes: &[u8], of: Option<(String, u64)>) -> Result<()> {
        match self {
            Self::Server(outbox) => {
                let from = outbox.keep(&to, bytes)?;
                outbox.push(&Entry::File { to, from, of })
            }
            Self::Files(store) => store.put(&to, bytes),
        }
    }

    /// Writes a file to the artifacts. If the file is never modified (`is_fixed`), it may be removed at once.
    pub(super) fn put_file(&mut self, to: String, from: PathBuf, is_fixed: bool) -> Result<()> {
        let from = match self {
            Self::Server(outbox) if is_fixed => outbox.keep_file(&from)?,
            _ => from,
        };
        self.push(&Entry::File { to, from, of: None })
    }

    pub(super) fn save(&mut self) -> Result<()> {
        match self {
            Self::Server(outbox) => outbox.flush(),
            Self::Files(store) => store.save(),
        }
    }

    /// Waits for the server.
    pub(super) fn settle(&mut self) -> Result<Option<Delivery>> {
        match self {
            Self::Server(outbox) => outbox.settle().map(Some),
            Self::Files(store) => store.save().map(|()| None),
        }
    }

    pub(super) fn delivery(&self) -> Option<Delivery> {
        match self {
            Self::Server(outbox) => Some(outbox.delivery()),
            Self::Files(_) => None,
        }
    }

    pub(super) fn position(&mut self, known: Option<Known>, time: u64) -> Result<Position> {
        match self {
            Self::Server(outbox) => {
                let at = outbox.position()?;
                let spool = outbox.folder().file_name().unwrap_or_default().to_string_lossy().into_owned();
                Ok(Position::Server { spool, at, run: known })
            }
            Self::Files(store) => store.position(time).map(Position::Files),
        }
    }

    /// Rolls back to a position. Returns the delivered entries after it, which cannot be withdrawn, or `None` if the
    /// position does not fit.
    pub(super) fn resume(&mut self, to: &Position, settings: &Settings, learnt: &Learnt) -> Result<Option<Vec<Entry>>> {
        match (self, to) {
            (Self::Files(store), Position::Files(to)) => Ok(store.resume(to)?.then(Vec::new)),
            (Self::Server(outbox), Position::Server { spool, at, run }) => {
                resume_outbox(outbox, (spool, *at, run.as_ref()), settings, learnt)
            }
            (Self::Files(store), Position::Server { .. }) => {
                position::misfit(store.run_dir(), "its position belongs to a run on a server");
                Ok(None)
            }
            (Self::Server(outbox), Position::Files(_)) => {
                position::misfit(outbox.folder(), "its position belongs to a run in files");
                Ok(None)
            }
        }
    }
}

fn resume_outbox(
    outbox: &mut Outbox<Entry>,
    (spool, at, run): (&str, u64, Option<&Known>),
    settings: &Settings,
    learnt: &Learnt,
) -> Result<Option<Vec<Entry>>> {
    let fresh = Note::load(outbox.folder()).ok();
    let server = fresh.as_ref().map(|note| note.server.clone()).unwrap_or_default();
    let folder = settings.spool(spool);
    if outbox.folder() == folder {
        return outbox.rewind(at).map(Some);
    }
    match (Note::load(&folder).ok().filter(|note| note.server == server), run, fresh) {
        (Some(note), _, _) => {
            let note = Note { catches_up: true, ..note };
            *outbox = settings.outbox(folder, &note, learnt)?;
            outbox.rewind(at).map(Some)
        }
        (None, Some(run), Some(fresh)) => {
            tracing::info!(folder = %folder.display(), run = run.run_id, "the folder of the run is missing; its state is requested from the server");
            let note = Note { id: random_hex(32), existing: Some(run.run_id.clone()), catches_up: true, ..fresh };
            *outbox = settings.outbox(settings.spool(&note.id), &note, learnt)?;
            Ok(Some(Vec::new()))
        }
        _ => {
            position::misfit(&folder, "the run is unknown here");
            Ok(None)
        }
    }
}
