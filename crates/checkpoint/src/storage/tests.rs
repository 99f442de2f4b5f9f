//! The same tests on a disk and in a store.

use serde_json::json;

use std::fs;

use super::*;
use crate::{Checkpoint, Error, Manifest, NamedTensors, inspect, newest_good, samples, verify, write};

fn manifest(step: u64) -> Manifest {
    Manifest { progress: json!({"epoch": 0, "global_step": step}), ..Manifest::default() }
}

fn save(path: &Path, step: u64) {
    write(path, &manifest(step), &samples::small()).unwrap();
}

#[track_caller]
fn step_of(path: &Path) -> u64 {
    verify(path).unwrap();
    Checkpoint::read(path).unwrap().manifest().global_step().unwrap()
}

/// Larger than one part of an upload and one piece of a download.
fn large() -> NamedTensors {
    let numbers: Vec<u32> = (0..5_000_000).collect();
    vec![("layer.weight".to_owned(), burn::tensor::TensorData::new(numbers, [5_000_000]))]
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: Entry| entry.path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<_> = list(folder).unwrap().into_iter().map(name).collect();
    names.sort();
    names
}

/// Uses all file operations for checkpoints below a folder that does not exist yet.
fn everything(root: &Path) {
    let folder = root.join("runs/checkpoints of today");
    let (path, last) = (folder.join("epoch=0-val/loss=0.25.ckpt"), folder.join("last.ckpt"));
    assert_eq!((exists(&path).unwrap(), list(&folder).unwrap()), (false, vec![]));
    remove(&path).unwrap();
    for missing in [Checkpoint::read(&path).map(drop), verify(&path), link_or_copy(&path, &last)] {
        assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    }

    for step in [1, 2] {
        save(&path, step);
        assert_eq!((exists(&path).unwrap(), step_of(&path)), (true, step));
        assert_eq!(inspect(&path).unwrap().manifest.global_step(), Some(step));
    }
    link_or_copy(&path, &last).unwrap();
    symlink_or_copy(&path, folder.join("link.ckpt")).unwrap();
    link_or_copy(&last, &last).unwrap();
    save(&path, 3);
    assert_eq!((step_of(&path), step_of(&last)), (3, 2));
    write_bytes(&folder.join("list.yaml"), b"a: 1").unwrap();
    let newest = newest_good(&folder, 0, &path).unwrap();
    assert!(newest.global_step >= 2 && newest.path.starts_with(absolute(&folder).unwrap()), "{newest:?}");

    assert_eq!(names(&folder), ["epoch=0-val", "last.ckpt", "link.ckpt", "list.yaml"]);
    for entry in list(&folder).unwrap() {
        let is_folder = entry.path.ends_with("epoch=0-val");
        assert_eq!((entry.is_folder, entry.modified.is_some() || is_folder), (is_folder, true), "{entry:?}");
        assert_eq!(is_checkpoint(&entry), entry.path.extension().is_some_and(|end| end == "ckpt"), "{entry:?}");
        assert!(exists(&entry.path).unwrap() || is_folder, "{entry:?}");
    }
    assert_eq!(names(&folder.join("epoch=0-val")), ["loss=0.25.ckpt"]);

    remove(&last).unwrap();
    assert!(!exists(&last).unwrap() && exists(&path).unwrap());
    write(&last, &manifest(4), &large()).unwrap();
    verify(&last).unwrap();
    assert_eq!(Checkpoint::read(&last).unwrap().tensors()["layer.weight"], large()[0].1);
    write_bytes(&last, b"").unwrap();
    assert!(matches!(verify(&last), Err(Error::Empty { .. })));
    write_bytes(&last, b"PK\x03\x04 a model of another program").unwrap();
    assert!(matches!(verify(&last), Err(Error::NotACheckpoint { kind: crate::FileKind::Zip, .. })));
}

#[test]
fn everything_works_on_a_disk() {
    let folder = tempfile::tempdir().unwrap();
    everything(folder.path());
}

