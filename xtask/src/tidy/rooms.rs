//! Rules for file names: no two files of a crate share a name, and the files that `ARCHITECTURE.md` names exist.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Finding,
    code_map::{self, PAGE},
    source,
};

/// Names that several files of a crate share: the crate, the name, and the reason.
const ROLES: [(&str, &str, &str); 13] = [
    ("loggers", "artifact", "the value, and its form in W&B"),
    ("loggers", "carrier", "each tracker has one"),
    ("loggers", "cut_back", "each logger of files truncates its own"),
    ("loggers", "entry", "each tracker has its own spooled values"),
    ("loggers", "graph", "the value, and its form in TensorBoard"),
    ("loggers", "histogram", "the value, and its form in Comet"),
    ("loggers", "logger", "the trait, and its implementation for W&B"),
    ("loggers", "media", "each logger has its own forms of media"),
    ("loggers", "offline", "each tracker has its own files of an offline run"),
    ("loggers", "queue", "the queue of the background writer, and Neptune's"),
    ("loggers", "setup", "each tracker has its own settings"),
    ("loggers", "sink", "each tracker has its own destinations"),
    ("loggers", "table", "the value, and the file of the CSV logger"),
];

pub(super) fn check(files: &[(&str, String)], test_modules: &[String]) -> Vec<Finding> {
    let paths: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
    let map = files.iter().find(|(path, _)| *path == PAGE).map_or("", |(_, text)| text);
    let mut findings = shared_names(&paths, test_modules);
    findings.extend(missing_files(map, &paths));
    findings.extend(crates_in_map(map, &paths));
    findings
}

fn shared_names(paths: &[&str], test_modules: &[String]) -> Vec<Finding> {
    let mut rooms: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let mut findings = Vec::new();
    for path in paths.iter().filter(|path| !source::is_test_file(path, test_modules)) {
        let Some((krate, file)) = path.strip_prefix("crates/").and_then(|rest| rest.split_once("/src/")) else { continue };
        let Some(name) = file.rsplit('/').next().and_then(|name| name.strip_suffix(".rs")) else { continue };
        if ["lib", "main", "mod"].contains(&name) || ROLES.iter().any(|(of, role, _)| (*of, *role) == (krate, name)) {
            continue;
        }
        if let Some(other) = rooms.insert((krate, name), path) {
            findings.push(Finding::on(path, format!("has the name of `{other}`: two files of one crate need two names")));
        }
    }
    findings
}

/// Checks that every `name.rs` in backticks is the end of the path of a file.
fn missing_files(map: &str, paths: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(map.lines()) {
        let named = line.split('`').skip(1).step_by(2).filter(|name| name.rsplit_once('.').is_some_and(|(_, ext)| ext == "rs"));
        for name in named.filter(|name| !paths.iter().any(|path| *path == *name || path.ends_with(&format!("/{name}")))) {
            findings.push(Finding::at(PAGE, number, format!("there is no file `{name}`")));
        }
    }
    findings
}

/// Checks that the table has a row for each crate, and that the listed files are in that crate.
fn crates_in_map(map: &str, paths: &[&str]) -> Vec<Finding> {
    let mut missing: BTreeSet<&str> =
        paths.iter().filter_map(|path| path.strip_prefix("crates/")?.split_once("/src/")).map(|(krate, _)| krate).collect();
    let mut findings = Vec::new();
    for row in code_map::rows(map) {
        missing.remove(row.krate);
        for name in row.files {
            if !paths.contains(&format!("crates/{}/src/{name}", row.krate).as_str()) {
                findings.push(Finding::at(PAGE, row.line, format!("`crates/{}` has no `src/{name}`", row.krate)));
            }
        }
    }
    findings.extend(missing.into_iter().map(|krate| Finding::on(PAGE, format!("the code map has no row for `crates/{krate}`"))));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn two_files_of_one_crate_need_two_names() {
        let paths =
            ["crates/x/src/a/run.rs", "crates/x/src/b/run.rs", "crates/y/src/run.rs", "crates/x/src/lib.rs", "crates/x/src/a/lib.rs"];
        let expected = "crates/x/src/b/run.rs: has the name of `crates/x/src/a/run.rs`: two files of one crate need two names";
        assert_eq!(told(&shared_names(&paths, &[])), [expected]);
        assert!(shared_names(&paths, &["crates/x/src/b/run".to_owned()]).is_empty(), "a test");
        assert!(shared_names(&["crates/loggers/src/a/entry.rs", "crates/loggers/src/b/entry.rs"], &[]).is_empty(), "a role");
        assert_eq!(shared_names(&["crates/x/src/a/entry.rs", "crates/x/src/b/entry.rs"], &[]).len(), 1, "a role of another crate");
    }

    #[test]
    fn a_file_that_the_text_names_exists() {
        let paths = ["crates/x/src/a/run.rs"];
        assert!(missing_files("see `run.rs`, `a/run.rs`, `x`\n", &paths).is_empty());
        assert_eq!(told(&missing_files("\n`un.rs`", &paths)), ["ARCHITECTURE.md:2: there is no file `un.rs`"]);
    }

    #[test]
    fn the_code_map_has_all_crates_and_files_of_theirs() {
        let paths = ["crates/x/src/a.rs", "crates/y/src/b.rs"];
        assert!(crates_in_map("| `crates/x` | x | `a.rs` |\n| `crates/y` | y | one file each |\n", &paths).is_empty());
        assert_eq!(
            told(&crates_in_map("| `crates/x` | x | `b.rs` |\n", &paths)),
            ["ARCHITECTURE.md:1: `crates/x` has no `src/b.rs`", "ARCHITECTURE.md: the code map has no row for `crates/y`"]
        );
    }
}
