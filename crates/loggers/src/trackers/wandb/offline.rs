//! An offline run on the disk, for `wandb sync`.

use std::path::{Path, PathBuf};

use prost::Message;
use serde::{Deserialize, Serialize};
use stormfire_store::append::Append;
use stormfire_store::files::link_or_copy;

use super::artifact::Bundle;
use super::entry::Entry;
use super::items::Items;
use super::proto::{self, Item, Kind, Record, Updates};
use super::settings::Settings;
use super::{GLOBAL_STEP, clock, frame};
use crate::parts::position;
use crate::parts::random::random_id;
use crate::{ConsoleStream, Result};

/// The minimum version of the reader: that of `wandb` 0.31.
const MIN_CONSUMER: &str = "0.70.0";

/// An open run folder.
///
/// The file ends with a tail that the next write replaces: the open row, the summary, and the exit code. So the file is
/// complete at every moment, and each row occurs once.
pub(super) struct Offline {
    dir: PathBuf,
    file: Append,
    records: i64,
    run: RunName,
}

/// The identity of a run in the record of an artifact.
struct RunName {
    id: String,
    project: String,
    entity: String,
}

impl RunName {
    fn of(settings: &Settings) -> Self {
        let entity = settings.entity.clone().unwrap_or_default();
        Self { id: settings.id.clone(), project: settings.project.clone(), entity }
    }
}

/// A position in a run, without the tail.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Position {
    dir: PathBuf,
    end: u64,
    records: i64,
}

impl Offline {
    /// Creates the folder `wandb/offline-run-DATE_TIME-ID` below the `save_dir`.
    pub(super) fn create(settings: &Settings, started: f64) -> Result<Self> {
        let root = settings.save_dir.join("wandb");
        let (dir, name) = make_folder(&root, started, &settings.id)?;
        fs_err::create_dir_all(dir.join("files"))?;
        fs_err::create_dir_all(dir.join("logs"))?;
        let path = dir.join(format!("run-{}.wandb", settings.id));
        let mut file = fs_err::OpenOptions::new().create_new(true).read(true).write(true).open(&path)?.into_parts().0;
        std::io::Write::write_all(&mut file, &frame::MAGIC)?;
        point_to(&root, &name);
        let mut offline = Self { dir, file: Append::new(file, path, frame::MAGIC.len() as u64), records: 0, run: RunName::of(settings) };
        offline.begin(settings, started)?;
        Ok(offline)
    }

    /// Truncates the file of a run to a position. If that is impossible, warns and returns `None`.
    pub(super) fn reopen(settings: &Settings, to: &Position) -> Result<Option<Self>> {
        let path = to.dir.join(format!("run-{}.wandb", settings.id));
        let Ok(file) = fs_err::OpenOptions::new().read(true).write(true).open(&path) else {
            position::misfit(&path, "the file of the checkpoint is missing");
            return Ok(None);
        };
        let length = file.metadata()?.len();
        if length < to.end {
            position::misfit(&path, "records of the checkpoint are missing");
            return Ok(None);
        }
        let mut file = Append::new(file.into_parts().0, path, length);
        file.cut(to.end)?;
        // With these files of an earlier `wandb sync`, the rest of the run would count as sent.
        for mark in ["synced", "syncstate"] {
            let _ = fs_err::remove_file(to.dir.join(format!("run-{}.wandb.{mark}", settings.id)));
        }
        Ok(Some(Self { dir: to.dir.clone(), file, records: to.records, run: RunName::of(settings) }))
    }

