//! The pictures of the documentation. A command makes them.

use anyhow::Result;

use crate::examples;
use crate::system::{self, Workspace};
use crate::venv::Environment;

/// The columns of a terminal, the picture of it, and the line at which it is drawn. The first one is drawn at the end.
const TERMINALS: [(&str, &str, &str); 2] = [("120", "training.svg", "never"), ("80", "training-80.svg", r"Epoch 2/2 .* [3-5]\d/71")];

/// Writes the pictures into `docs`.
pub(crate) fn make(workspace: &Workspace) -> Result<()> {
    let docs = workspace.root.join("docs");
    let folder = workspace.target.join("pictures");
    system::fresh_folder(&folder)?;
    let built = system::build(workspace, &["--example", "pictures", "--example", "mnist"])?.join("examples");
    system::run(workspace.command(system::program(&built, "pictures")).arg(&folder))?;
    fs_err::copy(folder.join("watch.svg"), docs.join("watch.svg"))?;
    let python = Environment { name: "pictures", python: "python3", above_system: false }.interpreter(workspace)?;
    let mnist = system::program(&built, "mnist");
    for (columns, name, moment) in TERMINALS {
        // In a folder of its own, so that the run is `version_0` and the paths are short.
        let run = folder.join(columns);
        system::fresh_folder(&run)?;
        let mut script = workspace.command(&python);
        script.current_dir(&run).arg(workspace.root.join("xtask/python/terminal_picture.py"));
        script.arg(docs.join(name)).args([columns, moment]).arg(&mnist);
        script.arg(format!("--data={}", workspace.root.join(examples::MNIST_DATA).display()));
        system::run(script.args(["--epochs=3", "trainer.seed=1"]))?;
    }
    Ok(())
}
