//! The section `tune`, and the options that the command `tune` finds values for.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire_module::Error;
use stormfire_tuner::{LrFind, ScaleBatchSize, for_cli::is_without_effect};

use crate::{
    error::{Problem, Result},
    nearest::{any_of, did_you_mean},
    node::{Node, Tree},
    quote,
    schema::{Kinds, Schema, is_below},
    source::Source,
};

/// The name of the section.
pub(crate) const SECTION: &str = "tune";

/// the options of the command `tune`
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TuneConfig {
    /// The option that gets the learning rate. `auto` is the only one of the model with the name `lr` or
    /// `learning_rate`. With null, no rate is searched.
    lr: Option<String>,
    /// The option that gets the batch size. `auto` is the only one of the data with the name `batch_size`. With null,
    /// no size is searched.
    batch_size: Option<String>,
    /// The test of learning rates.
    pub(crate) lr_find: LrFind,
    /// The search for a batch size.
    pub(crate) scale_batch_size: ScaleBatchSize,
}

/// The option's value for the only option with a usual name.
const AUTO: &str = "auto";

impl Default for TuneConfig {
    fn default() -> Self {
        let auto = || Some(AUTO.to_owned());
        Self { lr: auto(), batch_size: auto(), lr_find: LrFind::new(), scale_batch_size: ScaleBatchSize::new() }
    }
}

impl TuneConfig {
    /// The options to find: those of the learning rate and of the batch size.
    pub(crate) fn options(&self, config: &Node, schema: &Schema) -> Result<(Option<String>, Option<String>)> {
        if self.lr.is_none() && self.batch_size.is_none() {
            let message = "`tune` has nothing to find: `tune.lr` and `tune.batch_size` are null";
            return Err(Problem::general(message).help("leave one of them out".to_owned()).into());
        }
        let lr = wanted(self.lr.as_deref(), &LR, config, schema)?;
        let batch_size = wanted(self.batch_size.as_deref(), &BATCH_SIZE, config, schema)?;
        if lr.is_none() && batch_size.is_none() {
            let message = "`tune` has nothing to find: the program has no option for a learning rate or a batch size";
            return Err(Problem::general(message).help("name one: `--tune.lr=model.OPTION`".to_owned()).into());
        }
        Ok((lr, batch_size))
    }

    pub(crate) fn check(&self) -> stormfire_module::Result<()> {
        self.lr_find.check().and_then(|()| self.scale_batch_size.check())
    }
}

/// An error of a finder with the name that its option has in the section `tune`. Errors of other options are `None`,
/// and so is that of a size without an effect if the user has named no option for it.
pub(crate) fn of_finder(error: &Error, config: &Node) -> Option<Error> {
    let Error::Config(refused) = error else { return None };
    if is_without_effect(error) {
        config.get([SECTION, BATCH_SIZE.name]).filter(|given| !given.source.is_default())?;
        let hint = "name the option that the program gives to `Loader::batch_size`";
        return Some(Error::config(BATCH_SIZE.name, refused.reason.clone(), hint));
    }
    let finders = [("LrFind::", "lr_find."), ("ScaleBatchSize::", "scale_batch_size.")];
    let named = finders.iter().find_map(|(setters, section)| Some(format!("{section}{}", refused.option.strip_prefix(setters)?)));
    named.map(|option| Error::config(option, refused.reason.clone(), refused.hint.clone()))
}

/// A kind of option to find.
struct Sought {
    /// The option of `tune` that names it.
    name: &'static str,
    /// The section and the names of the usual ones.
    section: &'static str,
    usual: &'static [&'static str],
    /// Whether an option elsewhere cannot be meant.
    is_only_there: bool,
    takes: fn(Kinds) -> bool,
    /// What it takes.
    kind: &'static str,
}

/// The module makes the optimizer.
const LR: Sought = Sought {
    name: "lr",
    section: "model",
    usual: &["lr", "learning_rate"],
    is_only_there: true,
    takes: Kinds::has_number,
    kind: "a number",
};

