//! Pictures of a program in a terminal.

use std::path::Path;

use anyhow::Result;

use crate::system::{self, Workspace};
use crate::venv::Environment;

/// The size of a terminal, and the moment at which it is drawn.
pub(crate) struct Terminal {
    pub(crate) columns: u32,
    /// The last lines that are shown.
    pub(crate) lines: u32,
    /// A regular expression for a line of the screen. [`END`] matches none.
    pub(crate) until: &'static str,
}

/// The terminal is drawn when the program has ended.
pub(crate) const END: &str = "(?!)";

impl Terminal {
    /// Runs a program in a folder with links to `data` and `examples`, and draws its screen.
    pub(crate) fn draw(&self, workspace: &Workspace, folder: &Path, program: &[&str], to: &Path) -> Result<()> {
        let python = Environment { name: "pictures", python: "python3", above_system: false }.interpreter(workspace)?;
        let mut script = workspace.command(&python);
        script.current_dir(folder).arg(workspace.root.join("xtask/python/terminal_picture.py")).arg(to);
        script.args([self.columns.to_string(), self.lines.to_string(), self.until.to_owned()]);
        system::run(script.args(program))?;
        println!("{}", to.display());
        Ok(())
    }
}
