//! The table of the crates in `ARCHITECTURE.md`, from the lowest layer up.

pub(super) const PAGE: &str = "ARCHITECTURE.md";

/// A crate in the table.
pub(super) struct Row<'a> {
    /// Counted from 1.
    pub(super) line: usize,
    /// The name of its folder in `crates`.
    pub(super) krate: &'a str,
    /// The files to start with.
    pub(super) files: Vec<&'a str>,
}

pub(super) fn rows(page: &str) -> impl Iterator<Item = Row<'_>> {
    (1..).zip(page.lines()).filter_map(|(line, text)| {
        let (krate, _) = text.strip_prefix("| `crates/")?.split_once('`')?;
        let last = text.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        Some(Row { line, krate, files: last.split('`').skip(1).step_by(2).collect() })
    })
}
