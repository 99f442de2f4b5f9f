//! The errors of rows of tables.

use stormfire_values::nearest::did_you_mean;

/// Maximum number of names in a list.
const MOST_NAMES: usize = 20;
/// Maximum length of a name or value in a message, in characters.
const LONGEST: usize = 60;

/// What is wrong with a row of a table.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct RowError {
    pub(crate) part: Part,
    text: String,
    /// How to fix it, if that is known.
    pub(crate) hint: Option<String>,
}

/// The part of a file that is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its columns.
    Header,
    /// A row.
    Row,
    /// The value of a row in the column with this name.
    Field(String),
}

impl RowError {
    pub(crate) fn new(part: Part, text: impl Into<String>) -> Self {
        Self { part, text: text.into(), hint: None }
    }

    /// `column`: its name, if it is known.
    pub(crate) fn of_field(column: Option<&str>, text: impl Into<String>) -> Self {
        Self::new(column.map_or(Part::Row, |column| Part::Field(shown(column))), text)
    }

    pub(crate) fn with_hint(self, hint: Option<String>) -> Self {
        Self { hint, ..self }
    }

    /// The error for serde's message about a field without a column. `None` for other messages.
    pub(crate) fn of_missing_column(message: &str, columns: &[&str]) -> Option<Self> {
        let name = message.strip_prefix("missing field `")?.strip_suffix('`')?;
        if columns.contains(&name) {
            return None;
        }
        let text = format!("it has no column `{name}`, only {}", listed(columns));
        Some(Self::new(Part::Header, text).with_hint(did_you_mean(name, columns.iter().copied())))
    }
}

/// The first names of a list in backticks, and the number of the others.
pub(crate) fn listed(names: &[&str]) -> String {
    let first: Vec<_> = names.iter().take(MOST_NAMES).map(|name| format!("`{}`", shown(name))).collect();
    match names.len().saturating_sub(MOST_NAMES) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// A name or a value for a message: on one line, and not too long.
pub(crate) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}
