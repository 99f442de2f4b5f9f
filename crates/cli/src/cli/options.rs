//! The options of a configuration as values, and the Trainer that they make.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::Value;
use stormfire_data::DataModule;
use stormfire_module::{LightningModule, Stage};
use stormfire_trainer::{CkptPath, Trainer, TrainerConfig, for_tuner::ProbeTrainer as _};

use super::{
    Cli,
    ended::{Ended, in_source, of_ckpt_path, of_tune},
    explain::{check_barebones, check_trials, is_watched, with_place},
};
use crate::{
    args::Command,
    check::{check, check_names},
    error::{Problem, Problems, Result},
    layers::Layers,
    node::{Node, Tree},
    registry::{Kind, Refused},
    schema::Schema,
    secret,
    source::{Origin, Source},
    tune::{self, TuneConfig},
    typed,
};

impl<M: LightningModule, D: DataModule<Batch = M::Batch>, MC: DeserializeOwned, DC: DeserializeOwned> Cli<M, D, MC, DC> {
    /// The Trainer with its options, and with what the program adds in code.
    pub(super) fn trainer_of(&mut self, given: &TrainerConfig, merged: &Node, schema: &Schema) -> Result<Trainer<M>, Ended> {
        let before = option_values(given)?;
        let mut trainer = self.trainer_of_files(given, merged, schema)?;
        for section in std::mem::take(&mut self.sections) {
            let located = |ended| match ended {
                Ended::Failed(error) => in_source(error, merged, schema, section.name),
                Ended::Usage(error) => Ended::Usage(secret::redacted(error, merged, schema)),
                other => other,
            };
            trainer = (section.add)(merged, trainer).map_err(located)?;
        }
        for change in std::mem::take(&mut self.changes) {
            trainer = change(trainer);
        }
        let after = option_values(trainer.config())?;
        let options = merged.get(["trainer"]).and_then(Node::fields);
        for (name, value) in options.into_iter().flatten().filter(|(name, _)| before.get(*name) != after.get(*name)) {
            if !value.source.is_default() {
                let message = format!("`trainer.{name}` is set in the code of the program, with `Cli::trainer`");
                let help = "set its default with `Cli::trainer_defaults`, so that files and flags can change it";
                return Err(Problem::new(&value.source, message).help(help.to_owned()).into_ended());
            }
        }
        Ok(trainer)
    }

    /// The Trainer with its options, and with the callbacks and loggers of files.
    fn trainer_of_files(&self, given: &TrainerConfig, merged: &Node, schema: &Schema) -> Result<Trainer<M>, Ended> {
        let mut trainer = Trainer::from_config(given.clone());
        for (_, change) in &self.of_batches {
            trainer = change(trainer, given);
        }
        let Some(options) = merged.get(["trainer"]) else { return Ok(trainer) };
        self.registry.add(options, trainer).map_err(|refused| match refused {
            Refused::Options(error) => Ended::Usage(secret::redacted(error, merged, schema)),
            Refused::Failed(error) => Ended::Failed(error),
        })
    }

    /// Checks what a run would refuse before it builds anything. `has_checkpoint`: as in [`checked`]. Only the first
    /// check has the callbacks and loggers of the code, which is called once: to find the checkpoint, if there is one.
    pub(super) fn check_run(&mut self, layers: &Layers, command: Command, has_checkpoint: bool) -> Result<(), Ended> {
        let schema = layers.schema();
        let (config, given) = checked(layers, has_checkpoint)?;
        let hidden = |ended: Ended| ended.hide(&secret::of(&config, schema));
        let trainer =
            if has_checkpoint { self.trainer_of_files(&given, &config, schema) } else { self.trainer_of(&given, &config, schema) };
        trainer.and_then(|trainer| self.check_start(&trainer, command, &config, schema)).map_err(hidden)?;
        if command == Command::Tune {
            checked_tune(&config, schema)?;
        }
        self.check_section(&config, schema, "data")?;
        if !has_checkpoint {
            self.check_section(&config, schema, "model")?;
        }
        Ok(())
    }

    /// Reads a section of a configuration as a run does, and checks its options. The functions of the program are not
    /// called.
    pub(super) fn check_section(&self, config: &Node, schema: &Schema, section: &str) -> Result<()> {
        let checked = match section {
            "model" => options_of::<MC>(config, section).map(drop),
            "data" => options_of::<DC>(config, section).map(drop),
            "trainer" => self.check_trainer(config, schema).map_err(Ended::into_usage),
            _ => Ok(()),
        };
        checked.map_err(|error| secret::redacted(error, config, schema))
    }

