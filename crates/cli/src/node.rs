//! A value of the configuration, with the source of each of its parts.

use std::fmt;

use indexmap::IndexMap;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use stormfire_loggers::json;

use crate::{quote, source::Source};

/// A value with its source.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Tree,
    /// The layer that has set it.
    pub source: Source,
}

/// Plain data. Unlike JSON it has every float, and a whole number is never a float.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree {
    /// No value.
    Null,
    /// A boolean.
    Bool(bool),
    /// A negative whole number.
    Int(i64),
    /// A whole number of at least 0.
    UInt(u64),
    /// A number with a decimal point or an exponent.
    Float(f64),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Named values, in the order of the source.
    Map(IndexMap<String, Node>),
}

impl Tree {
    /// A whole number.
    pub fn int(value: i64) -> Self {
        u64::try_from(value).map_or(Self::Int(value), Self::UInt)
    }

    /// The kind of the value and the value itself, for an error: `` the string `many` ``. A long string is cut, and
    /// `[secret]` replaces the password and the query of an address.
    pub fn described(&self) -> String {
        match self {
            Self::Null => "null".into(),
            Self::Bool(value) => format!("`{value}`"),
            Self::Int(value) => format!("the number `{value}`"),
            Self::UInt(value) => format!("the number `{value}`"),
            Self::Float(value) => format!("the number `{value:?}`"),
            Self::Text(text) => format!("the string `{}`", quote::value(text)),
            Self::List(items) => format!("a list of {}", items.len()),
            Self::Map(_) => "a section".into(),
        }
    }
}

impl Node {
    /// A value of this source.
    pub fn new(value: Tree, source: &Source) -> Self {
        Self { value, source: source.clone() }
    }

    /// A section without values.
    pub fn empty(source: &Source) -> Self {
        Self::new(Tree::Map(IndexMap::new()), source)
    }

    /// Any serializable value. All floats are kept.
    ///
    /// # Errors
    /// If it is not plain data, such as a map whose keys are not strings.
    pub fn of(value: &(impl Serialize + ?Sized), source: &Source) -> Result<Self, serde_json::Error> {
        Self::of_json(json::to_value(value)?, source)
    }

    /// The JSON of [`json::to_value`], as in a checkpoint.
    pub(crate) fn of_json(value: serde_json::Value, source: &Source) -> Result<Self, serde_json::Error> {
        let mut node: Self = json::from_value(value)?;
        node.set_source(source);
        Ok(node)
    }

    fn set_source(&mut self, source: &Source) {
        self.source = source.clone();
        match &mut self.value {
            Tree::List(items) => items.iter_mut().for_each(|item| item.set_source(source)),
            Tree::Map(fields) => fields.values_mut().for_each(|field| field.set_source(source)),
            _ => {}
        }
    }

    /// The fields of a section.
    pub fn fields(&self) -> Option<&IndexMap<String, Node>> {
        match &self.value {
            Tree::Map(fields) => Some(fields),
            _ => None,
        }
    }

    pub(crate) fn fields_mut(&mut self) -> Option<&mut IndexMap<String, Node>> {
        match &mut self.value {
            Tree::Map(fields) => Some(fields),
            _ => None,
        }
    }

    /// The value at a path of names.
    pub fn get<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Node> {
        path.into_iter().try_fold(self, |node, name| node.fields()?.get(name))
    }

    /// The string, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Tree::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether the values are equal. Their sources may differ.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Tree::List(a), Tree::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b)),
            (Tree::Map(a), Tree::Map(b)) => a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| a.is_same(b))),
            (Tree::Float(a), Tree::Float(b)) => a.to_bits() == b.to_bits(),
            (a, b) => a == b,
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.value {
            Tree::Null => serializer.serialize_unit(),
            Tree::Bool(value) => serializer.serialize_bool(*value),
            Tree::Int(value) => serializer.serialize_i64(*value),
            Tree::UInt(value) => serializer.serialize_u64(*value),
            Tree::Float(value) => serializer.serialize_f64(*value),
            Tree::Text(text) => serializer.serialize_str(text),
            Tree::List(items) => serializer.collect_seq(items),
            Tree::Map(fields) => serializer.collect_map(fields),
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Node::new(deserializer.deserialize_any(AnyTree)?, &Source::default_value()))
    }
}

struct AnyTree;

impl<'de> Visitor<'de> for AnyTree {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain data")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::UInt(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Tree::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Tree, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Tree::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Tree, A::Error> {
        let mut fields = IndexMap::new();
        while let Some((name, value)) = entries.next_entry::<String, Node>()? {
            if fields.insert(name.clone(), value).is_some() {
                return Err(A::Error::custom(format!("`{name}` is given twice")));
            }
        }
        Ok(Tree::Map(fields))
    }
}
