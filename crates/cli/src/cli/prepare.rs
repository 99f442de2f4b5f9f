//! From a command line to a Trainer and a configuration.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stormfire_data::DataModule;
use stormfire_module::{LightningModule, secrets::Secrets};
use stormfire_trainer::{CkptPath, Trainer, TrainerConfig};

use super::Cli;
use crate::{
    args::{self, Command, Line, Print, Words},
    assign,
    children::ROOT,
    completion,
    error::{Error, Problem, Result},
    help::Page,
    layers::Layers,
    multirun,
    node::{Node, Tree},
    print::{print_config, print_schema},
    registry::{Kind, Refused},
    saved_config::{SavedConfig, of_checkpoint},
    schema::{Schema, join},
    secret,
    source::{Origin, Source},
    sweep::{self, SweepConfig},
    tune::{self, TuneConfig},
    typed, values,
};

/// Why a program ends before its run.
pub(super) enum Ended {
    /// It has printed the requested output.
    Printed(String),
    /// It is started several times.
    Several(Runs),
    /// The command line or the configuration is wrong.
    Usage(Error),
    /// Something failed.
    Failed(stormfire_module::Error),
}

/// Several runs of the program.
pub(super) enum Runs {
    Multirun(multirun::Plan),
    Sweep(Box<sweep::Plan>),
}

impl Ended {
    /// Functions of the program know the secrets.
    pub(super) fn hide(self, secrets: &Secrets) -> Self {
        match self {
            Self::Failed(error) => Self::Failed(secret::hidden_in(error, secrets)),
            other => other,
        }
    }

    /// For a function that does not print.
    pub(super) fn into_error(self) -> stormfire_module::Error {
        match self {
            Self::Usage(error) => error.into(),
            Self::Failed(error) => error,
            Self::Printed(text) => stormfire_module::Error::other(text),
            Self::Several(_) => stormfire_module::Error::other("several runs need processes"),
        }
    }
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Usage(error)
    }
}

impl From<stormfire_module::Error> for Ended {
    fn from(error: stormfire_module::Error) -> Self {
        Self::Failed(error)
    }
}

/// All that a run needs but the module and the data.
pub(super) struct Prepared<M: LightningModule> {
    pub(super) command: Command,
    pub(super) dry_run: bool,
    pub(super) trainer: Trainer<M>,
    /// The result of all layers.
    pub(super) config: Node,
    pub(super) schema: Schema,
    pub(super) secrets: Secrets,
    pub(super) checkpoint: Option<PathBuf>,
    /// The options of the model in the checkpoint.
    pub(super) saved: Option<Node>,
    /// Comments that say how the run was started.
    pub(super) header: String,
}

