//! Puts one layer over another.

use crate::{
    node::{Node, Tree},
    schema::{Leaf, Schema, join},
};

/// Puts a layer over others. Sections and maps merge. Everything else is replaced, also lists. `{}` empties a map.
///
/// A layer that chooses another variant of an enum replaces the whole section, because a variant has its own options.
pub(crate) fn merge(into: &mut Node, from: Node, path: &str, schema: &Schema) {
    let leaf = schema.leaf(path);
    let is_other_variant = leaf.is_some_and(|leaf| {
        let chooses = |node: &Node| variant(node, leaf);
        chooses(&from).is_some_and(|new| chooses(into).as_ref() != Some(&new))
    });
    let is_no_section = leaf.is_some_and(|leaf| leaf.is_section && !leaf.kinds.has(&into.value));
    match (&mut into.value, from) {
        // Otherwise no layer could take the names of a map away.
        (Tree::Map(_), from) if is_empty(&from) && is_map(path, schema) => *into = from,
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
        // An option of the section would hide the mistake, and the options that it has replaced.
        (_, Node { value: Tree::Map(_), .. }) if is_no_section => {}
        (_, from) => *into = from,
    }
}

/// The variant that the options of a section belong to, if they say it.
fn variant(node: &Node, leaf: &Leaf) -> Option<Tree> {
    let fields = node.fields()?;
    if let Some(tag) = &leaf.tag {
        return fields.get(tag).map(|name| name.value.clone());
    }
    leaf.named_variants.iter().find(|name| fields.contains_key(*name)).map(|name| Tree::Text(name.clone()))
}

fn is_empty(node: &Node) -> bool {
    node.fields().is_some_and(indexmap::IndexMap::is_empty)
}

/// Whether it has any names, or is within such a map.
fn is_map(path: &str, schema: &Schema) -> bool {
    !path.is_empty() && schema.leaf(path).is_none_or(Leaf::is_open)
}

/// Whether these are options that are always there.
fn is_section(path: &str, schema: &Schema) -> bool {
    path.is_empty() || schema.leaf(path).is_some_and(|leaf| leaf.is_section && !leaf.kinds.has_null())
}
