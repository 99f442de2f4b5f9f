//! Processes of this program that another process of it starts, for several runs of one line.
//!
//! A child has a pipe to its parent as its input. When the pipe closes, because the parent has received a signal or was
//! killed, the child ends as after SIGTERM: with its checkpoints and logs.

use std::{
    fmt,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use stormfire_loggers::for_trainer::{missing, remove_empty};
use stormfire_module::Error;
use stormfire_trainer::for_tuner::{SignalWatch, check_not_interrupted};
use stormfire_tuner::for_cli::TrialTask;

use crate::args::Line;

/// The option with the folder of a run.
pub(crate) const ROOT: &str = "trainer.default_root_dir";

const VARIABLE: &str = "STORMFIRE_CHILD";

/// The most bytes of the output that are searched for its last line.
const TAIL: usize = 4096;

/// The task that a child gets from its parent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    /// The process of the parent. A child of a child inherits the variable, but has another parent.
    parent: u32,
    /// The trial of a sweep. `None` for a run that belongs to no sweep.
    pub(crate) trial: Option<TrialTask>,
}

/// How the program is started again.
#[derive(Clone, Copy)]
pub(crate) struct Program<'a> {
    pub(crate) file: &'a Path,
    /// The words before those of a line. They select the program in a file with several.
    pub(crate) selector: &'a [String],
}

/// A process to be started.
pub(crate) struct Job<'a> {
    pub(crate) program: Program<'a>,
    pub(crate) words: Vec<String>,
    /// The folder of the run.
    pub(crate) folder: PathBuf,
    /// Whether the output goes into a file: several progress bars on one screen tear each other.
    pub(crate) is_quiet: bool,
    /// Whether the run writes nothing.
    pub(crate) is_dry: bool,
    pub(crate) trial: Option<&'a TrialTask>,
}

impl Job<'_> {
    /// Runs the process to its end.
    pub(crate) fn run(&self, watch: &SignalWatch) -> io::Result<ExitStatus> {
        if !self.is_dry {
            fs_err::create_dir_all(&self.folder)?;
        }
        let task = Task { parent: std::process::id(), trial: self.trial.cloned() };
        let mut command = Command::new(self.program.file);
        command.args(self.program.selector).args(&self.words).arg(format!("--{ROOT}={}", self.folder.display()));
        command.env(VARIABLE, serde_json::to_string(&task)?).stdin(Stdio::piped());
        if self.is_quiet && !self.is_dry {
            let log = fs_err::OpenOptions::new().create(true).append(true).open(self.output())?;
            command.stderr(log.try_clone()?.into_parts().0).stdout(log.into_parts().0);
        }
        wait(command.spawn()?, watch)
    }

    fn output(&self) -> PathBuf {
        self.folder.join("output.log")
    }

    /// How the process has ended, with the last line of its output if that is known.
    pub(crate) fn ending(&self, status: ExitStatus) -> String {
        let text = self.is_quiet.then(|| fs_err::read(self.output()).ok()).flatten().unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL)..]).into_owned();
        match text.lines().map(str::trim).rfind(|line| !line.is_empty()) {
            Some(last) => format!("the process has ended with {status}: {last}"),
            None => format!("the process has ended with {status}"),
        }
    }
}

fn wait(mut child: Child, watch: &SignalWatch) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if watch.received().is_some() {
            // The child ends, too.
            child.stdin = None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// The words of a line that all of its runs have, without its options.
pub(crate) fn common_words(line: &Line) -> Vec<String> {
    let files = line.files.iter().map(|file| format!("--config={}", file.display()));
    let checkpoint = line.ckpt_path.iter().map(|path| format!("--ckpt-path={path}"));
    files.chain(checkpoint).chain(line.dry_run.then(|| "--dry-run".to_owned())).collect()
}

/// The task of this process, if another process of the program has started it. It then ends with that process.
pub(crate) fn task() -> Option<Task> {
    let task: Task = serde_json::from_str(&std::env::var(VARIABLE).ok()?).ok()?;
    if !is_parent(task.parent) {
        return None;
    }
    thread::spawn(|| {
        let mut input = io::stdin().lock();
        let mut bytes = [0; 64];
        while input.read(&mut bytes).is_ok_and(|read| read > 0) {}
        // A second signal would end the process at once, without its checkpoints.
        if check_not_interrupted().is_ok() {
            let _ = signal_hook::low_level::raise(signal_hook::consts::SIGTERM);
        }
    });
    Some(task)
}

#[cfg(unix)]
fn is_parent(id: u32) -> bool {
    std::os::unix::process::parent_id() == id
}

/// Windows does not report it.
#[cfg(not(unix))]
fn is_parent(_id: u32) -> bool {
    true
}

/// The error of an option whose folder cannot be written to.
pub(crate) fn unwritable(option: &str, error: &impl fmt::Display) -> Error {
    Error::config(option, error.to_string(), "choose a folder that can be written to")
}

/// A folder that this process has created.
pub(crate) struct NewFolder {
    pub(crate) path: PathBuf,
    /// The folders above it that did not exist before, from the inside.
    above: Vec<PathBuf>,
}

impl NewFolder {
    /// Removes it and the new folders above it, as far as they are empty.
    pub(crate) fn remove_unused(&self) {
        remove_empty(std::iter::once(&self.path).chain(&self.above));
    }
}

/// The next free `NAME_K` in a folder. Only one process creates it.
pub(crate) fn new_folder(root: &Path, name: &str) -> io::Result<NewFolder> {
    let above = missing(root);
    match fs_err::create_dir_all(root).and_then(|()| next_free(root, name)) {
        Ok(path) => Ok(NewFolder { path, above }),
        Err(error) => {
            remove_empty(&above);
            Err(error)
        }
    }
}

fn next_free(root: &Path, name: &str) -> io::Result<PathBuf> {
    let mut number = 0;
    loop {
        let folder = root.join(format!("{name}_{number}"));
        match fs_err::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}
