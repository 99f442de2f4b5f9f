//! Values that are never shown.

use serde_json::Value;
use stormfire_loggers::for_trainer::AddressParts;
use stormfire_module::secrets::Secrets;

use crate::{
    error::{Error, Problem},
    node::{Node, Tree},
    quote,
    schema::{Schema, Within, is_secret, parts},
    source::Source,
};

/// Marks a string in a schema that is an address: it may have a login and a query, which are secrets.
pub(crate) const ADDRESS: &str = "x-address";

/// The secrets of a configuration.
pub(crate) fn of(node: &Node, schema: &Schema) -> Secrets {
    let mut found = all(node, schema);
    // A message has a long value in another form.
    let shown = found.iter().map(|(name, text)| (name.clone(), quote::value(text)));
    let changed: Vec<_> = shown.zip(&found).filter(|(shown, plain)| shown != *plain).map(|(shown, _)| shown).collect();
    found.extend(changed);
    Secrets::new(found)
}

/// Whether a configuration has a secret.
pub(crate) fn has(node: &Node, schema: &Schema) -> bool {
    !all(node, schema).is_empty()
}

/// Whether the option with this path is a secret or a part of one.
pub(crate) fn is_at(path: &str, schema: &Schema) -> bool {
    let root = schema.json();
    let mut schemas = vec![root];
    path.split('.').any(|name| {
        schemas = Within::field(root, &schemas, name).schemas;
        is_secret(root, &schemas)
    })
}

/// The names and strings of all secrets.
fn all(node: &Node, schema: &Schema) -> Vec<(String, String)> {
    let mut found = Vec::new();
    add(node, "", schema.json(), &[schema.json()], false, &mut found);
    found
}

/// Adds the names and strings of all secrets in a value with these schemas.
fn add(node: &Node, name: &str, root: &Value, schemas: &[&Value], within_secret: bool, found: &mut Vec<(String, String)>) {
    let within_secret = within_secret || is_secret(root, schemas);
    let mut push = |text: String| found.push((name.to_owned(), text));
    match &node.value {
        Tree::Map(fields) => {
            for (name, value) in fields {
                add(value, name, root, &Within::field(root, schemas, name).schemas, within_secret, found);
            }
        }
        Tree::List(items) => {
            for (index, item) in items.iter().enumerate() {
                add(item, name, root, &Within::item(root, schemas, index).schemas, within_secret, found);
            }
        }
        Tree::Text(text) if within_secret => push(text.clone()),
        Tree::Text(text) if is_address(root, schemas) => AddressParts::of(text).secrets().map(str::to_owned).for_each(push),
        Tree::Int(value) if within_secret => push(value.to_string()),
        Tree::UInt(value) if within_secret => push(value.to_string()),
        Tree::Float(value) if within_secret => push(format!("{value:?}")),
        _ => {}
    }
}

fn is_address(root: &Value, schemas: &[&Value]) -> bool {
    schemas.iter().any(|schema| parts(root, schema).iter().chain([schema]).any(|part| part[ADDRESS] == true))
}

/// An error without the secrets that a type may have put into its message.
pub(crate) fn redacted(error: Error, node: &Node, schema: &Schema) -> Error {
    let secrets = of(node, schema);
    let hide = |text: &str| secrets.hidden_in(text);
    error.map(|problem| Problem { message: hide(&problem.message), help: problem.help.as_deref().map(hide), ..problem })
}

/// An error of code that knows secrets, without them.
pub(crate) fn hidden_in(error: stormfire_module::Error, secrets: &Secrets) -> stormfire_module::Error {
    // With the hint.
    let text = format!("{error:?}");
    let hidden = secrets.hidden_in(&text);
    match error.hint().filter(|_| hidden != text) {
        _ if hidden == text => error,
        Some(hint) => {
            let (message, hint) = (secrets.hidden_in(&error.to_string()), secrets.hidden_in(&hint));
            stormfire_module::Error::other(format!("{message}; {hint}"))
        }
        None => stormfire_module::Error::other(hidden),
    }
}

/// A configuration without its secrets.
pub(crate) fn without(node: &Node, schema: &Schema) -> Node {
    let mut open = node.clone();
    remove(&mut open, schema.json(), &[schema.json()], true);
    open
}

/// A configuration without the secrets in lists and in maps with any names. Those are not separate options.
pub(crate) fn without_nested(node: &Node, schema: &Schema) -> Node {
    let mut open = node.clone();
    remove(&mut open, schema.json(), &[schema.json()], false);
    open
}

/// `removes`: whether a secret is removed here, and not only further inside.
fn remove(node: &mut Node, root: &Value, schemas: &[&Value], removes: bool) {
    match &mut node.value {
        Tree::Map(fields) => fields.retain(|name, value| {
            let Within { schemas, is_named } = Within::field(root, schemas, name);
            let removes = removes || !is_named;
            if removes && is_secret(root, &schemas) {
                return false;
            }
            remove(value, root, &schemas, removes);
            true
        }),
        Tree::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                remove(item, root, &Within::item(root, schemas, index).schemas, true);
            }
        }
        Tree::Text(text) if is_address(root, schemas) => {
            let parts = AddressParts::of(text);
            *text = format!("{}{}", parts.start, parts.place);
        }
        _ => {}
    }
}

/// A schema without the secrets in its default values.
pub(crate) fn without_defaults(schema: &Value) -> Value {
    fn clean(part: &mut Value, root: &Value) {
        match part {
            Value::Object(fields) => {
                let own = Value::Object(fields.clone());
                if is_secret(root, &[&own]) {
                    fields.shift_remove("default");
                }
                if let Some(given) = fields.get_mut("default")
                    && let Ok(mut node) = Node::of_json(given.clone(), &Source::default_value())
                {
                    remove(&mut node, root, &[&own], true);
                    *given = serde_json::to_value(&node).unwrap_or_default();
                }
                fields.values_mut().for_each(|value| clean(value, root));
            }
            Value::Array(items) => items.iter_mut().for_each(|item| clean(item, root)),
            _ => {}
        }
    }
    let mut open = schema.clone();
    clean(&mut open, schema);
    open
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_part_of_a_secret_is_one() {
        let schema = Schema::from_json(json!({ "properties": {
            "keys": { "type": "object", "additionalProperties": { "type": "string" }, "writeOnly": true },
            "open": { "type": "object", "additionalProperties": { "type": "string", "writeOnly": true } },
            "lr": { "type": "number" },
        }}));
        let found = ["keys", "keys.a", "open", "open.a", "lr", "other"].map(|path| is_at(path, &schema));
        assert_eq!(found, [true, true, false, true, false, false]);
    }
}
