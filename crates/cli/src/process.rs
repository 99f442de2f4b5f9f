//! The process of a program: its words and variables, and its end.

use std::{ffi::OsString, io::Write as _, path::PathBuf};

use stormfire_trainer::Accelerator;

use crate::{error::Error, help, quote};

/// The arguments and the environment of a process.
pub(crate) struct Process {
    /// The name of its program.
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) variables: Vec<(String, String)>,
    /// The names of the variables that are not UTF-8. Those of other programs may be anything.
    pub(crate) undecodable: Vec<String>,
    /// The width of the terminal.
    pub(crate) columns: usize,
}

impl Process {
    /// Serves the probe of drivers and starts the console. These are the first things that a program does.
    pub(crate) fn start() -> Self {
        Accelerator::serve_probe();
        // A console before it has another width.
        let columns = console::Term::stdout().size_checked().map_or(help::WIDTH, |(_, columns)| columns.into());
        stormfire_console::init();
        let mut args = std::env::args_os();
        let program = args.next().map(PathBuf::from);
        let program = program.as_ref().and_then(|path| path.file_name()).map_or("program".into(), |name| name.to_string_lossy());
        let program = program.trim_end_matches(std::env::consts::EXE_SUFFIX).to_owned();
        let (variables, undecodable) = environment();
        Self { program, args: args.map(text).collect(), variables, undecodable, columns }
    }
}

/// The variables of the process, and the names of those that are not UTF-8.
pub(crate) fn environment() -> (Vec<(String, String)>, Vec<String>) {
    let (mut variables, mut undecodable) = (Vec::new(), Vec::new());
    for (name, value) in std::env::vars_os() {
        match (name.to_str(), value.into_string()) {
            (Some(name), Ok(value)) => variables.push((name.to_owned(), value)),
            _ => undecodable.push(name.to_string_lossy().into_owned()),
        }
    }
    (variables, undecodable)
}

/// A word that is not UTF-8 cannot be stored in a configuration.
fn text(arg: OsString) -> String {
    arg.into_string().unwrap_or_else(|arg| end_with(&format!("`{}` is not UTF-8", quote::value(&arg.to_string_lossy())), 2))
}

/// Ends the process, because its command line or a file is wrong.
pub(crate) fn refused(error: &Error) -> ! {
    end_with(&error.to_string(), 2)
}

fn end_with(error: &str, code: i32) -> ! {
    let _ = writeln!(std::io::stderr().lock(), "error: {error}");
    std::process::exit(code)
}

/// Prints and ends the process.
pub(crate) fn printed(text: &str, code: i32) -> ! {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // A closed pipe, as of `| head`, is not an error.
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => end_with(&format!("stdout cannot be written: {error}"), 1),
        _ => std::process::exit(code),
    }
}
