//! A configuration as YAML, which a later run can read with `--config`, and its schema.

mod scalar;

use std::fmt::Write as _;

pub(crate) use scalar::inline;

use crate::{
    node::{Node, Tree},
    schema::{Schema, first_sentences, join, remove_links},
    secret,
};

/// Columns of a comment.
const WIDTH: usize = 100;

/// The configuration as YAML. `docs`: with the documentation of each option as a comment. A secret is left out.
///
/// ```
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// use stormfire_cli::{Layers, print_config};
///
/// #[derive(Default, Serialize, Deserialize, JsonSchema)]
/// struct Config {
///     /// Units of the hidden layer.
///     hidden: usize,
/// }
///
/// let layers = Layers::of(&Config { hidden: 64 })?;
/// assert_eq!(print_config(&layers.checked()?, layers.schema(), true), "# Units of the hidden layer.\nhidden: 64\n");
/// # Ok::<(), stormfire_cli::Error>(())
/// ```
pub fn print_config(node: &Node, schema: &Schema, docs: bool) -> String {
    let mut out = String::new();
    section(&mut out, &secret::without_nested(node, schema), "", schema, docs, 0);
    if out.is_empty() { "{}\n".into() } else { out }
}

/// The schema for an editor, without secrets and without links to names of Rust.
pub(crate) fn print_schema(schema: &Schema) -> String {
    let mut open = secret::without_defaults(schema.json());
    remove_links(&mut open);
    format!("{open:#}\n")
}

fn section(out: &mut String, node: &Node, path: &str, schema: &Schema, docs: bool, depth: usize) {
    let indent = "  ".repeat(depth);
    for (name, value) in node.fields().into_iter().flatten() {
        let path = join(path, name);
        let leaf = schema.leaf(&path);
        let is_secret = leaf.is_some_and(|leaf| leaf.is_secret);
        if docs && let Some(leaf) = leaf {
            comment(out, &first_sentences(&leaf.doc), &indent);
        }
        if is_secret {
            // Its value comes from the environment or a flag in each run.
            let _ = writeln!(out, "{indent}# {name}: a secret, which is not shown");
            continue;
        }
        out.push_str(&indent);
        out.push_str(&scalar::text(name));
        out.push(':');
        match &value.value {
            Tree::Map(fields) if fields.is_empty() => out.push_str(" {}\n"),
            // All of its options may be secrets.
            Tree::Map(_) => {
                let before = out.len();
                out.push('\n');
                section(out, value, &path, schema, docs, depth + 1);
                let is_empty = out[before..].lines().all(|line| line.trim_start().starts_with('#') || line.is_empty());
                if is_empty {
                    out.insert_str(before, " {}");
                }
            }
            Tree::List(items) if items.iter().any(|item| matches!(item.value, Tree::Map(_) | Tree::List(_))) => {
                out.push('\n');
                for item in items {
                    let _ = writeln!(out, "{indent}- {}", inline(item));
                }
            }
            _ => {
                let _ = writeln!(out, " {}", inline(value));
            }
        }
    }
}

fn comment(out: &mut String, doc: &str, indent: &str) {
    for line in wrap(doc, WIDTH.saturating_sub(indent.len() + 2)) {
        let _ = writeln!(out, "{indent}# {line}");
    }
}

/// Breaks a text into lines at spaces.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    fill(text.split_whitespace(), width)
}

/// Puts words into lines. A longer word has its own line.
pub(crate) fn fill<'a>(words: impl IntoIterator<Item = &'a str>, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in words {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
