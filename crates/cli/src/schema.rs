//! The options of a program, from the JSON schema of its configuration.

mod doc;
mod kinds;

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Map, Value, json};

pub(crate) use doc::{first_sentences, remove_links};
pub(crate) use kinds::Kinds;

/// References within references that are followed, and levels of options.
const DEEPEST: usize = 32;

/// An option, or a section of options.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leaf {
    /// The names from the outside, with dots: `model.optimizer.lr`.
    pub path: String,
    /// Its documentation, without links.
    pub doc: String,
    /// Its possible values, if it has only a few.
    pub values: Vec<String>,
    /// Whether it has options below it.
    pub is_section: bool,
    /// Whether its value is never shown.
    pub is_secret: bool,
    pub(crate) kinds: Kinds,
    /// The option below it that chooses among its variants.
    pub(crate) tag: Option<String>,
    /// The names of its variants with options, if these names are the options below it: serde's default form of an
    /// enum.
    pub(crate) named_variants: Vec<String>,
}

impl Leaf {
    /// Whether every name is an option below it.
    pub(crate) fn is_open(&self) -> bool {
        !self.is_section && self.kinds.has_map()
    }
}

/// All options of a program. A clone shares them.
#[derive(Clone, Debug)]
pub struct Schema {
    options: Arc<Options>,
    /// Shorter names of options, and these options.
    aliases: Arc<[(String, String)]>,
}

#[derive(Debug, Default)]
struct Options {
    root: Value,
    leaves: BTreeMap<String, Leaf>,
    /// In the order of the source.
    order: Vec<String>,
}

impl Schema {
    /// The options of a type.
    pub fn of<T: schemars::JsonSchema>() -> Self {
        Self::from_json(schemars::schema_for!(T).to_value())
    }

    /// The options of a JSON schema.
    pub fn from_json(root: Value) -> Self {
        let mut options = Options::default();
        walk(&mut options, &root, &root, "", 0);
        options.leaves.remove("");
        options.order.retain(|path| !path.is_empty());
        Self { options: Arc::new(Options { root, ..options }), aliases: Arc::default() }
    }

    /// Adds shorter names, which only a line may have. A mistake elsewhere names their option.
    pub(crate) fn with_aliases(self, aliases: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { aliases: aliases.into_iter().collect(), ..self }
    }

    /// The option of an alias.
    pub(crate) fn of_alias(&self, name: &str) -> Option<&str> {
        let simple = |name: &str| name.replace('-', "_").to_lowercase();
        self.aliases.iter().find(|(alias, _)| simple(alias) == simple(name)).map(|(_, path)| path.as_str())
    }

    /// Options that are those of several schemas, each in a section.
    pub(crate) fn of_sections(title: &str, sections: impl IntoIterator<Item = (String, Value)>) -> Self {
        let (mut properties, mut definitions) = (Map::new(), Map::new());
        for (name, mut section) in sections {
            // Two sections may have different types of one name.
            if let Some(Value::Object(own)) = section.as_object_mut().and_then(|section| section.remove("$defs")) {
                definitions.extend(own.into_iter().map(|(key, mut value)| {
                    rename_references(&mut value, &name);
                    (format!("{name}.{key}"), value)
                }));
            }
            rename_references(&mut section, &name);
            if let Some(section) = section.as_object_mut() {
                section.remove("$schema");
            }
            properties.insert(name, section);
        }
        Self::from_json(json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": title,
            "type": "object",
            "properties": properties,
            "additionalProperties": false,
            "$defs": definitions,
        }))
    }

    /// The JSON schema.
    pub fn json(&self) -> &Value {
        &self.options.root
    }

    /// The options and sections, in the order of the source.
    pub fn leaves(&self) -> impl Iterator<Item = &Leaf> {
        self.options.order.iter().filter_map(|path| self.options.leaves.get(path))
    }

    /// An option or section.
    pub fn leaf(&self, path: &str) -> Option<&Leaf> {
        self.options.leaves.get(path)
    }
}

/// Moves the references of a schema to definitions with the name of a section.
pub(crate) fn rename_references(schema: &mut Value, section: &str) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref") {
                if let Some(name) = target.strip_prefix("#/$defs/") {
                    *target = format!("#/$defs/{section}.{name}");
                } else if target == "#" {
                    *target = format!("#/properties/{section}");
                }
            }
            fields.values_mut().for_each(|value| rename_references(value, section));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rename_references(item, section)),
        _ => {}
    }
}

/// The path of an option in a section.
pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Whether an option is in a section, at any depth.
pub(crate) fn is_below(path: &str, section: &str) -> bool {
    path.strip_prefix(section).is_some_and(|rest| rest.starts_with('.'))
}

/// The places of a section and of an option in it, if these paths have both.
pub(crate) fn nested(paths: &[&str]) -> Option<(usize, usize)> {
    let part_of = |whole: &str| paths.iter().position(|path| is_below(path, whole));
    paths.iter().enumerate().find_map(|(at, whole)| Some((at, part_of(whole)?)))
}

/// Whether an option is this one, or below it.
pub(crate) fn is_within(path: &str, of: &str) -> bool {
    path == of || is_below(path, of)
}

