//! The content of a folder after saves that succeeded and saves that failed.

use std::thread;

use super::*;
use crate::files::{link_or_copy, symlink_or_copy, write};

/// Enough lines to detect a partial file.
const LINES: usize = 1000;

fn save(path: impl AsRef<Path>, step: u64) -> Result<()> {
    let text = format!("{step}\n").repeat(LINES);
    write(path.as_ref(), text.len() as u64, |file| file.write_all(text.as_bytes()))
}

#[track_caller]
fn step_of(path: impl AsRef<Path>) -> u64 {
    let text = fs::read_to_string(path).unwrap();
    let (lines, first) = (text.lines().count(), text.lines().next().unwrap().to_owned());
    assert!(lines == LINES && text.lines().all(|line| line == first), "{lines} lines");
    first.parse().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn folders_are_made_and_files_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("runs/version_0/checkpoints/last.ckpt");
    for step in [1, 2] {
        save(&path, step).unwrap();
        assert_eq!(step_of(&path), step);
    }
    assert_eq!(names(path.parent().unwrap()), ["last.ckpt"]);
}

/// A large file is freed on another thread. The next save waits for it, because it may need the blocks.
#[cfg(target_os = "linux")]
#[test]
fn a_large_replaced_file_is_closed_before_the_next_save() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("last.ckpt");
    let replaced = || {
        let open = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
        open.filter(|target| target.starts_with(folder.path())).collect::<Vec<_>>()
    };
    for step in [1, 2, 3] {
        let large = File::create(&path).unwrap();
        large.set_len(64 << 20).unwrap();
        drop(large);
        save(&path, step).unwrap();
        assert_eq!(step_of(&path), step);
    }
    save(&path, 4).unwrap();
    assert_eq!((step_of(&path), replaced()), (4, Vec::new()));
    assert_eq!(names(folder.path()), ["last.ckpt"]);
}

#[test]
fn a_save_that_fails_leaves_the_old_file_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    save(&path, 1).unwrap();
    let full = || io::Error::from(io::ErrorKind::StorageFull);
    let error = write(&path, 3 << 20, |file| {
        file.write_all(b"half")?;
        Err(full())
    });
    let Err(Error::Write { needed, source, .. }) = error else { panic!("{error:?}") };
    assert_eq!((needed, source.kind()), (3 << 20, full().kind()));
    assert_eq!((step_of(&path), names(folder.path())), (1, vec!["a.ckpt".to_owned()]));
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let error = save(folder.path().join("file/a.ckpt"), 1).unwrap_err();
    assert!(matches!(error, Error::Write { .. }), "{error}");
    fs::create_dir(folder.path().join("b.ckpt")).unwrap();
    assert!(matches!(save(folder.path().join("b.ckpt"), 1), Err(Error::Write { .. })));
    assert_eq!(names(folder.path()), ["b.ckpt", "file"]);
}

/// A killed process leaves its temporary file without the lock.
#[test]
fn files_of_a_killed_process_are_removed_and_files_being_written_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    save(&path, 1).unwrap();
    fs::write(folder.path().join(".saving-killed"), "half of a file").unwrap();
    fs::write(folder.path().join("notes.txt"), "").unwrap();
    let other = locked_file(folder.path(), NORMAL).unwrap();
    let other_name = other.path().file_name().unwrap().to_str().unwrap().to_owned();
    assert_eq!(step_of(&path), 1);
    save(&path, 2).unwrap();
    assert_eq!(names(folder.path()), [other_name, "a.ckpt".to_owned(), "notes.txt".to_owned()]);
    drop(other);
    assert_eq!(step_of(&path), 2);
}

#[test]
fn of_many_writers_to_one_path_one_whole_file_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/a.ckpt");
    thread::scope(|scope| {
        for step in 0..8 {
            let path = &path;
            scope.spawn(move || (0..50).for_each(|_| save(path, step).unwrap()));
        }
    });
    assert!(step_of(&path) < 8);
    assert_eq!(names(path.parent().unwrap()), ["a.ckpt"]);
}

#[cfg(unix)]
#[test]
fn a_file_has_the_permissions_of_an_ordinary_file() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let (path, ordinary) = (folder.path().join("a.ckpt"), folder.path().join("ordinary"));
    save(&path, 1).unwrap();
    fs::write(&ordinary, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&path), mode(&ordinary));
}

#[test]
fn a_second_name_stays_when_the_first_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, last) = (folder.path().join("a.ckpt"), folder.path().join("best/last.ckpt"));
    save(&path, 1).unwrap();
    for _ in 0..2 {
        link_or_copy(&path, &last).unwrap();
        assert_eq!(step_of(&last), 1);
    }
    save(&path, 2).unwrap();
    assert_eq!((step_of(&path), step_of(&last)), (2, 1));
    link_or_copy(&path, &last).unwrap();
    link_or_copy(&last, &last).unwrap();
    assert_eq!(step_of(&last), 2);
    assert_eq!(
        (names(folder.path()), names(last.parent().unwrap())),
        (vec!["a.ckpt".to_owned(), "best".to_owned()], vec!["last.ckpt".to_owned()])
    );
    let missing = folder.path().join("missing.ckpt");
    assert!(matches!(link_or_copy(&missing, &last), Err(Error::NotFound { path }) if path == missing));
    assert_eq!(step_of(&last), 2);
}

