//! The options of a program, and their defaults.

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use stormfire_data::DataModule;
use stormfire_module::LightningModule;
use stormfire_trainer::TrainerConfig;

use super::Cli;
use crate::{
    args::{self, Command},
    error::{Error, Problem, Result},
    node::{Node, Tree},
    schema::Schema,
    source::Source,
    sweep::{self, SweepConfig},
    tune::{self, TuneConfig},
};

/// The documentation of `trainer.devices` in a program without [`Cli::with_devices`].
const UNDIVIDED: &str = "The number of processes on each machine that a launcher such as `mpirun` has started. This program does not \
                         divide a batch among threads, which needs `Cli::with_devices`. Default: 1.";

/// The documentation of `trainer.precision` in a program without [`Cli::with_precision`].
const UNCAST: &str = "The float type of parameters and steps: `\"32-true\"`, `\"bf16-true\"` or `\"64-true\"`. This program has no mixed \
                      precision, which needs `Cli::with_precision`. Default: the types that the module has.";

impl<M: LightningModule, D: DataModule<Batch = M::Batch>, MC: DeserializeOwned, DC: DeserializeOwned> Cli<M, D, MC, DC> {
    /// The options of all sections, and their defaults.
    pub(super) fn options(&mut self, program: &str) -> Result<(Schema, Node)> {
        let parts = std::mem::replace(&mut self.parts, Ok(Vec::new()))?;
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
        sections.push(("trainer".into(), self.trainer_schema()));
        for (name, schema, values) in of_commands()? {
            sections.push((name.to_owned(), schema));
            defaults.fields_mut().map(|fields| fields.insert(name.to_owned(), values));
        }
        let aliases = self.aliases.iter().map(|alias| (alias.name.clone(), alias.path.clone()));
        let schema = Schema::of_sections(program, sections).with_aliases(aliases);
        self.check_aliases(&schema)?;
        Ok((schema, defaults))
    }

    fn trainer_schema(&self) -> Value {
        let mut options = TrainerConfig::json_schema();
        options["description"] = json!("the options of the Trainer");
        for (option, doc) in [("devices", UNDIVIDED), ("precision", UNCAST)] {
            if !self.of_batches.iter().any(|(allowed, _)| *allowed == option) {
                options["properties"][option]["description"] = json!(doc);
            }
        }
        self.registry.describe(&mut options);
        options
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
fn of_commands() -> Result<[(&'static str, Value, Node); 2]> {
    fn section<T: Default + serde::Serialize + schemars::JsonSchema>(name: &'static str) -> Result<(&'static str, Value, Node)> {
        let defaults = Node::of(&T::default(), &Source::default_value()).map_err(|error| Problem::general(error.to_string()))?;
        Ok((name, schemars::schema_for!(T).to_value(), defaults))
    }
    Ok([section::<TuneConfig>(tune::SECTION)?, section::<SweepConfig>(sweep::SECTION)?])
}
