//! Words that do not go together, and options that several runs do not have.

use super::{Command, Line};
use crate::{
    assign::Assignment,
    error::{Problem, Result},
    quote,
    schema::{Schema, is_within},
    secret,
    values::{self, Values},
};

/// Refuses words without an effect, unless the line requests help.
pub(crate) fn check_combination(line: &Line, schema: &Schema) -> Result<()> {
    if line.wants_help() {
        return Ok(());
    }
    let command = line.command.unwrap_or_default();
    let sweeps = command == Command::Sweep;
    if line.multirun && sweeps {
        let help = "`sweep` itself runs the program with several values".to_owned();
        return Err(Problem::general("`--multirun` cannot be combined with `sweep`").help(help).into());
    }
    let is_varied = |option: &&Assignment| values::of_all_runs(option).is_none() && is_secret(option, schema);
    if let Some(option) = line.options.iter().filter(|_| line.multirun || sweeps).find(is_varied) {
        return Err(Problem::of_varied_secret(&option.path, &option.source).into());
    }
    if line.jobs.is_some() && !line.multirun && !sweeps {
        return Err(Problem::general("`--jobs` has no effect on one run").help("it is for `--multirun` and `sweep`".to_owned()).into());
    }
    if line.ckpt_path.is_some() && (sweeps || command == Command::Tune) {
        let message = format!("`{}` starts from a new module, so `--ckpt-path` has no effect", command.name());
        let help = "load weights in the function that builds the module".to_owned();
        return Err(Problem::general(message).help(help).into());
    }
    // Files and variables are for all commands.
    for owner in [Command::Tune, Command::Sweep].into_iter().filter(|owner| *owner != command) {
        if let Some(option) = line.options.iter().find(|option| is_within(&option.path, owner.name())) {
            let message = format!("`{}` has no effect on `{}`", quote::name(&option.path), command.name());
            return Err(Problem::new(&option.source, message).help(format!("it is for the command `{}`", owner.name())).into());
        }
    }
    Ok(())
}

/// Whether an option or one below it is a secret, or its value has one.
pub(super) fn is_secret(option: &Assignment, schema: &Schema) -> bool {
    let path = &option.path;
    let is_near = |leaf: &str| is_within(leaf, path) || is_within(path, leaf);
    schema.leaves().any(|leaf| leaf.is_secret && is_near(&leaf.path)) || has_secret(option, schema)
}

/// Whether the value of an option, or one of several, has a secret in a list or an address.
fn has_secret(option: &Assignment, schema: &Schema) -> bool {
    let Some(text) = &option.text else { return false };
    // A list may have thousands of numbers.
    if schema.leaf(&option.path).is_some_and(|leaf| leaf.kinds.is_plain()) {
        return false;
    }
    let several = match values::of(text) {
        Ok(Values::Each(several)) => several,
        _ => Vec::new(),
    };
    let of_text = |text: &String| Assignment { text: Some(text.clone()), ..option.clone() };
    [text].into_iter().chain(&several).any(|text| of_text(text).layer(schema).is_ok_and(|layer| secret::has(&layer, schema)))
}
