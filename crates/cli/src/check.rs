//! Compares a configuration with the schema of its type. Each mistake has its source and its path.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    error::{Problem, Problems, Result},
    nearest::{any_of, did_you_mean},
    node::{Node, Tree},
    quote,
    schema::{Kinds, Schema, Within, follow, join, parts, patterns, properties, variants},
};

/// Finds unknown options, missing ones, and values of another kind. Rules that only the type itself has are checked by
/// the type.
pub(crate) fn check(node: &Node, schema: &Schema) -> Result<()> {
    let mut checker = Checker { schema, problems: Problems::default() };
    checker.node(node, schema.json(), "", false);
    checker.problems.into_result()
}

/// Finds the names that are not options with any variant that another layer may choose.
pub(crate) fn check_names(node: &Node, schema: &Schema) -> Result<()> {
    let mut checker = Checker { schema, problems: Problems::default() };
    checker.names(node, &[schema.json()], "");
    checker.problems.into_result()
}

struct Checker<'a> {
    schema: &'a Schema,
    problems: Problems,
}

/// The keywords of a range, and their words in an error.
const BOUNDS: [(&str, &str); 4] =
    [("minimum", "at least"), ("maximum", "at most"), ("exclusiveMinimum", "more than"), ("exclusiveMaximum", "less than")];

/// The fields that the variants of a schema allow in a section.
#[derive(Default)]
struct Fields<'a> {
    known: BTreeMap<&'a str, &'a Value>,
    required: Vec<&'a str>,
    /// The schema of all other names. `None` if no other names are allowed.
    others: Option<&'a Value>,
    /// Whether those names are whole numbers, and whether they may be negative.
    numbered: Option<bool>,
    has_properties: bool,
}

impl<'a> Fields<'a> {
    fn and(mut self, more: Self) -> Self {
        self.known.extend(more.known);
        self.required.extend(more.required);
        self.others = self.others.or(more.others);
        self.numbered = self.numbered.or(more.numbered);
        self.has_properties |= more.has_properties;
        self
    }

    fn add(&mut self, schema: &'a Value) {
        for (name, property) in properties(schema) {
            self.known.insert(name, property);
            self.has_properties = true;
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        self.required.extend(required.filter_map(Value::as_str));
        // A map whose keys are numbers.
        if let Some((pattern, others)) = patterns(schema).next() {
            self.others = Some(others);
            self.numbered = Some(pattern.contains('-'));
            return;
        }
        match schema.get("additionalProperties") {
            Some(Value::Bool(false)) => self.has_properties = true,
            Some(others) => self.others = Some(others),
            None => {}
        }
    }
}

impl<'a> Checker<'a> {
    /// `is_closed`: a section without named options takes none.
    fn node(&mut self, node: &Node, schema: &'a Value, path: &str, is_secret: bool) {
        let root = self.schema.json();
        let is_secret = is_secret || schema["writeOnly"] == true || follow(root, schema)["writeOnly"] == true;
        let schema = follow(root, schema);
        let choice: Vec<&Value> = variants(schema).map(|variant| follow(root, variant)).collect();
        match &node.value {
            Tree::Map(fields) => {
                let Some(allowed) = self.fields_of(node, schema, path) else { return };
                if !allowed.has_properties && allowed.others.is_none() {
                    if !self.kinds(schema).has(&node.value) {
                        self.wrong_kind(node, schema, path, is_secret);
                    }
                    return;
                }
                for (name, value) in fields {
                    if self.problems.is_full() {
                        return;
                    }
                    let is_number = |may_be_negative: bool| {
                        let digits = name.strip_prefix('-').filter(|_| may_be_negative).unwrap_or(name);
                        !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
                    };
                    if allowed.numbered.is_some_and(|may_be_negative| !is_number(may_be_negative)) {
                        let message = format!("{}: expected whole numbers as names, not `{}`", option(path), quote::name(name));
                        self.problems.push(Problem::new(&value.source, message));
                        continue;
                    }
                    match allowed.known.get(name.as_str()).copied().or(allowed.others) {
                        Some(schema) => self.node(value, schema, &join(path, name), is_secret),
                        None => self.unknown(value, path, name, allowed.known.keys().copied()),
                    }
                }
                // If a name is not that of a variant, no other variant is missing.
                let is_missing = |name: &str| !fields.contains_key(name) && (fields.is_empty() || !self.is_variant(path, name));
                let missing: Vec<&str> = allowed.required.iter().copied().filter(|name| is_missing(name)).collect();
                for name in missing {
                    let message = format!("the option `{}` is missing", quote::name(&join(path, name)));
                    let words = allowed.known.get(name).copied().and_then(|option| self.words(option));
                    let help = words.map(|words| format!("it is {}", any_of(words)));
                    self.problems.push(Problem::new(&node.source, message).help(help));
                }
            }
            value => {
                let kinds = self.kinds(schema);
                if !kinds.has(value) && !is_const(schema, &choice, value) {
                    return self.wrong_kind(node, schema, path, is_secret);
                }
                if let Tree::List(items) = value {
                    self.items(items, node, schema, &choice, path, is_secret);
                } else {
                    self.scalar(node, schema, path, is_secret);
                }
            }
        }
    }

