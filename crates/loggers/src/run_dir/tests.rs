use std::collections::BTreeSet;

use super::*;

#[test]
fn the_next_version_follows_the_largest_folder() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join(DEFAULT_NAME);
    for name in ["version_3", "version_x", "version_", "version_+9", "other_12"] {
        fs_err::create_dir_all(root.join(name)).unwrap();
    }
    fs_err::write(root.join("version_7"), "a file is not a run").unwrap();
    fs_err::write(root.join("version_4"), "but its name is taken").unwrap();
    let run = RunDir::new(folder.path());
    assert_eq!((run.version().unwrap(), run.short_version().unwrap()), ("version_5", "5"));
    assert_eq!(run.log_dir().unwrap(), root.join("version_5"));
}

#[test]
fn threads_never_share_a_version() {
    let folder = tempfile::tempdir().unwrap();
    let runs: Vec<RunDir> = (0..16).map(|_| RunDir::new(folder.path())).collect();
    let versions: BTreeSet<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = runs.iter().map(|run| scope.spawn(|| run.version().unwrap().to_owned())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(versions, (0..16).map(|number| format!("version_{number}")).collect());
}

#[test]
fn clones_are_one_run_and_nothing_is_made_before_the_first_use() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::new(folder.path().join("deep/down")).with_name("mnist");
    assert!(!folder.path().join("deep").exists());
    let clone = run.clone();
    assert_eq!(run.log_dir().unwrap(), clone.log_dir().unwrap());
    assert_eq!(clone.version().unwrap(), "version_0");
}

#[test]
fn a_given_version_is_used_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::new(folder.path()).with_version("my-run");
    assert_eq!((run.version().unwrap(), run.short_version().unwrap()), ("my-run", "-run"));
    let again = RunDir::new(folder.path()).with_version("my-run");
    assert_eq!(again.log_dir().unwrap(), run.log_dir().unwrap());
    let numbered = RunDir::new(folder.path()).with_version_number(3);
    assert_eq!(numbered.version().unwrap(), "version_3");
    assert_eq!(RunDir::new(folder.path()).version().unwrap(), "version_4");
    assert_eq!([short("äöüß€"), short("ab"), short("version_"), short("version_12")], ["öüß€", "ab", "ion_", "12"]);
}

#[test]
fn a_run_is_resumed_where_it_is_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::new(folder.path()).with_name("mnist");
    let (name, version) = (run.name().to_owned(), run.version().unwrap().to_owned());
    let again = RunDir::new(folder.path()).with_name(&name).resume(&version).unwrap();
    assert_eq!((again.log_dir().unwrap(), again.version().unwrap()), (run.log_dir().unwrap(), "version_0"));
    assert_eq!(fs_err::read_dir(again.log_dir().unwrap()).unwrap().count(), 0);

    let gone = RunDir::new(folder.path()).with_name(&name).resume("version_1").unwrap_err();
    assert!(matches!(&gone, Error::RunGone { folder } if folder.ends_with("mnist/version_1")), "{gone}");
    assert!(gone.hint().is_some());
    assert!(!folder.path().join("mnist/version_1").exists());
}

#[cfg(unix)]
#[test]
fn a_folder_in_use_by_another_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let log_dir = folder.path().join("run");
    fs_err::create_dir(&log_dir).unwrap();
    let resume = || RunDir::new(folder.path()).with_name("").resume("run");
    // This handle is not in the registry, so it acts like another process.
    let other = std::fs::File::open(&log_dir).unwrap();
    other.try_lock().unwrap();
    let error = resume().unwrap_err();
    assert!(matches!(error, Error::RunInUse { .. }), "{error}");
    // A version given by the user is used anyway.
    RunDir::new(folder.path()).with_name("").with_version("run").log_dir().unwrap();
    other.unlock().unwrap();
    let (first, second) = (resume().unwrap(), resume().unwrap());
    let is_free = || std::fs::File::open(&log_dir).unwrap().try_lock().is_ok();
    drop(first);
    assert!(!is_free());
    drop(second);
    // A child process that another test is spawning keeps the handle until its `exec`.
    while !is_free() {
        std::thread::yield_now();
    }
}

