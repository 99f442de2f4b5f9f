//! Values in one line of YAML.

use std::fmt::Write as _;

use crate::{
    node::{Node, Tree},
    read::yaml,
};

/// A value in one line: lists and sections in brackets.
pub(crate) fn inline(node: &Node) -> String {
    match &node.value {
        Tree::List(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Tree::Map(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{}: {}", text(name), inline(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        value => scalar(value),
    }
}

/// A value that is neither a list nor a section.
pub(crate) fn scalar(value: &Tree) -> String {
    match value {
        Tree::Bool(value) => value.to_string(),
        Tree::Int(value) => value.to_string(),
        Tree::UInt(value) => value.to_string(),
        Tree::Float(value) if value.is_nan() => ".nan".into(),
        Tree::Float(value) if value.is_infinite() => if *value > 0.0 { ".inf" } else { "-.inf" }.into(),
        Tree::Float(value) => float(*value),
        Tree::Text(value) => text(value),
        Tree::Null | Tree::List(_) | Tree::Map(_) => "null".into(),
    }
}

/// Rust writes a point or an exponent, and reads the same bits back. YAML 1.1 has no number with an exponent alone.
fn float(value: f64) -> String {
    let text = format!("{value:?}");
    match text.split_once('e') {
        Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0e{}", signed(exponent)),
        Some((digits, exponent)) => format!("{digits}e{}", signed(exponent)),
        None => text,
    }
}

/// YAML 1.1 has no exponent without a sign either.
fn signed(exponent: &str) -> String {
    if exponent.starts_with('-') { exponent.to_owned() } else { format!("+{exponent}") }
}

/// A string, in quotes unless every YAML reader reads it as the same string without.
pub(crate) fn text(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Words that YAML 1.1 reads as booleans.
const OLD_BOOLEANS: [&str; 6] = ["yes", "no", "on", "off", "y", "n"];

fn is_plain(text: &str) -> bool {
    // Old readers see numbers in `1:30`, `1_000` and dates.
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || "_/".contains(c)) || text.starts_with("./");
    starts_well
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./+ ".contains(c))
        && !text.ends_with(' ')
        && !OLD_BOOLEANS.contains(&text.to_lowercase().as_str())
        && yaml::plain(text).is_ok_and(|value| value == Tree::Text(text.to_owned()))
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            // Not printable, or a line break for YAML.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
