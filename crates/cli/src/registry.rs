//! Callbacks and loggers that files name: `trainer.callbacks: [{name: early_stopping, monitor: val_loss}]`.

/// Calls a setter with a value, or a function with the object and the value.
macro_rules! set {
    ($object:ident $set:ident $value:ident) => {
        $object.$set($value)
    };
    ($object:ident $set:ident $value:ident, $with:expr) => {
        $with($object, $value)
    };
}

mod built_in;
mod choices;
mod text;
mod trackers;

pub(crate) use choices::Better;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use stormfire_loggers::{Error as LoggerError, Logger};
use stormfire_module::{Callback, Error, LightningModule};
use stormfire_trainer::Trainer;

use crate::{
    error::{Problem, Result},
    node::{Node, Tree},
    schema::rename_references,
    typed,
};

/// The option that chooses an entry.
const TAG: &str = "name";

/// The kind of an object that is added to a Trainer: a callback or a logger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Callback,
    Logger,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Callback, Self::Logger];

    /// The option of the Trainer with a list of them.
    pub(crate) fn option(self) -> &'static str {
        match self {
            Self::Callback => "callbacks",
            Self::Logger => "loggers",
        }
    }

    fn doc(self) -> &'static str {
        match self {
            Self::Callback => {
                "Callbacks, in addition to those of the program: a list such as `[{name: early_stopping, monitor: val_loss}]`."
            }
            Self::Logger => "Loggers, in place of the default ones: a list such as `[{name: csv}]`. `[]` disables logging.",
        }
    }
}

/// Adds an entry of a list, which is at this path, to a Trainer.
type Add<M> = Box<dyn Fn(&Node, &str, Trainer<M>) -> Result<Trainer<M>, Refused>>;

/// Why an entry was not added.
pub(crate) enum Refused {
    /// Its options are wrong.
    Options(crate::error::Error),
    /// The function that makes it has failed.
    Failed(Error),
}

impl Refused {
    /// With the place of an invalid option that only the function knows.
    fn within(self, item: &Node, path: String) -> Self {
        let Self::Failed(Error::Config(refused)) = self else { return self };
        let setter = refused.option.rsplit("::").next().unwrap_or_default();
        let is_known = item.get([setter]).is_some() || setter != refused.option;
        let (path, node) = place(item, path, setter);
        let reason = if is_known { refused.reason } else { refused.to_string() };
        Self::Options(Problem::new(&node.source, format!("`{path}`: {reason}")).help(refused.hint).into())
    }
}

/// The option of an entry that a setter sets, with its path, or else the entry.
fn place<'a>(item: &'a Node, path: String, setter: &str) -> (String, &'a Node) {
    match item.get([setter]) {
        Some(value) => (format!("{path}.{setter}"), value),
        None => (path, item),
    }
}

struct Entry<M: LightningModule> {
    kind: Kind,
    name: String,
    /// The type's name in errors of its options: `ModelCheckpoint`.
    type_name: &'static str,
    schema: Value,
    add: Add<M>,
}

/// The callbacks and loggers that files can name.
pub(crate) struct Registry<M: LightningModule> {
    entries: Vec<Entry<M>>,
}

impl<M: LightningModule> Registry<M> {
    /// Those of Stormfire.
    pub(crate) fn built_in() -> Self {
        let mut registry = Self { entries: Vec::new() };
        built_in::register(&mut registry);
        trackers::register(&mut registry);
        registry
    }

