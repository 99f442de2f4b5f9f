//! Builds the documentation of the crates, and the book.

use anyhow::{Result, bail};
use clap::Args;

use crate::step::Verdict;
use crate::system::{self, Workspace};

#[derive(Args)]
pub(crate) struct Options {
    /// Open the documentation in a browser when it is built.
    #[arg(long)]
    open: bool,
}

pub(crate) fn step(workspace: &Workspace) -> Result<Verdict> {
    build(workspace, &Options { open: false })?;
    Ok(Verdict::Passed)
}

/// The pages in `docs/` are plain Markdown and need no build, unless `book.toml` exists. `tidy` checks their links.
pub(crate) fn build(workspace: &Workspace, options: &Options) -> Result<()> {
    let mut cargo = workspace.cargo();
    cargo.arg("doc").args(system::ALL).args(["--no-deps", "--keep-going"]).env("RUSTDOCFLAGS", "-D warnings");
    if options.open {
        cargo.arg("--open");
    }
    system::run(&mut cargo)?;
    if workspace.root.join("docs/book.toml").is_file() {
        if !system::has_program("mdbook") {
            bail!("`docs/book.toml` needs mdbook: `cargo install mdbook`");
        }
        system::run(workspace.command("mdbook").arg("build").arg("docs").arg("--dest-dir").arg(workspace.target.join("book")))?;
    }
    Ok(())
}
