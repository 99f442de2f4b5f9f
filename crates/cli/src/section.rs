//! The parts of a configuration: those of the model and of the data.

use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{
    error::{Problem, Result},
    node::{Node, Tree},
    source::Source,
};

/// A type whose fields are a section of the configuration. Every type with these traits is one: derive them. `()` is a
/// section without options.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a section of a configuration",
    label = "does not implement `Default`, `Serialize`, `Deserialize` and `JsonSchema`",
    note = "derive `Serialize`, `Deserialize` and `JsonSchema` for it, with `#[serde(default, deny_unknown_fields)]`, and implement `Default`",
    note = "a `Config` of burn is given as a value: `Cli::with_defaults`"
)]
pub trait Section: Default + Serialize + DeserializeOwned + JsonSchema + 'static {}

impl<T: Default + Serialize + DeserializeOwned + JsonSchema + 'static> Section for T {}

/// The schema of a section, and its defaults.
pub(crate) struct Part {
    pub(crate) name: &'static str,
    /// `None` for a section without options.
    pub(crate) schema: Option<Value>,
    pub(crate) defaults: Node,
}

impl Part {
    /// The section of a type.
    pub(crate) fn of<T: Section>(name: &'static str) -> Result<Self> {
        let schema = schemars::schema_for!(T).to_value();
        Self::new(name, &T::default(), Some(schema))
    }

    /// The section of a value whose type has no schema: the value shows the options.
    pub(crate) fn of_value(name: &'static str, defaults: &impl Serialize) -> Result<Self> {
        Self::new(name, defaults, None)
    }

    fn new(name: &'static str, defaults: &impl Serialize, schema: Option<Value>) -> Result<Self> {
        let source = Source::default_value();
        let plain = Node::of(defaults, &source).map_err(|error| {
            let help = "use fields that JSON can represent, such as maps with strings as keys";
            Problem::general(format!("the defaults of `{name}`: {error}")).help(help.to_owned())
        })?;
        let schema = schema.unwrap_or_else(|| inferred(&plain));
        let has_options = plain.value != Tree::Null;
        Ok(Self { name, schema: has_options.then_some(schema), defaults: plain })
    }
}

/// The schema that a value suggests. A string may be the name of an enum's variant, and `null` may be anything.
fn inferred(node: &Node) -> Value {
    match &node.value {
        Tree::Null => json!({}),
        Tree::Bool(_) => json!({ "type": "boolean" }),
        Tree::Int(_) | Tree::UInt(_) => json!({ "type": "integer" }),
        Tree::Float(_) => json!({ "type": "number" }),
        Tree::Text(_) => json!({ "type": ["string", "object"] }),
        Tree::List(_) => json!({ "type": "array" }),
        Tree::Map(fields) => {
            let properties: Map<String, Value> = fields.iter().map(|(name, value)| (name.clone(), inferred(value))).collect();
            json!({ "type": "object", "properties": properties, "additionalProperties": false })
        }
    }
}