    fn begin(&mut self, settings: &Settings, started: f64) -> Result<()> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let producer = concat!("stormfire-", env!("CARGO_PKG_VERSION")).to_owned();
        let version_info = Some(proto::VersionInfo { producer, min_consumer: MIN_CONSUMER.to_owned() });
        self.put(Kind::Header(proto::Header { version_info }))?;
        self.put(Kind::Run(proto::Run {
            run_id: settings.id.clone(),
            entity: text(&settings.entity),
            project: settings.project.clone(),
            config: None,
            run_group: text(&settings.group),
            job_type: text(&settings.job_type),
            display_name: text(&settings.run_name),
            notes: text(&settings.notes),
            tags: settings.tags.clone(),
            sweep_id: text(&settings.sweep),
            host: settings.host.clone(),
            start_time: Some(timestamp(started)),
        }))?;
        self.put(Kind::Environment(proto::Environment {
            os: std::env::consts::OS.to_owned(),
            started_at: Some(timestamp(started)),
            program: settings.program.clone(),
            host: settings.host.clone(),
            writer_id: random_id(32),
        }))?;
        let step = proto::Metric {
            name: GLOBAL_STEP.to_owned(),
            options: Some(proto::MetricOptions { step_sync: false, defined: true }),
            ..proto::Metric::default()
        };
        self.put(Kind::Metric(step))?;
        let others = proto::Metric {
            glob_name: "*".to_owned(),
            step_metric: GLOBAL_STEP.to_owned(),
            options: Some(proto::MetricOptions { step_sync: true, defined: true }),
            ..proto::Metric::default()
        };
        self.put(Kind::Metric(others))
    }

    /// The folder of the run.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Writes a file of the run and returns its path.
    pub(super) fn keep(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.dir.join("files").join(name);
        if let Some(folder) = path.parent() {
            fs_err::create_dir_all(folder)?;
        }
        fs_err::write(&path, bytes)?;
        Ok(path)
    }

    /// Adds an entry. It is on the disk after [`Offline::flush`].
    pub(super) fn push(&mut self, entry: &Entry) -> Result<()> {
        match entry {
            Entry::Artifact(bundle) => self.keep_artifact(bundle)?,
            Entry::File { name, path, .. } => {
                let place = self.dir.join("files").join(name);
                if *path != place {
                    if let Some(folder) = place.parent() {
                        fs_err::create_dir_all(folder)?;
                    }
                    fs_err::copy(path, &place)?;
                }
            }
            _ => {}
        }
        let kind = self.kind(entry);
        self.put(kind)
    }

    fn put(&mut self, kind: Kind) -> Result<()> {
        self.records += 1;
        let record = Record { num: self.records, kind: Some(kind) }.encode_to_vec();
        let at = self.file.end();
        let buffer = self.file.buffer();
        let at = at + buffer.len() as u64;
        frame::push(buffer, at, &record);
        Ok(self.file.pushed()?)
    }

    /// Writes everything, followed by `tail`.
    pub(super) fn flush(&mut self, tail: &[Entry]) -> Result<()> {
        let kinds: Vec<Kind> = tail.iter().map(|entry| self.kind(entry)).collect();
        let at = self.file.end() + self.file.buffer().len() as u64;
        let mut bytes = Vec::new();
        for (num, kind) in (self.records + 1..).zip(kinds) {
            let record = Record { num, kind: Some(kind) }.encode_to_vec();
            let place = at + bytes.len() as u64;
            frame::push(&mut bytes, place, &record);
        }
        Ok(self.file.flush(&bytes)?)
    }

    /// The position after all entries. From now on they survive a crash of the machine.
    pub(super) fn position(&mut self) -> Result<Position> {
        self.file.sync()?;
        Ok(Position { dir: self.dir.clone(), end: self.file.end(), records: self.records })
    }

    /// `wandb sync` may run long after the checkpoint was deleted, so the run has copies.
    fn keep_artifact(&self, bundle: &Bundle) -> Result<()> {
        for file in &bundle.files {
            let copy = self.copy_of(bundle, &file.path);
            if let Some(folder) = copy.parent() {
                fs_err::create_dir_all(folder)?;
            }
            if bundle.is_model {
                link_or_copy(&file.local, &copy)?;
            } else {
                fs_err::copy(&file.local, &copy)?;
            }
        }
        Ok(())
    }

    fn copy_of(&self, bundle: &Bundle, path: &str) -> PathBuf {
        self.dir.join("artifacts").join(&bundle.client_id[..bundle.client_id.len().min(12)]).join(path)
    }

    fn kind(&self, entry: &Entry) -> Kind {
        match entry {
            Entry::Config(values) => {
                let item = |(key, value): (&String, &serde_json::Value)| Item {
                    key: key.clone(),
                    nested_key: Vec::new(),
                    value_json: value.to_string(),
                };
                Kind::Config(Updates { update: values.iter().map(item).collect() })
            }
            Entry::Row { line, items } => {
                let mut items = items.clone();
                items.set("_step", *line as f64);
                let step = proto::HistoryStep { num: i64::try_from(*line).unwrap_or(i64::MAX) };
                Kind::History(proto::History { item: nested(&items), step: Some(step) })
            }
            Entry::Summary(items) => Kind::Summary(Updates { update: nested(items) }),
            Entry::System { time, items, .. } => {
                let item = |(key, value): (&str, &str)| proto::StatsItem { key: key.to_owned(), value_json: value.to_owned() };
                Kind::Stats(proto::Stats { timestamp: Some(timestamp(*time)), item: items.iter().map(item).collect() })
            }
            Entry::Console { time, stream, text, .. } => Kind::Console(proto::Console {
                stream: i32::from(*stream == ConsoleStream::Stdout),
                timestamp: Some(timestamp(*time)),
                line: format!("{text}\n"),
            }),
            Entry::File { name, media, .. } => {
                Kind::Files(proto::Files { files: vec![proto::File { path: name.clone(), policy: 0, kind: if *media { 2 } else { 0 } }] })
            }
            Entry::Artifact(bundle) => Kind::Artifact(self.artifact(bundle)),
            Entry::Exit { code, runtime } => Kind::Exit(proto::Exit { exit_code: *code, runtime: *runtime as i32 }),
        }
    }

    fn artifact(&self, bundle: &Bundle) -> proto::Artifact {
        let content = |file: &super::artifact::Part| proto::Content {
            path: file.path.clone(),
            digest: file.md5.clone(),
            size: i64::try_from(file.size).unwrap_or(i64::MAX),
            local_path: self.copy_of(bundle, &file.path).to_string_lossy().into_owned(),
        };
        let layout = proto::PolicyItem { key: "storageLayout".to_owned(), value_json: "\"V2\"".to_owned() };
        proto::Artifact {
            run_id: self.run.id.clone(),
            project: self.run.project.clone(),
            entity: self.run.entity.clone(),
            kind: bundle.kind.clone(),
            name: bundle.name.clone(),
            digest: bundle.digest.clone(),
            metadata: if bundle.metadata.is_empty() { String::new() } else { serde_json::Value::from(bundle.metadata.clone()).to_string() },
            aliases: bundle.aliases.clone(),
            manifest: Some(proto::Manifest {
                version: 1,
                storage_policy: "wandb-storage-policy-v1".to_owned(),
                storage_policy_config: vec![layout],
                contents: bundle.files.iter().map(content).collect(),
            }),
            finalize: true,
            client_id: bundle.client_id.clone(),
            sequence_client_id: bundle.sequence_client_id.clone(),
            digest_algorithm: "MANIFEST_MD5".to_owned(),
        }
    }
}

