//! An error and its causes as one text.

use std::error::Error;

/// The message of an error, followed by those of its causes ([`Error::source`]) that are not part of it.
///
/// ```
/// use stormfire_values::error_text::with_causes;
///
/// #[derive(Debug, thiserror::Error)]
/// #[error("the tokenizer cannot be read")]
/// struct Tokenizer(#[from] std::io::Error);
///
/// let error = Tokenizer(std::io::Error::other("the disk is unreachable"));
/// assert_eq!(with_causes(&error), "the tokenizer cannot be read: the disk is unreachable");
/// ```
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let told = cause.to_string();
        if !text.contains(&told) {
            text = format!("{text}: {told}");
        }
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Link {
        text: &'static str,
        source: Option<Box<Link>>,
    }

    fn chain(texts: &[&'static str]) -> Link {
        let (text, rest) = texts.split_first().unwrap();
        Link { text, source: (!rest.is_empty()).then(|| Box::new(chain(rest))) }
    }

    #[test]
    fn each_cause_stands_in_the_text_once() {
        assert_eq!(with_causes(&chain(&["a"])), "a");
        assert_eq!(with_causes(&chain(&["no model", "no file", "no disk"])), "no model: no file: no disk");
        assert_eq!(with_causes(&chain(&["no model: no file", "no file", "no disk"])), "no model: no file: no disk");
    }
}
