//! Values that no hyperparameter shows.

use std::fmt;

use serde_json::Value;

/// The text in place of a secret.
pub const HIDDEN: &str = "[secret]";

/// Secret values of a run's options, such as keys and passwords. [`hidden`](Self::hidden) replaces them.
#[derive(Clone, Default)]
pub struct Secrets(Vec<(String, String)>);

impl Secrets {
    /// Secrets as the names of their options and the strings of their values.
    pub fn new(values: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut all: Vec<_> = values.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        // A secret may be a part of another one.
        all.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
        Self(all)
    }

    /// A text without the secrets in it.
    pub fn hidden_in(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (_, secret)| text.replace(secret.as_str(), HIDDEN))
    }

    /// Hyperparameters without the secrets: in strings anywhere, and as numbers in fields with the name of their
    /// option.
    pub fn hidden(&self, params: Value) -> Value {
        if self.0.is_empty() { params } else { self.hide(params, "") }
    }

    fn hide(&self, value: Value, name: &str) -> Value {
        match value {
            Value::String(text) => self.hidden_in(&text).into(),
            Value::Number(number) if self.has(name, &number) => HIDDEN.into(),
            Value::Array(items) => items.into_iter().map(|item| self.hide(item, name)).collect(),
            Value::Object(fields) => fields
                .into_iter()
                .map(|(name, value)| {
                    let value = self.hide(value, &name);
                    (name, value)
                })
                .collect(),
            other => other,
        }
    }

    fn has(&self, name: &str, number: &serde_json::Number) -> bool {
        let is_same = |text: &str| text == number.to_string() || text.parse().ok() == number.as_f64();
        self.0.iter().any(|(secret, text)| secret == name && is_same(text))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_hidden_wherever_they_are() {
        let secrets = [("key", "abc"), ("key", "abcdef"), ("pin", "7"), ("share", "0.5"), ("none", "")];
        let secrets = Secrets::new(secrets.map(|(name, text)| (name.to_owned(), text.to_owned())));
        let params = json!({ "key": "abcdef", "url": "http://abc@host", "list": [{ "pin": 7 }, 7], "share": 0.5, "lr": 0.5, "none": "" });
        let expected = json!({
            "key": HIDDEN, "url": "http://[secret]@host", "list": [{ "pin": HIDDEN }, 7], "share": HIDDEN, "lr": 0.5, "none": "",
        });
        assert_eq!(secrets.hidden(params), expected);
        assert_eq!(format!("{secrets:?}"), "Secrets(4)");
    }
}
