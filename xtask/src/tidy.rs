//! Project rules that no linter checks, in one pass over the files that git tracks or would track.

mod code_map;
mod commits;
mod floors;
mod manifest;
mod module_uses;
mod programs;
mod quoted;
mod rooms;
mod shared_builds;
mod source;
mod style;
mod text;
mod tours;

use std::fmt;

use anyhow::{Result, bail};

use crate::step::Verdict;
use crate::system::{self, Workspace};

/// One violation of a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1. `None` means the whole file.
    line: Option<usize>,
    message: String,
}

impl Finding {
    fn at(path: &str, line: usize, message: String) -> Self {
        Self { path: path.to_owned(), line: Some(line), message }
    }

    fn on(path: &str, message: String) -> Self {
        Self { path: path.to_owned(), line: None, message }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path, self.message),
            None => write!(f, "{}: {}", self.path, self.message),
        }
    }
}

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    let mut findings = commits::check(workspace)?;
    let listed = system::output(workspace.command("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    let paths = listed.split('\0').filter(|path| !path.is_empty());
    // The list also contains deleted files whose deletion is not committed. A file that is not UTF-8 is data.
    let files: Vec<(&str, String)> =
        paths.filter_map(|path| fs_err::read_to_string(workspace.root.join(path)).ok().map(|text| (path, text))).collect();
    let test_modules: Vec<String> = files.iter().flat_map(|(path, text)| source::test_modules(path, text)).collect();
    let map = files.iter().find(|(path, _)| *path == code_map::PAGE).map_or("", |(_, text)| text);
    findings.extend(manifest::check(workspace, &code_map::rows(map).map(|row| row.krate).collect::<Vec<_>>())?);
    for (path, text) in &files {
        let folder = workspace.root.join(path).with_file_name("");
        let leads_to = |file: &str, heading: Option<&str>| {
            let page = if file.is_empty() { Some(text.clone()) } else { fs_err::read_to_string(folder.join(file)).ok() };
            (file.is_empty() || folder.join(file).exists())
                && heading.is_none_or(|heading| page.is_some_and(|page| text::has_heading(&page, heading)))
        };
        findings.extend(text::check(path, text, &leads_to));
        findings.extend(source::check(path, text, &test_modules));
        findings.extend(style::check(path, text));
    }
    findings.extend(shared_builds::check(workspace)?);
    findings.extend(rooms::check(&files, &test_modules));
    findings.extend(quoted::check(&files));
    findings.extend(programs::check(&files));
    findings.extend(tours::check(&files));
    let report = floors::check(&files, &test_modules);
    findings.extend(report.findings);
    for floors in report.floors {
        println!("{floors}");
    }
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("{} files are tidy", files.len()),
        1 => bail!("1 rule broken: {}", findings[0]),
        count => bail!("{count} rules broken, see above"),
    }
    Ok(Verdict::Passed)
}
