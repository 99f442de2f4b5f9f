//! Text.

/// A text; backends that can, render it as Markdown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// The text.
    pub markdown: String,
}

impl Text {
    /// A text.
    pub fn new(markdown: impl Into<String>) -> Self {
        Self { markdown: markdown.into() }
    }
}
