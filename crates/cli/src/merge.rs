//! Puts one layer over another.

use crate::{
    node::{Node, Tree},
    schema::{Schema, join},
};

/// Puts a layer over others. Sections merge. Everything else is replaced, also lists.
///
/// A layer that chooses another variant of an enum replaces the whole section, because a variant has its own options.
pub(crate) fn merge(into: &mut Node, from: Node, path: &str, schema: &Schema) {
    let tag = schema.leaf(path).and_then(|leaf| leaf.tag.as_deref());
    let chooses = |node: &Node| tag.and_then(|tag| node.fields()?.get(tag)).map(|name| name.value.clone());
    let is_other_variant = chooses(&from).is_some_and(|new| chooses(into).as_ref() != Some(&new));
    match (&mut into.value, from) {
        (Tree::Map(fields), Node { value: Tree::Map(over), source }) if !is_other_variant => {
            for (name, value) in over {
                match fields.get_mut(&name) {
                    Some(below) => merge(below, value, &join(path, &name), schema),
                    None => {
                        fields.insert(name, value);
                    }
                }
            }
            // The source of a missing option is the layer that has chosen the section.
            into.source = source;
        }
        // A section of a file whose options are all commented out.
        (Tree::Map(_), Node { value: Tree::Null, source }) if source.position().is_some() && is_section(path, schema) => {}
        (_, from) => *into = from,
    }
}

/// Whether these are options that are always there.
fn is_section(path: &str, schema: &Schema) -> bool {
    path.is_empty() || schema.leaf(path).is_some_and(|leaf| leaf.is_section && !leaf.kinds.has_null())
}