    fn names(&mut self, node: &Node, schemas: &[&'a Value], path: &str) {
        let root = self.schema.json();
        let all: Vec<&Value> = schemas.iter().flat_map(|schema| parts(root, schema)).collect();
        let known: Vec<&str> = all.into_iter().flat_map(properties).map(|(name, _)| name.as_str()).collect();
        // A map, or a value of any kind.
        if known.is_empty() {
            return;
        }
        for (name, value) in node.fields().into_iter().flatten() {
            if self.problems.is_full() {
                return;
            }
            let within = Within::field(root, schemas, name).schemas;
            let own: Vec<&'a Value> = within.into_iter().filter(|schema| **schema != Value::Bool(false)).collect();
            if own.is_empty() {
                self.unknown(value, path, name, known.iter().copied());
            } else {
                self.names(value, &own, &join(path, name));
            }
        }
    }

    fn named_variants(&self, path: &str) -> &'a [String] {
        self.schema.leaf(path).map(|leaf| leaf.named_variants.as_slice()).unwrap_or_default()
    }

    fn is_variant(&self, path: &str, name: &str) -> bool {
        self.named_variants(path).iter().any(|variant| variant == name)
    }

    fn kinds(&self, schema: &Value) -> Kinds {
        let mut kinds = Kinds::default();
        for part in parts(self.schema.json(), schema) {
            kinds |= Kinds::of(part);
        }
        kinds
    }

    /// The options of a section: those of the struct, and those of the variant that its tag names. `None` if the tag is
    /// wrong, which is reported.
    fn fields_of(&mut self, node: &Node, schema: &'a Value, path: &str) -> Option<Fields<'a>> {
        let root = self.schema.json();
        let mut allowed = Fields::default();
        allowed.add(schema);
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            allowed.add(follow(root, part));
        }
        let sections: Vec<&'a Value> =
            variants(schema).map(|variant| follow(root, variant)).filter(|variant| self.kinds(variant).has(&node.value)).collect();
        let Some(tag) = sections.iter().find_map(|variant| tag_of(variant)) else {
            match sections.as_slice() {
                [] => {}
                [only] => return self.fields_of(node, only, path).map(|fields| allowed.and(fields)),
                several => {
                    // Without a tag any of them may be meant: the type decides among those that know all names.
                    let mut best: Option<Fields<'a>> = None;
                    for variant in several {
                        let fields = self.fields_of(node, variant, path)?;
                        let knows = |fields: &Fields<'a>| {
                            let names = node.fields().into_iter().flatten();
                            names.filter(|(name, _)| fields.others.is_some() || fields.known.contains_key(name.as_str())).count()
                        };
                        if best.as_ref().is_none_or(|best| knows(&fields) > knows(best)) {
                            best = Some(fields);
                        }
                    }
                    return best.map(|best| allowed.and(best));
                }
            }
            return Some(allowed);
        };
        let names: Vec<&str> = sections.iter().filter_map(|variant| const_of(variant, tag)).collect();
        let given = node.fields().and_then(|fields| fields.get(tag));
        let Some(given) = given else {
            let message = format!("the option `{}` is missing", quote::name(&join(path, tag)));
            self.problems.push(Problem::new(&node.source, message).help(format!("it is {}", any_of(names))));
            return None;
        };
        let chosen = sections.iter().find(|variant| const_of(variant, tag).is_some_and(|name| given.text() == Some(name)));
        let Some(chosen) = chosen else {
            let expected = any_of(names.iter().copied());
            let message = format!("{}: expected {expected}, not {}", option(&join(path, tag)), given.value.described());
            let help = given.text().and_then(|text| did_you_mean(text, names));
            self.problems.push(Problem::new(&given.source, message).help(help));
            return None;
        };
        allowed.add(chosen);
        Some(allowed)
    }

