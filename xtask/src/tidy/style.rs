//! Rules of `STYLE.md` that need no judgement: words of the list that are always wrong here, and the width of comments
//! and Markdown.

use super::Finding;

/// The words, in lower case, and what to write instead.
const WORDS: [(&str, &str); 38] = [
    ("whoever", "the subject"),
    ("nobody", "the subject, or the passive"),
    ("somebody", "the subject"),
    ("anybody", "the subject"),
    ("whatever", "`any`, `each` or the noun"),
    ("so many", "the number"),
    ("this many", "the number"),
    ("goes on", "`continues`"),
    ("go on", "`continue`"),
    ("went on", "`continued`"),
    ("takes up", "`continues` or `resumes`"),
    ("of one's own", "`your own` or `custom`"),
    ("of yours", "`your` or `your own`"),
    ("under way", "`active` or `running`"),
    ("in good order", "`cleanly`"),
    ("anew", "`again` or `from scratch`"),
    ("begins again", "`starts from scratch`"),
    ("begin again", "`start from scratch`"),
    ("any more", "`no longer`"),
    ("unbroken", "`uninterrupted`"),
    ("no time at all", "`zero`"),
    ("is cut back", "`is truncated`"),
    ("is taken back", "`is rolled back`"),
    ("is gone", "`was deleted`, `is missing` or `has died`"),
    ("is away", "`is unreachable`"),
    ("is told", "`is reported`"),
    ("lies in", "`is in`"),
    ("of our own", "`our own` or `custom`"),
    ("of your own", "`your own` or `custom`"),
    ("all the same", "`anyway`"),
    ("as ever", "`as usual`"),
    ("is none of", "`is not`"),
    ("are none of", "`are not`"),
    ("is there twice", "`is given twice`"),
    ("knows of", "`has noticed` or `knows`"),
    ("meanwhile", "`in the meantime`"),
    ("stands before", "`precedes` or `the prefix`"),
    ("stands still", "`does not move`"),
];
/// Phrases that are refused in prose and in names of tests. Other names in code may contain them.
const PHRASES: [(&str, &str); 5] = [
    ("of its own", "`its own` or `separate`"),
    ("of their own", "`their own` or `separate`"),
    ("by hand", "`manually` or `hand-written`"),
    ("asks for", "`requests` or `requires`"),
    ("asked for", "`requested`"),
];
/// A name of a test is a statement.
const QUESTIONS: [&str; 3] = ["what ", "whose ", "which "];
/// `STYLE.md` shows the words. This file lists them.
const SHOW_THE_WORDS: [&str; 2] = ["STYLE.md", "xtask/src/tidy/style.rs"];
const WRITTEN_BY_US: [&str; 4] = ["rs", "md", "py", "toml"];
const NOT_OURS: &str = "data/";
/// It has one line for each entry.
const ONE_LINE_AN_ENTRY: &str = "CHANGELOG.md";

const COLUMNS: usize = 120;

pub(super) fn check(path: &str, text: &str) -> Vec<Finding> {
    let ending = path.rsplit('.').next().unwrap_or_default();
    if !WRITTEN_BY_US.contains(&ending) || SHOW_THE_WORDS.contains(&path) || path.starts_with(NOT_OURS) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let lower = line.to_lowercase();
        // Names of tests are sentences, too.
        let words = lower.replace('_', " ");
        let name = name_of_test(&words);
        let refused = WORDS.iter().filter(|(word, _)| has_word(&words, word));
        let refused = refused.chain(PHRASES.iter().filter(|(phrase, _)| has_word(name.unwrap_or(&lower), phrase)));
        for (word, instead) in refused {
            findings.push(Finding::at(path, number, format!("write {instead} instead of `{word}` (see STYLE.md)")));
        }
        if let Some(word) = name.and_then(|name| QUESTIONS.iter().find(|word| name.starts_with(**word))) {
            let message = format!("a name of a test does not start with `{}` (see STYLE.md)", word.trim_end());
            findings.push(Finding::at(path, number, message));
        }
    }
    let (prose, marker) = match ending {
        "rs" => ("comments", "//"),
        "md" if path != ONE_LINE_AN_ENTRY => ("Markdown", ""),
        _ => return findings,
    };
    findings.extend(wide_prose(text, marker).map(|number| Finding::at(path, number, format!("wrap {prose} at {COLUMNS} columns"))));
    findings
}

