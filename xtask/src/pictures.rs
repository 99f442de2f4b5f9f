//! The pictures of the documentation. A command makes them.

use anyhow::Result;
use clap::Args;

use crate::examples;
use crate::system::{self, Workspace};
use crate::terminal::{END, Terminal};

#[derive(Args)]
pub(crate) struct Options {
    /// Draw only the pictures of this example, or of `training`, `watch`.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// A picture in `docs`, and its terminal.
type Shot = (&'static str, Terminal);

/// A training of three epochs, and one that was interrupted in the second epoch and resumes there.
const TRAINING: [Shot; 2] = [
    ("training.svg", Terminal { columns: 120, lines: 60, until: END }),
    ("training-80.svg", Terminal { columns: 80, lines: 60, until: r"Epoch 2/2 .* [3-5]\d/71" }),
];
/// A bar after the first batches of the resumed part.
const AT_ITS_START: &str = r"Epoch 1/2 .* [3-4]\d/71";
const RESUMED: [Shot; 2] = [
    ("resumed.svg", Terminal { columns: 120, lines: 60, until: AT_ITS_START }),
    ("resumed-80.svg", Terminal { columns: 80, lines: 60, until: AT_ITS_START }),
];

/// Writes the pictures into `docs`.
pub(crate) fn make(workspace: &Workspace, options: &Options) -> Result<()> {
    let is_wanted = |name: &str| options.only.as_ref().is_none_or(|only| only == name);
    if is_wanted("watch") {
        watch(workspace)?;
    }
    if is_wanted("training") {
        training(workspace)?;
    }
    examples::pictures(workspace, &is_wanted)
}

fn watch(workspace: &Workspace) -> Result<()> {
    let folder = workspace.target.join("pictures/watch");
    system::fresh_folder(&folder)?;
    let built = system::build(workspace, &["--example", "pictures"])?.join("examples");
    system::run(workspace.command(system::program(&built, "pictures")).arg(&folder))?;
    fs_err::copy(folder.join("watch.svg"), workspace.root.join("docs/watch.svg"))?;
    Ok(())
}

fn training(workspace: &Workspace) -> Result<()> {
    let program = examples::optimized_mnist(workspace)?;
    let program = program.to_string_lossy();
    let run = ["--epochs=3", "trainer.seed=1"];
    for (resumes, (name, terminal)) in TRAINING.iter().map(|shot| (false, shot)).chain(RESUMED.iter().map(|shot| (true, shot))) {
        // In a separate folder, so that the run is `version_0` and the paths are short.
        let folder = workspace.target.join("pictures").join(name);
        system::fresh_folder(&folder)?;
        let to = workspace.root.join("docs").join(name);
        if resumes {
            let part = [&*program, run[0], run[1], "trainer.max_steps=100"];
            terminal.draw(workspace, &folder, &part, &folder.join("before.svg"))?;
        }
        let from: &[&str] = if resumes { &["--ckpt-path=last"] } else { &[] };
        terminal.draw(workspace, &folder, &[&[&*program], &run[..], from].concat(), &to)?;
    }
    Ok(())
}
