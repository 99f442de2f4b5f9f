//! Asking a driver in a child process, which may crash in our place.
//!
//! The only program that holds the code to ask with is the caller's own. Starting it again runs whatever its `main` does
//! before it reaches us (parsing arguments, deleting old logs, opening ports), and `fork` needs `unsafe`. So there is a
//! child only once `main` has called [`serve`], which in a child never returns.
//!
//! The child prints lines of `stormfire-probe: WORD REST`: `adapter` with the name of what it is about to use, `fault`
//! with what went wrong short of a crash, and at last `answer` with what there is. Without an answer the driver is broken.

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

/// What a child is to look for; by it a process knows that it is one.
const VARIABLE: &str = "STORMFIRE_PROBE";
const PREFIX: &str = "stormfire-probe: ";

/// A driver that was never used on this machine compiles and tunes its kernels first.
const LIMIT: Duration = Duration::from_mins(1);
/// Far more than a child has to say.
const LONGEST: u64 = 1 << 20;

/// Whether this program, started again, reaches [`serve`] before it does anything else.
static SERVED: AtomicBool = AtomicBool::new(false);
static ANSWERS: Answers = Answers::new();

/// What there is of an accelerator; asked once for each.
pub(super) fn presence(accelerator: Accelerator) -> Presence {
    if accelerator.handle().is_none() {
        return Presence::Absent;
    }
    ANSWERS.get(accelerator, || {
        let Some(child) = again(accelerator) else {
            return ask_here(accelerator);
        };
        ask(child, LIMIT).unwrap_or_else(|error| {
            tracing::debug!(%error, "no child process to ask the driver of `{accelerator}` in; asking in this one");
            ask_here(accelerator)
        })
    })
}

/// What was found, so that no driver is asked twice.
struct Answers(Mutex<Vec<(Accelerator, Presence)>>);

impl Answers {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The lock is held while a driver is asked: two threads that want to know start one child.
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

/// Loads the driver into this process, as training would a moment later.
fn ask_here(accelerator: Accelerator) -> Presence {
    let listed = accelerator.listed();
    // Once `vulkan` is compiled in, wgpu compiles to SPIR-V for every Vulkan adapter, and a matrix product or a softmax
    // then ends Mesa's llvmpipe with a segmentation fault (seen with Mesa 22.3.6 and 25.0.7). To open it is harmless.
    if cfg!(feature = "vulkan")
        && listed == Presence::Software
        && let Some(name) = accelerator.handle().and_then(|device| driver::name(&device))
        && name.contains("llvmpipe")
    {
        return Presence::Broken(format!("`{name}`: it crashes on the SPIR-V that burn compiles to"));
    }
    listed
}

/// This program as it was started, once more; `None` where that is not known to be harmless.
fn again(accelerator: Accelerator) -> Option<Command> {
    if !SERVED.load(Ordering::Relaxed) {
        return None;
    }
    let mut command = Command::new(env::current_exe().ok()?);
    command.args(env::args_os().skip(1)).env(VARIABLE, accelerator.to_string());
    // A quick choice among the kernels is good enough here; kept apart, or training would find and use it.
    command.env("CUBECL_AUTOTUNE_LEVEL", "minimal").env("CUBECL_ENVIRONMENT", "stormfire-probe");
    Some(command)
}

/// What a child answers, or what became of it. An error means that it could not be started.
fn ask(mut command: Command, limit: Duration) -> io::Result<Presence> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let (sender, lines) = mpsc::channel();
    let output = child.stdout.take();
    // A thread of its own, since a hanging driver keeps the pipe open for good.
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
                    // Spares it the driver's own clean-up, where some crash, and waits until the device is free again.
                    let _ = child.kill();
                    let _ = child.wait();
                    return Ok(presence);
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                // One that hangs in the kernel cannot be killed, and must not be waited for.
                thread::spawn(move || child.wait());
                return Ok(report.broken(&format!("no answer within {} s", limit.as_secs_f64())));
            }
            Err(RecvTimeoutError::Disconnected) => {
                // Dead or dying, unless it closed its output, or said too much.
                let _ = child.kill();
                return Ok(report.broken(&format!("it ended the process that tried it with {}", child.wait()?)));
            }
        }
    }
}

/// What a child has said so far.
#[derive(Default)]
struct Report {
    adapter: Option<String>,
    fault: Option<String>,
}

impl Report {
    /// Takes note of a line; the answer, if it is the line with the answer. Lines of others are none of ours.
    fn note(&mut self, line: &str) -> Option<Presence> {
        let (word, rest) = line.strip_prefix(PREFIX)?.split_once(' ')?;
        match word {
            "adapter" => self.adapter = Some(rest.to_owned()),
            // The first one: when a thread of burn panics, so do those that wait for it, and they know less.
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

/// Ends a child with an answer; marks any other process as one that may have children.
pub(super) fn serve() {
    match env::var_os(VARIABLE) {
        Some(question) => answer(&question),
        None => SERVED.store(true, Ordering::Relaxed),
    }
}

/// What a child is for. The program that it was started as must not go on.
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

/// As [`ask_here`], but uses the device: whatever happens, happens to a child.
fn try_out(accelerator: Accelerator) -> Presence {
    let listed = accelerator.listed();
    let Some(device) = accelerator.handle() else {
        return Presence::Absent;
    };
    // What burn compiles to WGSL runs on a software rasterizer, but so slowly that it could miss the time limit.
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

/// Prints a line of its own, wherever the program has left its output.
fn say(word: &str, rest: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "\n{PREFIX}{word} {}", rest.replace(['\n', '\r'], " "));
    let _ = out.flush();
}

/// There is none of a broken driver: its fault has been told.
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
