//! Environment variables as options.

use crate::{
    assign::Assignment,
    error::{Problem, Problems, Result},
    nearest::did_you_mean,
    quote,
    schema::Schema,
    source::{Origin, Source},
};

/// The variable of an option.
pub(crate) fn variable(prefix: &str, path: &str) -> String {
    format!("{prefix}__{}", path.replace('.', "__").to_uppercase())
}

/// The beginning of the names of variables, unless a program has its own.
pub(crate) const PREFIX: &str = "STORMFIRE";

/// The options that the variables with this prefix set.
pub(crate) fn assignments(prefix: &str, variables: impl IntoIterator<Item = (String, String)>, schema: &Schema) -> Result<Vec<Assignment>> {
    let start = format!("{prefix}__");
    // Variables of an option with one `_` where two belong are mistakes. Others with `PREFIX_` may belong to something
    // else.
    let plain = |name: &str| name.replace("__", "_");
    let meant = |name: &str| schema.leaves().any(|leaf| leaf.path.contains('.') && plain(&variable(prefix, &leaf.path)) == plain(name));
    let mut given: Vec<(String, String)> =
        variables.into_iter().filter(|(name, _)| name.starts_with(&start) || (name.starts_with(prefix) && meant(name))).collect();
    // The system has them in any order.
    given.sort();
    let mut problems = Problems::default();
    let mut found = Vec::new();
    for (name, text) in given {
        if problems.is_full() {
            break;
        }
        let source = Source::from(Origin::Env(name.clone()));
        let leaf = schema.leaves().find(|leaf| variable(prefix, &leaf.path) == name).map(|leaf| leaf.path.clone());
        if let Some(path) = leaf.or_else(|| below_a_map(&name, prefix, schema)) {
            found.push(Assignment { path, text: Some(text), source });
            continue;
        }
        let path = name.trim_start_matches(prefix).trim_start_matches('_').replace("__", ".").to_lowercase();
        let known: Vec<String> = schema.leaves().map(|leaf| variable(prefix, &leaf.path)).collect();
        let help = did_you_mean(&name, known.iter().map(String::as_str));
        problems.push(Problem::new(&source, format!("there is no option `{}`", quote::name(&path))).help(help));
    }
    problems.into_result().map(|()| found)
}

/// The option of a map with names of any kind, which are lower-case here.
fn below_a_map(name: &str, prefix: &str, schema: &Schema) -> Option<String> {
    let maps = schema.leaves().filter(|leaf| leaf.is_open());
    maps.filter_map(|leaf| {
        let below = name.strip_prefix(&variable(prefix, &leaf.path))?.strip_prefix("__")?;
        Some(format!("{}.{}", leaf.path, below.replace("__", ".").to_lowercase()))
    })
    .max_by_key(String::len)
}
