//! Environment variables as options.

use crate::{
    assign::Assignment,
    error::{Problem, Problems, Result},
    nearest::nearest,
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

/// The options that the variables with this prefix set. An alias has no variable.
pub(crate) fn assignments(prefix: &str, variables: impl IntoIterator<Item = (String, String)>, schema: &Schema) -> Result<Vec<Assignment>> {
    let start = format!("{prefix}__");
    // Variables of an option with one `_` where two belong are mistakes. Others with `PREFIX_` may belong to something
    // else, also if the rest is the name of a section: `PREFIX_DATA`.
    let plain = |name: &str| name.replace("__", "_");
    let meant = |name: &str| {
        let mut options = schema.leaves().filter(|leaf| leaf.path.contains('.') || !leaf.is_section);
        options.any(|leaf| plain(&variable(prefix, &leaf.path)) == plain(name))
    };
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
        let path = name.strip_prefix(prefix).unwrap_or(&name).trim_start_matches('_').replace("__", ".").to_lowercase();
        let help = schema.of_alias(&path).or_else(|| near(&path, schema)).map(|near| format!("did you mean `{}`?", variable(prefix, near)));
        problems.push(Problem::new(&source, format!("there is no option `{}`", quote::name(&path))).help(help));
    }
    problems.into_result().map(|()| found)
}

/// The option that a variable without its prefix may mean. With the prefix, which they share, all names are similar.
fn near<'a>(path: &str, schema: &'a Schema) -> Option<&'a str> {
    let known = || schema.leaves().map(|leaf| leaf.path.as_str());
    // The section may be missing.
    let is_within = |known: &&str| known.rsplit_once('.').is_some_and(|(_, name)| name.to_lowercase() == path);
    nearest(path, known()).or_else(|| known().find(is_within))
}

/// Refuses variables with this prefix whose names or values are not UTF-8, of all such variables.
pub(crate) fn check_text(prefix: &str, undecodable: &[String]) -> Result<()> {
    let start = format!("{prefix}__");
    let mut ours: Vec<&String> = undecodable.iter().filter(|name| name.starts_with(&start)).collect();
    // The system has them in any order.
    ours.sort();
    let problem = |name: &String| Problem::new(&Origin::Env(name.clone()).into(), "the variable is not UTF-8");
    let mut problems = Problems::default();
    ours.into_iter().map(problem).for_each(|problem| problems.push(problem));
    problems.into_result()
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
