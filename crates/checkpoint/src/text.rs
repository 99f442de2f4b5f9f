//! Readable numbers and JSON.

use serde_json::Value;

/// A size with a suitable unit.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
        _ => format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30)),
    }
}

/// A count as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 tensor`, `2 tensors`.
pub(crate) fn plural(number: usize, what: &str) -> String {
    format!("{} {what}{}", count(number as u64), if number == 1 { "" } else { "s" })
}

/// A JSON value on one line of at most `width` characters, without quotes and braces.
pub(crate) fn brief(value: &Value, width: usize) -> String {
    shortened(&one_line(value), width)
}

fn one_line(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let values: Vec<_> = values.iter().map(nested).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name} {}", nested(value))).collect();
            fields.join(", ")
        }
        _ => value.to_string(),
    }
}

fn nested(value: &Value) -> String {
    if value.is_object() { format!("({})", one_line(value)) } else { one_line(value) }
}

fn shortened(text: &str, width: usize) -> String {
    // A control character in the string of a file must not control the terminal.
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match text.char_indices().nth(width) {
        Some(_) => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        None => text,
    }
}

/// At most 20 names, in backticks. Without names, `none`.
pub(crate) fn list<S: AsRef<str>>(names: impl IntoIterator<Item = S>) -> String {
    const SHOWN: usize = 20;
    let names: Vec<String> = names.into_iter().map(|name| format!("`{}`", name.as_ref())).collect();
    if names.is_empty() { "none".into() } else { shorten(&names, SHOWN) }
}

/// Joins the first `shown` items, and adds the number of the others.
pub(crate) fn shorten(items: &[String], shown: usize) -> String {
    match items.len().saturating_sub(shown) {
        0 => items.join(", "),
        more => format!("{} and {more} more", items[..shown].join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_and_counts() {
        for (bytes, text) in [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (3 << 30, "3.00 GiB")] {
            assert_eq!(size(bytes), text);
        }
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!((plural(1, "tensor"), plural(2, "tensor")), ("1 tensor".to_owned(), "2 tensors".to_owned()));
    }

    #[test]
    fn json_on_one_line() {
        assert_eq!(brief(&json!({"lr": 0.1, "betas": [0.9, 0.99], "schedule": {"step": 3}, "name": null}), 100), {
            "lr 0.1, betas [0.9, 0.99], schedule (step 3), name none"
        });
        assert_eq!(brief(&json!("a\u{1b}[31m long text"), 6), "a [31…");
        assert_eq!(brief(&json!("äöü"), 3), "äöü");
    }
}
