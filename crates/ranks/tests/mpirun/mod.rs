//! Runs an example as several ranks under `mpirun`. No rank may hang.

#![allow(dead_code, reason = "a test program uses a part of it")]

use std::{
    env, fs,
    io::{BufRead, BufReader, Read as _},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

/// The time between two checks of the ranks.
const LOOK: Duration = Duration::from_secs(1);
/// Looks between two lines of output. No test needs as many.
const LIMIT: usize = 60;
/// `mpirun` of Open MPI 4.1 sometimes hangs after the last of its processes was killed. The number of checks until it
/// is killed.
const PATIENCE: usize = 3;

/// The example with this name.
pub(crate) fn program(name: &str) -> PathBuf {
    let mut path = env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("examples").join(name)
}

/// The launcher of the MPI that the examples were built with: Open MPI, or a family without its options.
pub(crate) fn launcher() -> Command {
    if let Some(other) = env::var_os("STORMFIRE_TEST_LAUNCHER") {
        return Command::new(other);
    }
    let mut command = Command::new("mpirun");
    command.args(["--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]);
    command
}

/// The example on `ranks` ranks.
pub(crate) fn mpirun(ranks: usize, name: &str, words: &[&str]) -> Command {
    let mut command = launcher();
    command.args(["-n", &ranks.to_string()]).arg(program(name)).args(words);
    command
}

/// The end of a command.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Its output.
    pub(crate) text: String,
}

/// Runs the command to its end. Calls `on_line` with each line that it prints.
pub(crate) fn run(mut command: Command, mut on_line: impl FnMut(&str)) -> Ended {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (sender, lines) = mpsc::channel();
    let (out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let reader = thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let errors = thread::spawn(move || {
        let mut text = Vec::new();
        err.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
    });
    let (mut text, mut looks, mut alone) = (String::new(), 0, 0);
    // A slow start is not an end.
    let mut had_ranks = false;
    loop {
        match lines.recv_timeout(LOOK) {
            Ok(line) => {
                on_line(&line);
                text = text + &line + "\n";
                looks = 0;
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {
                looks += 1;
                let is_left = is_left(&child);
                had_ranks |= !is_left;
                alone = if is_left && had_ranks { alone + 1 } else { 0 };
                if alone > PATIENCE || looks > LIMIT {
                    child.kill().unwrap();
                }
                assert!(looks <= LIMIT, "it hangs: {text}");
            }
        }
    }
    let status = child.wait().unwrap();
    reader.join().unwrap();
    text += &errors.join().unwrap().unwrap();
    Ended { status, text }
}

/// Whether all children of a process have ended.
fn is_left(parent: &Child) -> bool {
    let parent = parent.id().to_string();
    let is_child = |stat: &str| {
        let mut fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        fields.next() != Some("Z") && fields.next() == Some(&parent)
    };
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    !processes.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok()).any(|stat| is_child(&stat))
}

/// The processes of the ranks, from the lines that they print at their start.
#[derive(Default)]
pub(crate) struct Processes(Vec<(usize, String)>);

impl Processes {
    /// Reads a line. Returns whether it made the ranks complete.
    pub(crate) fn read(&mut self, line: &str, ranks: usize) -> bool {
        let read = line.strip_prefix("rank ").and_then(|rest| rest.split_once(" is process "));
        self.0.extend(read.map(|(rank, process)| (rank.parse().unwrap(), process.to_owned())));
        read.is_some() && self.0.len() == ranks
    }

    /// The number of a rank's process.
    pub(crate) fn of(&self, rank: usize) -> String {
        self.0.iter().find(|(other, _)| *other == rank).unwrap().1.clone()
    }

    /// Checks that all of them have ended.
    pub(crate) fn assert_ended(&self) {
        for (rank, process) in &self.0 {
            // A process that has ended may wait for its parent for a moment.
            let lives = || fs::read_to_string(format!("/proc/{process}/stat")).is_ok_and(|stat| !stat.contains(") Z"));
            for _ in 0..300 {
                if lives() {
                    thread::sleep(Duration::from_millis(100));
                }
            }
            assert!(!lives(), "rank {rank} lives on");
        }
    }
}

/// Sends a signal, such as `-KILL`, to processes at once. They may have ended.
pub(crate) fn send(signal: &str, processes: &[String]) {
    let _ = Command::new("kill").arg(signal).args(processes).stderr(Stdio::null()).status().unwrap();
}
