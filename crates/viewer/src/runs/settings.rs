//! Settings in YAML files: `hparams.yaml`, `trainer.yaml` and `config.yaml`.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::Deserialize as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use serde_saphyr::NonFiniteFloatPolicy;
use stormfire_loggers::for_trainer::{RunState, TRAINER_YAML, defaults_of, state_of};

/// Maximum size of a file in bytes.
const LARGEST: u64 = 4 << 20;

/// The settings of a file as names and values. Nested names are joined with `.`. Empty without a file.
pub(super) fn read(path: &Path) -> Vec<(String, String)> {
    parsed(&text_of(path))
}

/// `trainer.yaml`.
#[derive(Debug, Default)]
pub(super) struct TrainerFile {
    pub(super) options: Vec<(String, String)>,
    /// The options that have their defaults.
    pub(super) defaults: BTreeSet<String>,
    /// The state of the newest run in the folder.
    pub(super) state: Option<RunState>,
}

impl TrainerFile {
    pub(super) fn read(folder: &Path) -> Self {
        let text = text_of(&folder.join(TRAINER_YAML));
        let defaults = defaults_of(&text).into_iter().map(str::to_owned).collect();
        Self { options: parsed(&text), defaults, state: state_of(&text) }
    }
}

fn text_of(path: &Path) -> String {
    let is_small = std::fs::metadata(path).is_ok_and(|metadata| metadata.len() <= LARGEST);
    if is_small { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() }
}

fn parsed(text: &str) -> Vec<(String, String)> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    let options = serde_saphyr::options! { non_finite_float_policy: NonFiniteFloatPolicy::PassThrough };
    if let Ok(node) = serde_saphyr::from_str_with_options::<Node>(text, options) {
        node.leaves()
    } else {
        // Tags of other programs, such as `!!python/object`, are not plain data.
        let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once(": "));
        lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }
}

/// The options of a program with a command line: `config.yaml`, and what the newest continuation of the run has
/// changed, `config-2.yaml` or a later one.
pub(super) fn configuration(folder: &Path) -> Vec<(String, String)> {
    let mut options = read(&folder.join("config.yaml"));
    let mut continued = None;
    for number in 2_u64.. {
        let path = folder.join(format!("config-{number}.yaml"));
        if !path.exists() {
            break;
        }
        continued = Some(path);
    }
    for (name, value) in continued.iter().flat_map(|path| read(path)) {
        match options.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => options.push((name, value)),
        }
    }
    options
}

/// The leaves of a value with their paths.
pub(super) fn flat(value: &Value) -> Vec<(String, String)> {
    Node::deserialize(value).map(|node| node.leaves()).unwrap_or_default()
}

/// Plain data as text. JSON would turn a NaN into `null`.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Leaf(String),
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    fn leaves(&self) -> Vec<(String, String)> {
        let mut leaves = Vec::new();
        self.add(String::new(), &mut leaves);
        leaves.retain(|(name, _)| !name.is_empty());
        leaves
    }

    fn add(&self, name: String, into: &mut Vec<(String, String)>) {
        match self {
            Self::Map(fields) if !fields.is_empty() => {
                for (field, node) in fields {
                    node.add(if name.is_empty() { field.clone() } else { format!("{name}.{field}") }, into);
                }
            }
            other => into.push((name, other.to_string())),
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separated = |f: &mut fmt::Formatter<'_>, at: usize| if at > 0 { f.write_str(", ") } else { Ok(()) };
        match self {
            Self::Leaf(text) => f.write_str(text),
            Self::List(nodes) => {
                f.write_str("[")?;
                for (at, node) in nodes.iter().enumerate() {
                    separated(f, at)?;
                    node.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Map(fields) => {
                f.write_str("{")?;
                for (at, (name, node)) in fields.iter().enumerate() {
                    separated(f, at)?;
                    write!(f, "{name}: {node}")?;
                }
                f.write_str("}")
            }
        }
    }
}

impl<'de> serde::Deserialize<'de> for Node {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain data")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Leaf(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Leaf(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Leaf(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Leaf(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Leaf(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf("null".to_owned()))
    }

    fn visit_none<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf("null".to_owned()))
    }

    fn visit_some<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Node::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut fields = Vec::new();
        while let Some((name, node)) = map.next_entry::<Node, Node>()? {
            fields.push((name.to_string(), node));
        }
        Ok(Node::Map(fields))
    }
}