impl<M: LightningModule, D: DataModule<Batch = M::Batch>, MC: DeserializeOwned, DC: DeserializeOwned> Cli<M, D, MC, DC> {
    fn words(&self) -> Words<'_> {
        Words { aliases: &self.aliases, commands: Command::of_program(self.predict.is_some()) }
    }

    /// `args` are without the name of the program.
    pub(super) fn prepare(&mut self, program: &str, args: &[String], variables: Vec<(String, String)>) -> Result<Prepared<M>, Ended> {
        let parts = std::mem::replace(&mut self.parts, Ok(Vec::new())).map_err(Ended::Usage)?;
        let mut sections = Vec::new();
        let mut defaults = Node::empty(&Source::default_value());
        for part in parts {
            if let (Some(schema), Some(fields)) = (part.schema, defaults.fields_mut()) {
                fields.insert(part.name.to_owned(), part.defaults);
                sections.push((part.name.to_owned(), schema));
            }
        }
        let trainer = Node::of(&self.trainer_defaults, &Source::default_value()).map_err(|error| Problem::general(error.to_string()));
        let mut trainer = trainer.map_err(Error::from)?;
        if let Some(fields) = trainer.fields_mut() {
            fields.insert("callbacks".into(), Node::new(Tree::List(Vec::new()), &Source::default_value()));
            fields.insert("loggers".into(), Node::new(Tree::Null, &Source::default_value()));
        }
        if let Some(fields) = defaults.fields_mut() {
            fields.insert("trainer".into(), trainer);
        }
        let mut options = TrainerConfig::json_schema();
        options["description"] = json!("the options of the Trainer");
        self.registry.describe(&mut options);
        sections.push(("trainer".into(), options));
        for (name, schema, values) in own_sections()? {
            sections.push((name.to_owned(), schema));
            defaults.fields_mut().map(|fields| fields.insert(name.to_owned(), values));
        }
        let schema = Schema::of_sections(program, sections);
        self.check_aliases(&schema)?;

        let line = args::parse(args, &schema, self.words())?;
        args::check_combination(&line, &schema)?;
        let mut layers = Layers::new(schema.clone(), &defaults)?;
        match &line.print {
            Some(Print::Help { all }) => return Err(Ended::Printed(self.help(program, &schema, &defaults, *all))),
            Some(Print::Schema) => return Err(Ended::Printed(print_schema(&schema))),
            Some(Print::Completion(shell)) => {
                let script = completion::script(shell, program, self.words(), &schema)?;
                return Err(Ended::Printed(script));
            }
            Some(Print::Config { .. }) | None => {}
        }
        for file in &line.files {
            layers = layers.file(file)?;
        }
        layers = layers.env(&self.prefix, variables)?;
        if line.multirun {
            let mut line = line;
            if line.ckpt_path.is_some() {
                // The runs have other folders.
                line.ckpt_path = self.checkpoint_of_runs(&line, &layers)?.map(|path| path.display().to_string());
            }
            // Its own value, unless a flag has another one.
            let root = layers.clone().flags(line.options.iter().filter(|option| option.path == ROOT).cloned()).merged()?;
            let given = root.get(ROOT.split('.'));
            let root = Path::new(given.and_then(Node::text).unwrap_or("."));
            let root = sweep::folder_on_disk(root, given, ROOT)?;
            let plan = multirun::plan(&line, root.to_owned())?;
            check_runs(&plan, &line, &layers)?;
            return Err(Ended::Several(Runs::Multirun(plan)));
        }
        let command = line.command.unwrap_or_default();
        let (plain, space) = if command == Command::Sweep { sweep::divide(&line.options)? } else { (line.options.clone(), None) };
        layers = layers.flags(plain);
        if command == Command::Predict && self.predict.is_none() {
            return Err(Problem::general("this program cannot predict").help("add `Cli::predict`".to_owned()).into_ended());
        }
        self.with_checkpoint(program, &line, layers, (command, space))
    }

    /// The module's options may be those of a checkpoint, which only the Trainer finds.
    fn with_checkpoint(
        &mut self,
        program: &str,
        line: &Line,
        mut layers: Layers,
        (command, space): (Command, Option<Node>),
    ) -> Result<Prepared<M>, Ended> {
        let schema = layers.schema().clone();
        if line.ckpt_path.is_none() {
            // All mistakes at once, before anything is built.
            layers.checked()?;
        }
        let merged = layers.merged()?;
        // All but the model, which the checkpoint may change.
        let mut others = merged.clone();
        others.fields_mut().map(|fields| fields.shift_remove("model"));
        crate::check::check(&others, &schema).map_err(|error| secret::redacted(error, &merged, &schema))?;
        let given = trainer_options(&merged)?;
        given.check().map_err(|error| in_source(error, &merged, &schema, "trainer"))?;
        let trainer = self.trainer_of(&given, &merged, &schema).map_err(|ended| ended.hide(&secret::of(&merged, &schema)))?;
        let checkpoint = match &line.ckpt_path {
            Some(path) => found(&trainer, path, command)?,
            None => None,
        };
        let saved = checkpoint.as_deref().map(|path| of_checkpoint(path, &schema)).transpose().map_err(|error| of_ckpt_path(&error))?;
        let saved = saved.flatten();
        if let Some(layer) = &saved {
            layers = layers.checkpoint(layer.clone());
        }
        let mut config = layers.checked()?;
        // Settings of the program besides the options.
        let effective =
            Node::of(trainer.config(), &Source::default_value()).map_err(|error| Error::from(Problem::general(error.to_string())))?;
        if let (Some(fields), Tree::Map(now)) =
            (config.fields_mut().and_then(|fields| fields.get_mut("trainer")?.fields_mut()), effective.value)
        {
            for (name, value) in now {
                if fields.get(&name).is_none_or(|before| !before.is_same(&value)) {
                    fields.insert(name, value);
                }
            }
        }
        let header = header(program, &self.version, &line.shown);
        if command == Command::Sweep {
            config = sweep::with_space(config, space.as_ref(), layers.given_flags());
            if line.print.is_none() {
                let plan = sweep::plan(line, &layers, &config, &header)?;
                if !line.dry_run {
                    return Err(Ended::Several(Runs::Sweep(Box::new(plan))));
                }
            }
        }
        if let Some(Print::Config { docs }) = line.print {
            return Err(Ended::Printed(print_config(&shown_for(command, config), &schema, docs)));
        }
        if command == Command::Tune {
            let options: TuneConfig = options_of(&config, tune::SECTION)?;
            options.options(&config, &schema)?;
            options.check().map_err(|error| in_source(error, &config, &schema, tune::SECTION))?;
        }
        let own_folder = self.is_child.then(|| trainer.config().default_root_dir.clone());
        let secrets = secret::of(&config, &schema);
        let saved_config = SavedConfig {
            secrets: secrets.clone(),
            config: secret::without(&shown_for(Command::Fit, config.clone()), &schema),
            schema: schema.clone(),
            header: header.clone(),
            own_folder,
            is_written: false,
        };
        let trainer = trainer.callback(saved_config);
        Ok(Prepared { command, dry_run: line.dry_run, trainer, config, schema, secrets, checkpoint, saved, header })
    }

    /// The checkpoint from which all runs of a line start. Each of them has a folder in which there is none.
    fn checkpoint_of_runs(&mut self, line: &Line, layers: &Layers) -> Result<Option<PathBuf>, Ended> {
        let Some(path) = &line.ckpt_path else { return Ok(None) };
        let common = assign::last_of_each(&line.options).filter(|option| !values::is_divided(option.text.as_deref()));
        let layers = layers.clone().flags(common.cloned());
        let (schema, merged) = (layers.schema().clone(), layers.merged()?);
        let trainer = self.trainer_of(&trainer_options(&merged)?, &merged, &schema);
        found(&trainer.map_err(|ended| ended.hide(&secret::of(&merged, &schema)))?, path, line.command.unwrap_or_default())
    }

    /// The Trainer with its options, and with what the program adds in code.
    fn trainer_of(&mut self, given: &TrainerConfig, merged: &Node, schema: &Schema) -> Result<Trainer<M>, Ended> {
        let mut trainer = Trainer::from_config(given.clone());
        for change in &self.of_batches {
            trainer = change(trainer, given);
        }
        let before = option_values(given)?;
        if let Some(options) = merged.get(["trainer"]) {
            trainer = self.registry.add(options, trainer).map_err(|refused| match refused {
                Refused::Options(error) => Ended::Usage(error),
                Refused::Failed(error) => Ended::Failed(error),
            })?;
        }
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

    fn check_aliases(&self, schema: &Schema) -> Result<()> {
        for (index, alias) in self.aliases.iter().enumerate() {
            let name = &alias.name;
            let is_taken = self.aliases[..index].iter().any(|other| other.name == *name) || args::OWN.iter().any(|own| own.name == name);
            if is_taken {
                return Err(Problem::general(format!("the alias `--{name}`: there is another flag with this name")).into());
            }
        }
        match self.aliases.iter().find(|alias| schema.leaf(&alias.path).is_none()) {
            None => Ok(()),
            Some(alias) => {
                let message = format!("the alias `--{}`: there is no option `{}`", alias.name, alias.path);
                let near = crate::nearest::did_you_mean(&alias.path, schema.leaves().map(|leaf| leaf.path.as_str()));
                Err(Problem::general(message).help(near).into())
            }
        }
    }

    fn help(&self, program: &str, schema: &Schema, defaults: &Node, all: bool) -> String {
        let (about, words, prefix) = (self.about.as_str(), self.words(), self.prefix.as_str());
        let defaults = &secret::without(defaults, schema);
        Page { program, about, words, schema, defaults, prefix, columns: self.columns }.text(all)
    }
}

