//! Resolves a path to a file on a disk or an object in a store. Checkpoints and logs use it.
//!
//! A path is a URL if it begins with a scheme and `://`:
//!
//! * `s3://bucket/key`, `gs://bucket/key` and `az://container/key` name an object in a store. They need the cargo
//!   feature `remote`. Everything after the bucket is the literal key, without escapes.
//! * `file:///folder` is the folder `/folder`.
//! * `memory://name/key` lives as long as the process. It is for tests.
//!
//! A [`PathBuf`] keeps the text of a URL. `join`, `parent` and `starts_with` work as expected, but nothing in
//! [`std::fs`] does. A store has no folders: a folder is a prefix of keys that ends at a slash, and need not be
//! created.

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[cfg(any(test, not(feature = "remote")))]
#[cfg_attr(feature = "remote", expect(dead_code, unreachable_pub, reason = "a test looks at its error"))]
mod absent;
#[cfg(feature = "remote")]
mod remote;

#[cfg(not(feature = "remote"))]
pub use absent::Object;
#[cfg(feature = "remote")]
pub use remote::Object;

/// A reader of an object.
pub type Reader = Box<dyn BufRead + Send>;

/// A URL that cannot be used: an unknown scheme, no bucket, or a store that this program cannot reach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` cannot be used: {reason}")]
pub struct BadUrl {
    /// The URL, without secrets.
    pub url: String,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub hint: String,
}

/// An entry of a folder: a file or a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its path.
    pub path: PathBuf,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// When it was written, if that is known.
    pub modified: Option<SystemTime>,
}

/// The target of a path.
#[derive(Debug)]
pub enum Place {
    /// A path on this machine's disks.
    Disk(PathBuf),
    /// An object in a store, which need not exist.
    Store(Object),
}

impl Place {
    /// Parses a path. This does not access a disk or a store.
    ///
    /// # Errors
    /// [`BadUrl`].
    pub fn of(path: &Path) -> Result<Self, BadUrl> {
        match split(path) {
            None => Ok(Self::Disk(path.into())),
            Some(("file", folder)) => from_file_url(folder).map(Self::Disk),
            Some((scheme, rest)) => {
                let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
                check_bucket(scheme, bucket)?;
                Object::new(scheme, bucket, key).map(Self::Store)
            }
        }
    }
}

/// The scheme of a URL and what follows `://`.
fn split(path: &Path) -> Option<(&str, &str)> {
    let (scheme, rest) = path.to_str()?.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_scheme.then_some((scheme, rest))
}

fn from_file_url(folder: &str) -> Result<PathBuf, BadUrl> {
    // `file:///C:/runs`
    let path = if cfg!(windows) { folder.trim_start_matches('/') } else { folder };
    if Path::new(path).is_absolute() {
        return Ok(path.into());
    }
    Err(BadUrl {
        url: format!("file://{folder}"),
        reason: "it is no absolute path".into(),
        hint: "write three slashes, as in `file:///home/me/runs`, or the path alone".into(),
    })
}

fn check_bucket(scheme: &str, bucket: &str) -> Result<(), BadUrl> {
    const KNOWN: [&str; 4] = ["s3", "gs", "az", "memory"];
    let error = |reason: &str, hint: &str| {
        // Never show an invalid bucket: it may be a password.
        Err(BadUrl { url: format!("{scheme}://…"), reason: reason.into(), hint: hint.into() })
    };
    if !KNOWN.contains(&scheme) {
        return error("the scheme is not known", "use `s3://`, `gs://`, `az://`, `file://` or the path of a folder");
    }
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if bucket.is_empty() || !bucket.bytes().all(is_plain) {
        return error("it names no bucket", "write it as `s3://bucket/folder`; credentials come from the environment");
    }
    Ok(())
}

/// The path on this machine's disks: the path itself, or that of a `file://` URL. `None` for a URL of a store.
pub fn on_disk(path: &Path) -> Option<&Path> {
    match split(path) {
        None => Some(path),
        Some(("file", folder)) => Some(Path::new(if cfg!(windows) { folder.trim_start_matches('/') } else { folder })),
        Some(_) => None,
    }
}

/// Whether a path is a URL in a store.
pub fn is_url(path: &Path) -> bool {
    on_disk(path).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_keeps_its_text() {
        let url = Path::new("s3://bucket/a b");
        assert!(is_url(url) && on_disk(url).is_none());
        assert_eq!(url.join("c.ckpt").parent().and_then(Path::to_str), Some("s3://bucket/a b"));
        for path in ["runs", "/runs/s3://x", "a:b", "://x", "C:/x"] {
            assert!(!is_url(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused() {
        let cases = [
            ("ftp://host/x", "`ftp://…` cannot be used: the scheme is not known"),
            ("s3:///x", "`s3://…` cannot be used: it names no bucket"),
            ("s3://me:secret@bucket/x", "`s3://…` cannot be used: it names no bucket"),
            ("file://runs/x", "`file://runs/x` cannot be used: it is no absolute path"),
        ];
        for (url, message) in cases {
            let error = Place::of(url.as_ref()).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.hint.is_empty()), (message, false));
        }
    }

    #[test]
    fn without_the_feature_its_name_is_told() {
        let error = absent::Object::new("s3", "bucket", "run/last.ckpt").unwrap_err();
        assert_eq!(error.to_string(), "`s3://bucket/run/last.ckpt` cannot be used: this program was built without remote folders");
        assert_eq!(error.hint, "turn on the cargo feature `remote` of `stormfire`");
    }
}
