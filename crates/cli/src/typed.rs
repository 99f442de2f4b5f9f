//! Converts a configuration to its type. The error knows the path and the source of the value that did not fit.

use std::fmt;

use indexmap::map;
use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, EnumAccess, Error as _, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        VariantAccess, Visitor,
        value::{self, StrDeserializer},
    },
    forward_to_deserialize_any,
};

use crate::{
    error::{Problem, Result},
    node::{Node, Tree},
    quote,
    schema::join,
    source::Source,
};

/// Reads a value. `path` is that of the node.
pub(crate) fn read<T: DeserializeOwned>(node: &Node, path: &str) -> Result<T> {
    T::deserialize(Typed(node)).map_err(|error| {
        let source = error.source.as_ref().unwrap_or(&node.source);
        let at = error.path.iter().rev().fold(path.to_owned(), |path, step| match step {
            Step::Name(name) => join(&path, name),
            Step::Index(index) => format!("{path}[{index}]"),
        });
        let message = if at.is_empty() { error.message } else { format!("`{}`: {}", quote::name(&at), error.message) };
        Problem::new(source, message).into()
    })
}

#[derive(Debug)]
enum Step {
    Name(String),
    Index(usize),
}

#[derive(Debug)]
struct Failure {
    message: String,
    /// From the inside.
    path: Vec<Step>,
    source: Option<Source>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl serde::de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), path: Vec::new(), source: None }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match unexpected {
            Unexpected::Str(text) => Self::custom(value::Error::invalid_type(Unexpected::Str(&quote::short(text)), expected)),
            other => Self::custom(value::Error::invalid_type(other, expected)),
        }
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match unexpected {
            Unexpected::Str(text) => Self::custom(value::Error::invalid_value(Unexpected::Str(&quote::short(text)), expected)),
            Unexpected::Unsigned(number) => Self::out_of_range(i128::from(number), unexpected, expected),
            Unexpected::Signed(number) => Self::out_of_range(i128::from(number), unexpected, expected),
            other => Self::custom(value::Error::invalid_value(other, expected)),
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(value::Error::unknown_variant(&quote::name(variant), expected))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::custom(value::Error::unknown_field(&quote::name(field), expected))
    }
}

impl Failure {
    fn out_of_range(number: i128, unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        match limits(&expected.to_string()) {
            Some((_, most)) if number > most => {
                Self::custom(format!("expected a whole number of at most {most}, not the number `{number}`"))
            }
            Some((least, _)) => Self::custom(format!("expected a whole number of at least {least}, not the number `{number}`")),
            None => Self::custom(value::Error::invalid_value(unexpected, expected)),
        }
    }

    fn within(mut self, step: Step, node: &Node) -> Self {
        self.path.push(step);
        self.source.get_or_insert_with(|| node.source.clone());
        self
    }
}

/// The smallest and the largest number of a type with this name.
fn limits(name: &str) -> Option<(i128, i128)> {
    Some(match name {
        "u8" => (0, u8::MAX.into()),
        "u16" => (0, u16::MAX.into()),
        "u32" => (0, u32::MAX.into()),
        "u64" => (0, u64::MAX.into()),
        "usize" => (0, i128::try_from(usize::MAX).ok()?),
        "i8" => (i8::MIN.into(), i8::MAX.into()),
        "i16" => (i16::MIN.into(), i16::MAX.into()),
        "i32" => (i32::MIN.into(), i32::MAX.into()),
        "i64" => (i64::MIN.into(), i64::MAX.into()),
        _ => return None,
    })
}

struct Typed<'a>(&'a Node);