/// The options that a command has.
pub(super) fn shown_for(command: Command, mut config: Node) -> Node {
    let is_shown = |name: &String| match name.as_str() {
        sweep::SECTION => command == Command::Sweep,
        tune::SECTION => command == Command::Tune,
        _ => true,
    };
    if let Some(fields) = config.fields_mut() {
        fields.retain(|name, _| is_shown(name));
    }
    config
}

/// The sections of commands: their names, schemas and defaults.
fn own_sections() -> Result<[(&'static str, Value, Node); 2]> {
    fn section<T: Default + serde::Serialize + schemars::JsonSchema>(name: &'static str) -> Result<(&'static str, Value, Node)> {
        let defaults = Node::of(&T::default(), &Source::default_value()).map_err(|error| Problem::general(error.to_string()))?;
        Ok((name, schemars::schema_for!(T).to_value(), defaults))
    }
    Ok([section::<TuneConfig>(tune::SECTION)?, section::<SweepConfig>(sweep::SECTION)?])
}

/// Checks the options of each run of a line before the first one starts.
fn check_runs(plan: &multirun::Plan, line: &Line, layers: &Layers) -> Result<()> {
    if line.ckpt_path.is_some() {
        // It has other options, which the runs find.
        return Ok(());
    }
    for options in plan.options_of_runs(&line.options) {
        layers.clone().flags(options).checked()?;
    }
    Ok(())
}

fn option_values(config: &TrainerConfig) -> Result<Value, Ended> {
    serde_json::to_value(config).map_err(|error| Ended::Usage(Problem::general(error.to_string()).into()))
}

/// The options of the Trainer in a configuration, without its callbacks and loggers.
pub(super) fn trainer_options(config: &Node) -> Result<TrainerConfig> {
    let mut options = config.get(["trainer"]).cloned().unwrap_or_else(|| Node::empty(&Source::default_value()));
    if let Some(fields) = options.fields_mut() {
        fields.retain(|name, _| !Kind::ALL.iter().any(|kind| kind.option() == name));
    }
    typed::read(&options, "trainer")
}

/// The checkpoint of `--ckpt-path`. Only a fit may start without it: a job that a scheduler starts again has the same
/// line each time.
fn found<M: LightningModule>(trainer: &Trainer<M>, path: &str, command: Command) -> Result<Option<PathBuf>, Ended> {
    let found = trainer.find_checkpoint(&CkptPath::from(path)).map_err(|error| of_ckpt_path(&error))?;
    if found.is_none() && command != Command::Fit {
        let message = format!("there is no checkpoint in `{}`", trainer.config().default_root_dir.display());
        let problem = Problem::new(&Origin::Flag("--ckpt-path".into()).into(), message);
        return Err(problem.help("train first, or give the path of a file".to_owned()).into_ended());
    }
    Ok(found)
}

/// A checkpoint that cannot be used is a mistake on the command line.
fn of_ckpt_path(error: &stormfire_module::Error) -> Ended {
    let problem = Problem::new(&Origin::Flag("--ckpt-path".into()).into(), error.to_string());
    Ended::Usage(problem.help(error.hint()).into())
}

impl Problem {
    fn into_ended(self) -> Ended {
        Ended::Usage(self.into())
    }
}

/// An error of an option with the source of its value. Other errors stay as they are.
pub(super) fn in_source(error: stormfire_module::Error, config: &Node, schema: &Schema, section: &str) -> Ended {
    let stormfire_module::Error::Config(refused) = &error else { return Ended::Failed(error) };
    let paths = [refused.option.clone(), join(section, &refused.option)];
    let found = paths.iter().find_map(|path| schema.leaf(path).and(config.get(path.split('.'))).map(|node| (path, node)));
    match found {
        Some((path, node)) => {
            let problem = Problem::new(&node.source, format!("`{path}`: {}", refused.reason)).help(refused.hint.clone());
            Ended::Usage(secret::redacted(problem.into(), config, schema))
        }
        None => Ended::Failed(error),
    }
}

/// Whether a comment of YAML cannot contain the character, or ends at it.
fn is_no_text(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Comments that say how the run was started.
fn header(program: &str, version: &str, words: &[String]) -> String {
    let quoted = |word: &String| {
        let is_simple = !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_=./,:+@%".contains(c));
        if is_simple { word.clone() } else { format!("'{}'", word.replace('\'', r"'\''").replace(is_no_text, " ")) }
    };
    let line: Vec<String> = std::iter::once(program.to_owned()).chain(words.iter().map(quoted)).collect();
    let version = if version.is_empty() { String::new() } else { format!("{program} {version}, ") };
    format!("# {}\n# by {version}Stormfire {}\n", line.join(" "), env!("CARGO_PKG_VERSION"))
}

/// The options of a section. One without options is `()`.
pub(super) fn options_of<T: DeserializeOwned>(config: &Node, name: &str) -> Result<T> {
    let none = Node::new(Tree::Null, &Source::default_value());
    typed::read(config.get([name]).unwrap_or(&none), name)
}
