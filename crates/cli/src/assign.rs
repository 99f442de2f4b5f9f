//! Options as text, from flags and variables.

use indexmap::IndexMap;

use crate::{
    error::{Problem, Result},
    node::{Node, Tree},
    read::yaml,
    schema::{Leaf, Schema},
    source::Source,
};

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
            Some(text) => value_of(text, leaf, &self.source)?,
            None if leaf.is_some_and(|leaf| leaf.kinds.is_flag()) => Node::new(Tree::Bool(true), &self.source),
            None => {
                let message = format!("the option `{}` has no value", self.path);
                return Err(Problem::new(&self.source, message).help(format!("write `--{}=VALUE`", self.path)).into());
            }
        };
        let names: Vec<&str> = self.path.split('.').collect();
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
}

/// A text as a value: verbatim for an option that takes strings, else as YAML.
fn value_of(text: &str, leaf: Option<&Leaf>, source: &Source) -> Result<Node> {
    let verbatim = || Node::new(Tree::Text(text.to_owned()), source);
    let Some(leaf) = leaf else { return yaml::value(text, source) };
    if leaf.kinds.is_text() {
        let is_none = leaf.kinds.has_null() && text == "null";
        return Ok(if is_none { Node::new(Tree::Null, source) } else { verbatim() });
    }
    match yaml::value(text, source) {
        Ok(node) if leaf.kinds.has(&node.value) || !leaf.kinds.has_text() => Ok(node),
        Err(error) if !leaf.kinds.has_text() => Err(error),
        // One of its kinds is a string.
        _ => Ok(verbatim()),
    }
}
