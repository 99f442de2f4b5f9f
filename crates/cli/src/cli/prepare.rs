//! From a command line to a Trainer and a configuration.

use std::path::PathBuf;

use serde::de::DeserializeOwned;
use stormfire_data::DataModule;
use stormfire_module::{LightningModule, secrets::Secrets};
use stormfire_trainer::Trainer;

use super::{
    Cli,
    ended::{Ended, Plan, Runs, of_ckpt_path},
    options::{checked, checked_tune, found},
    sections::shown_for,
};
use crate::{
    args::{self, Command, Line, Print, Words},
    assign::Assignment,
    completion, env,
    error::{Error, Problem, Result},
    help::Page,
    layers::Layers,
    node::{Node, Tree},
    print::{print_config, print_schema},
    read::check_readable_again,
    saved_config::{SavedConfig, of_checkpoint},
    schema::Schema,
    secret,
    source::Source,
    sweep, values,
};

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
    /// The number of trials of a sweep.
    pub(super) trials: Option<usize>,
}

impl<M: LightningModule, D: DataModule<Batch = M::Batch>, MC: DeserializeOwned, DC: DeserializeOwned> Cli<M, D, MC, DC> {
    fn words(&self) -> Words<'_> {
        Words { aliases: &self.aliases, commands: Command::of_program(self.predict.is_some()) }
    }

    /// `args` are without the name of the program.
    pub(super) fn prepare(&mut self, program: &str, args: &[String], variables: Vec<(String, String)>) -> Result<Prepared<M>, Ended> {
        let called = self.called(program);
        let (schema, defaults) = self.options(&called)?;
        let (line, mut problems) = args::parse_all(args, &schema, self.words());
        if problems.is_empty() {
            args::check_combination(&line, &schema)?;
        }
        if let Some(page) = self.page(line.print.as_ref(), program, &schema, &defaults) {
            problems.into_result()?;
            return Err(Ended::Printed(page?));
        }
        let command = line.command.unwrap_or_default();
        let sweeps = command == Command::Sweep;
        if line.multirun || self.is_child || (sweeps && line.print.is_none()) {
            check_readable_again(&line.files)?;
        }
        let variables = env::assignments(&self.prefix, variables, &schema);
        let variables = env::check_text(&self.prefix, &self.undecodable).and(variables);
        let mut layers = Layers::new(schema, &defaults)?.files_and_variables(&line.files, variables, &mut problems);
        if !problems.is_empty() {
            let several = line.multirun || sweeps;
            let of_all = |option: &Assignment| if several { values::of_all_runs(option) } else { Some(option.clone()) };
            layers.clone().flags(line.options.iter().filter_map(of_all)).end_with(problems)?;
        }
        if command == Command::Predict && self.predict.is_none() {
            return Err(Problem::general("this program cannot predict").help("add `Cli::predict`".to_owned()).into_ended());
        }
        if line.multirun {
            return Err(Ended::Several(Box::new(self.runs_of(line, &layers)?)));
        }
        let (plain, space) = if sweeps { sweep::divide(&line.options)? } else { (line.options.clone(), None) };
        layers = layers.flags(plain);
        self.with_checkpoint(&called, &line, layers, (command, space))
    }

    /// The name of the program with the words that select it.
    fn called(&self, program: &str) -> String {
        std::iter::once(program).chain(self.selector.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
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
        // All mistakes at once, before anything is built.
        let (merged, given) = checked(&layers, line.ckpt_path.is_some())?;
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
                match fields.get_mut(&name) {
                    // Also another form of the same value, as `bf16` of `bf16-mixed`.
                    Some(before) if !before.is_same(&value) => before.value = value.value,
                    Some(_) => {}
                    None => drop(fields.insert(name, value)),
                }
            }
        }
        let header = header(program, &self.version, &line.shown);
        let mut trials = None;
        if command == Command::Sweep {
            config = sweep::with_space(config, space.as_ref(), layers.given_flags());
            if line.print.is_none() {
                let read = |config: &Node, section: &str| self.check_section(config, &schema, section);
                let plan = sweep::plan(line, &layers, &config, &header, &read)?;
                if !sweep::varies(&config, "trainer") {
                    self.check_start(&trainer, command, &config, &schema)?;
                }
                if !line.dry_run {
                    let folder = plan.source.clone();
                    let runs = Runs { plan: Plan::Sweep(Box::new(plan)), folder, selector: self.selector.clone() };
                    return Err(Ended::Several(Box::new(runs)));
                }
                trials = Some(plan.trials);
            }
        }
        if let Some(Print::Config { docs }) = line.print {
            return Err(Ended::Printed(print_config(&shown_for(command, config), &schema, docs)));
        }
        if command == Command::Tune && checked_tune(&config, &schema)?.scale_batch_size.starts_processes() {
            check_readable_again(&line.files)?;
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
        if let Some(folder) = saved_config.own_folder.as_ref().filter(|_| self.trial.is_some()) {
            // Before anything of the trial can fail.
            saved_config.write_into(folder)?;
        }
        let trainer = trainer.callback(saved_config);
        Ok(Prepared { command, dry_run: line.dry_run, trainer, config, schema, secrets, checkpoint, saved, header, trials })
    }

    /// The output in place of a run that needs no files.
    fn page(&self, print: Option<&Print>, program: &str, schema: &Schema, defaults: &Node) -> Option<Result<String>> {
        match print? {
            Print::Help { all } => Some(Ok(self.help(program, schema, defaults, *all))),
            Print::Schema => Some(Ok(print_schema(schema))),
            // A shell knows the name of the file alone.
            Print::Completion(shell) => Some(completion::script(shell, program, self.words(), schema)),
            Print::Config { .. } => None,
        }
    }

    fn help(&self, program: &str, schema: &Schema, defaults: &Node, all: bool) -> String {
        let (about, words, prefix) = (self.about.as_str(), self.words(), self.prefix.as_str());
        let (program, defaults) = (self.called(program), secret::without(defaults, schema));
        Page { program: &program, about, words, schema, defaults: &defaults, prefix, columns: self.columns }.text(all)
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
