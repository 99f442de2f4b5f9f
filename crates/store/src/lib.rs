//! Places of files: paths on a disk, and objects in a store. Checkpoints and logs use it.
//!
//! A path is a URL if it starts with a scheme and `://`:
//!
//! * `s3://bucket/key`, `gs://bucket/key` and `az://container/key` name an object in a store. They need the cargo
//!   feature `remote`. Everything after the bucket is the literal key, without escapes.
//! * `file:///folder` is the folder `/folder`.
//! * `memory://name/key` lives as long as the process. It is for tests.
//!
//! A [`PathBuf`](std::path::PathBuf) keeps the text of a URL. `join`, `parent` and `starts_with` work as expected, but
//! nothing in [`std::fs`] does. A store has no folders: a folder is a prefix of keys that ends at a slash, and need not
//! be created.

#[cfg(any(test, not(feature = "remote")))]
#[cfg_attr(feature = "remote", expect(dead_code, unreachable_pub, reason = "a test checks its error"))]
mod absent;
pub mod append;
mod disk;
mod entry;
pub mod error;
pub mod files;
pub mod folder;
pub mod hold;
pub mod mirror;
pub mod names;
mod place;
pub mod private;
#[cfg(feature = "remote")]
mod remote;
pub mod replacement;
#[cfg(any(test, feature = "small-disk"))]
pub mod small_disk;
pub mod stand_in;
mod url;

#[cfg(not(feature = "remote"))]
pub use absent::Object;
pub use entry::{Entry, Reader};
pub use error::Error;
pub use place::Place;
#[cfg(feature = "remote")]
pub use remote::Object;
pub use url::{BadUrl, is_url, on_disk};
