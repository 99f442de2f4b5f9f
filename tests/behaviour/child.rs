//! Runs parts of tests in a child process, which is a copy of this binary.
//!
//! A part is an ignored test that does nothing unless [`folder`] returns a folder.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

const FOLDER: &str = "STORMFIRE_TEST_PART_FOLDER";

/// Far longer than any part takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(2);

/// Returns the working folder if this process runs a part.
pub(crate) fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Returns the command that runs a part, such as `signals::trains`, in `folder`.
pub(crate) fn part(name: &str, folder: &Path) -> Command {
    let exe = std::env::current_exe().unwrap();
    // If a script starts the tests in the background, all of their children ignore Ctrl-C.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    if ignored.is_some_and(|mask| mask & 0b10 != 0) {
        let mut env = Command::new("/usr/bin/env");
        env.arg("--default-signal=INT").arg(exe);
        return prefixed(env, name, folder);
    }
    prefixed(Command::new(exe), name, folder)
}

/// As [`part`], but under a shell script that prepares the process and ends with `exec "$@"`.
pub(crate) fn part_under(shell: &[&str], script: &str, name: &str, folder: &Path) -> Command {
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-c", script, "sh"]).arg(std::env::current_exe().unwrap());
    prefixed(command, name, folder)
}

fn prefixed(mut command: Command, name: &str, folder: &Path) -> Command {
    command.args([name, "--exact", "--ignored", "--nocapture"]).env(FOLDER, folder).stdin(Stdio::null());
    command
}

/// Runs a part to its end. A failure's message contains its output.
#[track_caller]
pub(crate) fn play(mut command: Command) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{:?}\n{out}\n{err}", output.status);
}

/// A running part. Dropping it kills the process.
pub(crate) struct Running(Child);

impl Running {
    /// Starts a part and discards its output.
    pub(crate) fn start(mut command: Command) -> Self {
        Self(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Sends a signal by name, such as `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.0.id())]).status().unwrap();
        assert!(status.success(), "kill -{name}: {status:?}");
    }

    pub(crate) fn try_wait(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }

    /// Kills the process if it is still running.
    pub(crate) fn kill(mut self) -> ExitStatus {
        self.0.kill().unwrap();
        self.0.wait().unwrap()
    }

    /// Waits for the end of the process.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the end of the part", || self.try_wait())
    }

    /// Waits until `ready` returns true, while the part is running.
    pub(crate) fn wait_until(&mut self, what: &str, ready: impl Fn() -> bool) {
        wait_for(what, || {
            let ended = self.try_wait();
            assert!(ended.is_none() || ready(), "the part ended before {what}: {ended:?}");
            ready().then_some(())
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Calls `ask` repeatedly until it returns a value.
pub(crate) fn wait_for<R>(what: &str, ask: impl FnMut() -> Option<R>) -> R {
    poll(what, Duration::from_millis(10), ask)
}

/// As [`wait_for`], with a custom interval between two calls.
pub(crate) fn poll<R>(what: &str, interval: Duration, mut ask: impl FnMut() -> Option<R>) -> R {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "waited too long for {what}");
        sleep(interval);
    }
}