    fn check_trainer(&self, config: &Node, schema: &Schema) -> Result<(), Ended> {
        let given = trainer_options(config)?;
        given.check().map_err(|error| in_source(error, config, schema, "trainer"))?;
        self.check_start(&self.trainer_of_files(&given, config, schema)?, Command::Sweep, config, schema)
    }

    /// Checks what a Trainer refuses before it has a module. The code of the program may set what its defaults lack, so
    /// only options of files, of the environment and of the line are refused.
    pub(super) fn check_start(&self, trainer: &Trainer<M>, command: Command, config: &Node, schema: &Schema) -> Result<(), Ended> {
        let of_callbacks = || stage_of(command).map_or(Ok(()), |stage| trainer.check_callbacks(stage));
        let checked = trainer.check_start().and_then(|()| of_callbacks()).map_err(Ended::from);
        let checked = checked.and_then(|()| match stage_of(command) {
            Some(Stage::Fit) if is_watched(trainer.config()) => check_barebones(command, config, trainer),
            _ => Ok(()),
        });
        let checked = checked.and_then(|()| check_trials(command, config, trainer.config()));
        match checked.map_err(|ended| with_place(ended, &self.registry, config, schema)) {
            Err(refused @ Ended::Usage(_)) => Err(refused),
            _ => Ok(()),
        }
    }
}

/// The stage of the runs of a command that have the callbacks and loggers of the program.
fn stage_of(command: Command) -> Option<Stage> {
    match command {
        Command::Fit | Command::Sweep => Some(Stage::Fit),
        Command::Validate => Some(Stage::Validate),
        Command::Test => Some(Stage::Test),
        Command::Predict => Some(Stage::Predict),
        Command::Tune => None,
    }
}

/// The result of all layers, and the options of the Trainer in it, before anything is built. With a checkpoint that is
/// not a layer yet, only the names of the model's options are checked: it may choose other variants.
pub(super) fn checked(layers: &Layers, has_checkpoint: bool) -> Result<(Node, TrainerConfig), Ended> {
    let schema = layers.schema();
    let config = if has_checkpoint { layers.merged()? } else { layers.checked()? };
    if has_checkpoint {
        let part = |is_model: bool| {
            let mut part = config.clone();
            if let Some(fields) = part.fields_mut() {
                fields.retain(|name, _| (name == "model") == is_model);
            }
            part
        };
        let mut problems = Problems::default();
        problems.note(check(&part(false), schema));
        problems.note(check_names(&part(true), schema));
        problems.into_result().map_err(|error| secret::redacted(error, &config, schema))?;
    }
    let given = trainer_options(&config)?;
    given.check().map_err(|error| in_source(error, &config, schema, "trainer"))?;
    Ok((config, given))
}

/// The options of the command `tune`, which are checked.
pub(super) fn checked_tune(config: &Node, schema: &Schema) -> Result<TuneConfig, Ended> {
    let options: TuneConfig = options_of(config, tune::SECTION)?;
    options.options(config, schema)?;
    options.check().map_err(|error| of_tune(error, config, schema))?;
    Ok(options)
}

fn option_values(config: &TrainerConfig) -> Result<Value, Ended> {
    serde_json::to_value(config).map_err(|error| Problem::general(error.to_string()).into_ended())
}

/// The options of the Trainer in a configuration, without its callbacks and loggers.
pub(super) fn trainer_options(config: &Node) -> Result<TrainerConfig> {
    let mut options = config.get(["trainer"]).cloned().unwrap_or_else(|| Node::empty(&Source::default_value()));
    if let Some(fields) = options.fields_mut() {
        fields.retain(|name, _| !Kind::ALL.iter().any(|kind| kind.option() == name));
    }
    typed::read(&options, "trainer")
}

/// The options of a section. One without options is `()`.
pub(super) fn options_of<T: DeserializeOwned>(config: &Node, name: &str) -> Result<T> {
    let none = Node::new(Tree::Null, &Source::default_value());
    typed::read(config.get([name]).unwrap_or(&none), name)
}

/// The checkpoint of `--ckpt-path`. Only a fit may start without it: a job that a scheduler starts again has the same
/// line each time.
pub(super) fn found<M: LightningModule>(trainer: &Trainer<M>, path: &str, command: Command) -> Result<Option<PathBuf>, Ended> {
    let found = trainer.find_checkpoint(&CkptPath::from(path)).map_err(|error| of_ckpt_path(&error))?;
    if found.is_none() && command != Command::Fit {
        let message = format!("there is no checkpoint in `{}`", trainer.config().default_root_dir.display());
        let problem = Problem::new(&Origin::Flag("--ckpt-path".into()).into(), message);
        return Err(problem.help("train first, or give the path of a file".to_owned()).into_ended());
    }
    Ok(found)
}
