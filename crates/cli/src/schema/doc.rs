//! Documentation comments as plain text.

use serde_json::Value;

/// The documentation of a schema, without links.
pub(super) fn of(schema: &Value) -> Option<String> {
    schema["description"].as_str().map(plain).filter(|text| !text.is_empty())
}

/// Replaces each link in the documentation of a schema by its text: editors show it, and do not know the names of Rust.
pub(crate) fn remove_links(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(text) if key == "description" => *text = without_links(text),
                    // These contain values of the user, and no documentation.
                    _ if ["default", "const", "enum", "examples"].contains(&key.as_str()) => {}
                    _ => remove_links(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(remove_links),
        _ => {}
    }
}

/// Joins the lines of each paragraph, and replaces each link by its text.
fn plain(doc: &str) -> String {
    let mut paragraphs = Vec::new();
    for paragraph in doc.split("\n\n") {
        let joined = paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" ");
        paragraphs.push(without_links(joined.trim()));
    }
    paragraphs.join("\n").trim().to_owned()
}

/// `[text](target)` and `` [`text`] `` become `text`.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        plain.push_str(before);
        let Some((inner, behind)) = after.split_once(']') else {
            plain.push('[');
            rest = after;
            continue;
        };
        if let Some((_, behind)) = behind.strip_prefix('(').and_then(|behind| behind.split_once(')')) {
            plain.push_str(inner);
            // A target such as `crate::random()`.
            rest = behind.strip_prefix(')').unwrap_or(behind);
        } else if inner.starts_with('`') && inner.ends_with('`') && inner.len() > 1 {
            plain.push_str(inner);
            rest = behind;
        } else {
            plain.push('[');
            rest = after;
        }
    }
    plain + rest
}

/// The first paragraph, without the sentence on the default: a page of help shows the default separately.
pub(crate) fn first_sentences(doc: &str) -> String {
    let first = doc.lines().next().unwrap_or_default();
    first.find("Default: ").map_or(first, |at| &first[..at]).trim().to_owned()
}
