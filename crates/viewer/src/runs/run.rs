//! One run: its logs, checkpoints, settings and log lines.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use stormfire_loggers::Status;
use stormfire_loggers::for_trainer::{RunState, TRAINER_YAML};

use super::curve::Curve;
use super::find::{self, Files};
use super::media::{MediaLimits, Tag};
use super::messages::{Message, Messages, Warning};
use super::profile::{self, Action};
use super::saved::{About, Saved, SavedFiles};
use super::settings::{self, TrainerFile};
use super::source::{Limits, Source};

/// A run without an end whose files did not change for this time is called quiet.
const QUIET: Duration = Duration::from_mins(2);

/// The metric that `TensorBoard`'s loggers write if no other represents the run.
const NO_METRIC: &str = "hp_metric";

/// The state of a run, as far as its files show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its files have changed in the last two minutes.
    Running,
    /// Its files have not changed for longer, and contain no end.
    Quiet,
    /// It has ended successfully.
    Ended,
    /// It has failed or was interrupted.
    Failed,
}

impl State {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Quiet => "quiet",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

/// The limits for the data of a run that is kept in memory.
#[derive(Debug, Clone, Copy)]
pub struct Keep {
    /// Number of buckets that the curves of each log share.
    pub buckets: usize,
    /// The media.
    pub media: MediaLimits,
    /// A log with more unread bytes shows samples of its whole length until it has been read.
    pub samples_above: u64,
    /// Whether to read all log lines for warnings, and not only the newest.
    pub all_messages: bool,
}

/// A run that is read from its files, again and again.
#[derive(Debug)]
pub struct Run {
    /// The name to show.
    pub name: String,
    folder: PathBuf,
    /// The files of a run that was given by one of them.
    only: Option<Files>,
    keep: Keep,
    sources: Vec<Source>,
    saved: SavedFiles,
    messages: Messages,
    hparams: Vec<(String, String)>,
    trainer: TrainerFile,
    config: Vec<(String, String)>,
    problem: Option<String>,
}

impl Run {
    /// The run in a folder. Reads nothing yet.
    pub fn open(folder: &Path, name: String, keep: Keep) -> Self {
        let messages = Messages::new(folder.join("training.log"), keep.all_messages);
        Self {
            name,
            folder: folder.to_owned(),
            only: None,
            keep,
            sources: Vec::new(),
            saved: SavedFiles::default(),
            messages,
            hparams: Vec::new(),
            trainer: TrainerFile::default(),
            config: Vec::new(),
            problem: None,
        }
    }

