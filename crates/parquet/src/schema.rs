//! The columns of a file, and the values that they make together.

use std::sync::Arc;

use crate::{
    compact::{Field, Fields, Read as _},
    error::{Error, Result, damaged},
};

/// How the values of a column are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int32 {
        is_signed: bool,
    },
    Int64 {
        is_signed: bool,
    },
    Single,
    Double,
    Bytes {
        is_text: bool,
    },
    /// Bytes of this length.
    Fixed(usize),
}

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// The names from the root, joined by dots.
    pub(crate) path: String,
    pub(crate) kind: Kind,
    /// The largest definition level: that of a value.
    pub(crate) defined: u32,
    /// The largest repetition level: 1 in a list.
    pub(crate) repeated: u32,
}

/// The value that columns form.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// The value of a column.
    Value { column: usize },
    /// Its columns start with `first`. It is missing below the level `defined`.
    Struct { names: Arc<[Arc<str>]>, fields: Vec<Node>, first: usize, defined: u32 },
    /// The values of a column. The list is missing below the level `defined`, and has a place from `filled` on.
    List { column: usize, defined: u32, filled: u32 },
}

#[derive(Clone, Debug)]
pub(crate) struct Schema {
    pub(crate) root: Node,
    pub(crate) leaves: Vec<Leaf>,
}

const REQUIRED: i64 = 0;
const REPEATED: i64 = 2;
/// Converted types.
const LIST: i64 = 3;
const MAPS: [i64; 2] = [1, 2];
const DECIMAL: i64 = 5;
/// Nested more deeply is refused.
const DEEPEST: usize = 16;

fn unsupported(what: String, instead: &'static str) -> Error {
    Error::Unsupported { what, instead }
}

impl Schema {
    /// From the list of elements, depth first.
    pub(crate) fn of(elements: &[Field]) -> Result<Self> {
        let mut walk = Walk { elements, next: 0, leaves: Vec::new() };
        let root = walk.element()?;
        let count = children(root)?;
        let (names, fields) = walk.fields(count, &[], (0, 0), 0)?;
        if walk.next != elements.len() || walk.leaves.is_empty() {
            return Err(damaged("its schema does not fit together"));
        }
        Ok(Self { root: Node::Struct { names, fields, first: 0, defined: 0 }, leaves: walk.leaves })
    }
}

struct Walk<'a> {
    elements: &'a [Field],
    next: usize,
    leaves: Vec<Leaf>,
}

fn children(element: &Fields) -> Result<usize> {
    usize::try_from(element.int(5).unwrap_or(0)).map_err(|_| damaged("its schema does not fit together"))
}

fn is_repeated(element: &Fields) -> bool {
    element.int(3) == Some(REPEATED)
}

type Named = (Arc<[Arc<str>]>, Vec<Node>);

