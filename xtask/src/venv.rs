//! Virtual environments of Python with pinned packages.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::step::Verdict;
use crate::system::{self, Workspace};

/// The verdict of a step that needs Python, on a machine without it.
pub(crate) fn skip_without_python() -> Option<Verdict> {
    let skip = || Verdict::Skipped("`python3` is missing (Debian: `apt-get install python3-venv`)".to_owned());
    (!system::has_program("python3")).then(skip)
}

/// An environment in the target folder.
pub(crate) struct Environment<'a> {
    /// The name of the pins in `xtask/requirements-NAME.txt`. With the line `# pip: --no-deps`, pip installs only the
    /// pinned packages, without their dependencies.
    pub(crate) name: &'a str,
    /// The base interpreter.
    pub(crate) python: &'a str,
    /// Whether the environment sees the packages of the base interpreter. In this case, too, pip installs only the
    /// pinned packages.
    pub(crate) above_system: bool,
}

impl Environment<'_> {
    /// Creates the environment unless it exists with these pins. Returns its interpreter.
    pub(crate) fn interpreter(&self, workspace: &Workspace) -> Result<PathBuf> {
        let pins = workspace.root.join(format!("xtask/requirements-{}.txt", self.name));
        let wanted = fs_err::read_to_string(&pins)?;
        let folder = workspace.target.join(format!("venv-{}", self.name));
        let interpreter = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python3" });
        // Written last. If it is missing, the installation was interrupted.
        let installed = folder.join("installed.txt");
        if fs_err::read_to_string(&installed).is_ok_and(|text| text == wanted) {
            return Ok(interpreter);
        }
        system::fresh_folder(&folder)?;
        let visible = self.above_system.then_some("--system-site-packages");
        let needed = (self.above_system || wanted.lines().any(|line| line == "# pip: --no-deps")).then_some("--no-deps");
        system::run(workspace.command(self.python).args(["-m", "venv"]).args(visible).arg(&folder))
            .context("could not create a virtual environment (Debian: `apt-get install python3-venv`)")?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
        system::run(workspace.command(&interpreter).args(pip).args(needed).arg("--requirement").arg(&pins))?;
        fs_err::write(&installed, wanted)?;
        Ok(interpreter)
    }
}
