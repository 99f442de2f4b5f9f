//! The kinds of values that an option takes.

use std::ops::BitOrAssign;

use serde_json::Value;

use crate::node::Tree;

/// A set of kinds of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds(u8);

impl Kinds {
    const NULL: Self = Self(1);
    const BOOL: Self = Self(2);
    const WHOLE: Self = Self(4);
    const NUMBER: Self = Self(8);
    const TEXT: Self = Self(16);
    const LIST: Self = Self(32);
    const MAP: Self = Self(64);
    const ANY: Self = Self(127);

    /// Those that this part of a schema names itself.
    pub(crate) fn of(schema: &Value) -> Self {
        let mut kinds = Self::default();
        match &schema["type"] {
            Value::String(name) => kinds |= Self::named(name),
            Value::Array(names) => names.iter().filter_map(Value::as_str).for_each(|name| kinds |= Self::named(name)),
            _ if schema.get("const").is_some_and(Value::is_string) || schema.get("enum").is_some() => kinds |= Self::TEXT,
            _ if schema.get("properties").is_some() => kinds |= Self::MAP,
            _ if !["$ref", "anyOf", "oneOf", "allOf", "const"].iter().any(|key| schema.get(key).is_some()) => kinds |= Self::ANY,
            _ => {}
        }
        kinds
    }

    fn named(name: &str) -> Self {
        match name {
            "null" => Self::NULL,
            "boolean" => Self::BOOL,
            "integer" => Self::WHOLE,
            "number" => Self::NUMBER,
            "string" => Self::TEXT,
            "array" => Self::LIST,
            "object" => Self::MAP,
            _ => Self::default(),
        }
    }

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether a value has one of the kinds.
    pub(crate) fn has(self, value: &Tree) -> bool {
        match value {
            Tree::Null => self.contains(Self::NULL),
            Tree::Bool(_) => self.contains(Self::BOOL),
            Tree::Int(_) | Tree::UInt(_) => self.contains(Self::WHOLE) || self.contains(Self::NUMBER),
            Tree::Float(_) => self.contains(Self::NUMBER),
            Tree::Text(_) => self.contains(Self::TEXT),
            Tree::List(_) => self.contains(Self::LIST),
            Tree::Map(_) => self.contains(Self::MAP),
        }
    }

    /// Whether whole numbers are one of the kinds. Numbers that may be fractions are another one.
    pub(crate) fn has_whole(self) -> bool {
        self.contains(Self::WHOLE)
    }

    pub(crate) fn has_number(self) -> bool {
        self.contains(Self::NUMBER)
    }

    pub(crate) fn has_text(self) -> bool {
        self.contains(Self::TEXT)
    }

    pub(crate) fn has_map(self) -> bool {
        self.contains(Self::MAP)
    }

    pub(crate) fn has_null(self) -> bool {
        self.contains(Self::NULL)
    }

    /// Whether it takes numbers and booleans only, or no value. These have no parts.
    pub(crate) fn is_plain(self) -> bool {
        let others = Self::TEXT.0 | Self::LIST.0 | Self::MAP.0;
        self != Self::default() && self.0 & others == 0
    }

    /// Whether it takes strings only, or no value.
    pub(crate) fn is_text(self) -> bool {
        self.has_text() && self.without_null() == Self::TEXT
    }

    /// Whether it takes `true` and `false` only, or no value.
    pub(crate) fn is_flag(self) -> bool {
        self.without_null() == Self::BOOL
    }

    fn without_null(self) -> Self {
        Self(self.0 & !Self::NULL.0)
    }

    /// The description of the expected kinds in an error: `a whole number or a string`.
    pub(crate) fn described(self) -> String {
        if self == Self::ANY || self == Self::default() {
            return "a value".into();
        }
        let number = self.contains(Self::NUMBER);
        let names = [
            (self.contains(Self::BOOL), "`true` or `false`"),
            (self.contains(Self::WHOLE) && !number, "a whole number"),
            (number, "a number"),
            (self.has_text(), "a string"),
            (self.contains(Self::LIST), "a list"),
            (self.contains(Self::MAP), "a section"),
            (self.has_null(), "null"),
        ];
        let names: Vec<&str> = names.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect();
        names.join(" or ")
    }
}

impl BitOrAssign for Kinds {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}
