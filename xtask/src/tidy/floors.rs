//! Checks the layers inside the crates. A module uses only modules on lines above its own in the list of
//! `ARCHITECTURE.md`.
//!
//! A list is a code block that starts with `floors` and the name of a crate or of a module with submodules. Each line
//! is a layer: the names of its modules, and after a dash their purpose. Folders without a list must be free of cycles.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::code_map::{self, PAGE};
use super::module_uses::{Module, Source, Use, uses};
use super::source;

/// One list: the layers of the modules in a folder.
#[derive(Debug, PartialEq, Eq)]
struct List {
    krate: String,
    /// The parent module. Empty for the crate.
    parent: Module,
    /// The line in the file, and the names.
    floors: Vec<(usize, Vec<String>)>,
}

pub(super) struct Report {
    pub(super) findings: Vec<Finding>,
    /// The layers of each crate, to be printed.
    pub(super) floors: Vec<String>,
}

pub(super) fn check(files: &[(&str, String)], test_modules: &[String]) -> Report {
    let mut report = Report { findings: Vec::new(), floors: Vec::new() };
    let architecture = files.iter().find(|(path, _)| *path == PAGE).map_or("", |(_, text)| text);
    let lists = lists(architecture);
    let crates: Vec<&str> = code_map::rows(architecture).map(|row| row.krate).chain(["xtask"]).collect();
    for krate in &crates {
        check_crate(krate, &sources(krate, files, test_modules), &lists, &mut report);
    }
    for list in lists.iter().filter(|list| !crates.contains(&list.krate.as_str())) {
        report.findings.push(Finding::on(PAGE, format!("there are floors of `{}`, which is not in the table of crates", list.krate)));
    }
    report
}

fn check_crate(krate: &str, sources: &[Source<'_>], lists: &[List], report: &mut Report) {
    let uses = uses(sources);
    let modules: BTreeSet<Module> = sources.iter().map(|source| source.module.clone()).collect();
    let mut unlisted: BTreeSet<Module> = modules.iter().filter(|module| !module.is_empty()).map(|module| parent(module).to_vec()).collect();
    for list in lists.iter().filter(|list| list.krate == krate) {
        unlisted.remove(&list.parent);
        report.findings.extend(completeness(list, &modules));
        report.findings.extend(upward(list, &uses));
        let floors: Vec<String> = list.floors.iter().map(|(_, names)| names.join(" ")).collect();
        report.floors.push(format!("{}: {}", named(krate, &list.parent), floors.join(" | ")));
    }
    if unlisted.remove(&Module::new()) {
        let message = format!("there is no list of the floors in `{krate}`: a block of code that begins with `floors {krate}`");
        report.findings.push(Finding::on(PAGE, message));
    }
    report.findings.extend(unlisted.iter().filter_map(|folder| circle(krate, folder, &uses)));
    report.findings.extend(uses.iter().filter(|used| used.to.is_empty() && !used.from.is_empty()).map(|used| {
        let message = format!("`{}` uses `{}` of the crate's root, which is above it", used.from.join("::"), used.item);
        Finding::at(used.path, used.line, message)
    }));
}

fn named(krate: &str, module: &[String]) -> String {
    std::iter::once(krate).chain(module.iter().map(String::as_str)).collect::<Vec<_>>().join("::")
}

fn parent(module: &[String]) -> &[String] {
    module.split_last().map_or(&[], |(_, parent)| parent)
}

fn lists(architecture: &str) -> Vec<List> {
    let mut lists = Vec::new();
    let mut open: Option<List> = None;
    for (number, line) in (1..).zip(architecture.lines()) {
        let fence = line.trim().strip_prefix("```");
        match (&mut open, fence) {
            (Some(_), Some(_)) => lists.extend(open.take()),
            (Some(list), None) => {
                let names = line.split(" — ").next().unwrap_or_default().split([',', ' ']).filter(|name| !name.is_empty());
                list.floors.push((number, names.map(str::to_owned).collect()));
            }
            (None, fence) => {
                open = fence.and_then(|fence| fence.strip_prefix("floors ")).map(|name| {
                    let mut names = name.trim().split("::").map(str::to_owned);
                    List { krate: names.next().unwrap_or_default(), parent: names.collect(), floors: Vec::new() }
                });
            }
        }
    }
    lists
}

fn sources<'a>(krate: &str, files: &'a [(&'a str, String)], test_modules: &[String]) -> Vec<Source<'a>> {
    let folder = if krate == "xtask" { "xtask/src/".to_owned() } else { format!("crates/{krate}/src/") };
    let source = |(path, text): &'a (&'a str, String)| {
        let name = path.strip_prefix(&folder)?.strip_suffix(".rs")?;
        let mut module: Module = name.split('/').map(str::to_owned).collect();
        if name == "lib" || name == "main" || name.ends_with("/mod") {
            module.pop();
        }
        let is_test = source::is_test_file(path, test_modules);
        (!is_test).then(|| Source { path, module, code: source::without_tests(&source::code_only(text)) })
    };
    files.iter().filter_map(source).collect()
}

/// Checks that every name in the list is a module, and that every module is in the list once.
fn completeness(list: &List, modules: &BTreeSet<Module>) -> Vec<Finding> {
    let here: BTreeSet<&str> = modules
        .iter()
        .filter(|module| module.len() == list.parent.len() + 1 && module.starts_with(&list.parent))
        .filter_map(|module| module.last().map(String::as_str))
        .collect();
    let place = named(&list.krate, &list.parent);
    let mut findings = Vec::new();
    let mut listed = BTreeSet::new();
    for (line, name) in list.floors.iter().flat_map(|(line, names)| names.iter().map(move |name| (*line, name.as_str()))) {
        if !here.contains(name) {
            findings.push(Finding::at(PAGE, line, format!("`{place}` has no module `{name}`")));
        }
        if !listed.insert(name) {
            findings.push(Finding::at(PAGE, line, format!("`{name}` is on two floors of `{place}`")));
        }
    }
    findings.extend(here.difference(&listed).map(|name| Finding::on(PAGE, format!("the module `{name}` is on no floor of `{place}`"))));
    findings
}

/// Returns the ancestor of a module, or the module itself, that is directly in a folder.
fn room<'a>(folder: &[String], module: &'a [String]) -> Option<&'a str> {
    if module.starts_with(folder) { module.get(folder.len()).map(String::as_str) } else { None }
}

