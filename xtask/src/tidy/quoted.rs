//! The page of messages quotes the sources.

use super::Finding;

/// Each row of its tables starts with a message in backticks. `…` stands for a name or a number.
const PAGE: &str = "docs/troubleshooting.md";

/// The header of the column with the messages.
const COLUMN: &str = "message";

pub(super) fn check(files: &[(&str, String)]) -> Vec<Finding> {
    let Some((_, page)) = files.iter().find(|(path, _)| *path == PAGE) else { return Vec::new() };
    let is_source = |path: &str| path.starts_with("crates/") && path.rsplit('.').next() == Some("rs");
    let sources: Vec<String> = files.iter().filter(|(path, _)| is_source(path)).map(|(_, text)| as_printed(text)).collect();
    let gone = messages(page).into_iter().filter(|(_, message)| !sources.iter().any(|source| source.contains(message)));
    gone.map(|(line, message)| Finding::at(PAGE, line, format!("no code has the message `{message}`"))).collect()
}

/// The messages of the tables, with the numbers of their lines.
fn messages(page: &str) -> Vec<(usize, &str)> {
    let mut is_table = false;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        let Some(row) = line.strip_prefix("| ") else {
            is_table &= line.starts_with('|');
            continue;
        };
        if row.starts_with(COLUMN) {
            is_table = true;
        } else if is_table {
            found.extend(code(row).map(|message| (number, message)));
        }
    }
    found
}

/// The first code of a row. Two backticks enclose a text with backticks.
fn code(row: &str) -> Option<&str> {
    let text = row.trim_start_matches('`');
    let fence = &row[..row.len() - text.len()];
    let (text, _) = text.split_once(fence).filter(|_| !fence.is_empty())?;
    // The spaces in ``` `` `a` `` ``` do not count.
    Some(if fence.len() > 1 { text.trim() } else { text })
}

/// The text of a source file as its messages are printed: one line, without escapes, with `…` for each argument.
fn as_printed(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' => match rest.next() {
                // The line continues, without its indentation.
                Some('\n') => while rest.next_if(|next| next.is_whitespace()).is_some() {},
                Some(escaped) => text.push(escaped),
                None => {}
            },
            '{' => {
                let mut argument = String::new();
                while let Some(next) = rest.next_if(|next| !"{}\n\"".contains(*next)) {
                    argument.push(next);
                }
                if rest.next_if_eq(&'}').is_some() {
                    text.push('…');
                } else {
                    text.push('{');
                    text.push_str(&argument);
                }
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        #[error("metric `{name}` is not available; available are: {}", list(.available))]
        Err(format!("the option \"{0:?}\" of \
            `{option}` is {{}}"))
    "#;

    #[test]
    fn messages_that_the_sources_lack_are_found() {
        let page = "| message | cause |\n|---|---|\n| `` metric `…` is not available; available are: … `` | a |\n\
            | `the option \"…\" of` | b |\n| `the options` | c |\n\n| other | x |\n|---|---|\n| `no message` | d |\n";
        let files = [(PAGE, page.to_owned()), ("crates/a/src/error.rs", SOURCE.to_owned())];
        let found: Vec<String> = check(&files).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["docs/troubleshooting.md:5: no code has the message `the options`"]);
    }

    #[test]
    fn a_continued_line_is_one_text() {
        assert!(as_printed(SOURCE).contains("the option \"…\" of `…` is"), "{}", as_printed(SOURCE));
    }
}
