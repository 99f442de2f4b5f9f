//! The space of a sweep over options.

use std::collections::BTreeSet;

use indexmap::IndexMap;
use serde_json::Value;
use stormfire_loggers::json;
use stormfire_tuner::Space;

use super::SECTION;
use crate::{
    assign::Assignment,
    children::ROOT,
    error::{Error, Problem, Problems, Result},
    nearest::did_you_mean,
    node::{Node, Tree},
    print::inline,
    quote,
    schema::{Schema, join, nested},
    secret,
    source::Source,
    tune,
    values::{self, MOST, Values},
};

/// An option with the values that it may have.
pub(crate) struct Dimension {
    pub(super) path: String,
    pub(super) source: Source,
    values: Among,
    /// The values that are checked, as texts of flags: both ends of a range, and those of a list. A type refuses a
    /// number by its kind and its limits, so of the numbers in a list the ends suffice.
    examples: Vec<String>,
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

    /// The number of values. A range of floats counts as the largest number.
    fn count(&self) -> usize {
        match &self.values {
            Among::Each(values) => values.len(),
            Among::Range(Values::Int(low, high)) => usize::try_from(high.abs_diff(*low)).unwrap_or(usize::MAX).saturating_add(1),
            Among::Range(_) => usize::MAX,
        }
    }

    /// The option in each of the values that are checked.
    pub(super) fn examples(&self) -> impl Iterator<Item = Assignment> {
        self.examples.iter().map(|text| assignment(&self.path, text, &self.source))
    }
}

fn assignment(path: &str, text: &str, source: &Source) -> Assignment {
    Assignment { path: path.to_owned(), text: Some(text.to_owned()), source: source.clone() }
}

/// Refuses a grid with too many trials.
pub(super) fn check_grid(dimensions: &[Dimension]) -> Result<()> {
    let mut trials = 1_usize;
    for dimension in dimensions {
        trials = trials.saturating_mul(dimension.count());
        if trials > MOST {
            let message = format!("a grid of these values has more than {MOST} trials");
            let help = "try some of them: `--sweep.search=random --sweep.trials=100`";
            return Err(Problem::new(&dimension.source, message).help(help.to_owned()).into());
        }
    }
    Ok(())
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
    let paths: Vec<&str> = found.iter().map(|dimension| dimension.path.as_str()).collect();
    if let Some((whole, part)) = nested(&paths) {
        return Err(Problem::of_varied_part(paths[whole], paths[part], &found[part].source).into());
    }
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
    if let Some(reason) = why_not(path) {
        return Err(Problem::new(source, format!("`{path}` {reason}")).into());
    }
    // Before a message has a value.
    if secret::is_at(path, schema) {
        return Err(Problem::of_varied_secret(path, source).into());
    }
    let given = match &node.value {
        Tree::List(items) => Values::Each(items.iter().map(|item| text_of(path, item, schema)).collect()),
        Tree::Text(text) => values::of(text).map_err(|reason| Problem::new(source, reason))?,
        _ => Values::Each(vec![text_of(path, node, schema)]),
    };
    let (values, examples) = match given {
        Values::Each(texts) => {
            if texts.len() > MOST {
                let help = "draw them from a range: `int(low, high)` or `uniform(low, high)`".to_owned();
                return Err(Problem::new(source, format!("`{path}` has more than {MOST} values")).help(help).into());
            }
            let values = texts.iter().map(|text| value_of(path, text, source, schema)).collect::<Result<Vec<_>>>()?;
            let examples = to_check(texts, &values);
            (Among::Each(values), examples)
        }
        Values::Int(low, high) => (Among::Range(given), vec![low.to_string(), high.to_string()]),
        Values::Uniform(low, high) | Values::LogUniform(low, high) => (Among::Range(given), vec![format!("{low:?}"), format!("{high:?}")]),
    };
    let dimension = Dimension { path: path.to_owned(), source: source.clone(), values, examples };
    match of(std::slice::from_ref(&dimension)).check() {
        Err(stormfire_module::Error::Config(refused)) => Err(Problem::new(source, refused.reason).into()),
        _ => Ok(dimension),
    }
}

/// Why an option has one value in a sweep.
fn why_not(path: &str) -> Option<&'static str> {
    match path.split('.').next() {
        _ if path == ROOT => Some("has one value in a sweep: each trial has its own folder"),
        Some(SECTION) => Some("has one value: it is an option of the sweep, not of its trials"),
        Some(tune::SECTION) => Some("has no effect on a trial: it is for the command `tune`"),
        _ => None,
    }
}

/// The value that the text of a flag means.
fn value_of(path: &str, text: &str, source: &Source, schema: &Schema) -> Result<Value> {
    let layer = assignment(path, text, source).layer(schema)?;
    let has_parts = schema.leaf(path).is_none_or(|leaf| !leaf.kinds.is_plain());
    if has_parts && secret::has(&layer, schema) {
        return Err(Problem::of_varied_secret(path, source).into());
    }
    let value = layer.get(path.split('.')).unwrap_or(&layer);
    if matches!(value.value, Tree::Null) || matches!(value.value, Tree::Float(number) if !number.is_finite()) {
        let message = format!("`{path}`: a value is NaN, infinite or null");
        return Err(Problem::new(source, message).help("a sweep has none of these, but `--multirun` runs them".to_owned()).into());
    }
    json::to_value(value).map_err(|error| Error::from(Problem::new(source, error.to_string())))
}

/// The texts that are checked, of all texts of a list.
fn to_check(texts: Vec<String>, values: &[Value]) -> Vec<String> {
    let kinds: [fn(&Value) -> bool; 2] = [|value| value.is_i64() || value.is_u64(), Value::is_f64];
    let mut checked: BTreeSet<usize> = BTreeSet::new();
    for is_kind in kinds {
        let number = |(at, value): (usize, &Value)| Some((value.as_f64().filter(|_| is_kind(value))?, at));
        let numbers = || values.iter().enumerate().filter_map(number);
        let least = numbers().min_by(|(a, _), (b, _)| a.total_cmp(b));
        let greatest = numbers().max_by(|(a, _), (b, _)| a.total_cmp(b));
        checked.extend([least, greatest].into_iter().flatten().map(|(_, at)| at));
    }
    checked.extend(values.iter().enumerate().filter(|(_, value)| !value.is_number()).map(|(at, _)| at));
    texts.into_iter().enumerate().filter(|(at, _)| checked.contains(at)).map(|(_, text)| text).collect()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_many_numbers_the_ends_are_checked() {
        let texts = ["5", "many", "-3", "0.5", "2000", "7", "1e3", "0.75", "null"].map(String::from).to_vec();
        let values = [json!(5), json!("many"), json!(-3), json!(0.5), json!(2000), json!(7), json!(1e3), json!(0.75), json!(null)];
        assert_eq!(to_check(texts, &values), ["many", "-3", "0.5", "2000", "1e3", "null"]);
    }
}