fn upward(list: &List, uses: &[Use<'_>]) -> Vec<Finding> {
    let names = list.floors.iter().zip(0..).flat_map(|((_, names), floor)| names.iter().map(move |name| (name.as_str(), floor)));
    let floors: BTreeMap<&str, usize> = names.collect();
    let finding = |used: &Use<'_>| {
        let (from, to) = (room(&list.parent, &used.from)?, room(&list.parent, &used.to)?);
        let is_down = floors.get(to)? < floors.get(from)?;
        let item = if used.item.is_empty() { used.to.join("::") } else { format!("{}::{}", used.to.join("::"), used.item) };
        let message = format!("`{from}` uses `{item}`, and `{to}` is not on a floor below `{from}` in {PAGE}");
        (from != to && !is_down).then(|| Finding::at(used.path, used.line, message))
    };
    uses.iter().filter_map(finding).collect()
}

/// Finds a cycle of modules in a folder.
fn circle(krate: &str, folder: &[String], uses: &[Use<'_>]) -> Option<Finding> {
    let mut edges: BTreeMap<&str, BTreeMap<&str, &Use<'_>>> = BTreeMap::new();
    for used in uses {
        if let (Some(from), Some(to)) = (room(folder, &used.from), room(folder, &used.to))
            && from != to
        {
            edges.entry(from).or_default().entry(to).or_insert(used);
        }
    }
    // A module that uses no remaining module is not in a cycle.
    while let Some(done) = edges.iter().find(|(_, below)| !below.keys().any(|to| edges.contains_key(to))).map(|(from, _)| *from) {
        edges.remove(done);
    }
    let mut way = vec![*edges.keys().next()?];
    loop {
        let last = *way.last()?;
        let (next, edge) = edges.get(last)?.iter().find(|(to, _)| edges.contains_key(*to))?;
        if let Some(start) = way.iter().position(|name| name == next) {
            let names = way[start..].iter().chain([next]).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" → ");
            return Some(Finding::at(edge.path, edge.line, format!("a circle in `{}`: {names}", named(krate, folder))));
        }
        way.push(next);
    }
}

#[cfg(test)]
#[path = "floors_tests.rs"]
mod tests;
