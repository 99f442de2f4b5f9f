//! TOML.

use std::ops::Range;

use ::toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use indexmap::IndexMap;

use super::{Count, DEEPEST, Lines};
use crate::{
    error::{Problem, Result},
    node::{Node, Tree},
    source::Source,
};

/// Reads a file. Each value has its position.
pub(crate) fn read(text: &str, source: &Source) -> Result<Node> {
    let mut reader = Reader { source, lines: Lines::of(text), values: Count::default() };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or_else(|| source.clone(), |span| reader.at(&span));
        Problem::new(&at, format!("not valid TOML: {}", error.message()))
    })?;
    let fields = reader.fields(table.into_inner(), 0)?;
    Ok(Node::new(Tree::Map(fields), source))
}

struct Reader<'a> {
    source: &'a Source,
    lines: Lines<'a>,
    values: Count,
}

impl Reader<'_> {
    fn at(&self, span: &Range<usize>) -> Source {
        self.lines.at(self.source, span.start)
    }

    /// In the order of the file.
    fn fields(&mut self, table: DeTable<'_>, depth: usize) -> Result<IndexMap<String, Node>> {
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let fields = entries.into_iter().map(|(name, value)| {
            let at = self.at(&name.span());
            let node = self.node(value, depth + 1)?;
            Ok((name.into_inner().into_owned(), Node { source: at, ..node }))
        });
        fields.collect()
    }

    fn node(&mut self, value: Spanned<DeValue<'_>>, depth: usize) -> Result<Node> {
        let at = self.at(&value.span());
        self.values.add(&at)?;
        let refuse = |message: String| Problem::new(&at, message);
        if depth > DEEPEST {
            return Err(refuse(format!("it is nested more than {DEEPEST} deep")).into());
        }
        let tree = match value.into_inner() {
            DeValue::String(text) => Tree::Text(text.into_owned()),
            DeValue::Boolean(value) => Tree::Bool(value),
            DeValue::Integer(number) => {
                let digits = number.as_str();
                let value = i64::from_str_radix(digits, number.radix()).map(Tree::int);
                let value = value.or_else(|_| u64::from_str_radix(digits, number.radix()).map(Tree::UInt));
                value.map_err(|_| refuse("the number is too large".into()))?
            }
            DeValue::Float(number) => match number.as_str().parse::<f64>() {
                Ok(value) if value.is_finite() || number.as_str().contains(['n', 'N']) => Tree::Float(value),
                _ => return Err(refuse("the number is too large".into()).into()),
            },
            DeValue::Datetime(time) => Tree::Text(time.to_string()),
            DeValue::Array(items) => {
                let items = items.into_iter().map(|item| self.node(item, depth + 1));
                Tree::List(items.collect::<Result<_>>()?)
            }
            DeValue::Table(table) => Tree::Map(self.fields(table, depth)?),
        };
        Ok(Node::new(tree, &at))
    }
}