    pub(crate) fn callback<C, T>(&mut self, name: &str, make: impl Fn(C) -> stormfire_module::Result<T> + 'static)
    where
        C: DeserializeOwned + JsonSchema,
        T: Callback<M>,
    {
        self.register::<C, T>(Kind::Callback, name, move |options, trainer| Ok(trainer.callback(make(options)?)));
    }

    /// The function also gets the Trainer with its options.
    pub(crate) fn logger<C, T>(&mut self, name: &str, make: impl Fn(C, &Trainer<M>) -> stormfire_module::Result<T> + 'static)
    where
        C: DeserializeOwned + JsonSchema,
        T: Logger,
    {
        self.register::<C, T>(Kind::Logger, name, move |options, trainer| {
            let logger = make(options, &trainer)?;
            // A setting that is not given, such as a key, is refused only where the logger would be opened.
            if let Err(LoggerError::Setting { option, reason, hint, .. }) = logger.check() {
                return Err(Error::config(option, reason, hint));
            }
            Ok(trainer.logger(logger))
        });
    }

    /// An entry of the same name is replaced.
    fn register<C: DeserializeOwned + JsonSchema, T>(
        &mut self,
        kind: Kind,
        name: &str,
        add: impl Fn(C, Trainer<M>) -> stormfire_module::Result<Trainer<M>> + 'static,
    ) {
        let add = move |options: &Node, path: &str, trainer| {
            let options = typed::read::<C>(options, path).map_err(Refused::Options)?;
            add(options, trainer).map_err(Refused::Failed)
        };
        self.entries.retain(|entry| entry.kind != kind || entry.name != name);
        let schema = schemars::schema_for!(C).to_value();
        let type_name = std::any::type_name::<T>().split('<').next().and_then(|path| path.rsplit("::").next()).unwrap_or_default();
        self.entries.push(Entry { kind, name: name.to_owned(), type_name, schema, add: Box::new(add) });
    }

    /// Completes the schema of the Trainer's options.
    pub(crate) fn describe(&self, trainer: &mut Value) {
        for kind in Kind::ALL {
            let mut variants = Vec::new();
            for entry in self.entries.iter().filter(|entry| entry.kind == kind) {
                let section = format!("{}.{}", kind.option(), entry.name);
                let mut schema = entry.schema.clone();
                if let Some(Value::Object(own)) = schema.as_object_mut().and_then(|schema| schema.remove("$defs")) {
                    for (key, mut value) in own {
                        rename_references(&mut value, &section);
                        trainer["$defs"][format!("{section}.{key}")] = value;
                    }
                }
                rename_references(&mut schema, &section);
                let mut properties = Map::from_iter([(TAG.to_owned(), json!({ "type": "string", "const": entry.name }))]);
                if let Some(Value::Object(own)) = schema.get_mut("properties").map(Value::take) {
                    properties.extend(own);
                }
                let mut required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
                required.insert(0, TAG.into());
                variants.push(json!({
                    "type": "object",
                    "description": schema["description"],
                    "properties": properties,
                    "required": required,
                    "additionalProperties": false,
                }));
            }
            let items = json!({ "type": "array", "items": { "oneOf": variants } });
            trainer["properties"][kind.option()] = json!({ "description": kind.doc(), "anyOf": [items, { "type": "null" }] });
        }
    }

    /// Adds the callbacks and loggers of a configuration.
    pub(crate) fn add(&self, options: &Node, mut trainer: Trainer<M>) -> Result<Trainer<M>, Refused> {
        for kind in Kind::ALL {
            let Some(list) = options.get([kind.option()]) else { continue };
            let Tree::List(items) = &list.value else { continue };
            if items.is_empty() && kind == Kind::Logger {
                trainer = trainer.no_logger();
            }
            for (index, item) in items.iter().enumerate() {
                let path = format!("trainer.{}[{index}]", kind.option());
                let name = item.get([TAG]).and_then(Node::text).unwrap_or_default();
                let found = self.entries.iter().find(|entry| entry.kind == kind && entry.name == name);
                // The schema has the same names.
                let unknown = || Problem::new(&item.source, format!("`{path}.{TAG}`: there is no `{name}`"));
                let entry = found.ok_or_else(|| Refused::Options(unknown().into()))?;
                let mut own = item.clone();
                own.fields_mut().map(|fields| fields.shift_remove(TAG));
                trainer = (entry.add)(&own, &path, trainer).map_err(|refused| refused.within(item, path))?;
            }
        }
        Ok(trainer)
    }

    /// Whether the entries of this type have the option.
    pub(crate) fn takes(&self, type_name: &str, option: &str) -> bool {
        self.entries.iter().any(|entry| entry.type_name == type_name && entry.schema["properties"].get(option).is_some())
    }

    /// The option of a file that an error of a callback or logger means by `Type::setter`, with its path: the value of
    /// the setter, or else the entry. `None` if several entries can be meant.
    pub(crate) fn meant<'a>(&self, option: &str, options: &'a Node) -> Option<(String, &'a Node)> {
        let (type_name, setter) = option.split_once("::").unwrap_or((option, ""));
        let mut found = Vec::new();
        for kind in Kind::ALL {
            let Some(Tree::List(items)) = options.get([kind.option()]).map(|list| &list.value) else { continue };
            let is_meant = |item: &Node| {
                let name = item.get([TAG]).and_then(Node::text);
                self.entries.iter().any(|entry| entry.kind == kind && Some(&*entry.name) == name && entry.type_name == type_name)
            };
            let meant = items.iter().enumerate().filter(|(_, item)| is_meant(item));
            found.extend(meant.map(|(index, item)| (format!("trainer.{}[{index}]", kind.option()), item)));
        }
        if found.iter().any(|(_, item)| item.get([setter]).is_some()) {
            found.retain(|(_, item)| item.get([setter]).is_some());
        }
        let (path, item) = found.pop()?;
        // Of two entries with one key, the later one is meant.
        if !found.is_empty() && setter != "state_key" {
            return None;
        }
        Some(place(item, path, setter))
    }
}