/// The schema behind references.
pub(crate) fn follow<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    for _ in 0..DEEPEST {
        let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#')) else { break };
        let Some(found) = root.pointer(target) else { break };
        schema = found;
    }
    schema
}

/// A schema and those that it combines.
pub(crate) fn parts<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let mut parts = Vec::new();
    add_parts(root, schema, 0, &mut parts);
    parts
}

fn add_parts<'a>(root: &'a Value, schema: &'a Value, depth: usize, parts: &mut Vec<&'a Value>) {
    let schema = follow(root, schema);
    parts.push(schema);
    if depth < DEEPEST {
        for part in variants(schema).chain(list(schema, "allOf")) {
            add_parts(root, part, depth + 1, parts);
        }
    }
}

/// The schemas of which a value fits one.
pub(crate) fn variants(schema: &Value) -> impl Iterator<Item = &Value> {
    list(schema, "anyOf").chain(list(schema, "oneOf"))
}

fn list<'a>(schema: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    schema.get(key).and_then(Value::as_array).into_iter().flatten()
}

/// A part of a value: a field, or an item of a list.
pub(crate) struct Within<'a> {
    /// The schemas that it may have.
    pub(crate) schemas: Vec<&'a Value>,
    /// Whether it is a field with this very name.
    pub(crate) is_named: bool,
}

impl<'a> Within<'a> {
    pub(crate) fn field(root: &'a Value, schemas: &[&'a Value], name: &str) -> Self {
        let parts: Vec<&Value> = schemas.iter().flat_map(|schema| parts(root, schema)).collect();
        let named: Vec<&Value> = parts.iter().filter_map(|part| part.get("properties")?.get(name)).collect();
        if named.is_empty() {
            let others = |part: &&'a Value| patterns(part).map(|(_, others)| others).next().or_else(|| part.get("additionalProperties"));
            return Self { schemas: parts.iter().filter_map(others).collect(), is_named: false };
        }
        Self { schemas: named, is_named: true }
    }

    pub(crate) fn item(root: &'a Value, schemas: &[&'a Value], index: usize) -> Self {
        let parts = schemas.iter().flat_map(|schema| parts(root, schema));
        let of = |part: &'a Value| part.get("prefixItems").and_then(|own| own.get(index)).or_else(|| part.get("items"));
        Self { schemas: parts.filter_map(of).collect(), is_named: false }
    }
}

/// Whether a value with these schemas is never shown.
pub(crate) fn is_secret(root: &Value, schemas: &[&Value]) -> bool {
    schemas.iter().any(|schema| parts(root, schema).iter().chain([schema]).any(|part| part["writeOnly"] == true))
}

/// The fields of a struct.
pub(crate) fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("properties").and_then(Value::as_object).into_iter().flatten()
}

/// The fields of a map whose names have a pattern.
pub(crate) fn patterns(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema.get("patternProperties").and_then(Value::as_object).into_iter().flatten()
}

/// The name of a variant that is the key of its options: `{huber: {delta: 1}}`.
fn named_variant(variant: &Value) -> Option<&str> {
    let mut fields = properties(variant);
    let (name, value) = fields.next()?;
    let is_only = fields.next().is_none() && variant["required"] == json!([name]) && variant["additionalProperties"] == false;
    (is_only && value.get("const").is_none()).then_some(name)
}

fn walk(options: &mut Options, root: &Value, node: &Value, path: &str, depth: usize) {
    let mut leaf = Leaf { path: path.to_owned(), ..Leaf::default() };
    // The doc of the field is better than that of its type.
    leaf.doc = doc::of(node).or_else(|| doc::of(follow(root, node))).unwrap_or_default();
    leaf.is_secret = node["writeOnly"] == true || follow(root, node)["writeOnly"] == true;
    if !options.leaves.contains_key(path) {
        options.order.push(path.to_owned());
        options.leaves.insert(path.to_owned(), leaf.clone());
    }
    for part in parts(root, node) {
        leaf.named_variants.extend(list(part, "oneOf").filter_map(|variant| named_variant(follow(root, variant))).map(String::from));
        leaf.kinds |= Kinds::of(part);
        let given = list(part, "enum").chain(part.get("const"));
        leaf.values.extend(given.filter_map(Value::as_str).map(String::from));
        for (name, child) in properties(part) {
            leaf.is_section = true;
            if child.get("const").is_some() {
                leaf.tag = Some(name.clone());
            }
            // A type that contains itself has no end.
            if depth < DEEPEST / 4 {
                walk(options, root, child, &join(path, name), depth + 1);
            }
        }
    }
    // The same path in two variants.
    let known = options.leaves.entry(path.to_owned()).or_default();
    known.kinds |= leaf.kinds;
    known.is_section |= leaf.is_section;
    known.is_secret |= leaf.is_secret;
    known.tag = known.tag.take().or(leaf.tag);
    known.named_variants.extend(leaf.named_variants);
    known.named_variants.sort();
    known.named_variants.dedup();
    for value in leaf.values {
        if !known.values.contains(&value) {
            known.values.push(value);
        }
    }
}

#[cfg(test)]
mod tests;
