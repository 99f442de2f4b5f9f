//! The command line of a program without a module.

use crate::{
    args::{self, Print, Words},
    completion,
    env::{self, PREFIX},
    error::{Problem, Result},
    help::{Page, WIDTH},
    layers::Layers,
    node::Node,
    print::{print_config, print_schema},
    process::{self, Process},
    secret,
    section::Section,
    source::Source,
};

/// The options of a program that runs no module by [`Cli`](crate::Cli): a custom training loop, or a search. They are
/// the fields of a type. As in `Cli`, they come from its defaults, files with `-c`, variables such as
/// `STORMFIRE__EPOCHS` and flags, and there are `--help`, `--print-config`, `--print-schema` and `--completion`.
/// `about` is the first line of the help.
///
/// This also serves the probe of drivers and starts the console, as [`Cli::run`](crate::Cli::run) does. A page of help
/// goes to stdout and ends the process with the exit code 0. A mistake goes to stderr and ends it with 2.
///
/// A field may limit its values with `#[schemars(range(min = 1))]` or a type such as `NonZeroUsize`. A value outside of
/// the range is a mistake like every other, and the error names its flag, variable or line.
///
/// A variable with the prefix `STORMFIRE__` that is not an option is a mistake, too: it would silently have no effect.
/// If one is exported for another program, such as `STORMFIRE__TRAINER__MAX_EPOCHS`, start this program with
/// `env -u STORMFIRE__TRAINER__MAX_EPOCHS`, or give the other one its own prefix with
/// [`Cli::env_prefix`](crate::Cli::env_prefix).
///
/// ```no_run
/// use schemars::JsonSchema;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
/// #[serde(default, deny_unknown_fields)]
/// struct Options {
///     /// The number of epochs.
///     #[schemars(range(min = 1))]
///     epochs: usize,
/// }
///
/// impl Default for Options {
///     fn default() -> Self {
///         Self { epochs: 4 }
///     }
/// }
///
/// let Options { epochs } = stormfire_cli::parse("Trains without the Trainer.");
/// println!("{epochs}");
/// ```
pub fn parse<C: Section>(about: &str) -> C {
    match read(about, &Process::start()) {
        Ok(Parsed::Options(options)) => options,
        Ok(Parsed::Printed(text)) => process::printed(&text, 0),
        Err(error) => process::refused(&error),
    }
}

/// The result of a command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed<C> {
    /// The options.
    Options(C),
    /// The output that the user requested, such as the help.
    Printed(String),
}

/// As [`parse`], for this command line without the name of the program, and for these variables. It prints nothing and
/// never ends the process.
///
/// # Errors
/// For a mistake on the command line, in a file or in a variable.
pub fn try_parse<C: Section>(about: &str, args: &[&str], variables: &[(&str, &str)]) -> Result<Parsed<C>> {
    let args = args.iter().map(|arg| (*arg).to_owned()).collect();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    read(about, &Process { program: "program".into(), args, variables, undecodable: Vec::new(), columns: WIDTH })
}

fn read<C: Section>(about: &str, process: &Process) -> Result<Parsed<C>> {
    let Process { program, args, variables, undecodable, columns } = process;
    let mut layers = Layers::of(&C::default())?;
    let schema = layers.schema().clone();
    let (line, mut problems) = args::parse_all(args, &schema, Words::PLAIN);
    if line.print.as_ref().is_some_and(|print| !matches!(print, Print::Config { .. })) {
        std::mem::take(&mut problems).into_result()?;
    }
    match &line.print {
        Some(Print::Help { all }) => {
            let defaults = Node::of(&C::default(), &Source::default_value()).map_err(|error| Problem::general(error.to_string()))?;
            let defaults = &secret::without(&defaults, &schema);
            let page = Page { program, about, words: Words::PLAIN, schema: &schema, defaults, prefix: PREFIX, columns: *columns };
            return Ok(Parsed::Printed(page.text(*all)));
        }
        Some(Print::Schema) => return Ok(Parsed::Printed(print_schema(&schema))),
        Some(Print::Completion(shell)) => return completion::script(shell, program, Words::PLAIN, &schema).map(Parsed::Printed),
        Some(Print::Config { .. }) | None => {}
    }
    let variables = env::assignments(PREFIX, variables.iter().cloned(), &schema);
    let variables = env::check_text(PREFIX, undecodable).and(variables);
    layers = layers.files_and_variables(&line.files, variables, &mut problems).flags(line.options);
    layers.end_with(problems)?;
    if let Some(Print::Config { docs }) = line.print {
        return Ok(Parsed::Printed(print_config(&layers.checked()?, &schema, docs)));
    }
    layers.resolve().map(Parsed::Options)
}

#[cfg(test)]
mod tests;
