//! YAML 1.2, core schema: `no` and `on` are strings.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use indexmap::IndexMap;

use super::{Count, DEEPEST, MOST_VALUES};
use crate::{
    error::{Problem, Result},
    node::{Node, Tree},
    quote,
    source::{Origin, Source},
};

/// Reads one document. Each value has its position.
pub(crate) fn read(text: &str, source: &Source) -> Result<Node> {
    let options = granit_parser::options! { flow_nesting_limit: DEEPEST, block_nesting_limit: DEEPEST };
    let parser = Parser::new_from_str_with_options(text, options);
    let mut reader = Reader { parser, source, anchors: HashMap::new(), copied: 0, values: Count::default() };
    reader.document()
}

/// The text of a flag or variable as a value: `[1, 2]`, `{name: sgd}`, `null`, `1e-4`.
pub(crate) fn value(text: &str, source: &Source) -> Result<Node> {
    let mut node = read(text, source)?;
    forget_positions(&mut node, source);
    Ok(node)
}

/// A position within a flag is of no use.
fn forget_positions(node: &mut Node, source: &Source) {
    node.source = source.clone();
    match &mut node.value {
        Tree::List(items) => items.iter_mut().for_each(|item| forget_positions(item, source)),
        Tree::Map(fields) => fields.values_mut().for_each(|field| forget_positions(field, source)),
        _ => {}
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    source: &'a Source,
    /// The node of each alias, and the number of its values.
    anchors: HashMap<usize, (Node, usize)>,
    /// The number of values in all anchors. Nested ones have copies of one value.
    copied: usize,
    values: Count,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Source)> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => {
                let at = self.at(span);
                Ok((event, at))
            }
            Some(Err(error)) => Err(self.refused(&error).into()),
            None => Ok((Event::StreamEnd, self.source.clone())),
        }
    }

    fn at(&self, span: Span) -> Source {
        self.source.at(span.start.line(), span.start.col() + 1)
    }

    fn refused(&self, error: &ScanError) -> Problem {
        let at = error.marker();
        let hint = matches!(self.source.origin(), Origin::Flag(_) | Origin::Env(_));
        let source = if hint { self.source.clone() } else { self.source.at(at.line(), at.col() + 1) };
        Problem::new(&source, format!("not valid YAML: {}", error.info()))
    }

    fn document(&mut self) -> Result<Node> {
        let mut found = None;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(found.unwrap_or_else(|| Node::new(Tree::Null, self.source))),
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if found.is_none() => {}
                Event::DocumentStart(..) => {
                    let problem = Problem::new(&at, "a second document starts here");
                    return Err(problem.help("give each document in a file, with `-c` for each".to_owned()).into());
                }
                node => found = Some(self.node(node, at)?),
            }
        }
    }

    fn node(&mut self, event: Event<'a>, at: Source) -> Result<Node> {
        self.values.add(&at)?;
        let before = self.values.0;
        let anchor = event.anchor_id();
        let node = match event {
            Event::Scalar(text, style, _, tag) => {
                self.values.0 += text.len() / 64;
                Node::new(scalar(&text, style, tag.as_deref(), &at)?, &at)
            }
            Event::SequenceStart(_, _, tag) => {
                refuse_tag(tag.as_deref(), "seq", &at)?;
                let mut items = Vec::new();
                loop {
                    let (event, at) = self.next()?;
                    match event {
                        Event::SequenceEnd => break Node::new(Tree::List(items), &at),
                        item => items.push(self.node(item, at)?),
                    }
                }
            }
            Event::MappingStart(_, _, tag) => {
                refuse_tag(tag.as_deref(), "map", &at)?;
                Node::new(Tree::Map(self.fields()?), &at)
            }
            Event::Alias(id) => self.alias(id, &at)?,
            // The parser has refused such a file before.
            _ => return Err(Problem::new(&at, "not valid YAML: a value is missing").into()),
        };
        let node = Node { source: at, ..node };
        if let Some(id) = anchor {
            let values = self.values.0 - before + 1;
            self.copied = self.copied.saturating_add(values);
            if self.copied > MOST_VALUES {
                return Err(too_many_with_aliases(&node.source).into());
            }
            self.anchors.insert(id, (node.clone(), values));
        }
        Ok(node)
    }

    fn fields(&mut self) -> Result<IndexMap<String, Node>> {
        let mut fields = IndexMap::new();
        loop {
            let (event, at) = self.next()?;
            let name = match event {
                Event::MappingEnd => return Ok(fields),
                Event::Scalar(name, ..) => name.into_owned(),
                _ => return Err(Problem::new(&at, "the name of an option is a string").into()),
            };
            let (event, value_at) = self.next()?;
            let mut value = self.node(event, value_at)?;
            // An error shows the option, not the value behind it.
            value.source = at.clone();
            if fields.contains_key(&name) {
                return Err(Problem::new(&at, format!("`{}` is given twice in one section", quote::name(&name))).into());
            }
            fields.insert(name, value);
        }
    }

    fn alias(&mut self, id: usize, at: &Source) -> Result<Node> {
        let Some((node, values)) = self.anchors.get(&id) else {
            return Err(Problem::new(at, "an alias within its own value").into());
        };
        // A few lines of aliases of aliases would need more memory than any machine has.
        self.values.0 = self.values.0.saturating_add(*values);
        if self.values.0 > MOST_VALUES {
            return Err(too_many_with_aliases(at).into());
        }
        Ok(node.clone())
    }
}

