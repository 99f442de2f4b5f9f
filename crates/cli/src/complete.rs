//! Options of a chosen variant that no layer has set.

use serde_json::Value;

use crate::{
    check::{const_of, tag_of},
    node::{Node, Tree},
    schema::{Kinds, Schema, Within, follow, parts, properties, variants},
    source::Source,
};

/// Adds the options that a variant of an enum has by default. Without them, a saved configuration would have those of
/// the program's default, if that is the same variant.
pub(crate) fn complete(node: &mut Node, schema: &Schema) {
    fill(node, schema.json(), &[schema.json()]);
}

fn fill(node: &mut Node, root: &Value, schemas: &[&Value]) {
    // A list replaces the one below it as a whole.
    let Tree::Map(fields) = &mut node.value else { return };
    let all: Vec<&Value> = schemas.iter().flat_map(|schema| parts(root, schema)).collect();
    let chosen = all.iter().flat_map(|part| variants(part)).map(|variant| follow(root, variant)).find(|variant| {
        let name = tag_of(variant).and_then(|tag| Some((const_of(variant, tag)?, fields.get(tag)?.text()?)));
        name.is_some_and(|(of_variant, given)| of_variant == given)
    });
    for (name, property) in chosen.into_iter().flat_map(properties) {
        if !fields.contains_key(name)
            && let Some(value) = default_of(root, property)
        {
            fields.insert(name.clone(), value);
        }
    }
    for (name, value) in fields.iter_mut() {
        fill(value, root, &Within::field(root, schemas, name).schemas);
    }
}

/// The value of an option that is missing.
fn default_of(root: &Value, property: &Value) -> Option<Node> {
    let source = Source::default_value();
    if let Some(value) = property.get("default") {
        return Node::of_json(value.clone(), &source).ok();
    }
    // The fields that are optional for serde.
    let has_null = parts(root, property).into_iter().any(|part| Kinds::of(part).has_null());
    has_null.then(|| Node::new(Tree::Null, &source))
}
