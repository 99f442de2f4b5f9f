//! Texts.

/// A text. Backends render it as Markdown if they can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The Markdown source.
    pub markdown: String,
}

impl Text {
    /// Creates a text.
    pub fn new(markdown: impl Into<String>) -> Self {
        Self { markdown: markdown.into() }
    }
}
