//! Values that are never shown.

use crate::{
    error::{Error, Problem},
    node::{Node, Tree},
    schema::{Schema, join},
};

/// What stands in place of a secret in a message.
pub(crate) const HIDDEN: &str = "[secret]";

/// The strings of all secrets in a configuration.
fn secrets(node: &Node, path: &str, schema: &Schema, is_secret: bool, found: &mut Vec<String>) {
    let is_secret = is_secret || schema.leaf(path).is_some_and(|leaf| leaf.is_secret);
    match &node.value {
        Tree::Map(fields) => fields.iter().for_each(|(name, value)| secrets(value, &join(path, name), schema, is_secret, found)),
        Tree::List(items) => items.iter().for_each(|item| secrets(item, path, schema, is_secret, found)),
        Tree::Text(text) if is_secret => found.push(text.clone()),
        Tree::Int(value) if is_secret => found.push(value.to_string()),
        Tree::UInt(value) if is_secret => found.push(value.to_string()),
        Tree::Float(value) if is_secret => found.push(format!("{value:?}")),
        _ => {}
    }
}

/// An error without the secrets that a type may have put into its message.
pub(crate) fn redacted(error: Error, node: &Node, schema: &Schema) -> Error {
    let mut all = Vec::new();
    secrets(node, "", schema, false, &mut all);
    all.retain(|secret| !secret.is_empty());
    // A secret may be a part of another one.
    all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    let hide = |text: &str| all.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN));
    error.map(|problem| Problem { message: hide(&problem.message), help: problem.help.as_deref().map(hide), ..problem })
}

/// A configuration without its secrets.
pub(crate) fn without(node: &Node, schema: &Schema) -> Node {
    let mut open = node.clone();
    remove(&mut open, "", schema);
    open
}

fn remove(node: &mut Node, path: &str, schema: &Schema) {
    let Some(fields) = node.fields_mut() else { return };
    fields.retain(|name, value| {
        let path = join(path, name);
        let is_secret = schema.leaf(&path).is_some_and(|leaf| leaf.is_secret);
        if !is_secret {
            remove(value, &path, schema);
        }
        !is_secret
    });
}