/// The search itself notices an option without an effect on the batches.
const BATCH_SIZE: Sought = Sought {
    name: "batch_size",
    section: "data",
    usual: &["batch_size"],
    is_only_there: false,
    takes: Kinds::has_whole,
    kind: "a whole number",
};

/// The path of an option, if it is to be found.
fn wanted(given: Option<&str>, sought: &Sought, config: &Node, schema: &Schema) -> Result<Option<String>> {
    let setting = format!("{SECTION}.{}", sought.name);
    let source = || config.get(setting.split('.')).map_or_else(Source::default_value, |node| node.source.clone());
    let is_number = |path: &str| {
        let leaf = schema.leaf(path).filter(|leaf| (sought.takes)(leaf.kinds));
        leaf.is_some() && config.get(path.split('.')).is_some()
    };
    match given {
        None => Ok(None),
        Some(AUTO) => {
            let is_usual = |path: &&str| {
                is_below(path, sought.section)
                    && path.rsplit('.').next().is_some_and(|last| sought.usual.contains(&last))
                    && is_number(path)
            };
            let found: Vec<&str> = schema.leaves().map(|leaf| leaf.path.as_str()).filter(is_usual).collect();
            match found.as_slice() {
                [] => Ok(None),
                [only] => Ok(Some((*only).to_owned())),
                several => {
                    let message = format!("`{setting}`: it may be {}", any_of(several.iter().copied()));
                    let help = format!("choose one, such as `--{setting}={}`, or none: `--{setting}=null`", several[0]);
                    Err(Problem::general(message).help(help).into())
                }
            }
        }
        Some(path) if is_number(path) && (!sought.is_only_there || is_below(path, sought.section)) => Ok(Some(path.to_owned())),
        Some(path) => {
            let (name, kind, section) = (quote::name(path), sought.kind, sought.section);
            let message = if is_number(path) {
                format!("`{setting}`: `{name}` is not an option of `{section}`")
            } else {
                format!("`{setting}`: there is no option `{name}` that takes {kind}")
            };
            let known = schema.leaves().map(|leaf| leaf.path.as_str()).filter(|path| is_below(path, section) && is_number(path));
            Err(Problem::new(&source(), message).help(meant(path, &known.collect::<Vec<_>>())).into())
        }
    }
}

/// A help with the options that may be meant: the one with the same last name or the nearest one, or else all.
fn meant(path: &str, known: &[&str]) -> Option<String> {
    let same: Vec<&str> = known.iter().copied().filter(|known| last_name(known) == last_name(path)).collect();
    match same.as_slice() {
        [only] => Some(format!("did you mean `{only}`?")),
        [] => did_you_mean(path, known.iter().copied()).or_else(|| one_of(known)),
        _ => one_of(&same),
    }
}

fn last_name(path: &str) -> Option<&str> {
    path.rsplit('.').next()
}

/// A help with a choice of options.
fn one_of(names: &[&str]) -> Option<String> {
    let first = any_of(names.iter().copied().take(MOST_NAMED));
    let begin = if names.len() > MOST_NAMED { "it may be one of several, such as" } else { "it may be" };
    (!names.is_empty()).then(|| format!("{begin} {first}"))
}

/// More options than these are not all named.
const MOST_NAMED: usize = 10;

/// A configuration with one value replaced.
pub(crate) fn with_value(mut config: Node, path: &str, value: Tree) -> Node {
    let mut node = &mut config;
    for name in path.split('.') {
        if node.fields().is_none() {
            *node = Node::empty(&node.source.clone());
        }
        let source = node.source.clone();
        let Tree::Map(fields) = &mut node.value else { return config };
        node = fields.entry(name.to_owned()).or_insert_with(|| Node::empty(&source));
    }
    node.value = value;
    config
}

/// A configuration with these values alone.
pub(crate) fn found(values: impl IntoIterator<Item = (String, Tree)>) -> Node {
    let empty = Node::new(Tree::Map(IndexMap::new()), &Source::default_value());
    values.into_iter().fold(empty, |config, (path, value)| with_value(config, &path, value))
}
