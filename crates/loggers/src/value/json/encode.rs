//! Converts plain data to JSON.

use serde::{
    Serialize, Serializer,
    ser::{
        Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
        SerializeTupleVariant,
    },
};
use serde_json::{Error, Map, Number, Value};

use super::{MARK, needs_mark, unmarked};

type Result<T> = std::result::Result<T, Error>;

pub(super) struct Encode;

/// A list, possibly the content of an enum variant.
pub(super) struct Items {
    variant: Option<&'static str>,
    items: Vec<Value>,
}

/// A map or struct, possibly the content of an enum variant.
pub(super) struct Fields {
    variant: Option<&'static str>,
    entries: Map<String, Value>,
    key: String,
}

impl Items {
    fn new(variant: Option<&'static str>, len: Option<usize>) -> Self {
        Self { variant, items: Vec::with_capacity(len.unwrap_or_default()) }
    }

    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.items.push(value.serialize(Encode)?);
        Ok(())
    }
}

impl Fields {
    fn new(variant: Option<&'static str>) -> Self {
        Self { variant, entries: Map::new(), key: String::new() }
    }

    fn set<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<()> {
        self.entries.insert(name.to_owned(), value.serialize(Encode)?);
        Ok(())
    }
}

fn of_variant(variant: Option<&'static str>, value: Value) -> Value {
    match variant {
        Some(name) => Value::Object(Map::from_iter([(name.to_owned(), value)])),
        None => value,
    }
}

fn text(text: &str) -> Value {
    Value::String(if needs_mark(text) { format!("{MARK}{text}") } else { text.to_owned() })
}

/// A key is always a string, so it needs no mark.
fn key_of<T: Serialize + ?Sized>(key: &T) -> Result<String> {
    match key.serialize(Encode)? {
        Value::String(text) => Ok(unmarked(&text).to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        _ => Err(Error::custom("a key of a map must be a string, a number or a boolean")),
    }
}

macro_rules! plain {
    ($($method:ident: $of:ty),*) => {$(
        fn $method(self, value: $of) -> Result<Value> {
            serde_json::value::Serializer.$method(value)
        }
    )*};
}

impl Serializer for Encode {
    type Ok = Value;
    type Error = Error;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Fields;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Fields;

    plain! {
        serialize_bool: bool,
        serialize_i8: i8,
        serialize_i16: i16,
        serialize_i32: i32,
        serialize_i64: i64,
        serialize_i128: i128,
        serialize_u8: u8,
        serialize_u16: u16,
        serialize_u32: u32,
        serialize_u64: u64,
        serialize_u128: u128,
        serialize_char: char,
        serialize_bytes: &[u8]
    }

    fn serialize_f32(self, value: f32) -> Result<Value> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<Value> {
        // The sign of a `NaN` is lost.
        Ok(Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number))
    }

    fn serialize_str(self, value: &str) -> Result<Value> {
        Ok(text(value))
    }

    fn serialize_none(self) -> Result<Value> {
        Ok(Value::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Value> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Value> {
        Ok(Value::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Value> {
        Ok(Value::Null)
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<Value> {
        Ok(text(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<Value> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Value> {
        Ok(of_variant(Some(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Items> {
        Ok(Items::new(None, len))
    }

    fn serialize_tuple(self, len: usize) -> Result<Items> {
        Ok(Items::new(None, Some(len)))
    }

    fn serialize_tuple_struct(self, _name: &'static str, len: usize) -> Result<Items> {
        Ok(Items::new(None, Some(len)))
    }

    fn serialize_tuple_variant(self, _name: &'static str, _index: u32, variant: &'static str, len: usize) -> Result<Items> {
        Ok(Items::new(Some(variant), Some(len)))
    }

    fn serialize_map(self, _len: Option<usize>) -> Result<Fields> {
        Ok(Fields::new(None))
    }

    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Fields> {
        Ok(Fields::new(None))
    }

    fn serialize_struct_variant(self, _name: &'static str, _index: u32, variant: &'static str, _len: usize) -> Result<Fields> {
        Ok(Fields::new(Some(variant)))
    }
}

macro_rules! list {
    ($($part:ident: $method:ident),*) => {$(
        impl $part for Items {
            type Ok = Value;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                self.push(value)
            }

            fn end(self) -> Result<Value> {
                Ok(of_variant(self.variant, Value::Array(self.items)))
            }
        }
    )*};
}

list! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
}

macro_rules! fields {
    ($($part:ident),*) => {$(
        impl $part for Fields {
            type Ok = Value;
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<()> {
                self.set(name, value)
            }

            fn end(self) -> Result<Value> {
                Ok(of_variant(self.variant, Value::Object(self.entries)))
            }
        }
    )*};
}

fields!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Fields {
    type Ok = Value;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.key = key_of(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        let key = std::mem::take(&mut self.key);
        self.set(&key, value)
    }

    fn end(self) -> Result<Value> {
        Ok(of_variant(self.variant, Value::Object(self.entries)))
    }
}
