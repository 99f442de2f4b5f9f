//! Values that are never shown.

use serde_json::Value;

use crate::{
    error::{Error, Problem},
    node::{Node, Tree},
    schema::{Schema, Within, is_secret},
};

/// What stands in place of a secret in a message.
pub(crate) const HIDDEN: &str = "[secret]";

/// The strings of all secrets in a value with these schemas.
fn secrets(node: &Node, root: &Value, schemas: &[&Value], within_secret: bool, found: &mut Vec<String>) {
    let within_secret = within_secret || is_secret(root, schemas);
    match &node.value {
        Tree::Map(fields) => {
            for (name, value) in fields {
                secrets(value, root, &Within::field(root, schemas, name).schemas, within_secret, found);
            }
        }
        Tree::List(items) => {
            for (index, item) in items.iter().enumerate() {
                secrets(item, root, &Within::item(root, schemas, index).schemas, within_secret, found);
            }
        }
        Tree::Text(text) if within_secret => found.push(text.clone()),
        Tree::Int(value) if within_secret => found.push(value.to_string()),
        Tree::UInt(value) if within_secret => found.push(value.to_string()),
        Tree::Float(value) if within_secret => found.push(format!("{value:?}")),
        _ => {}
    }
}

/// An error without the secrets that a type may have put into its message.
pub(crate) fn redacted(error: Error, node: &Node, schema: &Schema) -> Error {
    let mut all = Vec::new();
    secrets(node, schema.json(), &[schema.json()], false, &mut all);
    all.retain(|secret| !secret.is_empty());
    // A secret may be a part of another one.
    all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let hide = |text: &str| all.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN));
    error.map(|problem| Problem { message: hide(&problem.message), help: problem.help.as_deref().map(hide), ..problem })
}

/// A configuration without its secrets.
pub(crate) fn without(node: &Node, schema: &Schema) -> Node {
    let mut open = node.clone();
    remove(&mut open, schema.json(), &[schema.json()], true);
    open
}

/// A configuration without the secrets in lists and in maps with any names. Those are no options of their own.
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
        _ => {}
    }
}
