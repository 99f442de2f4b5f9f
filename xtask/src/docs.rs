//! Builds the documentation of the crates, and the book.

use anyhow::{Result, bail};
use clap::Args;

use crate::book;
use crate::step::Verdict;
use crate::system::{self, Workspace};
use crate::venv;

#[derive(Args)]
pub(crate) struct Options {
    /// Open the documentation of the crates in a browser when it is built.
    #[arg(long)]
    open: bool,
    /// Build only the book, in `target/book`.
    #[arg(long, conflicts_with = "open")]
    book: bool,
}

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    build(workspace, &Options { open: false, book: false })
}

/// Compiles the page about burn-train with burn-train, which is not a dependency of the workspace.
pub(crate) fn burn_train(workspace: &Workspace) -> Result<Verdict> {
    let mut cargo = workspace.cargo();
    cargo.args(["test", "--doc", "--features", "rival", "--manifest-path"]).arg(workspace.root.join("xtask/bench/Cargo.toml"));
    system::run(cargo.arg("--target-dir").arg(workspace.target.join("bench")))?;
    Ok(Verdict::Passed)
}

pub(crate) fn build(workspace: &Workspace, options: &Options) -> Result<Verdict> {
    if !options.book {
        let mut cargo = workspace.cargo();
        cargo.arg("doc").args(system::ALL).args(["--no-deps", "--keep-going"]).env("RUSTDOCFLAGS", "-D warnings");
        if options.open {
            cargo.arg("--open");
        }
        system::run(&mut cargo)?;
    }
    if let Some(Verdict::Skipped(reason)) = venv::skip_without_python() {
        if options.book {
            bail!("the book cannot be built: {reason}");
        }
        return Ok(Verdict::PassedExcept(format!("the book was not built: {reason}")));
    }
    book::build(workspace)?;
    Ok(Verdict::Passed)
}
