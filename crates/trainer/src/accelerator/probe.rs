//! Queries a driver in a child process, where a crash does no harm.
//!
//! Only the caller's own program contains the code for the query. Starting it again runs the code of its `main` before
//! this module (parsing arguments, deleting old logs, opening ports), and `fork` needs `unsafe`. So a child is started
//! only after `main` has called [`serve`], which never returns in a child.
//!
//! The child prints lines of the form `stormfire-probe: WORD REST`. `adapter` is the name of the adapter that it will
//! use. `fault` is a fault other than a crash. `answer` is the last line, with the result. Without an answer the driver
//! is broken.

use std::{
    env,
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    panic,
    process::{self, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Accelerator,
    driver::{self, Presence},
};

/// The accelerator that a child must test. A process with this variable is a child.
const VARIABLE: &str = "STORMFIRE_PROBE";
const PREFIX: &str = "stormfire-probe: ";

/// Time limit. A driver that was never used on this machine first compiles and tunes its kernels.
const LIMIT: Duration = Duration::from_mins(1);
/// Maximum size of a child's output, in bytes.
const LONGEST: u64 = 1 << 20;

/// Whether the program, if it is started again, reaches [`serve`] early.
static SERVED: AtomicBool = AtomicBool::new(false);
static ANSWERS: Answers = Answers::new();

/// The devices of an accelerator. Queried once for each.
pub(super) fn presence(accelerator: Accelerator) -> Presence {
    if accelerator.handle().is_none() {
        return Presence::Absent;
    }
    ANSWERS.get(accelerator, || {
        let Some(child) = again(accelerator) else {
            return ask_here(accelerator);
        };
        ask(child, LIMIT).unwrap_or_else(|error| {
            tracing::debug!(%error, "no child process can try the driver of `{accelerator}`; this process tries it");
            ask_here(accelerator)
        })
    })
}

/// The results, so that no driver is queried twice.
struct Answers(Mutex<Vec<(Accelerator, Presence)>>);

impl Answers {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The lock is held during a query, so that two threads start only one child.
    fn get(&self, accelerator: Accelerator, ask: impl FnOnce() -> Presence) -> Presence {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, presence)) = known.iter().find(|(key, _)| *key == accelerator) {
            return presence.clone();
        }
        let presence = ask();
        if let Presence::Broken(fault) = &presence {
            tracing::warn!("the driver of accelerator `{accelerator}` is broken and will not be used: {fault}");
        }
        known.push((accelerator, presence.clone()));
        presence
    }
}

/// Loads the driver into this process, as the training would do later.
fn ask_here(accelerator: Accelerator) -> Presence {
    let listed = accelerator.listed();
    // If `vulkan` is compiled in, wgpu compiles to SPIR-V for every Vulkan adapter. Then a matrix product or a softmax
    // ends Mesa's llvmpipe with a segmentation fault (seen with Mesa 22.3.6 and 25.0.7). Opening the device is
    // harmless.
    if cfg!(feature = "vulkan")
        && listed == Presence::Software
        && let Some(name) = accelerator.handle().and_then(|device| driver::name(&device))
        && name.contains("llvmpipe")
    {
        return Presence::Broken(format!("`{name}`: it crashes on the SPIR-V that burn compiles to"));
    }
    listed
}

/// The command to start this program again. `None` unless that is known to be harmless.
fn again(accelerator: Accelerator) -> Option<Command> {
    if !SERVED.load(Ordering::Relaxed) {
        return None;
    }
    let mut command = Command::new(env::current_exe().ok()?);
    command.args(env::args_os().skip(1)).env(VARIABLE, accelerator.to_string());
    // Minimal tuning of the kernels suffices here. Its results are stored separately, because otherwise the training
    // would use them.
    command.env("CUBECL_AUTOTUNE_LEVEL", "minimal").env("CUBECL_ENVIRONMENT", "stormfire-probe");
    Some(command)
}

