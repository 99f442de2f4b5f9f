//! The values of a table, which deserialize into any type.

use std::{fmt, sync::Arc, vec::IntoIter};

use serde::{
    Deserializer,
    de::{DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor, value::SeqDeserializer},
    forward_to_deserialize_any,
};

use crate::error::{Error, Result};

/// A value of a cell, or a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    Int(i64),
    /// An unsigned integer.
    Unsigned(u64),
    /// A number of single precision.
    Single(f32),
    /// A number of double precision.
    Float(f64),
    /// A string.
    Text(Arc<str>),
    /// Bytes that are not declared as a string.
    Bytes(Arc<[u8]>),
    /// Several values.
    List(Vec<Value>),
    /// Named values: a row, or a struct in it.
    Row(Arc<[Arc<str>]>, Vec<Value>),
}

impl Value {
    /// Deserializes it.
    ///
    /// # Errors
    /// It is of another type.
    pub fn into_type<T: DeserializeOwned>(self) -> Result<T> {
        T::deserialize(self)
    }
}

impl IntoDeserializer<'_, Error> for Value {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Value {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(value),
            Value::Int(value) => visitor.visit_i64(value),
            Value::Unsigned(value) => visitor.visit_u64(value),
            Value::Single(value) => visitor.visit_f32(value),
            Value::Float(value) => visitor.visit_f64(value),
            Value::Text(text) => visitor.visit_str(&text),
            Value::Bytes(_) => self.deserialize_seq(visitor),
            Value::List(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter())),
            Value::Row(names, values) => visitor.visit_map(Fields { names, values: values.into_iter(), next: 0 }),
        }
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if let Value::Bytes(bytes) = self { visitor.visit_bytes(&bytes) } else { self.deserialize_any(visitor) }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        if self == Value::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    /// A list, bytes as a list of numbers, or the values of a row without their names.
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Value::Bytes(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
            Value::Row(_, values) => visitor.visit_seq(SeqDeserializer::new(values.into_iter())),
            other => other.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _name: &'static str, _length: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _name: &'static str, _variants: &'static [&'static str], visitor: V) -> Result<V::Value> {
        match self {
            Value::Text(text) => visitor.visit_enum(text.to_string().into_deserializer()),
            other => other.deserialize_any(visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit unit_struct map struct identifier ignored_any
    }
}

/// The values of a row with the names of their columns.
struct Fields {
    names: Arc<[Arc<str>]>,
    values: IntoIter<Value>,
    /// The column of the next name, and of the value after it.
    next: usize,
}

impl<'de> MapAccess<'de> for Fields {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        let name = self.names.get(self.next).filter(|_| !self.values.as_slice().is_empty());
        name.map(|name| seed.deserialize(IntoDeserializer::<Error>::into_deserializer(&**name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        let column = &self.names[self.next];
        self.next += 1;
        seed.deserialize(self.values.next().unwrap_or(Value::Null)).map_err(|error| match error {
            Error::Row(message) => Error::Column { column: column.to_string(), message },
            Error::Column { column: inner, message } => Error::Column { column: format!("{column}.{inner}"), message },
            other => other,
        })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len())
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int(value) => write!(f, "{value}"),
            Value::Unsigned(value) => write!(f, "{value}"),
            Value::Single(value) => write!(f, "{value}"),
            Value::Float(value) => write!(f, "{value}"),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
            Value::List(items) => write!(f, "a list of {}", items.len()),
            Value::Row(names, _) => write!(f, "a struct of {}", names.join(", ")),
        }
    }
}
