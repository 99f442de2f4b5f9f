//! The programs of the README and of the book are doctests, so that the tests compile each of them.

use super::Finding;

/// The file that includes the pages with programs.
const LIST: &str = "crates/stormfire/src/lib.rs";

pub(super) fn check(files: &[(&str, String)]) -> Vec<Finding> {
    let list = files.iter().find(|(path, _)| *path == LIST).map_or("", |(_, text)| text.as_str());
    let is_page = |path: &str| path == "README.md" || path.starts_with("docs/") && path.rsplit('.').next() == Some("md");
    let mut findings = Vec::new();
    for (path, page) in files.iter().filter(|(path, _)| is_page(path)) {
        let is_included = list.contains(&format!("include_str!(\"../../../{path}\")"));
        for Block { line, language, .. } in blocks(page) {
            let mut words = language.split(',').map(str::trim);
            let is_program = words.next() == Some("rust");
            if language.is_empty() {
                findings.push(Finding::at(path, line, "this block needs a language, such as `text`: it would be Rust".to_owned()));
            } else if is_program && words.any(|word| word == "ignore") {
                let cure = "nothing compiles this program: give it what it needs in lines that start with `# `";
                findings.push(Finding::at(path, line, cure.to_owned()));
            } else if is_program && !is_included {
                findings.push(Finding::at(path, line, format!("nothing compiles this program: add the page to `mod pages` of `{LIST}`")));
            }
        }
    }
    findings
}

/// A block of code in a page.
pub(super) struct Block<'a> {
    /// The number of its first line.
    line: usize,
    language: &'a str,
    pub(super) code: Vec<&'a str>,
}

/// The blocks of code of a page.
pub(super) fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut in_code = false;
    let mut found: Vec<Block<'_>> = Vec::new();
    for (number, line) in (1..).zip(page.lines()) {
        match line.trim_start().strip_prefix("```").map(str::trim) {
            Some(language) if !in_code => {
                found.push(Block { line: number, language, code: Vec::new() });
                in_code = true;
            }
            Some("") => in_code = false,
            _ if in_code => found.iter_mut().last().into_iter().for_each(|block| block.code.push(line)),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_nothing_compiles_are_found() {
        let page = "```rust,no_run\nfn main() {}\n```\n```text\n```rust\n```\n\n```rust,ignore\n.section()\n```\n```\nls\n```\n";
        let files = [
            (LIST, "#[doc = include_str!(\"../../../docs/a.md\")]\nstruct A;\n".to_owned()),
            ("docs/a.md", page.to_owned()),
            ("docs/b.md", "```toml\n```\n```rust\nfn main() {}\n```\n".to_owned()),
            ("crates/a/docs/c.md", "```\n1 + 1;\n```\n".to_owned()),
        ];
        let found: Vec<_> = check(&files).into_iter().map(|finding| (finding.path, finding.line.unwrap())).collect();
        let expected = [("docs/a.md", 8), ("docs/a.md", 11), ("docs/b.md", 3)];
        assert_eq!(found, expected.map(|(path, line)| (path.to_owned(), line)));
    }
}
