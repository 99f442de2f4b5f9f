//! Paths that are URLs.

use std::path::{Path, PathBuf};

/// A URL that cannot be used: an unknown scheme, no bucket, or a store that this program cannot reach.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` cannot be used: {reason}")]
pub struct BadUrl {
    /// The URL, without secrets.
    pub url: String,
    /// The reason.
    pub reason: String,
    /// How to fix it.
    pub hint: String,
}

/// The scheme of a URL and what follows `://`.
pub(crate) fn split(path: &Path) -> Option<(&str, &str)> {
    let (scheme, rest) = path.to_str()?.split_once("://")?;
    let is_scheme = !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_scheme.then_some((scheme, rest))
}

pub(crate) fn from_file_url(folder: &str) -> Result<PathBuf, BadUrl> {
    // `file:///C:/runs`
    let path = if cfg!(windows) { folder.trim_start_matches('/') } else { folder };
    if Path::new(path).is_absolute() {
        return Ok(path.into());
    }
    Err(BadUrl {
        url: format!("file://{folder}"),
        reason: "it is not an absolute path".into(),
        hint: "write three slashes, as in `file:///home/me/runs`, or the path alone".into(),
    })
}

pub(crate) fn check_bucket(scheme: &str, bucket: &str) -> Result<(), BadUrl> {
    const KNOWN: [&str; 4] = ["s3", "gs", "az", "memory"];
    let error = |reason: &str, hint: &str| {
        // Never show an invalid bucket: it may be a password.
        Err(BadUrl { url: format!("{scheme}://…"), reason: reason.into(), hint: hint.into() })
    };
    if !KNOWN.contains(&scheme) {
        return error("the scheme is unknown", "use `s3://`, `gs://`, `az://`, `file://` or the path of a folder");
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
}
