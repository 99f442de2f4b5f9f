//! Rules for every text file: the project does not depend on private paths, and its links are valid.

use super::Finding;

/// Folders that exist only on one developer's machine. The text is split in two, because this file would break the rule
/// otherwise.
const FOREIGN_FOLDERS: [&str; 3] = [concat!("/", "work"), concat!("/", "tmp"), concat!("/", "root")];
const FOREIGN_SIBLING: &str = concat!("..", "/shared");

/// `leads_to` says whether the target of a link exists: a file relative to this one, and a heading in it. An empty file
/// is this one.
pub(super) fn check(path: &str, text: &str, leads_to: &dyn Fn(&str, Option<&str>) -> bool) -> Vec<Finding> {
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
            let broken = links(line).into_iter().filter(|link| {
                let (file, heading) = link.split_once('#').map_or((*link, None), |(file, heading)| (file, Some(heading)));
                !leads_to(file, heading)
            });
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

/// Returns the relative targets of `[text](target)`.
fn links(line: &str) -> Vec<&str> {
    let targets = line.match_indices("](").filter_map(|(at, open)| {
        let rest = &line[at + open.len()..];
        let target = rest[..rest.find(')')?].split_whitespace().next()?;
        (!target.contains("://") && !target.starts_with("mailto:")).then_some(target)
    });
    targets.collect()
}

/// Whether a page has a heading with this anchor, as GitHub and mdBook name it.
pub(super) fn has_heading(page: &str, anchor: &str) -> bool {
    let mut in_code = false;
    let mut seen: Vec<String> = Vec::new();
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        let heading = line.trim_start_matches('#');
        if in_code || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let name = anchor_of(heading);
        // A repeated heading gets a number.
        let number = seen.iter().filter(|before| **before == name).count();
        if anchor == name && number == 0 || anchor == format!("{name}-{number}") {
            return true;
        }
        seen.push(name);
    }
    false
}

fn anchor_of(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>().to_lowercase()
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
        let text = "[a](here.md#part) [b](gone.md) [c](https://x.org/y)\n```\n[d](gone.md)\n```\n[e](#top) [f](here.md#other \"title\")\n";
        let found = check("README.md", text, &|file, heading| file == "here.md" && heading == Some("part") || heading == Some("top"));
        let lines: Vec<_> = found.iter().map(|finding| (finding.line, finding.message.as_str())).collect();
        assert_eq!(
            lines,
            [
                (Some(1), "the target of the link `gone.md` does not exist"),
                (Some(5), "the target of the link `here.md#other` does not exist")
            ]
        );
        assert!(check("lib.rs", text, &|_, _| false).is_empty());
    }

    #[test]
    fn headings_have_the_anchors_of_github() {
        let page = "# A `Loader`, and more\n```\n# code\n```\n## Costs\n#[attribute]\n### Costs\n";
        for anchor in ["a-loader-and-more", "costs", "costs-1"] {
            assert!(has_heading(page, anchor), "{anchor}");
        }
        for anchor in ["a-loader", "code", "costs-2", "attribute", ""] {
            assert!(!has_heading(page, anchor), "{anchor}");
        }
    }
}
