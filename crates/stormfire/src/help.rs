//! Pages of help as wide as the terminal. clap wraps them only with a crate that changes the features of crates below
//! burn, which would be compiled again.

use clap::{Parser, error::ErrorKind};
use console::Term;

/// Columns of a page that is not on a terminal.
pub(crate) const WIDTH: usize = 80;

/// The most columns: longer lines are hard to read.
const WIDEST: usize = 120;

/// The least columns of a description.
const ROOM: usize = 20;

/// A page of help, in place of arguments.
pub(crate) struct Page {
    pub(crate) text: String,
    /// Whether an argument is missing, so that the page is an error.
    pub(crate) is_error: bool,
}

/// The arguments of the process. A mistake ends it.
///
/// # Errors
/// The page of help that is to be printed.
pub(crate) fn parse<A: Parser>() -> Result<A, Page> {
    A::try_parse().map_err(|error| {
        if !matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand) {
            error.exit()
        }
        let page = error.render();
        let text = if console::colors_enabled() { page.ansi().to_string() } else { page.to_string() };
        let columns = Term::stdout().size_checked().map_or(WIDTH, |(_, columns)| usize::from(columns).min(WIDEST));
        Page { text: wrapped(&text, columns), is_error: error.use_stderr() }
    })
}

/// Breaks the lines of a page at spaces.
pub(crate) fn wrapped(page: &str, columns: usize) -> String {
    let mut text = String::new();
    for line in page.lines() {
        // Further lines of a description start below its first one, which follows two spaces, or the name in a list.
        let start = line.rfind("  ").map_or(0, |at| at + 2);
        let name = line[start..].strip_prefix("- ").and_then(|item| item.find(": ")).map_or(0, |at| "- : ".len() + at);
        let (head, description) = line.split_at(start + name);
        let indent = width(head);
        text.push_str(head);
        let mut used = indent;
        for (index, word) in description.split(' ').enumerate() {
            if index > 0 && used + 1 + width(word) > columns.max(indent + ROOM) {
                text.push('\n');
                text.push_str(&" ".repeat(indent));
                used = indent;
            } else if index > 0 {
                text.push(' ');
                used += 1;
            }
            text.push_str(word);
            used += width(word);
        }
        text.push('\n');
    }
    text
}

/// The number of columns of a text, which may have colors.
fn width(text: &str) -> usize {
    let mut in_color = false;
    let is_shown = |c: &char| {
        let is_part = in_color || *c == '\u{1b}';
        in_color = is_part && *c != 'm';
        !is_part
    };
    text.chars().filter(is_shown).count()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn a_description_stays_in_its_column() {
        let page = "A page of help\n\n  watch  Show runs in the terminal\n      --size <SIZE>\n          The size of a screen, in columns\n          \n          - x: All of the columns and lines\n";
        assert_eq!(wrapped(page, 80), page);
        assert_snapshot!(wrapped(page, 34).replace("          \n", "\n"), @r"
        A page of help

          watch  Show runs in the terminal
              --size <SIZE>
                  The size of a screen, in
                  columns

                  - x: All of the columns
                       and lines
        ");
    }

    #[test]
    fn colors_have_no_columns() {
        let page = "\u{1b}[1m\u{1b}[4mUsage:\u{1b}[0m \u{1b}[1mwatch\u{1b}[0m [OPTIONS]\n";
        assert_eq!(wrapped(page, 22), page);
        assert_eq!(wrapped(page, 21), page.replace(" \u{1b}[1mwatch\u{1b}[0m ", " \u{1b}[1mwatch\u{1b}[0m\n"));
        assert_eq!((width("\u{1b}[1mwatch\u{1b}[0m"), width("a b")), (5, 3));
    }
}
