//! Where a path leads.

use std::path::{Path, PathBuf};

use crate::Object;
use crate::url::{BadUrl, check_bucket, from_file_url, split};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_cannot_be_used_is_refused() {
        let cases = [
            ("ftp://host/x", "`ftp://…` cannot be used: the scheme is unknown"),
            ("s3:///x", "`s3://…` cannot be used: it names no bucket"),
            ("s3://me:secret@bucket/x", "`s3://…` cannot be used: it names no bucket"),
            ("file://runs/x", "`file://runs/x` cannot be used: it is not an absolute path"),
        ];
        for (url, message) in cases {
            let error = Place::of(url.as_ref()).unwrap_err();
            assert_eq!((error.to_string().as_str(), error.hint.is_empty()), (message, false));
        }
    }

    #[test]
    fn the_missing_feature_is_named() {
        let error = crate::absent::Object::new("s3", "bucket", "run/last.ckpt").unwrap_err();
        assert_eq!(error.to_string(), "`s3://bucket/run/last.ckpt` cannot be used: this program was built without remote folders");
        assert_eq!(error.hint, "turn on the cargo feature `remote` of `stormfire`");
    }
}