#[cfg(unix)]
#[test]
fn everything_works_behind_a_file_url() {
    let folder = tempfile::tempdir().unwrap();
    let url = PathBuf::from(format!("file://{}", folder.path().display()));
    everything(&url);
    assert_eq!(names(&folder.path().join("runs")), ["checkpoints of today"]);
    assert_eq!((absolute(&url).unwrap().as_path(), on_disk(&url)), (folder.path(), Some(folder.path())));
    assert_eq!(spelled_out(&url.join("a.ckpt")), spelled_out(&folder.path().join("runs/../a.ckpt")));
    assert!(!is_url(&url));
}

#[cfg(feature = "remote")]
#[test]
fn everything_works_in_a_store() {
    everything(Path::new("memory://everything"));
    everything(Path::new("memory://everything/below/"));
    assert_eq!(names(Path::new("memory://everything")), ["below", "runs"]);
    assert!(!Path::new("memory:").exists());
}

#[cfg(feature = "remote")]
#[test]
fn a_copy_goes_from_a_disk_to_a_store_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let (first, back) = (folder.path().join("first.ckpt"), folder.path().join("back.ckpt"));
    write(&first, &manifest(7), &large()).unwrap();
    let stores = [PathBuf::from("memory://here/a.ckpt"), PathBuf::from("memory://there/b.ckpt")];
    link_or_copy(&first, &stores[0]).unwrap();
    link_or_copy(&stores[0], &stores[1]).unwrap();
    symlink_or_copy(&stores[1], &back).unwrap();
    assert_eq!(fs::read(first).unwrap(), fs::read(back).unwrap());
}

#[test]
fn a_url_keeps_its_text() {
    let url = Path::new("s3://bucket/a b");
    assert!(is_url(url) && on_disk(url).is_none());
    assert_eq!(spelled_out(&url.join("c.ckpt")).to_str(), Some("s3://bucket/a b/c.ckpt"));
    assert_eq!(url.join("c.ckpt").parent().and_then(Path::to_str), Some("s3://bucket/a b"));
    for path in ["runs", "/runs/s3://x", "a:b", "://x", "C:/x"] {
        assert!(!is_url(Path::new(path)), "{path}");
    }
}

#[test]
fn a_url_that_cannot_be_used_is_refused() {
    let cases = [
        ("ftp://host/x", "`ftp://…` cannot be used: the scheme is unknown"),
        ("s3:///x", "`s3://…` cannot be used: it names no bucket"),
        ("s3://me:secret@bucket/x", "`s3://…` cannot be used: it names no bucket"),
        ("file://runs/x", "`file://runs/x` cannot be used: it is not an absolute path"),
    ];
    for (url, message) in cases {
        let errors = [absolute(url.as_ref()).map(drop), verify(url), list(url.as_ref()).map(drop), write_bytes(url.as_ref(), b"")];
        for error in errors.map(Result::unwrap_err) {
            assert_eq!((error.to_string().as_str(), error.hint().is_some()), (message, true));
        }
    }
}

#[test]
fn a_full_disk_has_its_own_error() {
    let source = io::Error::from(io::ErrorKind::StorageFull);
    let error = Error::from(stormfire_store::Error::Write { path: "a.ckpt".into(), needed: 3 << 20, source });
    assert_eq!(error.to_string(), "no space is left for `a.ckpt`, which needs 3.0 MiB");
    insta::assert_snapshot!(error.hint().unwrap(), @"free some space or save into another folder; existing checkpoints are intact");
    let error = Error::while_writing("a.ckpt", 3 << 20, io::ErrorKind::FileTooLarge.into());
    assert_eq!(error.to_string(), "a limit on the size of files refuses `a.ckpt`, which needs 3.0 MiB");
    insta::assert_snapshot!(error.hint().unwrap(), @"raise the limit (`ulimit -f`), or save to another disk; existing checkpoints are intact");
}

#[test]
fn no_message_is_in_a_chain_of_errors_twice() {
    for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::StorageFull, io::ErrorKind::NotFound, io::ErrorKind::TimedOut] {
        let from = || io::Error::new(kind, "what the system said");
        for error in [Error::io("a.ckpt", from()), Error::while_writing("a.ckpt", 1, from())] {
            let chain: Vec<String> =
                std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source()).map(ToString::to_string).collect();
            let told = chain.concat().matches("what the system said").count();
            assert_eq!(told, usize::from(!matches!(error, Error::NotFound { .. })), "{chain:?}");
        }
    }
}