    fn unknown<'n>(&mut self, value: &Node, path: &str, name: &str, known: impl Iterator<Item = &'n str>) {
        let full = join(path, name);
        if name.contains('.') && self.schema.leaf(&full).is_some() {
            let nested = name
                .rsplit('.')
                .fold("…".to_owned(), |below, name| if below == "…" { format!("{name}: …") } else { format!("{name}: {{{below}}}") });
            let message = format!("the name `{name}` has a point, which is for command lines");
            let help = format!("write sections: `{nested}`");
            self.problems.push(Problem::new(&value.source, message).help(help));
            return;
        }
        if self.is_variant(path, name) {
            let variants = any_of(self.named_variants(path).iter().map(String::as_str));
            let message = format!("{}: expected one of {variants}, not several", option(path));
            self.problems.push(Problem::new(&value.source, message));
            return;
        }
        if self.schema.leaf(&full).is_some() {
            let tag = self.schema.leaf(path).and_then(|leaf| leaf.tag.as_deref()).unwrap_or("name");
            let message = format!("there is no option `{full}` with this `{}`", join(path, tag));
            let others: Vec<&str> = known.filter(|name| *name != tag).collect();
            let help = (!others.is_empty()).then(|| format!("it has {}", any_of(others)));
            self.problems.push(Problem::new(&value.source, message).help(help));
            return;
        }
        let here: Vec<&str> = known.collect();
        let of_alias = self.schema.of_alias(&full).map(str::to_owned);
        let near = || crate::nearest::nearest(name, here.iter().copied()).map(|near| join(path, near));
        // The sections above it may be missing, or those between it and the first one.
        let last = full.rsplit('.').next().unwrap_or(name);
        let elsewhere = || {
            let is_meant = |found: &str| found.rsplit('.').next() == Some(last) && (path.is_empty() || top(found) == top(path));
            self.schema.leaves().find(|leaf| is_meant(&leaf.path)).map(|leaf| leaf.path.clone())
        };
        let help =
            of_alias.or_else(near).or_else(elsewhere).map(|near| format!("did you mean `{}`?", quote::name(&near))).or_else(|| {
                (here.len() <= 12 && !here.is_empty()).then(|| format!("{} has {}", section(path), any_of(here.iter().copied())))
            });
        self.problems.push(Problem::new(&value.source, format!("there is no option `{}`", quote::name(&full))).help(help));
    }

    fn wrong_kind(&mut self, node: &Node, schema: &Value, path: &str, is_secret: bool) {
        let expected = self.kinds(schema).described();
        let found = if is_secret { "another kind of value".to_owned() } else { node.value.described() };
        let message = format!("{}: expected {expected}, not {found}", option(path));
        let examples = parts(self.schema.json(), schema).into_iter().find_map(|part| part.get("examples")?.as_array());
        let examples: Vec<String> =
            examples.into_iter().flatten().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
        let help = (!examples.is_empty()).then(|| format!("for example {}", any_of(examples.iter().map(String::as_str))));
        self.problems.push(Problem::new(&node.source, message).help(help));
    }

    fn items(&mut self, items: &[Node], node: &Node, schema: &'a Value, choice: &[&'a Value], path: &str, is_secret: bool) {
        let Some(list) = std::iter::once(schema).chain(choice.iter().copied()).find(|part| Kinds::of(part).has(&node.value)) else {
            return;
        };
        let length = |key: &str| list.get(key).and_then(Value::as_u64);
        let (least, most) = (length("minItems"), length("maxItems"));
        if least.is_some_and(|least| (items.len() as u64) < least) || most.is_some_and(|most| items.len() as u64 > most) {
            let expected = match (least, most) {
                (Some(least), Some(most)) if least == most => format!("a list of {least}"),
                (Some(least), None) => format!("a list of at least {least}"),
                (_, most) => format!("a list of at most {}", most.unwrap_or_default()),
            };
            let message = format!("{}: expected {expected}, not {}", option(path), node.value.described());
            self.problems.push(Problem::new(&node.source, message));
            return;
        }
        for (index, item) in items.iter().enumerate() {
            if self.problems.is_full() {
                return;
            }
            let own = list.get("prefixItems").and_then(|own| own.get(index)).or_else(|| list.get("items"));
            if let Some(schema) = own {
                self.node(item, schema, &format!("{path}[{index}]"), is_secret);
            }
        }
    }

    /// The words that an option takes, if it takes no other string. The names of variants with options are not among
    /// them.
    fn words(&self, schema: &'a Value) -> Option<Vec<&'a str>> {
        let texts: Vec<&'a Value> = parts(self.schema.json(), schema).into_iter().filter(|part| Kinds::of(part).has_text()).collect();
        let are_given = !texts.is_empty() && texts.iter().all(|part| part.get("enum").or_else(|| part.get("const")).is_some());
        let words = texts.into_iter().flat_map(|part| {
            part.get("enum").and_then(Value::as_array).into_iter().flatten().chain(part.get("const")).filter_map(Value::as_str)
        });
        are_given.then(|| words.collect())
    }

    fn scalar(&mut self, node: &Node, schema: &'a Value, path: &str, is_secret: bool) {
        if let Tree::Text(text) = &node.value {
            let Some(words) = self.words(schema).filter(|words| !words.contains(&text.as_str())) else { return };
            let found = if is_secret { "another value".into() } else { node.value.described() };
            let message = format!("{}: expected {}, not {found}", option(path), any_of(words.iter().copied()));
            let help = if self.is_variant(path, text) {
                Some(format!("`{text}` has options: write `{}: {{{text}: …}}`", quote::name(path)))
            } else {
                did_you_mean(text, words.into_iter().chain(self.named_variants(path).iter().map(String::as_str)))
            };
            self.problems.push(Problem::new(&node.source, message).help(help));
            return;
        }
        // A number that may be another kind of number fits one of them.
        let Some(number) = number(&node.value) else { return };
        let parts = parts(self.schema.json(), schema);
        let bounded: Vec<&&Value> =
            parts.iter().filter(|part| Kinds::of(part).has(&node.value) && variants(part).next().is_none()).collect();
        let fits = |part: &&&'a Value| {
            let bound = |key: &str| part.get(key).and_then(Value::as_f64);
            let has_range = BOUNDS.iter().any(|(key, _)| bound(key).is_some());
            bound("minimum").is_none_or(|least| number >= least)
                && bound("maximum").is_none_or(|most| number <= most)
                && bound("exclusiveMinimum").is_none_or(|least| number > least)
                && bound("exclusiveMaximum").is_none_or(|most| number < most)
                // Infinity is not in a range, also if that is open on one side.
                && (number.is_finite() || !has_range)
                // A finite number must not become infinite.
                && !(part["format"] == "float" && number.is_finite() && (number as f32).is_infinite())
        };
        if let [first, ..] = bounded.as_slice()
            && !bounded.iter().any(fits)
            && !is_secret
        {
            let bounds = BOUNDS.into_iter().filter_map(|(key, words)| Some(format!("{words} {}", first.get(key)?)));
            let is_whole = !Kinds::of(first).contains(Kinds::of(&serde_json::json!({ "type": "number" })));
            let kind = match (is_whole, number.is_finite()) {
                (true, _) => "a whole number",
                (false, true) => "a number",
                (false, false) => "a finite number",
            };
            let bounds = bounds.collect::<Vec<_>>().join(" and ");
            let bounds = if bounds.is_empty() { format!("at most {:?}", f32::MAX) } else { bounds };
            let message = format!("{}: expected {kind} of {bounds}, not {}", option(path), node.value.described());
            self.problems.push(Problem::new(&node.source, message));
        }
    }
}