/// The name of a function without arguments and results, as tests are. Its words are separated by spaces.
fn name_of_test(line: &str) -> Option<&str> {
    line.trim().strip_prefix("fn ")?.strip_suffix("() {")
}

/// Whether the line contains the words, and not as a part of longer ones.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, found)| {
        let before = line[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        let after = line[at + found.len()..].chars().next().is_some_and(char::is_alphanumeric);
        !before && !after
    })
}

/// The numbers of the lines that are too wide, except headings, tables and code. Lines of prose start with the marker.
fn wide_prose(text: &str, marker: &str) -> impl Iterator<Item = usize> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter_map(move |(number, line)| {
        let prose = line.trim_start().strip_prefix(marker)?.trim_start_matches(['/', '!']).trim_start();
        if prose.starts_with("```") {
            in_code = !in_code;
        }
        let may_be_wide = in_code || prose.starts_with(['|', '#']) || is_one_piece(prose);
        (!may_be_wide && line.chars().count() > COLUMNS).then_some(number)
    })
}

/// Whether the line is a single word, code or link, which cannot be wrapped. It may be an item of a list.
fn is_one_piece(line: &str) -> bool {
    let (mut is_code, mut depth) = (false, 0_usize);
    line.trim_start_matches("* ").chars().all(|c| {
        match c {
            '`' => is_code = !is_code,
            '[' | '(' => depth += 1,
            ']' | ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c != ' ' || is_code || depth > 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        check(path, text).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn words_of_the_list_are_found() {
        assert_eq!(
            messages("docs/a.md", "a run ends\nNobody listens, and `a_run_goes_on`\n"),
            [
                "docs/a.md:2: write the subject, or the passive instead of `nobody` (see STYLE.md)",
                "docs/a.md:2: write `continues` instead of `goes on` (see STYLE.md)"
            ]
        );
        for line in ["cargo online", "the ergo on", "canew", "a so manyfold"] {
            assert!(messages("docs/a.md", line).is_empty(), "{line}");
        }
        for path in ["STYLE.md", "data/a.md", "a.json"] {
            assert!(messages(path, "nobody").is_empty(), "{path}");
        }
    }

    #[test]
    fn phrases_are_found_in_prose_and_in_names_of_tests() {
        let text = "// A thread of its own.\n    fn sums_are_checked_by_hand() {\nfn by_hand(x: u8) {\nlet x = of_its_own();\n";
        assert_eq!(
            messages("a.rs", text),
            [
                "a.rs:1: write `its own` or `separate` instead of `of its own` (see STYLE.md)",
                "a.rs:2: write `manually` or `hand-written` instead of `by hand` (see STYLE.md)"
            ]
        );
    }

    #[test]
    fn names_of_tests_that_are_questions_are_found() {
        let text = "    fn what_is_written_is_read() {\nfn whose_is_it() {\nfn what_is(x: u8) {\nfn a_file_says_what_it_is() {\n";
        assert_eq!(
            messages("a.rs", text),
            [
                "a.rs:1: a name of a test does not start with `what` (see STYLE.md)",
                "a.rs:2: a name of a test does not start with `whose` (see STYLE.md)"
            ]
        );
    }

    #[test]
    fn wide_lines_are_found() {
        let wide = "x ".repeat(60);
        let text = format!("/// {wide}\n/// | {wide}\n/// ```\n/// {wide}\n/// ```\nlet x = {wide};\n    // {wide}\n");
        assert_eq!(messages("a.rs", &text), ["a.rs:1: wrap comments at 120 columns", "a.rs:7: wrap comments at 120 columns"]);
        let text = format!("{wide}x\n| {wide}\n```\n{wide}x\n```\n# {wide}\n  * [{wide}](x): `{wide}`\n![{wide}](x)\n");
        assert_eq!(messages("a.md", &text), ["a.md:1: wrap Markdown at 120 columns", "a.md:7: wrap Markdown at 120 columns"]);
        assert!(messages("a.md", &format!("* [{wide}](x)\n`{wide}`.\n")).is_empty());
        assert!(messages("CHANGELOG.md", &text).is_empty());
    }
}
