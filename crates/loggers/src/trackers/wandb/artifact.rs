//! Files that W&B stores as versioned artifacts.

use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use stormfire_store::names;

use crate::parts::random::random_id;
use crate::{Artifact, Result};

/// The length of client ids in W&B's own clients.
const CLIENT_ID: usize = 128;

/// An artifact with the checksums of its files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Bundle {
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) metadata: Map<String, Value>,
    /// The digest of all files together.
    pub(super) digest: String,
    pub(super) client_id: String,
    pub(super) sequence_client_id: String,
    pub(super) files: Vec<Part>,
    /// Our checkpoints are replaced as a whole and never modified, so a hard link keeps their content.
    pub(super) is_model: bool,
}

/// A file of an artifact.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Part {
    /// Its path in the artifact, parts joined by `/`.
    pub(super) path: String,
    /// Base64.
    pub(super) md5: String,
    pub(super) size: u64,
    pub(super) local: PathBuf,
}

impl Bundle {
    /// Reads all files once.
    pub(super) fn of(artifact: &Artifact) -> Result<Self> {
        let part = |(local, name): (PathBuf, String)| Part::read(joined(artifact.folder(), &name), &local);
        let files: Vec<Part> = artifact.files()?.into_iter().map(part).collect::<Result<_>>()?;
        let mut bundle = Self::new(artifact.kind_name(), artifact.name(), files);
        bundle.metadata.clone_from(artifact.known());
        for alias in artifact.aliases() {
            if !bundle.aliases.contains(alias) {
                bundle.aliases.push(alias.clone());
            }
        }
        Ok(bundle)
    }

    /// A checkpoint, with the names of Lightning's logger: `model.ckpt` in the versions of one artifact per run.
    pub(super) fn model(artifact: &Artifact, run: &str) -> Result<Self> {
        let mut model = Self::of(&artifact.clone().named(format!("model-{run}")).in_folder(""))?;
        if let [file] = model.files.as_mut_slice()
            && artifact.path().is_file()
        {
            "model.ckpt".clone_into(&mut file.path);
            model.digest = digest(&model.files);
        }
        model.is_model = true;
        Ok(model)
    }

    pub(super) fn new(kind: &str, name: &str, mut files: Vec<Part>) -> Self {
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Self {
            kind: plain(kind),
            name: plain(name),
            aliases: vec!["latest".to_owned()],
            metadata: Map::new(),
            digest: digest(&files),
            client_id: random_id(CLIENT_ID),
            sequence_client_id: random_id(CLIENT_ID),
            files,
            is_model: false,
        }
    }
}

impl Part {
    /// A file with known content, stored under `local`.
    pub(super) fn of(path: String, bytes: &[u8], local: PathBuf) -> Self {
        Self { path, md5: BASE64_STANDARD.encode(Md5::digest(bytes)), size: bytes.len() as u64, local }
    }

    pub(super) fn read(path: String, file: &Path) -> Result<Self> {
        let mut reader = fs_err::File::open(file)?;
        let (mut md5, mut size, mut buffer) = (Md5::new(), 0, vec![0; 1 << 16]);
        loop {
            let count = reader.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            md5.update(&buffer[..count]);
            size += count as u64;
        }
        // A relative path would refer to another file if the process, or `wandb sync`, runs in another folder.
        let local = std::path::absolute(file)?;
        Ok(Self { path, md5: BASE64_STANDARD.encode(md5.finalize()), size, local })
    }
}

fn joined(folder: &str, name: &str) -> String {
    let folder = folder.trim_matches('/');
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// The digest by which W&B detects identical content. The files are sorted by path.
fn digest(files: &[Part]) -> String {
    let mut md5 = Md5::new();
    md5.update(b"wandb-artifact-manifest-v1\n");
    for file in files {
        md5.update(format!("{}:{}\n", file.path, file.md5));
    }
    hex(&md5.finalize())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

/// A valid artifact name: at most 128 letters, digits, `-`, `_` and `.`.
fn plain(name: &str) -> String {
    names::fit(name, 128, |letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_python_client() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.ckpt");
        fs_err::write(&path, "abc").unwrap();
        let artifact = Artifact::new(&path).named("model x/1").kind("model").alias("best").alias("latest").metadata("score", 0.5);
        let bundle = Bundle::of(&artifact).unwrap();
        // As computed by `wandb` 0.31.0.
        assert_eq!(
            (bundle.digest.as_str(), bundle.files[0].md5.as_str()),
            ("d8c3a6620420e71c3d4efe3745b1ca7d", "kAFQmDzST7DWlj99KOF/cg==")
        );
        assert_eq!(
            (bundle.name.as_str(), bundle.aliases.as_slice()),
            (plain("model x/1").as_str(), ["latest".to_owned(), "best".to_owned()].as_slice())
        );
        assert!(bundle.name.starts_with("model_x_1-") && plain(&"x".repeat(129)).len() == 128, "{}", bundle.name);
        fs_err::create_dir(folder.path().join("b")).unwrap();
        fs_err::write(folder.path().join("b/c"), "").unwrap();
        let bundle = Bundle::of(&Artifact::new(folder.path()).in_folder("in")).unwrap();
        let paths: Vec<&str> = bundle.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["in/b/c", "in/model.ckpt"]);
    }
}
