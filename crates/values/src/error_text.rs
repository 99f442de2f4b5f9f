//! An error with its causes, and the message of a panic, as one text.

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

/// The message of a panic as one line, for an error. The panic itself has shown the lines of an assertion or of burn.
///
/// ```
/// use stormfire_values::error_text::one_line;
///
/// let of_burn = "=== Tensor Operation Error ===\n  Operation: 'Cat'\n  Reason:\n    1. There are no tensors. \n";
/// assert_eq!(one_line(of_burn), "Operation: 'Cat'; Reason: 1. There are no tensors.");
/// ```
pub fn one_line(message: &str) -> String {
    let mut text = String::new();
    let lines = message.lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty() && *line != "=== Tensor Operation Error ===") {
        if !text.is_empty() {
            text.push_str(if text.ends_with(':') { " " } else { "; " });
        }
        text.push_str(line);
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
    fn a_failed_assertion_is_one_line() {
        assert_eq!(
            one_line("assertion `left == right` failed: of 2\n  left: 1\n right: 2"),
            "assertion `left == right` failed: of 2; left: 1; right: 2"
        );
        assert_eq!((one_line("index out of bounds"), one_line("\n")), ("index out of bounds".to_owned(), String::new()));
    }

    #[test]
    fn each_cause_stands_in_the_text_once() {
        assert_eq!(with_causes(&chain(&["a"])), "a");
        assert_eq!(with_causes(&chain(&["no model", "no file", "no disk"])), "no model: no file: no disk");
        assert_eq!(with_causes(&chain(&["no model: no file", "no file", "no disk"])), "no model: no file: no disk");
    }
}