    /// A run that consists of one file. `None` if the file is not a log.
    pub fn of_file(file: &Path, keep: Keep) -> Option<Self> {
        let only = find::single(file)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Some(Self { only: Some(only), ..Self::open(folder, name, keep) })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Finds new files, and reads small ones: settings and the headers of checkpoints.
    pub fn refresh(&mut self) {
        let files = self.only.clone().unwrap_or_else(|| find::files(&self.folder));
        let Keep { buckets, media, samples_above, .. } = self.keep;
        let limits = Limits { buckets, media, samples_above };
        for path in files.tables {
            self.add(path, |path| Source::table(path, limits));
        }
        for path in files.lines {
            self.add(path, |path| Source::lines(path, limits));
        }
        let events = files.events.into_iter().map(|path| (String::new(), path));
        for (group, path) in events.chain(files.groups) {
            let folder = path.parent().map(Path::to_owned);
            let known = self
                .sources
                .iter_mut()
                .find(|source| source.is_events() && source.files.first().is_some_and(|file| file.path.parent() == folder.as_deref()));
            match known {
                Some(source) => source.add_file(&path),
                None => self.sources.push(Source::events(path, group, limits)),
            }
        }
        if self.only.is_none() {
            self.saved.refresh(&self.folder);
            self.hparams = settings::read(&self.folder.join("hparams.yaml"));
            self.trainer = TrainerFile::read(&self.folder);
            self.config = settings::configuration(&self.folder);
        }
    }

    fn add(&mut self, path: PathBuf, source: impl FnOnce(PathBuf) -> Source) {
        let is_known = self.sources.iter().any(|source| source.files.iter().any(|file| file.path == path));
        if !is_known {
            self.sources.push(source(path));
        }
    }

    /// Reads at most about `most` new bytes of the logs and returns their number.
    pub fn poll(&mut self, most: usize) -> usize {
        self.problem = None;
        let mut read = if self.only.is_some() { 0 } else { self.messages.poll(most) };
        for source in &mut self.sources {
            if read >= most {
                break;
            }
            match source.poll(most - read) {
                Ok(bytes) => read += bytes,
                Err(error) => {
                    let path = source.files.first().map(|file| file.path.display().to_string()).unwrap_or_default();
                    self.problem = Some(format!("`{path}` cannot be read: {error}"));
                }
            }
        }
        read
    }

    /// Reads everything that the files contain now.
    pub fn read_all(&mut self) {
        self.refresh();
        // A file that grows faster than it is read must not keep the caller.
        let (_, total) = self.progress();
        let mut left = total.saturating_mul(2).max(1 << 30);
        let mut before = None;
        while left > 0 {
            let read = self.poll(8 << 20);
            // The end of a file may be damaged or incomplete, so its last bytes are read in vain.
            if before.replace(self.progress()) == Some(self.progress()) {
                break;
            }
            left = left.saturating_sub(read as u64);
        }
    }

    /// The bytes of the logs that were read, and all bytes.
    pub fn progress(&self) -> (u64, u64) {
        let progress = self.sources.iter().map(Source::progress);
        progress.fold((0, 0), |(read, total), (more, of)| (read + more, total + of))
    }

    /// Whether the curves of a large log are samples of it, because it was not read to its end yet.
    pub fn is_sampled(&self) -> bool {
        self.sources.iter().any(Source::is_sampled)
    }

    /// The names of all metrics.
    pub fn names(&self) -> BTreeSet<&str> {
        let names = self.sources.iter().flat_map(|source| source.series().iter());
        names.filter(|(name, curve)| *name != NO_METRIC || curve.len() > 1).map(|(name, _)| name).collect()
    }

    /// The curve of a metric. If several logs contain it, the one of the table, which has all digits.
    pub fn curve(&self, name: &str) -> Option<&Curve> {
        self.sources.iter().find_map(|source| source.series().get(name))
    }

    /// The newest value of a metric.
    pub fn last(&self, name: &str) -> Option<f64> {
        Some(self.curve(name)?.last()?.1)
    }

    /// The largest step with a value.
    pub fn step(&self) -> Option<f64> {
        let lasts = self.sources.iter().flat_map(|source| source.series().iter()).filter_map(|(_, curve)| curve.last());
        lasts.map(|(step, _)| step).max_by(f64::total_cmp)
    }

    /// The state at a time.
    pub fn state(&self, now: SystemTime) -> State {
        let is_old = |time: SystemTime| now.duration_since(time).is_ok_and(|age| age > QUIET);
        match self.success() {
            Some(true) => State::Ended,
            Some(false) => State::Failed,
            // A run that logs nothing has written its options.
            None if self.modified().max(self.changed(TRAINER_YAML)).is_some_and(is_old) => State::Quiet,
            None => State::Running,
        }
    }

    /// Whether the newest run in the folder was successful. `None` before its end.
    fn success(&self) -> Option<bool> {
        match self.trainer.state {
            Some(RunState::Ended(status)) => Some(status == Status::Success),
            Some(RunState::Running) => None,
            // Another program.
            None => {
                let events = self.sources.iter().filter(|source| source.is_events());
                events.max_by_key(|source| source.modified())?.success
            }
        }
    }

    /// The time of the newest change of a file of the run.
    fn changed(&self, name: &str) -> Option<SystemTime> {
        std::fs::metadata(self.folder.join(name)).and_then(|metadata| metadata.modified()).ok()
    }

    /// The time of the newest change of a log. Without a log, that of the options.
    pub fn modified(&self) -> Option<SystemTime> {
        let of_logs = self.sources.iter().filter_map(Source::modified).max();
        of_logs.or_else(|| self.changed("hparams.yaml").max(self.changed(TRAINER_YAML)))
    }

    /// The checkpoints in the folder of the run, newest first.
    pub fn checkpoints(&self) -> &[Saved] {
        &self.saved.list
    }

    /// The facts in the newest checkpoint.
    pub fn about(&self) -> &About {
        &self.saved.about
    }

    /// The newest log lines, oldest first.
    pub fn messages(&self) -> impl DoubleEndedIterator<Item = &Message> {
        self.messages.newest.iter()
    }

    /// The warnings and errors among the log lines.
    pub fn warnings(&self) -> &[Warning] {
        &self.messages.warnings
    }

    /// The hyperparameters, with nested names joined with `.`.
    pub fn hparams(&self) -> Vec<(String, String)> {
        if !self.hparams.is_empty() {
            return self.hparams.clone();
        }
        let of_events = self.sources.iter().map(|source| &source.params).find(|params| !params.is_empty());
        of_events.cloned().unwrap_or_else(|| settings::flat(&self.saved.about.hparams))
    }

    /// The options of the program that are neither hyperparameters nor options of the Trainer, such as `data.folder`.
    pub fn options(&self) -> Vec<(String, String)> {
        let hparams = self.hparams();
        let is_known = |name: &str| name.strip_prefix("model.").is_some_and(|name| hparams.iter().any(|(known, _)| known == name));
        self.config.iter().filter(|(name, _)| !name.starts_with("trainer.") && !is_known(name)).cloned().collect()
    }

    /// The options of the Trainer.
    pub fn trainer(&self) -> &[(String, String)] {
        &self.trainer.options
    }

    /// Whether an option of the Trainer has its default. `false` if the run does not say it.
    pub fn is_default(&self, option: &str) -> bool {
        self.trainer.defaults.contains(option.split('.').next().unwrap_or(option))
    }

    /// The media by tag.
    pub fn media(&self) -> impl Iterator<Item = (&str, &Tag)> {
        self.sources.iter().flat_map(|source| source.media.iter())
    }

    /// Number of media that were left out because of [`Keep::media`].
    pub fn media_left_out(&self) -> u64 {
        self.sources.iter().map(|source| source.media.left_out()).sum()
    }

    /// The times of the profiler's newest trace, longest first. Reads the file.
    pub fn profile(&self) -> Vec<Action> {
        find_profile(&self.folder)
    }

    /// The problems of the files, as sentences.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::from_iter(self.problem.clone());
        for source in &self.sources {
            let path = source.files.first().map(|file| file.path.display().to_string()).unwrap_or_default();
            if source.damaged() > 0 {
                problems.push(format!("`{path}` has {} damaged rows or records, which are left out", source.damaged()));
            }
            if source.series().refused() > 0 {
                problems.push(format!("`{path}` has more than 10,000 names; {} values are left out", source.series().refused()));
            }
        }
        problems
    }
}

fn find_profile(folder: &Path) -> Vec<Action> {
    profile::find(folder).map(|path| profile::read(&path)).unwrap_or_default()
}