impl<'a> Walk<'a> {
    fn element(&mut self) -> Result<&'a Fields> {
        let element = self.elements.get(self.next).ok_or_else(|| damaged("its schema does not fit together"))?;
        self.next += 1;
        element.fields()
    }

    fn fields(&mut self, count: usize, path: &[String], levels: (u32, u32), depth: usize) -> Result<Named> {
        let (mut names, mut fields) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let element = self.element()?;
            let name = element.text(4).ok_or_else(|| damaged("a column has no name"))?;
            let path = [path, std::slice::from_ref(&name)].concat();
            fields.push(self.node(element, &path, levels, depth)?);
            names.push(Arc::from(name.as_str()));
        }
        Ok((names.into(), fields))
    }

    /// `levels` are those above it: of definition and of repetition.
    fn node(&mut self, element: &Fields, path: &[String], (above, lists): (u32, u32), depth: usize) -> Result<Node> {
        let shown = path.join(".");
        if depth > DEEPEST {
            return Err(unsupported(format!("a column as deep as `{shown}`"), "fewer levels"));
        }
        let repetition = element.int(3).unwrap_or(REQUIRED);
        let defined = above + u32::from(repetition != REQUIRED);
        let lists = lists + u32::from(repetition == REPEATED);
        if lists > 1 {
            return Err(unsupported(format!("the list of lists `{shown}`"), "one list of all values, and their lengths"));
        }
        let count = children(element)?;
        if count == 0 {
            let column = self.leaf(element, path, defined, lists)?;
            return Ok(match repetition {
                REPEATED => Node::List { column, defined: above, filled: defined },
                _ => Node::Value { column },
            });
        }
        let converted = element.int(6);
        if converted.is_some_and(|converted| MAPS.contains(&converted)) || element.inner(10).is_some_and(|logical| logical.contains_key(&2))
        {
            return Err(unsupported(format!("the map `{shown}`"), "a list of keys and a list of values"));
        }
        if repetition == REPEATED {
            return Err(unsupported(format!("the list of structs `{shown}`"), "a list for each field"));
        }
        if converted == Some(LIST) || element.inner(10).is_some_and(|logical| logical.contains_key(&3)) {
            return self.list(count, path, (defined, lists));
        }
        let first = self.leaves.len();
        let (names, fields) = self.fields(count, path, (defined, lists), depth + 1)?;
        Ok(Node::Struct { names, fields, first, defined })
    }

    /// A group with the repeated values, in one of two forms.
    fn list(&mut self, count: usize, path: &[String], (defined, lists): (u32, u32)) -> Result<Node> {
        let shown = path.join(".");
        let values = self.element()?;
        if count != 1 || !is_repeated(values) {
            return Err(damaged(format!("the list `{shown}` has another form")));
        }
        let filled = defined + 1;
        if lists > 0 {
            return Err(unsupported(format!("the list of lists `{shown}`"), "one list of all values, and their lengths"));
        }
        let (element, optional) = match children(values)? {
            0 => (values, 0),
            1 => {
                let element = self.element()?;
                (element, u32::from(element.int(3).unwrap_or(REQUIRED) != REQUIRED))
            }
            _ => return Err(unsupported(format!("the list of structs `{shown}`"), "a list for each field")),
        };
        let is_list = element.int(6) == Some(LIST) || (children(values)? == 1 && is_repeated(element));
        if is_list {
            return Err(unsupported(format!("the list of lists `{shown}`"), "one list of all values, and their lengths"));
        }
        if children(element)? > 0 {
            return Err(unsupported(format!("the list of structs `{shown}`"), "a list for each field"));
        }
        // The path of the column has the names of the inner groups, too.
        let inner = [Some(values), (children(values)? == 1).then_some(element)];
        let names = inner.into_iter().flatten().filter_map(|field| field.text(4));
        let path: Vec<String> = path.iter().cloned().chain(names).collect();
        let column = self.leaf(element, &path, filled + optional, 1)?;
        Ok(Node::List { column, defined, filled })
    }

    fn leaf(&mut self, element: &Fields, path: &[String], defined: u32, repeated: u32) -> Result<usize> {
        let path = path.join(".");
        let logical = element.inner(10);
        if element.int(6) == Some(DECIMAL) || logical.is_some_and(|logical| logical.contains_key(&5)) {
            return Err(unsupported(format!("the decimal numbers of `{path}`"), "floats or integers"));
        }
        if logical.is_some_and(|logical| logical.contains_key(&15)) {
            return Err(unsupported(format!("the half floats of `{path}`"), "single floats"));
        }
        let is_signed = match (element.int(6), logical.and_then(|logical| logical.inner(10))) {
            (Some(11..=14), _) => false,
            (_, Some(integer)) => integer.get(&2) != Some(&Field::Bool(false)),
            _ => true,
        };
        // Strings, enumerations and JSON.
        let is_text = matches!(element.int(6), Some(0 | 4 | 19))
            || logical.is_some_and(|logical| [1, 4, 12].iter().any(|kind| logical.contains_key(kind)));
        let kind = match element.needed(1, "type of a column")? {
            0 => Kind::Bool,
            1 => Kind::Int32 { is_signed },
            2 => Kind::Int64 { is_signed },
            3 => return Err(unsupported(format!("the old time stamps of `{path}`"), "time stamps of 64 bits")),
            4 => Kind::Single,
            5 => Kind::Double,
            6 => Kind::Bytes { is_text },
            7 => Kind::Fixed(element.size(2, "length of a type")?),
            other => return Err(damaged(format!("column `{path}` has the unknown type {other}"))),
        };
        self.leaves.push(Leaf { path, kind, defined, repeated });
        Ok(self.leaves.len() - 1)
    }
}
