//! Trials in child processes: this program, started again.
//!
//! A child learns its task from an environment variable, and answers in a file. It does what the program does until the
//! call that the task names, runs one trial there, and ends.

use std::{
    env,
    path::PathBuf,
    process::{self, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use stormfire_module::{Error, Result};

use super::attempt::Outcome;

const VARIABLE: &str = "STORMFIRE_BATCH_SIZE_TRIAL";
/// Maximum length of a reason, in bytes.
const LONGEST: usize = 500;

/// The task of a child.
#[derive(Debug, Serialize, Deserialize)]
struct Task {
    /// The number of the call in its process.
    call: usize,
    /// The results of the calls before it.
    earlier: Vec<usize>,
    size: usize,
    answer: PathBuf,
}

/// The content of the answer file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Answer {
    /// The child has reached the call.
    Begun,
    Ended(Outcome),
    Interrupted,
}

/// The number of calls so far.
static CALLS: AtomicUsize = AtomicUsize::new(0);
/// Their results.
static RESULTS: Mutex<Vec<usize>> = Mutex::new(Vec::new());

/// A call whose trials run in children.
pub(super) struct Call {
    number: usize,
    known: Option<usize>,
}

/// The current call, if its trials run in children. In a child, runs its trial and ends the process.
pub(super) fn call(in_child_process: bool, trial: &mut dyn FnMut(usize) -> Result<Outcome>) -> Result<Option<Call>> {
    if !in_child_process {
        return Ok(None);
    }
    let number = CALLS.fetch_add(1, Ordering::SeqCst);
    let Some(task) = env::var_os(VARIABLE) else { return Ok(Some(Call { number, known: None })) };
    let task: Task = task.to_str().and_then(|text| serde_json::from_str(text).ok()).ok_or_else(|| unreadable(VARIABLE))?;
    if task.call != number {
        return Ok(Some(Call { number, known: task.earlier.get(number).copied() }));
    }
    answer(&task, &Answer::Begun)?;
    let outcome = match trial(task.size) {
        Ok(outcome) => Answer::Ended(outcome),
        Err(Error::Interrupted { .. }) => Answer::Interrupted,
        Err(error) => Answer::Ended(Outcome::Fails { reason: error.to_string() }),
    };
    answer(&task, &outcome)?;
    process::exit(0)
}

/// Whether this process was started for one trial of a search.
pub fn is_batch_size_trial() -> bool {
    env::var_os(VARIABLE).is_some()
}

fn unreadable(what: &str) -> Error {
    Error::config("ScaleBatchSize::in_child_process", format!("`{what}` cannot be read"), "unset it")
}

fn answer(task: &Task, answer: &Answer) -> Result<()> {
    fs_err::write(&task.answer, serde_json::to_vec(answer).map_err(Error::other)?)?;
    Ok(())
}

impl Call {
    /// The result, in a child of a later call.
    pub(super) fn known(&self) -> Option<usize> {
        self.known
    }

    /// Keeps the result for the children of later calls.
    pub(super) fn note(found: usize) {
        RESULTS.lock().unwrap_or_else(PoisonError::into_inner).push(found);
    }

    /// Runs a trial in a child.
    pub(super) fn trial(&self, size: usize) -> Result<Outcome> {
        let file = tempfile::NamedTempFile::new()?;
        let earlier = RESULTS.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let task = Task { call: self.number, earlier, size, answer: file.path().to_owned() };
        let task = serde_json::to_string(&task).map_err(Error::other)?;
        let mut command = Command::new(env::current_exe()?);
        command.args(env::args_os().skip(1)).env(VARIABLE, task).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let output = command.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim().lines().last().unwrap_or_default();
        let said: String = said.chars().take(LONGEST).collect();
        match serde_json::from_slice(&fs_err::read(file.path())?) {
            Ok(Answer::Ended(outcome)) => Ok(outcome),
            Ok(Answer::Interrupted) => Err(Error::Interrupted { by: "a signal to the child process".into() }),
            Ok(Answer::Begun) => Ok(Outcome::Fails { reason: format!("the process ended with {}: {said}", output.status) }),
            Err(_) => {
                let reason = format!("the child process ended with {} before it reached this call: {said}", output.status);
                let hint = "the program must reach the call again when it is started with the same arguments";
                Err(Error::config("ScaleBatchSize::in_child_process", reason, hint))
            }
        }
    }
}
