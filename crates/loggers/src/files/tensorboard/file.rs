//! A single event file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::{fs, io};

use prost::Message;
use stormfire_store::append::{Append, Target};
use stormfire_store::error::at;

use super::event::{Data, Event, SessionLog, Summary, Value, What};
use super::record;
use crate::parts::identity;
use crate::{Metrics, Result};

/// The prefix of every event file's name.
pub(super) const MARK: &str = "events.out.tfevents.";
/// `SessionLog.START`.
const START: i32 = 1;

/// The last part of a file's name. It distinguishes two files of one process and second.
static FILES: AtomicU64 = AtomicU64::new(0);

/// An open event file.
pub(super) struct EventFile<T: Target = fs::File> {
    file: Append<T>,
    /// Reused by every call, so that a scalar allocates nothing.
    scalars: Event,
    last_wall_time: f64,
    /// The largest step of a value in this file or in the files that it continues.
    last_step: Option<i64>,
}

impl<T: Target> std::fmt::Debug for EventFile<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventFile").finish_non_exhaustive()
    }
}

impl EventFile {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        fs_err::create_dir_all(folder)?;
        // TensorBoard reads the files of a folder in the order of their names, and never goes back.
        let newest = fs_err::read_dir(folder)?.filter_map(|entry| seconds_of(entry.ok()?.file_name().to_str()?)).max();
        let seconds = newest.map_or(0, |newest| newest + 1).max(identity::now_s() as u64);
        let path = loop {
            let path = folder.join(file_name(seconds, &host(), FILES.fetch_add(1, Ordering::Relaxed)));
            match fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
                Ok(file) => break (path, file),
                // Another machine with the same name uses the shared disk.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(at(&path, "create", &error).into()),
            }
        };
        Self::begin(path.1, path.0)
    }
}

