//! Checks by external programs: cargo-deny for the dependencies, typos for the spelling.

use std::path::PathBuf;

use anyhow::Result;

use crate::step::Verdict;
use crate::system::{self, Workspace};
use crate::venv::Environment;

/// Both programs come prebuilt from the Python package index. `cargo install` would build each of them for minutes.
fn program(workspace: &Workspace, name: &str) -> Result<Option<PathBuf>> {
    if !system::has_program("python3") {
        return Ok(None);
    }
    let python = Environment { name: "linters", python: "python3", above_system: false }.interpreter(workspace)?;
    Ok(python.parent().map(|folder| system::program(folder, name)))
}

fn without_python() -> Verdict {
    Verdict::Skipped("`python3` is missing (Debian: `apt-get install python3-venv`)".to_owned())
}

/// `_typos.toml` lists the words that typos does not know.
pub(crate) fn typos(workspace: &Workspace) -> Result<Verdict> {
    let Some(typos) = program(workspace, "typos")? else { return Ok(without_python()) };
    system::run(&mut workspace.command(typos))?;
    Ok(Verdict::Passed)
}

/// `deny.toml` contains the rules.
pub(crate) fn deny(workspace: &Workspace) -> Result<Verdict> {
    let Some(deny) = program(workspace, "cargo-deny")? else { return Ok(without_python()) };
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
