//! The fields of a struct that is deserialized from rows.

use serde::{
    Deserializer,
    de::{
        DeserializeOwned, Error as _, IntoDeserializer, Visitor,
        value::{Error, MapDeserializer},
    },
    forward_to_deserialize_any,
};

/// The name of a struct, and the names of its fields with their aliases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RowType {
    pub(super) name: &'static str,
    pub(super) fields: &'static [&'static str],
}

impl RowType {
    /// `None` for other types than structs, and for a struct with `#[serde(flatten)]`, which does not say its fields.
    pub(super) fn of<T: DeserializeOwned>() -> Option<Self> {
        probe::<T>("").0
    }
}

/// The `Option` field into which a column of this name is read. An alias returns the name of its field.
pub(super) fn optional_field<T: DeserializeOwned>(column: &str) -> Option<String> {
    let error = probe::<T>(column).1?;
    Some(error.strip_prefix("duplicate field `")?.strip_suffix('`')?.to_owned())
}

/// Deserializes a row that has a column twice, without a value. The error says to which field it belongs.
fn probe<T: DeserializeOwned>(column: &str) -> (Option<RowType>, Option<String>) {
    let mut found = None;
    let error = T::deserialize(Probe { column, found: &mut found }).err();
    (found, error.map(|error| error.to_string()))
}

struct Probe<'a> {
    column: &'a str,
    found: &'a mut Option<RowType>,
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("not a struct"))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        *self.found = Some(RowType { name, fields });
        visitor.visit_map(MapDeserializer::new([(self.column, NoValue), (self.column, NoValue)].into_iter()))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

/// A missing value. It is an error for every type except `Option`.
struct NoValue;

impl IntoDeserializer<'_, Error> for NoValue {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for NoValue {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Error> {
        Err(Error::custom("no value"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_none()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    #[serde(rename = "House")]
    #[expect(dead_code, reason = "only its fields matter")]
    struct Row {
        #[serde(alias = "bedrooms", alias = "Zimmer")]
        rooms: Option<f32>,
        #[serde(rename = "Price")]
        price: f32,
        #[serde(default)]
        note: Option<String>,
        #[serde(skip)]
        index: usize,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its fields matter")]
    struct Flat {
        id: Option<u32>,
        #[serde(flatten)]
        row: Row,
    }

    #[derive(Deserialize)]
    #[expect(dead_code, reason = "only its fields matter")]
    struct Wrapped(Row);

    #[test]
    fn a_struct_says_its_fields() {
        let row = RowType::of::<Row>().unwrap();
        let mut fields = row.fields.to_vec();
        fields.sort_unstable();
        assert_eq!((row.name, &fields[..]), ("House", &["Price", "Zimmer", "bedrooms", "note", "rooms"][..]));
        assert_eq!(RowType::of::<Wrapped>(), Some(row));
        assert_eq!(RowType::of::<Flat>(), None);
        assert_eq!(RowType::of::<(f32, f32)>(), None);
        assert_eq!(RowType::of::<std::collections::HashMap<String, f32>>(), None);
    }

    #[test]
    fn optional_fields_are_found_by_each_of_their_names() {
        for (column, field) in [("rooms", Some("rooms")), ("Zimmer", Some("rooms")), ("note", Some("note")), ("Price", None), ("x", None)] {
            assert_eq!(optional_field::<Row>(column).as_deref(), field, "{column}");
        }
        assert_eq!(optional_field::<Wrapped>("bedrooms").as_deref(), Some("rooms"));
    }
}
