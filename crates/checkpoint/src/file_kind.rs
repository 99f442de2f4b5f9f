//! Identifies files that are not checkpoints by their first bytes.

use std::fmt;

/// The kind of a file that is not a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileKind {
    /// A zip archive, as written by `torch.save` and PyTorch Lightning.
    Zip,
    /// A Python pickle, as written by old versions of `torch.save`.
    Pickle,
    /// A tar archive, as written by the first versions of `torch.save`.
    Tar,
    /// burn's own format of records.
    Burnpack,
    /// A file compressed with gzip.
    Gzip,
    /// An HDF5 file, as written by Keras.
    Hdf5,
    /// A web page.
    Html,
    /// The placeholder of Git LFS for a large file that was not fetched.
    GitLfsPointer,
    /// A file of zeros, left by a crash of the machine.
    Zeros,
    /// A folder.
    Folder,
    /// A pipe, a socket or a device.
    Special,
    /// None of these.
    Unknown,
}

impl FileKind {
    pub(crate) fn guess(start: &[u8]) -> Self {
        let text = start.trim_ascii_start().get(..14).unwrap_or_default().to_ascii_lowercase();
        let magics: [(&[u8], Self); 6] = [
            (b"PK\x03\x04", Self::Zip),
            (b"\x1f\x8b", Self::Gzip),
            (b"\x89HDF\r\n\x1a\n", Self::Hdf5),
            // burn's magic number, in its byte order in the file.
            (b"NRUB", Self::Burnpack),
            (b"version https://git-lfs", Self::GitLfsPointer),
            (b"\x80", Self::Pickle),
        ];
        if let Some((_, kind)) = magics.iter().find(|(magic, _)| start.starts_with(magic)) {
            return *kind;
        }
        if start.get(257..262) == Some(b"ustar") {
            return Self::Tar;
        }
        if text.starts_with(b"<!doctype html") || text.starts_with(b"<html") {
            return Self::Html;
        }
        if start.iter().all(|byte| *byte == 0) { Self::Zeros } else { Self::Unknown }
    }

    pub(crate) fn hint(self) -> &'static str {
        match self {
            Self::Zip | Self::Pickle | Self::Tar => {
                "load the weights of a PyTorch or PyTorch Lightning file on a disk with `load_weights` (cargo feature `pytorch`)"
            }
            Self::Burnpack => "load it with burn's own `load_file`, or save the run with Stormfire's checkpoints",
            Self::Gzip => "unpack it first",
            Self::Html => "the download returned a web page; fetch the file itself",
            Self::GitLfsPointer => "fetch the file itself with `git lfs pull`",
            Self::Zeros => "the machine stopped before the file was on the disk; use an older checkpoint",
            Self::Special => "write its contents to a file first",
            Self::Folder => "name a file in it; `load_weights` also takes a folder with `model.safetensors` or its index",
            Self::Hdf5 | Self::Unknown => "give a `.ckpt` file that Stormfire wrote",
        }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Zip => "a zip archive, as PyTorch writes",
            Self::Pickle => "a Python pickle",
            Self::Tar => "a tar archive",
            Self::Burnpack => "a record of burn",
            Self::Gzip => "a gzip archive",
            Self::Hdf5 => "an HDF5 file",
            Self::Html => "a web page",
            Self::GitLfsPointer => "a placeholder of Git LFS",
            Self::Zeros => "nothing but zeros",
            Self::Folder => "a folder",
            Self::Special => "a pipe, a socket or a device",
            Self::Unknown => "not a safetensors file",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_known_by_its_first_bytes() {
        for (start, kind) in [
            (&b"PK\x03\x04\0\0\x08\x08"[..], FileKind::Zip),
            (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46", FileKind::Pickle),
            (b"NRUB\x01\0\0\0", FileKind::Burnpack),
            (b"\x1f\x8b\x08\0", FileKind::Gzip),
            (b"\x89HDF\r\n\x1a\n", FileKind::Hdf5),
            (b"\n  <!DOCTYPE html><html>", FileKind::Html),
            (b"<HTML><head></head>", FileKind::Html),
            (b"version https://git-lfs.github.com/spec/v1", FileKind::GitLfsPointer),
            (&[0; 20], FileKind::Zeros),
            (b"a,b,c\n1,2,3\n", FileKind::Unknown),
        ] {
            assert_eq!(FileKind::guess(start), kind, "{start:?}");
        }
    }

    #[test]
    fn the_magic_number_is_that_of_burn() {
        assert_eq!(burn_pack::MAGIC_NUMBER.to_le_bytes(), *b"NRUB");
    }
}
