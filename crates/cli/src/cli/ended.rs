//! Why a program ends before its run, and the sources of refused options.

use std::path::Path;

use stormfire_module::{Error as RunError, secrets::Secrets};
use stormfire_values::ConfigError;

use crate::{
    children::{Program, ROOT},
    error::{Error, Problem},
    multirun,
    node::Node,
    schema::{Schema, join},
    secret,
    source::{Origin, Source},
    sweep, tune,
};

/// Why a program ends before its run.
pub(super) enum Ended {
    /// It has printed the requested output.
    Printed(String),
    /// It is started several times.
    Several(Box<Runs>),
    /// The command line or the configuration is wrong.
    Usage(Error),
    /// Something failed.
    Failed(RunError),
}

impl Ended {
    /// Functions of the program know the secrets.
    pub(super) fn hide(self, secrets: &Secrets) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(secret::hidden_in(error, secrets)),
            other => other,
        }
    }

    /// For a check that runs nothing.
    pub(super) fn into_usage(self) -> Error {
        match self {
            Self::Usage(error) => error,
            other => {
                let error = other.into_error();
                Problem::general(error.to_string()).help(error.hint()).into()
            }
        }
    }

    /// For a function that does not print.
    pub(super) fn into_error(self) -> RunError {
        match self {
            Self::Usage(error) => error.into(),
            Self::Failed(error) => error,
            Self::Printed(text) => RunError::other(text),
            Self::Several(_) => RunError::other("several runs need processes"),
        }
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Usage(error)
    }
}

impl From<RunError> for Ended {
    fn from(error: RunError) -> Self {
        Self::Failed(error)
    }
}

impl Problem {
    pub(super) fn into_ended(self) -> Ended {
        Ended::Usage(self.into())
    }
}

/// Several runs of the program.
pub(super) struct Runs {
    pub(super) plan: Plan,
    /// The source of their folder.
    pub(super) folder: Source,
    /// The words that select the program in a file with several.
    pub(super) selector: Vec<String>,
}

/// The words of several runs.
pub(super) enum Plan {
    Multirun(multirun::Plan),
    Sweep(Box<sweep::Plan>),
}

impl Runs {
    /// Runs them with this file of the program. Returns what to print, and whether all is well.
    pub(super) fn run(&self, file: &Path) -> Result<(String, bool), Ended> {
        let world = stormfire_ranks::here().map_err(RunError::from)?.world();
        if world > 1 {
            let problem = Problem::general(format!("`-m` and `sweep`: {world} ranks would each start all of them"));
            return Err(problem.help("start them in one process, without a launcher".to_owned()).into_ended());
        }
        let program = Program { file, selector: &self.selector };
        // The option of the folder in errors, and the option that chooses the folder.
        let (option, place, ended) = match &self.plan {
            Plan::Multirun(plan) => (ROOT, ROOT, plan.run(program)),
            Plan::Sweep(plan) => (sweep::FOLDER, plan.place, plan.run(program)),
        };
        ended.map_err(|error| match error {
            // A default is not a mistake of the user.
            RunError::Config(refused) if refused.option == option && !self.folder.is_default() => {
                Problem::new(&self.folder, format!("`{place}`: {}", refused.reason)).help(refused.hint).into_ended()
            }
            other => Ended::Failed(other),
        })
    }
}

/// An error of an option with the source of its value. Other errors stay as they are.
pub(super) fn in_source(error: RunError, config: &Node, schema: &Schema, section: &str) -> Ended {
    let RunError::Config(refused) = &error else { return Ended::Failed(error) };
    let paths = [refused.option.clone(), join(section, &refused.option)];
    let found = paths.iter().find_map(|path| schema.leaf(path).and(config.get(path.split('.'))).map(|node| (path, node)));
    match found {
        Some((path, node)) => refused_at(refused, path, node, config, schema),
        None => Ended::Failed(error),
    }
}

/// An error of the command `tune`, with the place of the option that a finder refuses. Other errors stay as they are,
/// and so does one of the option that `tune` itself has chosen for the batch size.
pub(super) fn of_tune(error: RunError, config: &Node, schema: &Schema) -> Ended {
    match tune::of_finder(&error, config) {
        Some(refused) => in_source(refused, config, schema, tune::SECTION),
        None => Ended::Failed(error),
    }
}

/// The error of an option at this path, with this value.
pub(super) fn refused_at(refused: &ConfigError, path: &str, node: &Node, config: &Node, schema: &Schema) -> Ended {
    let problem = Problem::new(&node.source, format!("`{path}`: {}", refused.reason)).help(refused.hint.clone());
    Ended::Usage(secret::redacted(problem.into(), config, schema))
}

/// A checkpoint that cannot be used is a mistake on the command line.
pub(super) fn of_ckpt_path(error: &RunError) -> Ended {
    let problem = Problem::new(&Origin::Flag("--ckpt-path".into()).into(), error.to_string());
    problem.help(error.hint()).into_ended()
}
