//! The space of a sweep over options.

use indexmap::IndexMap;
use serde_json::Value;
use stormfire_loggers::json;
use stormfire_tuner::Space;

use crate::{
    assign::Assignment,
    error::{Error, Problem, Problems, Result},
    nearest::did_you_mean,
    node::{Node, Tree},
    print::inline,
    quote,
    schema::{Schema, join},
    secret,
    source::Source,
    values::{self, Values},
};

/// An option with the values that it may have.
pub(crate) struct Dimension {
    pub(super) path: String,
    pub(super) source: Source,
    values: Among,
    /// Values as texts of flags: all of a list, and both ends of a range.
    pub(super) examples: Vec<String>,
}

enum Among {
    Each(Vec<Value>),
    Range(Values),
}

impl Dimension {
    pub(super) fn is_list(&self) -> bool {
        matches!(self.values, Among::Each(_))
    }

    pub(super) fn is_finite(&self) -> bool {
        self.is_list() || matches!(self.values, Among::Range(Values::Int(..)))
    }
}

/// The values of a section `space`, by the path of the option. Sections in it become paths. Those of a line come last.
pub(super) fn flattened(space: &Node, of_line: Option<&Node>) -> IndexMap<String, Node> {
    let mut flat = IndexMap::new();
    flatten(space, "", &mut flat);
    for (path, value) in of_line.and_then(Node::fields).into_iter().flatten() {
        flat.shift_remove(path);
        flat.insert(path.clone(), value.clone());
    }
    flat
}

fn flatten(node: &Node, path: &str, flat: &mut IndexMap<String, Node>) {
    match &node.value {
        Tree::Map(fields) => fields.iter().for_each(|(name, value)| flatten(value, &join(path, name), flat)),
        _ => {
            flat.insert(path.to_owned(), node.clone());
        }
    }
}

/// The dimensions of a flattened section.
pub(super) fn dimensions(space: &Node, schema: &Schema) -> Result<Vec<Dimension>> {
    let mut found = Vec::new();
    let mut problems = Problems::default();
    for (path, node) in space.fields().into_iter().flatten() {
        if problems.is_full() {
            break;
        }
        match dimension(path, node, schema) {
            Ok(dimension) => found.push(dimension),
            Err(error) => problems.push_all(error),
        }
    }
    problems.into_result()?;
    if found.is_empty() {
        let help = "give an option several values, such as `model.lr=log_uniform(1e-5,1e-1)`".to_owned();
        return Err(Problem::general("`sweep`: no option has several values").help(help).into());
    }
    Ok(found)
}

fn dimension(path: &str, node: &Node, schema: &Schema) -> Result<Dimension> {
    let source = &node.source;
    let is_known = schema.leaf(path).is_some() || is_in_map(path, schema);
    if !is_known {
        let known = schema.leaves().map(|leaf| leaf.path.as_str());
        return Err(Problem::new(source, format!("there is no option `{}`", quote::name(path))).help(did_you_mean(path, known)).into());
    }
    if path == crate::children::ROOT || ["sweep", "tune"].contains(&path.split('.').next().unwrap_or_default()) {
        let message = format!("`{path}` has one value in a sweep: each trial has its own folder");
        return Err(Problem::new(source, message).into());
    }
    if schema.leaf(path).is_some_and(|leaf| leaf.is_secret) {
        return Err(Problem::of_varied_secret(path, source).into());
    }
    let texts: Vec<String> = match &node.value {
        Tree::List(items) => items.iter().map(|item| text_of(path, item, schema)).collect(),
        Tree::Text(text) => match values::of(text).map_err(|reason| Problem::new(source, reason))? {
            Values::Each(values) => values,
            range => {
                let examples = match &range {
                    Values::Uniform(low, high) | Values::LogUniform(low, high) => vec![format!("{low:?}"), format!("{high:?}")],
                    Values::Int(low, high) => vec![low.to_string(), high.to_string()],
                    Values::Each(_) => Vec::new(),
                };
                let dimension = Dimension { path: path.to_owned(), source: source.clone(), values: Among::Range(range), examples };
                return match of(std::slice::from_ref(&dimension)).check() {
                    Err(stormfire_module::Error::Config(refused)) => Err(Problem::new(source, refused.reason).into()),
                    _ => Ok(dimension),
                };
            }
        },
        _ => vec![text_of(path, node, schema)],
    };
    let value = |text: &String| {
        let layer = Assignment { path: path.to_owned(), text: Some(text.clone()), source: source.clone() }.layer(schema)?;
        if secret::has(&layer, schema) {
            return Err(Problem::of_varied_secret(path, source).into());
        }
        let value = layer.get(path.split('.')).unwrap_or(&layer);
        json::to_value(value).map_err(|error| Error::from(Problem::new(source, error.to_string())))
    };
    let values = texts.iter().map(value).collect::<Result<Vec<_>>>()?;
    Ok(Dimension { path: path.to_owned(), source: source.clone(), values: Among::Each(values), examples: texts })
}

/// Whether it is a name in a map with any names.
fn is_in_map(path: &str, schema: &Schema) -> bool {
    let mut rest = path;
    while let Some((above, _)) = rest.rsplit_once('.') {
        if schema.leaf(above).is_some_and(crate::schema::Leaf::is_open) {
            return true;
        }
        rest = above;
    }
    false
}

/// The space of the crate `tuner`.
pub(super) fn of(dimensions: &[Dimension]) -> Space {
    dimensions.iter().fold(Space::new(), |space, dimension| {
        let path = dimension.path.as_str();
        match &dimension.values {
            Among::Each(values) => space.choice(path, values.iter().cloned()),
            Among::Range(Values::Uniform(low, high)) => space.uniform(path, *low, *high),
            Among::Range(Values::LogUniform(low, high)) => space.log_uniform(path, *low, *high),
            Among::Range(Values::Int(low, high)) => space.int(path, *low, *high),
            Among::Range(Values::Each(_)) => space,
        }
    })
}

/// A value as the text of a flag.
fn text_of(path: &str, node: &Node, schema: &Schema) -> String {
    let takes_text = schema.leaf(path).is_some_and(|leaf| leaf.kinds.is_text());
    match node.text().filter(|_| takes_text) {
        Some(text) => text.to_owned(),
        None => inline(node),
    }
}

/// A value of a trial as the text of a flag.
pub(crate) fn flag_text(path: &str, value: &Value, schema: &Schema) -> String {
    match Node::of_json(value.clone(), &Source::default_value()) {
        Ok(node) => text_of(path, &node, schema),
        Err(_) => value.to_string(),
    }
}
