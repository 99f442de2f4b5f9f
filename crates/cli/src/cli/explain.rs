//! Errors of a run that options explain.

use std::path::Path;

use stormfire_callbacks::{EarlyStopping, ModelCheckpoint};
use stormfire_module::{Error, LightningModule, for_trainer::counter, moment::Progress};
use stormfire_trainer::{Fit, Limit, Trainer, TrainerConfig};

use super::ended::{Ended, of_ckpt_path, refused_at};
use crate::{
    args::Command,
    error::{Problem, Problems},
    nearest::{any_of, did_you_mean},
    node::{Node, Tree},
    print::inline,
    quote,
    registry::{Kind, Registry},
    schema::{Schema, join},
    source::Origin,
};

/// The setter that errors of callbacks without a logger name.
const LOGGER: &str = "logger";

/// An error of this checkpoint is a mistake on the command line. One does not fit a module if options change the
/// module's sizes: the error then names them.
pub(super) fn with_checkpoint(ended: Ended, checkpoint: Option<&Path>, saved: Option<&Node>, config: &Node) -> Ended {
    let Ended::Failed(error) = ended else { return ended };
    let is_of_checkpoint =
        matches!(&error, Error::WeightsOf { path, .. } | Error::Checkpoint { path, .. } if checkpoint == Some(path.as_path()));
    if !is_of_checkpoint {
        return Ended::Failed(error);
    }
    let mut changed = Vec::new();
    if let Some((before, now)) = saved.and_then(|saved| saved.get(["model"])).zip(config.get(["model"])) {
        overridden(before, now, "model", &mut changed);
    }
    let is_misfit = matches!(error, Error::WeightsOf { .. });
    let Some((_, first, _)) = changed.first().filter(|_| is_misfit) else { return of_ckpt_path(&error) };
    let differences: Vec<String> = changed
        .iter()
        .map(|(path, now, before)| format!("`{path}` was {} and is {} by {}", inline(before), inline(now), now.source))
        .collect();
    let message = format!("the module does not fit the checkpoint: {error}; {}", differences.join(", "));
    let help = format!("leave out {}", any_of(changed.iter().map(|(path, ..)| path.as_str())));
    Ended::Usage(Problem::new(&first.source, message).help(help).into())
}

/// An option of the Trainer, or of one of its callbacks and loggers, that is refused when the run starts, with its
/// place in the configuration. A default is not a mistake of the user.
pub(super) fn with_place<M: LightningModule>(ended: Ended, registry: &Registry<M>, config: &Node, schema: &Schema) -> Ended {
    let ended = with_barebones(with_entries(ended, registry, config), config);
    let Ended::Failed(error) = ended else { return ended };
    let Error::Config(refused) = &error else { return Ended::Failed(error) };
    let path = join("trainer", &refused.option);
    let given = schema.leaf(&path).and(config.get(path.split('.'))).filter(|node| !node.source.is_default());
    match given {
        Some(node) => refused_at(refused, &path, node, config, schema),
        None => Ended::Failed(error),
    }
}

fn with_entries<M: LightningModule>(ended: Ended, registry: &Registry<M>, config: &Node) -> Ended {
    let Ended::Failed(error) = ended else { return ended };
    let (inner, owner) = with_owner(&error);
    let Error::Config(refused) = inner else { return Ended::Failed(error) };
    let meant = |options| match refused.option.as_str() {
        LOGGER => without_loggers(owner, registry, options),
        option => registry.meant(option, options),
    };
    let found = config.get(["trainer"]).and_then(meant);
    let Some((path, node)) = found.filter(|(_, node)| !node.source.is_default()) else { return Ended::Failed(error) };
    let help = match refused.option.strip_suffix("::state_key") {
        Some(type_name) if registry.takes(type_name, "named") => "name the entry: `named: mine`".to_owned(),
        Some(_) => "leave one of the entries out: nothing tells the saved states of two of them apart".to_owned(),
        None => refused.hint.clone(),
    };
    Ended::Usage(Problem::new(&node.source, format!("`{path}`: {}", refused.reason)).help(help).into())
}

/// An error, and the name of the callback or module in whose hook it was.
fn with_owner(error: &Error) -> (&Error, &str) {
    if let Error::InHook { error, owner, .. } = error { (&**error, owner.as_str()) } else { (error, "") }
}

