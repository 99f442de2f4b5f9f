//! All checks and speeds, each in a child process, and their tables.

use std::{
    error::Error,
    io::Read,
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use accelerator_tests::{Outcome, torch::Torch};

use crate::{checks::CHECKS, speed};

/// Begins the line of a child with its result.
pub(crate) const RESULT: &str = "result: ";

/// A child that takes longer is killed. The first steps on a device compile and tune kernels.
const LIMIT: Duration = Duration::from_mins(5);

/// The same on a software driver, which a busy machine slows down. It only ends what hangs.
const SOFTWARE_LIMIT: Duration = Duration::from_mins(15);

/// After this time, a suite with speeds starts nothing more, and kills what runs: a machine with a GPU may be lent for
/// eight minutes. The report then names the rest.
const WHOLE: Duration = Duration::from_mins(7);

/// How much is run.
#[derive(Clone, Copy)]
pub(crate) enum Scope<'a> {
    /// The checks that a software driver can do.
    Small,
    Checks,
    /// All checks, then the speeds, next to those of a Python and a script that trains the same models in PyTorch.
    Speeds(Option<(&'a str, &'a str)>),
}

/// Runs everything in the scope on an accelerator, and prints a table last.
pub(crate) fn run(accelerator: &str, scope: Scope<'_>) -> Outcome {
    // A name that there is not, or a device that is missing, is one error and not a table of them.
    let device = crate::device(accelerator)?;
    let began = Instant::now();
    // The time that a child has.
    let limit = || match scope {
        Scope::Speeds(_) => WHOLE.saturating_sub(began.elapsed()).min(LIMIT),
        Scope::Checks => LIMIT,
        Scope::Small => SOFTWARE_LIMIT,
    };
    let mut lines = all_checks(accelerator, matches!(scope, Scope::Small), began, &limit);
    if let Scope::Speeds(torch) = scope {
        lines.extend([String::new(), speed::HEADER.into(), speed::RULE.into()]);
        let mut torch = torch.and_then(|(python, script)| {
            Torch::start(python, script).inspect_err(|error| println!("`{python}` does not start: {error}")).ok()
        });
        for row in speed::ROWS {
            let line = match limit() {
                Duration::ZERO => left_out(row.title),
                limit => speed::line(row, &child(accelerator, row.name, limit), torch.as_mut()),
            };
            println!("{line}  ({:.0} s)", began.elapsed().as_secs_f64());
            lines.push(line);
        }
    }
    let failures = lines.iter().filter(|line| line.contains(FAILED)).count();
    println!("\n| on `{device:?}` | |\n|---|---|");
    for line in &lines {
        println!("{line}");
    }
    if failures > 0 { Err(format!("{failures} checks failed: see the table").into()) } else { Ok(()) }
}

const FAILED: &str = "FAILED: ";

pub(crate) fn failed(error: &dyn Error) -> String {
    format!("{FAILED}{}", error.to_string().replace('\n', " "))
}

/// The line of a check, with its result.
pub(crate) fn line(title: &str, said: &Outcome<String>) -> String {
    match said {
        Ok(text) => format!("| {title} | {text} |"),
        Err(error) => format!("| {title} | {} |", failed(error.as_ref())),
    }
}

fn left_out(title: &str) -> String {
    format!("| {title} | left out: no time |")
}

/// The lines of the checks, of which several run at once: most of their time is the compilation of kernels.
fn all_checks(accelerator: &str, small: bool, began: Instant, limit: &(impl Fn() -> Duration + Sync)) -> Vec<String> {
    let at_once = thread::available_parallelism().map_or(1, usize::from).min(8);
    let (next, lines) = (Mutex::new(CHECKS.iter().filter(|check| !small || !check.is_large).enumerate()), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                while let Some((index, check)) = next.lock().ok().and_then(|mut next| next.next()) {
                    let line = match limit() {
                        Duration::ZERO => left_out(check.title),
                        limit => line(check.title, &child(accelerator, check.name, limit)),
                    };
                    println!("{line}  ({:.0} s)", began.elapsed().as_secs_f64());
                    if let Ok(mut lines) = lines.lock() {
                        lines.push((index, line));
                    }
                }
            });
        }
    });
    let mut lines = lines.into_inner().unwrap_or_default();
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

/// The result that a process with one check has printed.
fn child(accelerator: &str, name: &str, limit: Duration) -> Outcome<String> {
    let mut command = Command::new(std::env::current_exe()?);
    // burn restores optimizers on its default device, which only depends on the features of the build.
    match accelerator.split(':').next() {
        None | Some("auto") => {}
        Some("cpu") => drop(command.env("BURN_DEVICE", "flex")),
        Some(own) => drop(command.env("BURN_DEVICE", own)),
    }
    let mut process = command.args([accelerator, "only", name]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let outputs = [process.stdout.take().map(text_of), process.stderr.take().map(text_of)];
    let began = Instant::now();
    let status = loop {
        match process.try_wait()? {
            Some(status) => break status,
            None if began.elapsed() > limit => {
                process.kill()?;
                process.wait()?;
                return Err(format!("not finished after {} s", limit.as_secs()).into());
            }
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    let [shown, errors] = outputs.map(|reader| reader.and_then(|reader| reader.join().ok()).unwrap_or_default());
    match shown.lines().rev().find_map(|line| line.strip_prefix(RESULT)) {
        Some(result) if status.success() => Ok(result.to_owned()),
        _ => {
            eprintln!("--- {name}: {status}\n{shown}\n{errors}---");
            Err(format!("{status}: {}", told(&errors)).into())
        }
    }
}

/// Reads to the end on a separate thread, so that the child never waits for a full pipe.
fn text_of(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The beginning of the first line about a failure, else the last line.
fn told(errors: &str) -> String {
    let mut lines = errors.lines().map(str::trim).filter(|line| !line.is_empty());
    let line = lines
        .clone()
        .find(|line| ["panicked", "error"].iter().any(|word| line.to_lowercase().contains(word)))
        .or_else(|| lines.next_back());
    let after = |line: &str| errors.lines().skip_while(|other| other.trim() != line).nth(1).map(str::trim).unwrap_or_default().to_owned();
    line.map(|line| format!("{line} {}", after(line)).chars().take(300).collect()).unwrap_or_default()
}
