//! Rules for every text file: the project does not depend on private paths, and its links are valid.

use super::Finding;

/// Folders that exist only on one developer's machine. The text is split in two, because this file would break the rule
/// otherwise.
const FOREIGN_FOLDERS: [&str; 3] = [concat!("/", "work"), concat!("/", "tmp"), concat!("/", "root")];
const FOREIGN_SIBLING: &str = concat!("..", "/shared");

pub(super) fn check(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_markdown = path.rsplit('.').next() == Some("md");
    let mut in_code = false;
    for (number, line) in (1..).zip(text.lines()) {
        for needle in foreign(line) {
            findings.push(Finding::at(path, number, format!("`{needle}` is outside of the project, which must work without it")));
        }
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if is_markdown && !in_code {
            let broken = links(line).into_iter().filter(|link| !exists(link));
            findings.extend(broken.map(|link| Finding::at(path, number, format!("the target of the link `{link}` does not exist"))));
        }
    }
    findings
}

fn foreign(line: &str) -> Vec<&'static str> {
    let starts_a_path = |at: usize| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "_.-~})]*$/".contains(c))
    };
    let ends_a_name = |at: usize| !line[at..].chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '-');
    let folders = FOREIGN_FOLDERS
        .into_iter()
        .filter(|folder| line.match_indices(folder).any(|(at, found)| starts_a_path(at) && ends_a_name(at + found.len())));
    let sibling = std::iter::once(FOREIGN_SIBLING).filter(|sibling| line.contains(sibling));
    folders.chain(sibling).collect()
}

/// Returns the relative targets of `[text](target)`, without anchors.
fn links(line: &str) -> Vec<&str> {
    let targets = line.match_indices("](").filter_map(|(at, open)| {
        let rest = &line[at + open.len()..];
        let target = rest[..rest.find(')')?].split_whitespace().next()?;
        let file = target.split('#').next()?;
        (!file.is_empty() && !target.contains("://") && !target.starts_with("mailto:")).then_some(file)
    });
    targets.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_private_paths_are_foreign() {
        for folder in FOREIGN_FOLDERS {
            for line in
                [folder.to_owned(), format!("see `{folder}/x`"), format!("({folder}/x"), format!("a={folder}"), format!("\"{folder}\"")]
            {
                assert_eq!(foreign(&line), [folder], "{line}");
            }
            for line in
                [format!("target{folder}/tb"), format!("{folder}er/x"), format!("$HOME{folder}/x"), format!("https://a.org{folder}/x")]
            {
                assert!(foreign(&line).is_empty(), "{line}");
            }
        }
        assert_eq!(foreign(&format!("cp {FOREIGN_SIBLING}/data .")), [FOREIGN_SIBLING]);
    }

    #[test]
    fn broken_links_are_found_only_outside_of_code() {
        let text = "[a](here.md#part) [b](gone.md) [c](https://x.org/y)\n```\n[d](gone.md)\n```\n[e](#top) [f](also-gone.md \"title\")\n";
        let found = check("README.md", text, &|target| target == "here.md");
        let lines: Vec<_> = found.iter().map(|finding| (finding.line, finding.message.as_str())).collect();
        assert_eq!(
            lines,
            [
                (Some(1), "the target of the link `gone.md` does not exist"),
                (Some(5), "the target of the link `also-gone.md` does not exist")
            ]
        );
        assert!(check("lib.rs", text, &|_| false).is_empty());
    }
}