/// A metric is missing because nothing is logged with `trainer.barebones`.
fn with_barebones(ended: Ended, config: &Node) -> Ended {
    let Ended::Failed(error) = ended else { return ended };
    let explained = match with_owner(&error) {
        (Error::MetricMissing { name, .. }, owner) => unlogged(name, owner, config),
        _ => None,
    };
    explained.unwrap_or(Ended::Failed(error))
}

/// The error of a metric that is missing because of `trainer.barebones`. A default is not a mistake of the user.
fn unlogged(name: &str, owner: &str, config: &Node) -> Option<Ended> {
    let barebones = barebones(config).filter(|node| !node.source.is_default())?;
    let needs = if owner.is_empty() { String::new() } else { format!(", which `{owner}` needs") };
    let message = format!("`trainer.barebones`: nothing is logged, also not the metric `{}`{needs}", quote::name(name));
    Some(Problem::new(&barebones.source, message).into_ended())
}

/// The option `trainer.barebones`, if it is on.
fn barebones(config: &Node) -> Option<&Node> {
    config.get(["trainer", "barebones"]).filter(|node| node.value == Tree::Bool(true))
}

/// A callback needs a logger, and the run has none: the option that leaves the loggers out, or the callback's entry.
fn without_loggers<'a, M: LightningModule>(owner: &str, registry: &Registry<M>, options: &'a Node) -> Option<(String, &'a Node)> {
    let given = |option: &str| options.get([option]).filter(|node| !node.source.is_default()).map(|node| (join("trainer", option), node));
    let barebones = given("barebones").filter(|(_, node)| node.value == Tree::Bool(true));
    barebones.or_else(|| given(Kind::Logger.option())).or_else(|| registry.meant(owner, options))
}

/// The options that a layer above the checkpoint has changed: the path, the value, and that of the checkpoint.
fn overridden(before: &Node, now: &Node, path: &str, changed: &mut Vec<(String, Node, Node)>) {
    if let (Tree::Map(old), Tree::Map(new)) = (&before.value, &now.value) {
        for (name, value) in new {
            if let Some(before) = old.get(name) {
                overridden(before, value, &join(path, name), changed);
            }
        }
        return;
    }
    let is_of_user = matches!(now.source.origin(), Origin::File(_) | Origin::Env(_) | Origin::Flag(_));
    if is_of_user && !before.is_same(now) {
        changed.push((path.to_owned(), now.clone(), before.clone()));
    }
}

/// Whether a fit with these options trains, and its callbacks read metrics.
pub(super) fn is_watched(options: &TrainerConfig) -> bool {
    options.fast_dev_run == 0 && !trains_nothing(options).into_iter().any(|(_, leaves_none)| leaves_none)
}

