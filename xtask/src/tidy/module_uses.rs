//! Which modules of a crate use which, read from the paths in their code.
//!
//! This is not a compiler. It follows `use`, re-exports, globs, and paths that begin with `crate`, `self`, `super` or a
//! child module. It does not see the expansion of a macro of another module.

use std::collections::{BTreeMap, BTreeSet};

/// The names from the root of a crate to a module. Empty for the root.
pub(super) type Module = Vec<String>;

/// A file of a crate.
pub(super) struct Source<'a> {
    pub(super) path: &'a str,
    pub(super) module: Module,
    /// The code without comments, strings and tests. Line numbers are unchanged.
    pub(super) code: String,
}

/// A use of an item of another module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use<'a> {
    pub(super) path: &'a str,
    pub(super) line: usize,
    pub(super) from: Module,
    pub(super) to: Module,
    /// The used item. Empty for the module itself.
    pub(super) item: String,
}

pub(super) fn uses<'a>(sources: &[Source<'a>]) -> Vec<Use<'a>> {
    let house = House::new(sources);
    let mut uses = Vec::new();
    for (source, paths) in sources.iter().zip(&house.paths) {
        for path in paths {
            let (to, item) = house.resolve(&path.full, 0);
            if to != source.module {
                uses.push(Use { path: source.path, line: path.line, from: source.module.clone(), to, item });
            }
        }
    }
    uses
}

/// A path in the code, from the root of the crate.
struct Path {
    line: usize,
    full: Vec<String>,
    /// The name that a `use` gives the path.
    import: Option<String>,
}

struct House {
    modules: BTreeSet<Module>,
    /// The paths of each source.
    paths: Vec<Vec<Path>>,
    /// The path of each imported name, by module and name.
    imports: BTreeMap<(Module, String), Vec<String>>,
    /// The glob imports by module.
    globs: BTreeMap<Module, Vec<Vec<String>>>,
    /// The items that the modules define.
    items: BTreeSet<(Module, String)>,
}

