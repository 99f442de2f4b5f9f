//! Options as text, from flags and variables.

use indexmap::IndexMap;

use crate::{
    error::{Error, Problem, Result},
    node::{Node, Tree},
    quote,
    read::yaml,
    schema::{Kinds, Leaf, Schema},
    source::Source,
};

/// No option is deeper. A hostile one must not exhaust the stack.
const DEEPEST: usize = 64;

/// An option with its value as text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assignment {
    pub(crate) path: String,
    /// `None` for a flag without a value.
    pub(crate) text: Option<String>,
    pub(crate) source: Source,
}

impl Assignment {
    /// The layer with this option alone.
    pub(crate) fn layer(&self, schema: &Schema) -> Result<Node> {
        let leaf = schema.leaf(&self.path);
        let value = match &self.text {
            Some(text) => self.value_of(text, leaf)?,
            None if leaf.is_some_and(|leaf| leaf.kinds.is_flag()) => Node::new(Tree::Bool(true), &self.source),
            None => return Err(self.without_value(format!("write `--{}=VALUE`", quote::name(&self.path)))),
        };
        let names: Vec<&str> = self.path.split('.').collect();
        if names.len() > DEEPEST {
            return Err(Problem::new(&self.source, format!("an option has at most {DEEPEST} names, this one has {}", names.len())).into());
        }
        Ok(names
            .into_iter()
            .rev()
            .fold(value, |below, name| Node::new(Tree::Map(IndexMap::from([(name.to_owned(), below)])), &self.source)))
    }

    /// Sections come before the options in them, and the choice of a variant before the options of that variant,
    /// in any order on the line.
    pub(crate) fn precedence(&self, schema: &Schema) -> usize {
        let depth = self.path.matches('.').count();
        let is_tag = self
            .path
            .rsplit_once('.')
            .is_some_and(|(section, name)| schema.leaf(section).is_some_and(|leaf| leaf.tag.as_deref() == Some(name)));
        match schema.leaf(&self.path) {
            Some(leaf) if leaf.is_section => 2 * depth,
            _ if is_tag => 2 * depth + 1,
            _ => usize::MAX,
        }
    }

    /// A text as a value: verbatim for an option that takes strings, else as YAML.
    fn value_of(&self, text: &str, leaf: Option<&Leaf>) -> Result<Node> {
        let source = &self.source;
        let verbatim = || Node::new(Tree::Text(text.to_owned()), source);
        let is_null = !text.trim().is_empty() && yaml::plain(text.trim()) == Ok(Tree::Null);
        if let Some(leaf) = leaf
            && leaf.kinds.is_text()
        {
            let is_none = leaf.kinds.has_null() && text == "null";
            return Ok(if is_none { Node::new(Tree::Null, source) } else { verbatim() });
        }
        let has_text = leaf.is_some_and(|leaf| leaf.kinds.has_text());
        match yaml::value(text, source) {
            // YAML reads nothing and a comment as null, but an unset variable of a shell must not remove a limit.
            Ok(node) if node.value == Tree::Null && !is_null && !has_text => {
                Err(self.without_value(leaf.map(|leaf| instead_of_nothing(leaf.kinds))))
            }
            Ok(node) if leaf.is_none_or(|leaf| leaf.kinds.has(&node.value)) || !has_text => Ok(node),
            Err(error) if !has_text => {
                let value = large_number(text).filter(|_| leaf.is_some_and(|leaf| leaf.kinds.has_number()));
                value.map(|value| Node::new(Tree::Float(value), source)).ok_or(error)
            }
            // One of its kinds is a string.
            _ => Ok(verbatim()),
        }
    }

    fn without_value(&self, help: impl Into<Option<String>>) -> Error {
        Problem::new(&self.source, format!("the option `{}` has no value", quote::name(&self.path))).help(help).into()
    }
}

/// A whole number that has no type of whole numbers.
fn large_number(text: &str) -> Option<f64> {
    let text = text.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<f64>().ok().filter(|value| is_whole && value.is_finite())
}

/// The help for a missing value.
fn instead_of_nothing(kinds: Kinds) -> String {
    if kinds.has_null() { "for no value, write `null`".to_owned() } else { format!("it takes {}", kinds.described()) }
}

/// The options of a line without those that a later one of the same name replaces.
pub(crate) fn last_of_each(options: &[Assignment]) -> impl Iterator<Item = &Assignment> {
    let is_last = |(index, option): &(usize, &Assignment)| options[index + 1..].iter().all(|later| later.path != option.path);
    options.iter().enumerate().filter(is_last).map(|(_, option)| option)
}