/// The options that can leave a fit without a training step, and whether they do.
fn trains_nothing(options: &TrainerConfig) -> [(&'static str, bool); 3] {
    let is_none = |limit: Limit| matches!(limit, Limit::Batches(0) | Limit::Fraction(0.0));
    [
        ("limit_train_batches", is_none(options.limit_train_batches) && is_none(options.overfit_batches)),
        ("max_epochs", options.max_epochs == Some(0)),
        ("max_steps", options.max_steps == Some(0)),
    ]
}

/// The trials of a sweep train, as its metric needs. A default is not a mistake of the user.
pub(super) fn check_trials(command: Command, config: &Node, options: &TrainerConfig) -> Result<(), Ended> {
    let monitor = config.get(["sweep", "monitor"]).and_then(Node::text).filter(|_| command == Command::Sweep && options.fast_dev_run == 0);
    let Some(monitor) = monitor.filter(|name| counter(&Progress::default(), name).is_none()) else { return Ok(()) };
    let given = |option: &str| config.get(["trainer", option]).filter(|node| !node.source.is_default());
    let mut without = trains_nothing(options).into_iter().filter(|(_, leaves_none)| *leaves_none);
    let Some((option, node)) = without.find_map(|(option, _)| Some((option, given(option)?))) else { return Ok(()) };
    let message = format!("`trainer.{option}`: without a training step there is no metric `{}`", quote::name(monitor));
    Err(Problem::new(&node.source, message).help("a sweep needs `sweep.monitor` from each trial: use 1 or more".to_owned()).into_ended())
}

/// The metrics that the options of callbacks and of a sweep name, with the paths of these options.
fn named_in(command: Command, config: &Node) -> impl Iterator<Item = (String, &Node)> {
    let callbacks = match config.get(["trainer", "callbacks"]).map(|list| &list.value) {
        Some(Tree::List(items)) => items.as_slice(),
        _ => &[],
    };
    let of_sweep = config.get(["sweep", "monitor"]).filter(|_| command == Command::Sweep);
    callbacks.iter().enumerate().filter_map(monitor_of).chain(of_sweep.map(|node| ("sweep.monitor".to_owned(), node)))
}

/// The metric that a callback of a file needs.
fn monitor_of((index, callback): (usize, &Node)) -> Option<(String, &Node)> {
    let is_strict = callback.get(["strict"]).is_none_or(|strict| strict.value != Tree::Bool(false));
    let monitor = callback.get(["monitor"]).filter(|_| is_strict)?;
    Some((format!("trainer.callbacks[{index}].monitor"), monitor))
}

/// The metrics that the callbacks of a Trainer monitor, with the names of their types.
fn monitored_by<M: LightningModule>(trainer: &Trainer<M>) -> impl Iterator<Item = (&'static str, &str)> {
    let stops = trainer.get_all::<EarlyStopping>().filter(|stop| stop.is_strict()).map(|stop| ("EarlyStopping", stop.monitored()));
    let saves = trainer.get_all::<ModelCheckpoint>().filter_map(|save| Some(("ModelCheckpoint", save.monitored()?)));
    stops.chain(saves)
}

/// With `trainer.barebones` nothing is logged, so nothing may monitor a metric.
pub(super) fn check_barebones<M: LightningModule>(command: Command, config: &Node, trainer: &Trainer<M>) -> Result<(), Ended> {
    if barebones(config).is_none() {
        return Ok(());
    }
    let start = Progress::default();
    let of_options = named_in(command, config).filter_map(|(path, node)| Some((path, node.text()?)));
    let mut monitors = monitored_by(trainer).map(|(owner, name)| (owner.to_owned(), name)).chain(of_options);
    let Some((owner, name)) = monitors.find(|(_, name)| counter(&start, name).is_none()) else { return Ok(()) };
    let missing = Error::MetricMissing { name: name.to_owned(), available: Vec::new(), lacks_validation: false };
    Err(unlogged(name, &owner, config).unwrap_or(Ended::Failed(missing)))
}

/// The metrics that options and callbacks name exist in a rehearsal of this Trainer.
pub(super) fn check_monitors<M: LightningModule>(
    command: Command,
    config: &Node,
    trainer: &Trainer<M>,
    rehearsal: &Fit<M>,
) -> Result<(), Ended> {
    let names: Vec<&str> = rehearsal.metrics.iter().map(|(name, _)| name).collect();
    let has = |name: &str| names.contains(&name) || counter(&rehearsal.progress, name).is_some();
    let off =
        |option: &str| config.get(["trainer", option]).filter(|limit| limit.value == Tree::UInt(0) || limit.value == Tree::Float(0.0));
    // The limit that leaves the validation out.
    let limit = off("limit_val_batches").filter(|_| off("overfit_batches").is_some());
    let mut problems = Problems::default();
    for (path, node) in named_in(command, config) {
        let Some(name) = node.text().filter(|name| !has(name)) else { continue };
        let help = did_you_mean(name, names.iter().copied())
            .or_else(|| limit.map(|_| "the run has no validation: `trainer.limit_val_batches` is 0".to_owned()))
            .or_else(|| (!names.is_empty()).then(|| format!("there are {}", any_of(names.iter().copied()))));
        let message = format!("`{path}`: a batch of each loader has logged no metric `{}`", quote::name(name));
        problems.push(Problem::new(&node.source, message).help(help));
    }
    problems.into_result()?;
    // Those of files have passed.
    let Some((owner, name)) = monitored_by(trainer).find(|(_, name)| !has(name)) else { return Ok(()) };
    if let Some(limit) = limit.filter(|limit| !limit.source.is_default()) {
        let message = format!("`trainer.limit_val_batches`: without a validation there is no metric `{name}`, which `{owner}` monitors");
        return Err(Problem::new(&limit.source, message).into_ended());
    }
    let (name, available) = (name.to_owned(), names.iter().map(|name| (*name).to_owned()).collect());
    Err(Ended::Failed(Error::MetricMissing { name, available, lacks_validation: limit.is_some() }))
}