impl<'de> Deserializer<'de> for Typed<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.value {
            Tree::Null => visitor.visit_unit(),
            Tree::Bool(value) => visitor.visit_bool(*value),
            Tree::Int(value) => visitor.visit_i64(*value),
            Tree::UInt(value) => visitor.visit_u64(*value),
            Tree::Float(value) => visitor.visit_f64(*value),
            Tree::Text(text) => visitor.visit_str(text),
            Tree::List(items) => {
                let mut list = List { items: items.iter().enumerate() };
                let value = visitor.visit_seq(&mut list)?;
                if list.items.next().is_some() { Err(Failure::invalid_length(items.len(), &"fewer items")) } else { Ok(value) }
            }
            Tree::Map(fields) => visitor.visit_map(Fields { fields: fields.iter(), current: None }),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.0.value == Tree::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match &self.0.value {
            Tree::Text(name) => visitor.visit_enum(Variant { name, content: None }),
            Tree::Map(fields) if fields.len() == 1 => match fields.first() {
                Some((name, content)) => visitor.visit_enum(Variant { name, content: Some(content) }),
                None => Err(Failure::invalid_length(0, &"one variant")),
            },
            other => Err(Failure::custom(format!("expected the name of a variant, not {}", other.described()))),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Failure> {
        match &self.0.value {
            Tree::Map(fields) if fields.is_empty() => visitor.visit_unit(),
            _ => self.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

struct List<'a> {
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'de> SeqAccess<'de> for List<'_> {
    type Error = Failure;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        let Some((index, item)) = self.items.next() else { return Ok(None) };
        seed.deserialize(Typed(item)).map(Some).map_err(|error| error.within(Step::Index(index), item))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.items.len())
    }
}

struct Fields<'a> {
    fields: map::Iter<'a, String, Node>,
    current: Option<(&'a String, &'a Node)>,
}

impl<'de> MapAccess<'de> for Fields<'_> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Failure> {
        self.current = self.fields.next();
        let Some((name, value)) = self.current else { return Ok(None) };
        seed.deserialize(Key(name)).map(Some).map_err(|error| error.within(Step::Name(name.clone()), value))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        let Some((name, value)) = self.current.take() else { return Err(Failure::custom("a value without a name")) };
        seed.deserialize(Typed(value)).map_err(|error| error.within(Step::Name(name.clone()), value))
    }
}

/// A name, which may stand for a number or a boolean in a map.
struct Key<'a>(&'a str);

macro_rules! number_keys {
    ($($method:ident => $visit:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            match self.0.parse() {
                Ok(value) => visitor.$visit(value),
                Err(_) => Err(Failure::invalid_type(Unexpected::Str(self.0), &visitor)),
            }
        }
    )*};
}

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_enum(IntoDeserializer::<Failure>::into_deserializer(self.0))
    }

    number_keys! {
        deserialize_bool => visit_bool;
        deserialize_i8 => visit_i8;
        deserialize_i16 => visit_i16;
        deserialize_i32 => visit_i32;
        deserialize_i64 => visit_i64;
        deserialize_u8 => visit_u8;
        deserialize_u16 => visit_u16;
        deserialize_u32 => visit_u32;
        deserialize_u64 => visit_u64;
        deserialize_f32 => visit_f32;
        deserialize_f64 => visit_f64;
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Variant<'a> {
    name: &'a str,
    content: Option<&'a Node>,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Failure;
    type Variant = Content<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Content<'a>), Failure> {
        let name: StrDeserializer<'_, Failure> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, Content { name: self.name, content: self.content }))
    }
}

struct Content<'a> {
    name: &'a str,
    content: Option<&'a Node>,
}

impl<'a> Content<'a> {
    fn node(&self) -> Result<&'a Node, Failure> {
        self.content.ok_or_else(|| Failure::custom(format!("the variant `{}` has a value", self.name)))
    }

    fn placed<T>(&self, result: Result<T, Failure>) -> Result<T, Failure> {
        match self.content {
            Some(node) => result.map_err(|error| error.within(Step::Name(self.name.to_owned()), node)),
            None => result,
        }
    }
}

impl<'de> VariantAccess<'de> for Content<'_> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        match self.content {
            None => Ok(()),
            Some(node) if node.value == Tree::Null => Ok(()),
            Some(node) => Err(Failure::custom(format!("the variant `{}` has no value, not {}", self.name, node.value.described()))),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failure> {
        let node = self.node()?;
        self.placed(seed.deserialize(Typed(node)))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Failure> {
        let node = self.node()?;
        self.placed(Typed(node).deserialize_any(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _fields: &'static [&'static str], visitor: V) -> Result<V::Value, Failure> {
        let node = self.node()?;
        self.placed(Typed(node).deserialize_any(visitor))
    }
}