impl<T: Target> EventFile<T> {
    pub(super) fn begin(target: T, path: PathBuf) -> Result<Self> {
        let scalars = Event { what: Some(What::Summary(Summary::default())), ..Event::default() };
        let mut file = Self { file: Append::new(target, path, 0), scalars, last_wall_time: 0.0, last_step: None };
        let wall_time = file.wall_time();
        file.event(&Event { wall_time, step: 0, what: Some(What::FileVersion("brain.Event:2".to_owned())) })?;
        file.flush()?;
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Starts the continuation of a run whose values end with `last_step`. A running server discards later values.
    pub(super) fn continues(&mut self, last_step: Option<i64>, message: String) -> Result<()> {
        self.last_step = last_step;
        let step = last_step.map_or(0, |last| last.saturating_add(1));
        let wall_time = self.wall_time();
        let start = Event { wall_time, step, what: Some(What::SessionLog(SessionLog { status: START, message })) };
        // TensorBoard treats the first START message that it sees as the start of the run, and discards nothing. So it
        // gets two.
        self.event(&start)?;
        self.event(&start)?;
        self.flush()
    }

    /// Writes the name of the run to which this file belongs, directly after the version.
    pub(super) fn belongs(&mut self, message: String) -> Result<()> {
        let wall_time = self.wall_time();
        self.event(&Event { wall_time, step: 0, what: Some(What::SessionLog(SessionLog { status: 0, message })) })?;
        self.flush()
    }

    pub(super) fn last_step(&self) -> Option<i64> {
        self.last_step
    }

    /// Writes all metrics as one event. `tag` appends the tag for a name.
    pub(super) fn write_scalars(&mut self, step: i64, metrics: &Metrics, mut tag: impl FnMut(&str, &mut String)) -> Result<()> {
        if metrics.is_empty() {
            return Ok(());
        }
        let wall_time = self.wall_time();
        self.scalars.wall_time = wall_time;
        self.scalars.step = step;
        self.last_step = self.last_step.max(Some(step));
        if let Some(What::Summary(summary)) = &mut self.scalars.what {
            summary.values.resize_with(metrics.len(), Value::default);
            for (value, (name, number)) in summary.values.iter_mut().zip(metrics.iter()) {
                value.tag.clear();
                tag(name, &mut value.tag);
                value.data = Some(Data::Scalar(number as f32));
            }
        }
        let Self { file, scalars, .. } = self;
        push(file, scalars)
    }

    pub(super) fn write(&mut self, step: i64, values: Vec<Value>) -> Result<()> {
        let wall_time = self.wall_time();
        self.last_step = self.last_step.max(Some(step));
        self.event(&Event { wall_time, step, what: Some(What::Summary(Summary { values })) })
    }

    /// Writes the structure of the model.
    pub(super) fn write_graph(&mut self, graph: Vec<u8>) -> Result<()> {
        let wall_time = self.wall_time();
        self.last_step = self.last_step.max(Some(0));
        self.event(&Event { wall_time, step: 0, what: Some(What::GraphDef(graph)) })
    }

    pub(super) fn flush(&mut self) -> Result<()> {
        Ok(self.file.flush(b"")?)
    }

    /// The length of the file. Everything up to it survives a power failure.
    pub(super) fn sync(&mut self) -> Result<u64> {
        self.flush()?;
        self.file.sync()?;
        Ok(self.file.end())
    }

    fn event(&mut self, event: &Event) -> Result<()> {
        push(&mut self.file, event)
    }

    /// The clock may be set back. The times in a file never decrease.
    fn wall_time(&mut self) -> f64 {
        self.last_wall_time = identity::now_s().max(self.last_wall_time);
        self.last_wall_time
    }
}

impl<T: Target> Drop for EventFile<T> {
    fn drop(&mut self) {
        if let Err(error) = self.flush() {
            tracing::error!(%error, "the last events are lost");
        }
    }
}

fn push<T: Target>(file: &mut Append<T>, event: &Event) -> Result<()> {
    record::push(file.buffer(), |data| event.encode_raw(data));
    Ok(file.pushed()?)
}

fn file_name(seconds: u64, host: &str, number: u64) -> String {
    format!("{MARK}{seconds:010}.{host}.{}.{number}", std::process::id())
}

/// The time in the name of an event file.
fn seconds_of(name: &str) -> Option<u64> {
    let (seconds, _) = name.strip_prefix(MARK)?.split_once('.')?;
    // The limits exclude numbers whose successor has another digit, because it would sort before all others.
    seconds.parse().ok().filter(|number| seconds.len() == 10 && *number < 9_999_999_999)
}

/// The machine's name as a part of a file name.
fn host() -> String {
    let safe = |letter: char| if letter.is_ascii_alphanumeric() || "-_.".contains(letter) { letter } else { '-' };
    identity::host().chars().map(safe).collect()
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::read;
    use super::*;
    use stormfire_store::small_disk::SmallDisk;

    #[test]
    fn names_are_those_of_tensorflow_and_never_taken_twice() {
        let expected = format!("events.out.tfevents.0000000012.pc.{}.3", std::process::id());
        assert_eq!(file_name(12, "pc", 3), expected);
        let folder = tempfile::tempdir().unwrap();
        // The clock may have been ahead.
        fs::write(folder.path().join("events.out.tfevents.5000000000.z"), "").unwrap();
        fs::write(folder.path().join("events.out.tfevents.99999999990.z"), "").unwrap();
        let files: Vec<EventFile> = (0..20).map(|_| EventFile::create(folder.path()).unwrap()).collect();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), files.len() + 2);
        assert!(files.is_sorted_by(|first, second| first.path() < second.path()));
        assert!(files[0].path() > folder.path().join("events.out.tfevents.5000000000.z"));
        assert!(host().chars().all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter)));
    }

    #[test]
    fn a_full_disk_is_an_error_and_the_file_stays_readable() {
        let disk = SmallDisk::default();
        *disk.capacity.lock().unwrap() = 1000;
        let mut file = EventFile::begin(disk.clone(), "some/events".into()).unwrap();
        let mut written = 0_usize;
        let error = loop {
            file.write_scalars(0, &[("loss", 0.5)].into(), |name, tag| tag.push_str(name)).unwrap();
            match file.flush() {
                Ok(()) => written += 1,
                Err(error) => break error,
            }
        };
        insta::assert_snapshot!(format!("{error}\n  hint: {}", error.hint().unwrap()), @r"
        failed to write `some/events`: no storage space
          hint: free some space or log into another folder; existing logs are intact
        ");
        let count = |disk: &SmallDisk| read(&disk.bytes.lock().unwrap()).unwrap().len();
        assert_eq!(count(&disk), 1 + written);
        file.flush().unwrap_err();
        *disk.capacity.lock().unwrap() = 2000;
        file.flush().unwrap();
        assert_eq!(count(&disk), 1 + written + 1);
        assert!(EventFile::begin(SmallDisk::default(), "x".into()).is_err());
    }
}