/// Whether a schema names exactly this value.
fn is_const(schema: &Value, choice: &[&Value], value: &Tree) -> bool {
    std::iter::once(schema).chain(choice.iter().copied()).any(|part| part.get("const").is_some_and(|given| is_equal(given, value)))
}

fn number(value: &Tree) -> Option<f64> {
    match value {
        Tree::Int(value) => Some(*value as f64),
        Tree::UInt(value) => Some(*value as f64),
        Tree::Float(value) => Some(*value),
        _ => None,
    }
}

/// The field that distinguishes this variant from others.
pub(crate) fn tag_of(variant: &Value) -> Option<&str> {
    properties(variant).find(|(_, property)| property.get("const").is_some()).map(|(name, _)| name.as_str())
}

pub(crate) fn const_of<'a>(variant: &'a Value, tag: &str) -> Option<&'a str> {
    variant.get("properties")?.get(tag)?.get("const")?.as_str()
}

fn is_equal(json: &Value, value: &Tree) -> bool {
    match (json, value) {
        (Value::Null, Tree::Null) => true,
        (Value::Bool(a), Tree::Bool(b)) => a == b,
        (Value::String(a), Tree::Text(b)) => a == b,
        (Value::Number(a), value) => a.as_f64().is_some_and(|a| number(value).is_some_and(|b| a.to_bits() == b.to_bits())),
        _ => false,
    }
}

fn option(path: &str) -> String {
    if path.is_empty() { "the configuration".into() } else { format!("`{}`", quote::name(path)) }
}

/// The first section of a path.
fn top(path: &str) -> Option<&str> {
    path.split(['.', '[']).next()
}

fn section(path: &str) -> String {
    if path.is_empty() { "the program".into() } else { format!("`{}`", quote::name(path)) }
}
