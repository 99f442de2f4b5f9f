//! Errors of a run that options explain.

use std::path::Path;

use stormfire_callbacks::{EarlyStopping, ModelCheckpoint};
use stormfire_module::{Error, LightningModule, for_trainer::counter};
use stormfire_trainer::{Fit, Trainer};

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
    let ended = with_entries(ended, registry, config);
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
    let (inner, owner) = if let Error::InHook { error, owner, .. } = &error { (&**error, owner.as_str()) } else { (&error, "") };
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

/// The metrics that options and callbacks name exist in a rehearsal of this Trainer.
pub(super) fn check_monitors<M: LightningModule>(
    command: Command,
    config: &Node,
    trainer: &Trainer<M>,
    rehearsal: &Fit<M>,
) -> Result<(), Ended> {
    let callbacks = match config.get(["trainer", "callbacks"]).map(|list| &list.value) {
        Some(Tree::List(items)) => items.as_slice(),
        _ => &[],
    };
    // The run logs nothing, and a rehearsal does.
    let barebones = config.get(["trainer", "barebones"]).filter(|node| node.value == Tree::Bool(true));
    let names: Vec<&str> = rehearsal.metrics.iter().map(|(name, _)| name).filter(|_| barebones.is_none()).collect();
    let has = |name: &str| names.contains(&name) || counter(&rehearsal.progress, name).is_some();
    let off =
        |option: &str| config.get(["trainer", option]).filter(|limit| limit.value == Tree::UInt(0) || limit.value == Tree::Float(0.0));
    // The limit that leaves the validation out.
    let limit = off("limit_val_batches").filter(|_| off("overfit_batches").is_some());
    let strict = |item: &&Node| item.get(["strict"]).is_none_or(|strict| strict.value != Tree::Bool(false));
    let of_callback = |(index, item): (usize, &Node)| {
        let monitor = item.get(["monitor"]).filter(|_| strict(&item))?;
        Some((format!("trainer.callbacks[{index}].monitor"), monitor.clone()))
    };
    let of_sweep = config.get(["sweep", "monitor"]).filter(|_| command == Command::Sweep);
    let monitors = callbacks.iter().enumerate().filter_map(of_callback);
    let mut problems = Problems::default();
    for (path, node) in monitors.chain(of_sweep.map(|node| ("sweep.monitor".to_owned(), node.clone()))) {
        let Some(name) = node.text().filter(|name| !has(name)) else { continue };
        let help = did_you_mean(name, names.iter().copied())
            .or_else(|| barebones.map(|_| "nothing is logged with `trainer.barebones`".to_owned()))
            .or_else(|| limit.map(|_| "the run has no validation: `trainer.limit_val_batches` is 0".to_owned()))
            .or_else(|| (!names.is_empty()).then(|| format!("there are {}", any_of(names.iter().copied()))));
        let message = format!("`{path}`: a batch of each loader has logged no metric `{}`", quote::name(name));
        problems.push(Problem::new(&node.source, message).help(help));
    }
    problems.into_result()?;
    // Those of files have passed.
    let stops = trainer.get_all::<EarlyStopping>().filter(|stop| stop.is_strict()).map(|stop| ("EarlyStopping", stop.monitored()));
    let saves = trainer.get_all::<ModelCheckpoint>().filter_map(|save| Some(("ModelCheckpoint", save.monitored()?)));
    let Some((owner, name)) = stops.chain(saves).find(|(_, name)| !has(name)) else { return Ok(()) };
    if let Some(barebones) = barebones.filter(|barebones| !barebones.source.is_default()) {
        let message = format!("`trainer.barebones`: nothing is logged, also not the metric `{name}`, which `{owner}` monitors");
        return Err(Problem::new(&barebones.source, message).into_ended());
    }
    if let Some(limit) = limit.filter(|limit| !limit.source.is_default()) {
        let message = format!("`trainer.limit_val_batches`: without a validation there is no metric `{name}`, which `{owner}` monitors");
        return Err(Problem::new(&limit.source, message).into_ended());
    }
    let (name, available) = (name.to_owned(), names.iter().map(|name| (*name).to_owned()).collect());
    Err(Ended::Failed(Error::MetricMissing { name, available, lacks_validation: limit.is_some() }))
}