/// The result of a child, or a description of its end. An error means that it could not be started.
fn ask(mut command: Command, limit: Duration) -> io::Result<Presence> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (sender, lines) = mpsc::channel();
    let output = child.stdout.take();
    // Reads in a separate thread, because a hanging driver keeps the pipe open forever.
    thread::spawn(move || {
        let output = output.map(|output| BufReader::new(output.take(LONGEST)));
        output.into_iter().flat_map(BufReader::lines).map_while(Result::ok).try_for_each(|line| sender.send(line))
    });
    let deadline = Instant::now() + limit;
    let mut report = Report::default();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => {
                if let Some(presence) = report.note(&line) {
                    // Skips the cleanup of the driver, where some crash, and waits until the device is free again.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Ok(presence);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                // A child that hangs in the kernel cannot be killed. This must not wait for it.
                thread::spawn(move || child.wait());
                return Ok(report.broken(&format!("no answer within {} s", limit.as_secs_f64())));
            }
            Err(RecvTimeoutError::Disconnected) => {
                // The child has ended or is ending, unless it closed its output or exceeded the size limit.
                let _ = child.kill();
                return Ok(report.broken(&format!("the process that tried it ended with {}", child.wait()?)));
            }
        }
    }
}

/// The output of a child so far.
#[derive(Default)]
struct Report {
    adapter: Option<String>,
    fault: Option<String>,
}

impl Report {
    /// Parses a line. Returns the answer if the line contains it. Ignores other lines.
    fn note(&mut self, line: &str) -> Option<Presence> {
        let (word, rest) = line.strip_prefix(PREFIX)?.split_once(' ')?;
        match word {
            "adapter" => self.adapter = Some(rest.to_owned()),
            // Keeps the first fault. If a thread of burn panics, the threads that wait for it also panic, with less
            // information.
            "fault" => self.fault = self.fault.take().or_else(|| Some(rest.to_owned())),
            "answer" => return presence_of(rest),
            _ => {}
        }
        None
    }

    fn broken(self, end: &str) -> Presence {
        let adapter = self.adapter.map(|adapter| format!("`{adapter}`: ")).unwrap_or_default();
        Presence::Broken(format!("{adapter}{}", self.fault.as_deref().unwrap_or(end)))
    }
}

/// In a child, answers and ends the process. In any other process, allows children.
pub(super) fn serve() {
    match env::var_os(VARIABLE) {
        Some(question) => answer(&question),
        None => SERVED.store(true, Ordering::Relaxed),
    }
}

/// The task of a child. It must not return to the program.
fn answer(question: &OsStr) -> ! {
    panic::set_hook(Box::new(|panic| say("fault", panic.payload_as_str().unwrap_or("it panicked"))));
    if let Some(accelerator) = question.to_str().and_then(|text| text.parse().ok())
        && let Some(answer) = answer_of(&try_out(accelerator))
    {
        say("answer", &answer);
        process::exit(0);
    }
    process::exit(1);
}

/// As [`ask_here`], but uses the device. A crash ends only the child.
fn try_out(accelerator: Accelerator) -> Presence {
    let listed = accelerator.listed();
    let Some(device) = accelerator.handle() else {
        return Presence::Absent;
    };
    // Code that burn compiles to WGSL runs on a software rasterizer, but too slowly for the time limit.
    if listed == Presence::Absent || (listed == Presence::Software && cfg!(not(feature = "vulkan"))) {
        return listed;
    }
    if let Some(name) = driver::name(&device) {
        say("adapter", &name);
    }
    match driver::try_out(&device) {
        Ok(()) => listed,
        Err(fault) => {
            say("fault", &fault);
            Presence::Broken(fault)
        }
    }
}

/// Prints a separate line, even if the program left its output within a line.
fn say(word: &str, rest: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "\n{PREFIX}{word} {}", rest.replace(['\n', '\r'], " "));
    let _ = out.flush();
}

/// Returns `None` for a broken driver, whose fault was already printed.
fn answer_of(presence: &Presence) -> Option<String> {
    match presence {
        Presence::Absent => Some("absent".to_owned()),
        Presence::Software => Some("software".to_owned()),
        Presence::Real(count) => Some(format!("real {count}")),
        Presence::Broken(_) => None,
    }
}

fn presence_of(answer: &str) -> Option<Presence> {
    match answer {
        "absent" => Some(Presence::Absent),
        "software" => Some(Presence::Software),
        _ => answer.strip_prefix("real ")?.parse().ok().map(Presence::Real),
    }
}

#[cfg(test)]
mod tests;
