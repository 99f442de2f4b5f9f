//! The values of several runs, for the fuzz target.

use crate::{
    args::{self, Line, Words},
    assign::Assignment,
    error::Result,
    layers::Layers,
    multirun, sweep,
};

/// The most runs whose options are read.
const MOST: usize = 16;

/// Divides the values of a line as `-m` does, and reads the options of the first runs. Returns whether the process of
/// each run reads the same options from its words.
///
/// # Errors
/// For a mistake in the line, except for the values of single runs.
pub fn check_multirun(words: &[&str], layers: &Layers) -> Result<bool> {
    let line = line(words, layers)?;
    let plan = multirun::plan(&line, ".".into())?;
    let is_read_alike = |(number, options): (usize, Vec<Assignment>)| {
        let Ok(checked) = layers.clone().flags(options).checked() else { return true };
        let read = layers.clone().args(&plan.words(number)).and_then(|layers| layers.checked());
        read.is_ok_and(|read| read.is_same(&checked))
    };
    // The files are not among these layers.
    Ok(!line.files.is_empty() || plan.options_of_runs(&line.options).enumerate().take(MOST).all(is_read_alike))
}

/// Divides the values of a line as `sweep` does, and reads the options of a first trial.
///
/// # Errors
/// For a mistake in the line.
pub fn check_sweep(words: &[&str], layers: &Layers) -> Result<()> {
    let (plain, space) = sweep::divide(&line(words, layers)?.options)?;
    let layers = layers.clone().flags(plain);
    match space {
        Some(space) => sweep::check_first(&layers, &space),
        None => layers.checked().map(drop),
    }
}

fn line(words: &[&str], layers: &Layers) -> Result<Line> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    args::parse(&words, layers.schema(), Words::PLAIN)
}