impl House {
    fn new(sources: &[Source<'_>]) -> Self {
        let modules: BTreeSet<Module> =
            sources.iter().flat_map(|source| (0..=source.module.len()).map(|depth| source.module[..depth].to_vec())).collect();
        let paths: Vec<Vec<Path>> = sources.iter().map(|source| paths(source, &modules)).collect();
        let (mut imports, mut globs, mut items) = (BTreeMap::new(), BTreeMap::<_, Vec<_>>::new(), BTreeSet::new());
        for (source, paths) in sources.iter().zip(&paths) {
            for Path { full, import, .. } in paths {
                match import.as_deref() {
                    Some("*") => globs.entry(source.module.clone()).or_default().push(full[..full.len() - 1].to_vec()),
                    Some(name) => drop(imports.insert((source.module.clone(), name.to_owned()), full.clone())),
                    None => {}
                }
            }
            items.extend(defined(&source.code).into_iter().map(|name| (source.module.clone(), name)));
            for name in exported_macros(&source.code) {
                let home: Vec<_> = source.module.iter().cloned().chain([name.clone()]).collect();
                imports.insert((Module::new(), name), home);
            }
        }
        Self { modules, paths, imports, globs, items }
    }

    /// Returns the module where a path ends, and the name there.
    fn resolve(&self, full: &[String], depth: usize) -> (Module, String) {
        let end = (0..=full.len()).rev().find(|end| self.modules.contains(&full[..*end])).unwrap_or(0);
        let (module, rest) = full.split_at(end);
        let Some(name) = rest.first() else { return (module.to_vec(), String::new()) };
        let imported = self.imports.get(&(module.to_vec(), name.clone())).cloned();
        let target = imported.or_else(|| self.through_glob(module, name));
        match target.filter(|target| *target != full[..=end] && depth < 8) {
            Some(target) => self.resolve(&[&target[..], &rest[1..]].concat(), depth + 1),
            None => (module.to_vec(), name.clone()),
        }
    }

    fn through_glob(&self, module: &[String], name: &str) -> Option<Vec<String>> {
        let has = |target: &Vec<String>| {
            let key = (target.clone(), name.to_owned());
            self.items.contains(&key) || self.imports.contains_key(&key)
        };
        let found = self.globs.get(module)?.iter().find(|target| has(target))?;
        Some(found.iter().cloned().chain([name.to_owned()]).collect())
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Returns the names of the items that a module defines.
fn defined(code: &str) -> Vec<String> {
    const KINDS: [&str; 9] = ["struct", "enum", "trait", "fn", "const", "static", "type", "union", "macro_rules"];
    let words: Vec<&str> = code.split(|c: char| !is_name(c)).filter(|word| !word.is_empty()).collect();
    words.windows(2).filter(|pair| KINDS.contains(&pair[0])).map(|pair| pair[1].to_owned()).collect()
}

/// Macros that the compiler exports at the root of the crate, independent of their module.
fn exported_macros(code: &str) -> Vec<String> {
    let exports = code.split("#[macro_export]").skip(1);
    let name = |rest: &str| Some(rest.split_once("macro_rules!")?.1.trim_start().split(|c| !is_name(c)).next()?.to_owned());
    exports.filter_map(name).collect()
}

/// Returns the paths in a file that lead into the crate.
fn paths(source: &Source<'_>, modules: &BTreeSet<Module>) -> Vec<Path> {
    let code = source.code.as_str();
    let inline = inline_modules(code);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some((start, head)) = next_head(code, at) {
        at = start + head.len();
        let inside = inline.iter().filter(|(_, range)| range.contains(&start)).map(|(name, _)| name.clone());
        let here: Module = source.module.iter().cloned().chain(inside).collect();
        let is_child = || modules.contains(&here.iter().cloned().chain([head.to_owned()]).collect::<Vec<_>>());
        // The expansion of a macro belongs to the module that calls it.
        let is_expanded = code[..start].ends_with('$');
        if is_expanded || !["crate", "self", "super"].contains(&head) && !is_child() {
            continue;
        }
        let is_use = code[..start].trim_end().ends_with("use") || code[..start].trim_end().ends_with("use ::");
        let line = code[..start].matches('\n').count() + 1;
        let (tree, end) = tree(code, start);
        at = at.max(if is_use { end } else { at });
        for Leaf { segments, name } in tree {
            let full = from_root(&here, &segments);
            found.push(Path { line, full, import: is_use.then(|| name.to_owned()) });
        }
    }
    found
}

/// Finds the next name that begins a path of at least two names.
fn next_head(code: &str, from: usize) -> Option<(usize, &str)> {
    let mut at = from;
    loop {
        let start = at + code[at..].find(is_name)?;
        let length = code[start..].find(|c| !is_name(c)).unwrap_or(code.len() - start);
        let before = code[..start].trim_end();
        let continues = before.ends_with("::") && !before.trim_end_matches("::").ends_with(|c: char| c.is_whitespace() || c == '(');
        at = start + length;
        if code[at..].trim_start().starts_with("::") && !continues {
            return Some((start, &code[start..at]));
        }
    }
}

struct Leaf<'a> {
    segments: Vec<&'a str>,
    /// The last name, or its alias.
    name: &'a str,
}

/// Returns the paths of a tree such as `a::{b, c::d as e}`, and the position of its end.
fn tree(code: &str, from: usize) -> (Vec<Leaf<'_>>, usize) {
    let skip = |at: usize| at + (code[at..].len() - code[at..].trim_start().len());
    let mut segments = Vec::new();
    let mut at = skip(from);
    loop {
        if code[at..].starts_with('{') {
            let (leaves, end) = group(code, at + 1);
            let below = leaves.into_iter().map(|leaf| {
                // `a::{self}` means `a`.
                let own = if leaf.segments == ["self"] { Vec::new() } else { leaf.segments };
                let segments: Vec<&str> = segments.iter().copied().chain(own).collect();
                let name = if leaf.name == "self" { segments.last().copied().unwrap_or_default() } else { leaf.name };
                Leaf { segments, name }
            });
            return (below.collect(), end);
        }
        let length = if code[at..].starts_with('*') { 1 } else { code[at..].find(|c| !is_name(c)).unwrap_or(code.len() - at) };
        if length == 0 {
            break;
        }
        segments.push(&code[at..at + length]);
        at += length;
        let next = skip(at);
        if !code[next..].starts_with("::") || code[next + 2..].starts_with('<') {
            break;
        }
        at = skip(next + 2);
    }
    let Some(last) = segments.last().copied() else { return (Vec::new(), at) };
    let alias = code[at..].trim_start().strip_prefix("as ").map(|rest| rest.trim_start().split(|c| !is_name(c)).next().unwrap_or_default());
    (vec![Leaf { segments, name: alias.unwrap_or(last) }], at)
}

/// Returns the members of a group. Begins after the opening brace and ends after the closing one.
fn group(code: &str, from: usize) -> (Vec<Leaf<'_>>, usize) {
    let mut leaves = Vec::new();
    let mut at = from;
    while let Some(c) = code[at..].chars().next() {
        if c == '}' {
            return (leaves, at + 1);
        }
        if is_name(c) || c == '*' || c == '{' {
            let (found, end) = tree(code, at);
            leaves.extend(found);
            // `as name` can follow.
            at = end + code[end..].find([',', '}']).unwrap_or(code.len() - end);
        } else {
            at += c.len_utf8();
        }
    }
    (leaves, at)
}

fn from_root(here: &[String], segments: &[&str]) -> Vec<String> {
    let mut base = if segments.first() == Some(&"crate") { Vec::new() } else { here.to_vec() };
    for segment in segments {
        match *segment {
            "crate" | "self" => {}
            "super" => drop(base.pop()),
            name => base.push(name.to_owned()),
        }
    }
    base
}

/// Returns the inline modules of this file, with their positions.
fn inline_modules(code: &str) -> Vec<(String, std::ops::Range<usize>)> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("mod ") {
        let rest = &code[at + 4..];
        let name = rest.trim_start().split(|c| !is_name(c)).next().unwrap_or_default();
        let behind = rest.trim_start()[name.len()..].trim_start();
        let is_whole = !code[..at].ends_with(is_name);
        if is_whole && !name.is_empty() && behind.starts_with('{') {
            let open = code.len() - behind.len();
            found.push((name.to_owned(), open..open + super::source::item_length(behind)));
        }
    }
    found
}
