//! Rules for our Rust sources: small files, no panic in a library, no read of the device in the loop, and no error that
//! says something twice.

use super::Finding;

const LINES: usize = 450;
/// Readers compare the functions of the loop with their pseudocode.
const LOOP_LINES: usize = 300;
/// An example is read at once, and copied as a whole.
const EXAMPLE_LINES: usize = 149;
const EXAMPLES: &str = "examples/";
const LOOP_FILES: [&str; 3] = ["fit.rs", "evaluate.rs", "predict.rs"];

const TEST_MARK: &str = "#[cfg(test)]";

const PANICS: [&str; 6] = ["todo!", "unimplemented!", "dbg!", "panic!", ".unwrap()", ".expect("];

/// `one_hot` reads the device to check its indices.
const READS: [&str; 6] = ["into_scalar", "into_data", "to_data", "try_into_data", "one_hot", "one_hot_fill"];
const READ_FREE: [&str; 6] = [
    "crates/values/src/",
    "crates/metrics/src/",
    "crates/optim/src/",
    "crates/module/src/",
    "crates/trainer/src/",
    "crates/callbacks/src/",
];
/// Each of these waits for the device on purpose.
const MAY_READ: [&str; 1] = ["crates/values/src/read.rs"];

/// `test_modules` are the results of [`test_modules`] for all files.
pub(super) fn check(path: &str, text: &str, test_modules: &[String]) -> Vec<Finding> {
    let is_rust = path.rsplit('.').next() == Some("rs");
    if is_rust && path.strip_prefix(EXAMPLES).is_some_and(|name| !name.contains('/')) {
        return over(path, text, EXAMPLE_LINES).into_iter().collect();
    }
    if !path.starts_with("crates/") || !is_rust {
        return Vec::new();
    }
    let mut findings = Vec::from_iter(budget(path, text));
    findings.extend(doubled(path, text));
    if path.contains("/src/") && !is_test_file(path, test_modules) {
        let code = without_tests(&code_only(text));
        findings.extend(find(path, &code, &PANICS, "ends the caller's process; return an error"));
        if READ_FREE.iter().any(|folder| path.starts_with(folder)) && !MAY_READ.contains(&path) {
            findings.extend(find(path, &code, &READS, "waits for the device; reads go through crates/values/src/read.rs"));
        }
    }
    findings
}

fn budget(path: &str, text: &str) -> Option<Finding> {
    let name = path.rsplit('/').next().unwrap_or(path);
    over(path, text, if LOOP_FILES.contains(&name) { LOOP_LINES } else { LINES })
}

fn over(path: &str, text: &str, allowed: usize) -> Option<Finding> {
    let lines = text.lines().count();
    (lines > allowed).then(|| Finding::on(path, format!("{lines} lines, {allowed} are allowed: split the file")))
}

pub(super) fn is_test_file(path: &str, test_modules: &[String]) -> bool {
    let below = |module: &String| path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'));
    test_modules.iter().any(below)
}

/// The modules that this file declares with `#[cfg(test)]` and that have their own file. Paths without `.rs`.
pub(super) fn test_modules(path: &str, text: &str) -> Vec<String> {
    let Some((folder, file)) = path.rsplit_once('/') else {
        return Vec::new();
    };
    let Some(stem) = file.strip_suffix(".rs") else {
        return Vec::new();
    };
    let children = if ["lib", "main", "mod"].contains(&stem) { folder.to_owned() } else { format!("{folder}/{stem}") };
    let code = code_only(text);
    let module = |(at, mark): (usize, &str)| {
        let start = at + mark.len();
        let end = start + item_length(&code[start..]);
        let name = code[start..end].strip_suffix(';')?.rsplit_once("mod ")?.1.trim();
        // Strings are blank in `code`, but have the same position in `text`.
        let moved = text[start..end].split_once("path = \"").and_then(|(_, rest)| rest.split_once(".rs\""));
        Some(moved.map_or_else(|| format!("{children}/{name}"), |(moved, _)| format!("{folder}/{moved}")))
    };
    code.match_indices(TEST_MARK).filter_map(module).collect()
}

fn find(path: &str, code: &str, needles: &[&str], why: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        for needle in needles.iter().filter(|needle| has_word(line, needle)) {
            findings.push(Finding::at(path, number, format!("`{needle}` {why}")));
        }
    }
    findings
}

/// An error whose text contains that of its source: who prints the chain prints it twice.
fn doubled(path: &str, text: &str) -> Vec<Finding> {
    let pairs = (1..).zip(text.lines().zip(text.lines().skip(1)));
    let is_doubled = |(_, (error, field)): &(usize, (&str, &str))| {
        let is_source = ["#[from]", "#[source]"].iter().any(|mark| field.contains(mark));
        error.trim_start().starts_with("#[error(\"") && error.contains("{0") && is_source
    };
    let why = "the text repeats that of the source: make it transparent, or convert without `#[from]`";
    pairs.filter(is_doubled).map(|(number, _)| Finding::at(path, number, why.to_owned())).collect()
}

/// Whether the line contains the needle outside of a longer name.
fn has_word(line: &str, needle: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(needle).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_name);
        let after = line[at + needle.len()..].chars().next().is_some_and(is_name);
        !(needle.starts_with(is_name) && before || needle.ends_with(is_name) && after)
    })
}

/// The text with comments, strings and characters blanked out. The positions of the code do not change.
pub(super) fn code_only(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let blank = blank_length(rest, out.chars().next_back());
        if blank == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        } else {
            out.extend(rest[..blank].bytes().map(|byte| if byte == b'\n' { '\n' } else { ' ' }));
            rest = &rest[blank..];
        }
    }
    out
}

/// The length of the comment or literal at the start of `rest` in bytes. 0 for code.
fn blank_length(rest: &str, before: Option<char>) -> usize {
    let in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    if rest.starts_with('"') {
        return quoted(rest);
    }
    if rest.starts_with('r') && !in_name {
        return raw_string(rest);
    }
    if rest.starts_with('\'') {
        return character(rest);
    }
    0
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        let step = if rest[at..].starts_with("/*") {
            depth += 1;
            2
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            2
        } else {
            rest[at..].chars().next().map_or(1, char::len_utf8)
        };
        at += step;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> usize {
    let hashes = rest[1..].chars().take_while(|c| *c == '#').count();
    let open = 1 + hashes;
    if !rest[open..].starts_with('"') {
        return 0;
    }
    let close = format!("\"{}", "#".repeat(hashes));
    rest[open + 1..].find(&close).map_or(rest.len(), |at| open + 1 + at + close.len())
}

/// `'a'` and `'\n'` are literals, `'a` is a lifetime.
fn character(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => rest.char_indices().skip(3).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1),
        None => 0,
    }
}

/// Blanks out the items with `#[cfg(test)]`. Takes the output of [`code_only`], in which every brace is code.
pub(super) fn without_tests(code: &str) -> String {
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(at) = rest.find(TEST_MARK) {
        let end = at + TEST_MARK.len() + item_length(&rest[at + TEST_MARK.len()..]);
        out.push_str(&rest[..at]);
        out.extend(rest[at..end].chars().filter(|c| *c == '\n'));
        rest = &rest[end..];
    }
    out + rest
}

/// The length of the next item, up to the end of its block or to its semicolon.
pub(super) fn item_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + 1;
                }
            }
            ';' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