fn too_many_with_aliases(at: &Source) -> Problem {
    Problem::new(at, format!("with its aliases it has more than {MOST_VALUES} values"))
}

fn refuse_tag(tag: Option<&Tag>, allowed: &str, at: &Source) -> Result<()> {
    match tag.map(Tag::core_suffix) {
        None => Ok(()),
        Some(Some(known)) if known == allowed => Ok(()),
        Some(_) => Err(meaningless_tag(at).into()),
    }
}

/// Neither a tag nor a number that is refused is in its message: it may be a secret that is not in quotes.
fn meaningless_tag(at: &Source) -> Problem {
    Problem::new(at, "a YAML tag has no meaning here").help("leave the word with `!` out, or quote the value".to_owned())
}

fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>, at: &Source) -> Result<Tree> {
    match tag.map(Tag::core_suffix) {
        None if style == ScalarStyle::Plain => plain(text).map_err(|reason| Problem::new(at, reason).into()),
        None | Some(Some("str")) => Ok(Tree::Text(text.to_owned())),
        Some(Some(known @ ("int" | "float" | "bool" | "null"))) => {
            let value = plain(text).map_err(|reason| Problem::new(at, reason))?;
            match (known, &value) {
                ("int", Tree::Int(_) | Tree::UInt(_)) | ("float", Tree::Float(_)) | ("bool", Tree::Bool(_)) | ("null", Tree::Null) => {
                    Ok(value)
                }
                ("float", Tree::Int(whole)) => Ok(Tree::Float(*whole as f64)),
                ("float", Tree::UInt(whole)) => Ok(Tree::Float(*whole as f64)),
                _ => Err(Problem::new(at, format!("the YAML tag `!!{known}` does not suit the value")).into()),
            }
        }
        Some(_) => Err(meaningless_tag(at).into()),
    }
}

/// A scalar without quotes, by the core schema.
pub(crate) fn plain(text: &str) -> Result<Tree, String> {
    let tree = match text {
        "" | "~" | "null" | "Null" | "NULL" => Tree::Null,
        "true" | "True" | "TRUE" => Tree::Bool(true),
        "false" | "False" | "FALSE" => Tree::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Tree::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Tree::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Tree::Float(f64::NEG_INFINITY),
        _ => number(text)?.unwrap_or_else(|| Tree::Text(text.to_owned())),
    };
    Ok(tree)
}

/// `None` for a string.
fn number(text: &str) -> Result<Option<Tree>, String> {
    let large = || "the number is too large".to_owned();
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|digit| digit.is_digit(radix))
        {
            return u64::from_str_radix(digits, radix).map(|value| Some(Tree::UInt(value))).map_err(|_| large());
        }
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        let value = text.parse::<i64>().map(Tree::int).or_else(|_| text.parse::<u64>().map(Tree::UInt));
        return value.map(Some).map_err(|_| large());
    }
    if !is_float(unsigned) {
        return Ok(None);
    }
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Some(Tree::Float(value))),
        _ => Err(large()),
    }
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(unsigned: &str) -> bool {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let good = digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty());
    good && exponent.is_none_or(|exponent| {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !exponent.is_empty() && digits(exponent)
    })
}
