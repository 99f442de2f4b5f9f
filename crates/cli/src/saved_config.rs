//! The configuration in the folder of a run and in its checkpoints.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use serde_json::Value;
use stormfire_checkpoint::storage;
use stormfire_loggers::json;
use stormfire_module::{Callback, Context, LightningModule, Result, for_trainer::set_options, secrets::Secrets, state::Saved};

use crate::{
    node::{Node, Tree},
    print::{inline, print_config},
    read,
    schema::{Schema, join},
    secret,
    source::{Origin, Source},
};

/// The key of the configuration in a checkpoint.
const KEY: &str = "Cli";

/// The folder, in `default_root_dir`, with the configurations of runs that have no folder.
const FOLDER: &str = "configs";

/// Writes `config.yaml` into the folder of each run, and the options of the model into its checkpoints. They are the
/// hyperparameters of a module that returns none. It never refuses a run.
pub(crate) struct SavedConfig {
    /// Without secrets.
    pub(crate) config: Node,
    pub(crate) schema: Schema,
    /// Those that hyperparameters do not show.
    pub(crate) secrets: Secrets,
    /// The program, its version and its command line.
    pub(crate) header: String,
    /// The folder of a run that has its own folder, also without a logger.
    pub(crate) own_folder: Option<PathBuf>,
    pub(crate) is_written: bool,
}

impl SavedConfig {
    /// The options of the model. `null` if it has none.
    fn model(&self) -> Result<Value> {
        let model = self.config.get(["model"]);
        json::to_value(&model).map_err(|error| stormfire_module::Error::State { what: KEY.into(), error })
    }

    fn write(&mut self, ctx: &Context<'_>) -> Result<()> {
        if std::mem::replace(&mut self.is_written, true) || ctx.run().fast_dev_run {
            return Ok(());
        }
        let logged = ctx.loggers().iter().find_map(|logger| logger.log_dir().map(Path::to_owned));
        let is_common = logged.is_none() && self.own_folder.is_none();
        let Some(folder) = logged.or_else(|| self.own_folder.clone()).or_else(|| folder_of_run(ctx)) else { return Ok(()) };
        if let Some(path) = self.write_into(&folder)?
            && is_common
        {
            tracing::info!("the options of the run are in `{}`", path.display());
        }
        Ok(())
    }

    /// Writes the configuration into a folder, unless the newest one there is the same. Returns its path.
    pub(crate) fn write_into(&self, folder: &Path) -> Result<Option<PathBuf>> {
        let Some((path, before)) = free_file(folder, &self.config) else { return Ok(None) };
        let mut text = self.header.clone();
        if let Some(before) = before {
            text.push_str("# differs from the run until here in\n");
            for line in differences(&before, &self.config) {
                let _ = writeln!(text, "#   {line}");
            }
        }
        text.push_str(&print_config(&self.config, &self.schema, false));
        fs_err::create_dir_all(folder)?;
        fs_err::write(&path, text)?;
        Ok(Some(path))
    }
}

/// The folder of a run whose loggers have none, such as that of a tracker. The folder above is common to all runs.
fn folder_of_run(ctx: &Context<'_>) -> Option<PathBuf> {
    if ctx.loggers().is_empty() {
        return None;
    }
    let root = &ctx.run().default_root_dir;
    if storage::is_url(root) {
        tracing::warn!("the options of the run are not written: its loggers have no folder, and `{}` is not on a disk", root.display());
        return None;
    }
    Some(root.join(FOLDER).join(&ctx.run().id))
}

/// The file to write, and the newest configuration of the same run. `None` if that one is the same.
fn free_file(folder: &Path, config: &Node) -> Option<(PathBuf, Option<Node>)> {
    let mut newest = None;
    for number in 1.. {
        let name = if number == 1 { "config.yaml".to_owned() } else { format!("config-{number}.yaml") };
        let path = folder.join(name);
        if !path.exists() {
            let is_same = newest.as_ref().is_some_and(|before: &Node| before.is_same(config));
            return (!is_same).then_some((path, newest));
        }
        // A file that a user has broken is left alone.
        newest = read::file(&path).ok().or(newest);
    }
    None
}