#[test]
fn a_file_in_the_way_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs_err::write(&file, "").unwrap();
    let error = RunDir::new(&file).version().unwrap_err();
    let text = format!("{error}\n  hint: {}", error.hint().unwrap());
    insta::assert_snapshot!(text.replace(&folder.path().display().to_string(), "[folder]"), @r"
    failed to create directory `[folder]/file/lightning_logs`: Not a directory (os error 20)
      hint: a file is in the way of a log folder; move it or choose another `save_dir`
    ");
}

#[test]
fn numbers_that_leave_none_after_them_are_names() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join(DEFAULT_NAME);
    for name in ["version_2", "version_18446744073709551615", "version_18446744073709551614", "version_99999999999999999999"] {
        fs_err::create_dir_all(root.join(name)).unwrap();
    }
    assert_eq!(RunDir::new(folder.path()).version().unwrap(), "version_3");
}

#[test]
fn the_next_start_removes_half_written_files_of_a_killed_run() {
    let folder = tempfile::tempdir().unwrap();
    let left = |version: &str| {
        let run = folder.path().join(DEFAULT_NAME).join(version);
        fs_err::create_dir_all(&run).unwrap();
        fs_err::write(run.join(".saving-abc"), "lr: 0.").unwrap();
        run.join(".saving-abc")
    };
    let (older, newest, given) = (left("version_0"), left("version_1"), left("mine"));
    let next = RunDir::new(folder.path());
    next.version().unwrap();
    assert!(!older.exists() && !newest.exists());
    // Files that a run of this process is writing stay.
    let writing = left("version_2");
    let _another = RunDir::new(folder.path()).version().unwrap();
    assert!(writing.exists());
    drop(next);
    let _given = RunDir::new(folder.path()).with_version("mine").version().unwrap();
    assert!(!given.exists());
}

#[test]
fn another_run_is_the_next_version_or_next_to_the_given_one() {
    let folder = tempfile::tempdir().unwrap();
    let first = RunDir::new(folder.path());
    first.version().unwrap();
    assert_eq!(first.another().version().unwrap(), "version_1");
    let given = RunDir::new(folder.path()).with_version("try");
    given.version().unwrap();
    assert_eq!((given.another().version().unwrap(), given.another().version().unwrap()), ("try-v1", "try-v2"));
    for (version, expected) in [("try", true), ("try-v2", true), ("try-vx", false), ("tryv1", false), ("other", false)] {
        assert_eq!(given.may_be(version), expected, "{version}");
    }
    let mut folders = given.log_dirs().unwrap();
    folders.sort();
    let root = folder.path().join(DEFAULT_NAME);
    assert_eq!(folders, ["try", "try-v1", "try-v2"].map(|name| root.join(name)));
    assert_eq!(first.log_dirs().unwrap().len(), 2);
}

#[test]
fn a_run_stays_below_its_root() {
    let folder = tempfile::tempdir().unwrap();
    let save_dir = folder.path().join("runs");
    let outside = folder.path().join("outside");
    fs_err::create_dir(&outside).unwrap();
    let absolute = outside.to_string_lossy().into_owned();
    let new = || RunDir::new(&save_dir);
    for run in
        [new().with_name("../outside"), new().with_version("../../outside"), new().with_name(&absolute), new().with_version(&absolute)]
    {
        let error = run.log_dir().unwrap_err();
        assert!(matches!(error, Error::Outside { .. }), "{error}");
        assert!(error.hint().is_some());
    }
    assert!(matches!(new().resume("../../outside"), Err(Error::Outside { .. })));
    assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(new().with_name("a/b").version().unwrap(), "version_0");
}

#[test]
fn a_name_that_no_disk_takes_is_shortened_and_stays_apart() {
    let root = tempfile::tempdir().unwrap();
    let folder = |name: &str, version: &str| RunDir::new(root.path()).with_name(name).with_version(version).log_dir().unwrap().to_owned();
    let long = |last: &str| format!("{}{last}", "ö".repeat(200));
    let folders = [folder(&long("a"), "v"), folder(&long("b"), "v"), folder("name", &long("a")), folder(&format!("x/{}", long("a")), "v")];
    for folder in &folders {
        fs_err::create_dir_all(folder).unwrap();
    }
    assert_ne!(folders[0], folders[1]);
    assert_eq!(folder(&long("a"), "v"), folders[0]);
}
