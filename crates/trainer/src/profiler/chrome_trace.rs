//! The calls of a run as a file for Perfetto, in the Trace Event Format.
//!
//! The file is an array of events. Its end may be missing, so the trace of a killed run can be read, too.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// An open trace.
#[derive(Debug)]
pub(super) struct ChromeTrace {
    file: BufWriter<File>,
    path: PathBuf,
    began: Instant,
    has_failed: bool,
}

impl ChromeTrace {
    /// Creates the file. A trace that cannot be written is not a failure of the run.
    pub(super) fn create(folder: &Path, stage: &str) -> Option<Self> {
        // A resumed run keeps the traces from before.
        let name = |number: usize| if number == 1 { format!("{stage}-trace.json") } else { format!("{stage}-trace-{number}.json") };
        let path = (1..=usize::MAX).map(|number| folder.join(name(number))).find(|path| !path.exists()).unwrap_or_default();
        let created = fs_err::create_dir_all(folder).and_then(|()| File::create(&path));
        match created {
            Ok(file) => {
                let mut trace = Self { file: BufWriter::new(file), path, began: Instant::now(), has_failed: false };
                let names = [("process_name", format!("Stormfire {stage}")), ("thread_name", "loop".to_owned())];
                for (number, (kind, name)) in names.iter().enumerate() {
                    let start = if number == 0 { "[\n" } else { ",\n" };
                    trace.write(format_args!(
                        "{start}{{\"ph\":\"M\",\"pid\":1,\"tid\":1,\"name\":\"{kind}\",\"args\":{{\"name\":\"{name}\"}}}}"
                    ));
                }
                Some(trace)
            }
            Err(error) => {
                tracing::warn!("there is no trace: `{}` cannot be written: {error}", path.display());
                None
            }
        }
    }

    /// Adds a call that has ended.
    pub(super) fn add(&mut self, name: &str, at: Instant, elapsed: Duration) {
        let Ok(name) = serde_json::to_string(name) else { return };
        let (ts, dur) = (micros(at.saturating_duration_since(self.began)), micros(elapsed));
        self.write(format_args!(",\n{{\"ph\":\"X\",\"pid\":1,\"tid\":1,\"ts\":{ts:.3},\"dur\":{dur:.3},\"name\":{name}}}"));
    }

    pub(super) fn finish(mut self) {
        self.write(format_args!("\n]\n"));
        let flushed = self.file.flush();
        self.note(flushed);
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        if !self.has_failed {
            let written = self.file.write_fmt(text);
            self.note(written);
        }
    }

    fn note(&mut self, written: io::Result<()>) {
        if let Err(error) = written
            && !std::mem::replace(&mut self.has_failed, true)
        {
            tracing::warn!("the trace ends here: `{}` cannot be written: {error}", self.path.display());
        }
    }
}

/// Microseconds with three digits: whole nanoseconds, so that a call stays inside its caller.
fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e3
}
