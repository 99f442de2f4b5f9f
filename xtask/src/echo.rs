//! Runs a command whose output is shown and whose last lines are kept.

use std::io::{self, Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// A failure of a test, or a short table of failures.
const LINES: usize = 30;

/// A line may hold a whole document.
const BYTES: usize = 6000;

/// The output of a command can stay open after its end: what it started may hold it.
const PATIENCE: Duration = Duration::from_secs(5);

/// Both outputs of the command go to standard output, in their order. Returns the status and the last lines.
pub(crate) fn run(command: &mut Command) -> Result<(ExitStatus, String)> {
    let (reader, writer) = io::pipe()?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let child = command.spawn();
    // The command keeps its ends of the pipe, and the reader waits for all of them.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = child?;
    let kept = Arc::new(Mutex::new(Vec::new()));
    let echo = thread::spawn({
        let kept = Arc::clone(&kept);
        move || echo(reader, &kept)
    });
    let status = child.wait()?;
    let end = Instant::now();
    while !echo.is_finished() && end.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(5));
    }
    let kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    Ok((status, last_lines(&kept)))
}

fn echo(mut reader: impl Read, kept: &Mutex<Vec<u8>>) {
    let mut bytes = [0; 8192];
    while let Ok(count @ 1..) = reader.read(&mut bytes) {
        let _ = io::stdout().write_all(&bytes[..count]).and_then(|()| io::stdout().flush());
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(&bytes[..count]);
        let surplus = kept.len().saturating_sub(BYTES);
        kept.drain(..surplus);
    }
}

fn last_lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_of_both_outputs_are_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "seq 100; echo broken >&2; exit 3"]);
        let (status, lines) = run(&mut command).unwrap();
        assert_eq!(status.code(), Some(3));
        assert_eq!(lines.lines().count(), LINES);
        assert!(lines.starts_with("72\n") && lines.ends_with("100\nbroken"), "{lines}");
    }

    #[test]
    fn an_output_that_stays_open_is_not_waited_for() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo begun; sleep 60 &"]);
        let began = Instant::now();
        let (status, lines) = run(&mut command).unwrap();
        assert!(status.success() && began.elapsed() < Duration::from_secs(50));
        assert_eq!(lines, "begun");
    }
}