#[test]
fn a_copy_replaces_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copied) = (folder.path().join("a.ckpt"), folder.path().join("copies/last.ckpt"));
    save(&path, 7).unwrap();
    for _ in 0..2 {
        copy(&File::open(&path).unwrap(), &copied).unwrap();
        assert_eq!(fs::read(&copied).unwrap(), fs::read(&path).unwrap());
    }
    assert_eq!(names(copied.parent().unwrap()), ["last.ckpt"]);
}

#[cfg(unix)]
#[test]
fn a_name_that_is_being_made_is_not_taken_for_a_left_over_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    save(&path, 1).unwrap();
    let (real, lock) = open_to_link(&path).unwrap();
    fs::hard_link(&real, folder.path().join(".saving-link")).unwrap();
    symlink("a.ckpt".as_ref(), &folder.path().join(".saving-symlink")).unwrap();
    remove_leftovers(folder.path());
    assert_eq!(names(folder.path()), [".saving-link", ".saving-symlink", "a.ckpt"]);
    drop(lock);
    remove_leftovers(folder.path());
    assert_eq!(names(folder.path()), ["a.ckpt"]);
}

#[cfg(unix)]
#[test]
fn a_link_follows_its_target_and_moves_with_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoints = folder.path().join("checkpoints");
    let (path, last) = (checkpoints.join("a.ckpt"), checkpoints.join("last.ckpt"));
    save(&path, 1).unwrap();
    save(&last, 9).unwrap();
    for _ in 0..2 {
        symlink_or_copy(&path, &last).unwrap();
        assert_eq!(fs::read_link(&last).unwrap(), Path::new("a.ckpt"));
    }
    fs::rename(&checkpoints, folder.path().join("moved")).unwrap();
    assert_eq!(step_of(folder.path().join("moved/last.ckpt")), 1);
    assert_eq!(names(&folder.path().join("moved")), ["a.ckpt", "last.ckpt"]);

    // A hard link to a symbolic link's target is a second name of the file. A save to the path of a link replaces the
    // link.
    let (path, last) = (folder.path().join("moved/a.ckpt"), folder.path().join("moved/last.ckpt"));
    link_or_copy(&last, folder.path().join("second.ckpt")).unwrap();
    assert!(!folder.path().join("second.ckpt").is_symlink());
    save(&last, 3).unwrap();
    assert_eq!((step_of(&path), step_of(&last), last.is_symlink()), (1, 3, false));
}

#[cfg(unix)]
#[test]
fn links_from_elsewhere_and_to_oneself() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a/a.ckpt"), folder.path().join("b/last.ckpt"));
    save(&path, 1).unwrap();
    symlink_or_copy(&path, &link).unwrap();
    assert_eq!((fs::read_link(&link).unwrap().as_path(), step_of(&link)), (Path::new("../a/a.ckpt"), 1));
    symlink_or_copy(&path, folder.path().join("top.ckpt")).unwrap();
    assert_eq!(fs::read_link(folder.path().join("top.ckpt")).unwrap(), Path::new("a/a.ckpt"));
    symlink_or_copy(&path, &path).unwrap();
    assert_eq!(step_of(&path), 1);
    assert!(matches!(symlink_or_copy(folder.path().join("none"), &link), Err(Error::NotFound { .. })));
}

#[cfg(unix)]
#[test]
fn links_that_a_killed_process_left_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.ckpt");
    save(&path, 1).unwrap();
    symlink("gone.ckpt".as_ref(), &folder.path().join(".saving-dangling")).unwrap();
    symlink("a.ckpt".as_ref(), &folder.path().join(".saving-symlink")).unwrap();
    fs::hard_link(&path, folder.path().join(".saving-link")).unwrap();
    save(folder.path().join("b.ckpt"), 2).unwrap();
    assert_eq!((names(folder.path()), step_of(&path)), (vec!["a.ckpt".to_owned(), "b.ckpt".to_owned()], 1));
}

#[test]
fn a_large_file_arrives_whole_though_the_disk_began_early() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("large");
    let piece: Vec<u8> = (0..1 << 20).map(|at| (at % 251) as u8).collect();
    put(&path, |file| (0..100).try_for_each(|_| file.write_all(&piece))).unwrap();
    let read = fs::read(&path).unwrap();
    assert_eq!(read.len(), 100 << 20);
    assert!(read.chunks(1 << 20).all(|chunk| chunk == piece));
    // An error in the middle is reported as the writer's error, independent of the disk.
    let error = put(&path, |file| {
        (0..70).try_for_each(|_| file.write_all(&piece))?;
        Err(io::ErrorKind::StorageFull.into())
    });
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!((fs::metadata(&path).unwrap().len(), names(folder.path())), (100 << 20, vec!["large".to_owned()]));
}
