//! JSON. `serde_json` checks it, and a second pass notes the positions.

use indexmap::IndexMap;
use serde::de::IgnoredAny;

use super::{Count, DEEPEST, Lines, yaml};
use crate::{
    error::{Problem, Result},
    node::{Node, Tree},
    quote,
    source::Source,
};

/// Reads a file. Each value has its position.
pub(crate) fn read(text: &str, source: &Source) -> Result<Node> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        // The column is 0 in an empty file, and after a line break.
        let at = source.at(error.line().max(1), error.column().max(1));
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        return Err(Problem::new(&at, format!("not valid JSON: {message}")).into());
    }
    Reader { text, source, lines: Lines::of(text), next: 0, values: Count::default() }.node(0)
}

struct Reader<'a> {
    /// Valid JSON.
    text: &'a str,
    source: &'a Source,
    lines: Lines<'a>,
    next: usize,
    values: Count,
}

impl Reader<'_> {
    fn byte(&mut self) -> u8 {
        let rest = self.text.as_bytes().get(self.next..).unwrap_or_default();
        self.next += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.next).copied().unwrap_or_default()
    }

    fn here(&self) -> Source {
        self.lines.at(self.source, self.next)
    }

    /// The text of a string, number or word.
    fn token(&mut self) -> &str {
        let start = self.next;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let length = if self.byte() == b'"' {
            let mut escaped = false;
            let inner = rest.iter().skip(1).take_while(|byte| {
                let is_end = !escaped && **byte == b'"';
                escaped = !escaped && **byte == b'\\';
                !is_end
            });
            inner.count() + 2
        } else {
            rest.iter().take_while(|byte| !b",:]}".contains(byte) && !byte.is_ascii_whitespace()).count()
        };
        self.next = start + length;
        self.text.get(start..self.next).unwrap_or_default()
    }

    fn string(&mut self, at: &Source) -> Result<String> {
        // A lone surrogate is the only string that the first pass has let through.
        serde_json::from_str(self.token()).map_err(|error| Problem::new(at, format!("not valid JSON: {error}")).into())
    }

    fn node(&mut self, depth: usize) -> Result<Node> {
        let first = self.byte();
        let at = self.here();
        self.values.add(&at)?;
        if depth > DEEPEST {
            return Err(Problem::new(&at, format!("it is nested more than {DEEPEST} deep")).into());
        }
        let tree = match first {
            b'{' => Tree::Map(self.fields(depth)?),
            b'[' => {
                let mut items = Vec::new();
                self.next += 1;
                while self.byte() != b']' {
                    items.push(self.node(depth + 1)?);
                    self.next += usize::from(self.byte() == b',');
                }
                self.next += 1;
                Tree::List(items)
            }
            b'"' => Tree::Text(self.string(&at)?),
            // Numbers and words of JSON mean the same in YAML.
            _ => yaml::plain(self.token()).map_err(|reason| Problem::new(&at, reason))?,
        };
        Ok(Node::new(tree, &at))
    }

    fn fields(&mut self, depth: usize) -> Result<IndexMap<String, Node>> {
        let mut fields = IndexMap::new();
        self.next += 1;
        while self.byte() != b'}' {
            let at = self.here();
            let name = self.string(&at)?;
            self.byte();
            self.next += 1;
            let node = self.node(depth + 1)?;
            if fields.contains_key(&name) {
                return Err(Problem::new(&at, format!("`{}` is given twice in one section", quote::name(&name))).into());
            }
            fields.insert(name, Node { source: at, ..node });
            self.next += usize::from(self.byte() == b',');
        }
        self.next += 1;
        Ok(fields)
    }
}