/// The options that differ, as `trainer.max_epochs: 3 -> 5`.
pub(crate) fn differences(before: &Node, now: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    compare(Some(before), Some(now), "", &mut lines);
    lines
}

fn compare(before: Option<&Node>, now: Option<&Node>, path: &str, lines: &mut Vec<String>) {
    let fields = |node: Option<&Node>| node.and_then(Node::fields).cloned();
    match (fields(before), fields(now)) {
        (Some(old), Some(new)) => {
            let names: indexmap::IndexSet<&String> = old.keys().chain(new.keys()).collect();
            for name in names {
                compare(old.get(name), new.get(name), &join(path, name), lines);
            }
        }
        _ if before.zip(now).is_some_and(|(a, b)| a.is_same(b)) => {}
        _ => {
            let shown = |node: Option<&Node>| node.map_or_else(|| "nothing".into(), inline);
            lines.push(format!("{path}: {} -> {}", shown(before), shown(now)));
        }
    }
}

impl<M: LightningModule> Callback<M> for SavedConfig {
    fn name(&self) -> String {
        KEY.into()
    }

    fn rank_zero_only(&self) -> bool {
        true
    }

    fn state(&self) -> Result<Saved> {
        Ok(Saved::from(serde_json::json!({ "model": self.model()? })))
    }

    fn setup(&mut self, ctx: &mut Context<'_>, _module: &mut M, _stage: stormfire_data::Stage) -> Result<()> {
        self.is_written = false;
        // Loggers take named values only.
        let hparams = Some(self.model()?).filter(Value::is_object).unwrap_or_default();
        set_options(ctx, hparams, self.secrets.clone());
        Ok(())
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.write(ctx)
    }

    fn on_validation_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.write(ctx)
    }

    fn on_test_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.write(ctx)
    }

    fn on_predict_start(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.write(ctx)
    }
}

/// The options of the model in a checkpoint, as a layer: those that the program had, else the hyperparameters of the
/// module. Names that are no longer options are left out with a warning.
pub(crate) fn of_checkpoint(path: &Path, schema: &Schema) -> Result<Option<Node>> {
    let manifest = stormfire_checkpoint::Checkpoint::read_manifest(path)?;
    let saved = manifest.callbacks.get(KEY).and_then(|state| state.get("model")).filter(|model| !model.is_null()).cloned();
    let from_hparams = saved.is_none();
    let saved = saved.unwrap_or(manifest.hparams);
    let source = Source::from(Origin::Checkpoint(path.to_owned()));
    let Ok(node) = Node::of_json(saved, &source) else { return Ok(None) };
    if !matches!(node.value, Tree::Map(_)) {
        return Ok(None);
    }
    let root = Node::new(Tree::Map(indexmap::IndexMap::from([("model".to_owned(), node)])), &source);
    let mut root = secret::without(&root, schema);
    let mut unknown = Vec::new();
    keep_known(&mut root, "", schema, &mut unknown);
    if !unknown.is_empty() && !from_hparams {
        tracing::warn!("{source}: these options of the model no longer exist and are left out: {}", unknown.join(", "));
    }
    Ok(Some(root))
}

fn keep_known(node: &mut Node, path: &str, schema: &Schema, unknown: &mut Vec<String>) {
    if schema.leaf(path).is_some_and(|leaf| !leaf.is_section) {
        return;
    }
    let Some(fields) = node.fields_mut() else { return };
    fields.retain(|name, value| {
        let path = join(path, name);
        let is_known = schema.leaf(&path).is_some();
        if is_known {
            keep_known(value, &path, schema, unknown);
        } else {
            unknown.push(format!("`{path}`"));
        }
        is_known
    });
}