fn nested(items: &Items) -> Vec<Item> {
    let item = |(name, value): (&str, &str)| Item { key: String::new(), nested_key: vec![name.to_owned()], value_json: value.to_owned() };
    items.iter().map(item).collect()
}

fn timestamp(seconds: f64) -> proto::Timestamp {
    proto::Timestamp { seconds: seconds.floor() as i64, nanos: ((seconds - seconds.floor()) * 1e9) as i32 }
}

/// Creates `offline-run-DATE_TIME-ID`. If a run with the same id started in the same second, a later time is used.
fn make_folder(root: &Path, started: f64, id: &str) -> Result<(PathBuf, String)> {
    fs_err::create_dir_all(root)?;
    let mut later = 0.0;
    loop {
        let name = format!("offline-run-{}-{id}", clock::folder_stamp(started + later));
        match fs_err::create_dir(root.join(&name)) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => later += 1.0,
            Err(error) => return Err(error.into()),
            // A position must refer to the same folder, regardless of the current folder of the resumed run.
            Ok(()) => return Ok((std::path::absolute(root.join(&name))?, name)),
        }
    }
}

/// Creates the link `latest-run`, as W&B does. Systems without links have none.
fn point_to(root: &Path, name: &str) {
    #[cfg(unix)]
    {
        let link = root.join("latest-run");
        let _ = fs_err::remove_file(&link);
        let _ = fs_err::os::unix::fs::symlink(name, &link);
    }
    #[cfg(not(unix))]
    let _ = (root, name);
}
