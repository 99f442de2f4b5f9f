use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
};

use stormfire_module::for_trainer::live_run;
use tracing::{debug, error, info, info_span, subscriber::with_default, trace, warn};

use super::*;

/// The content of the screen.
#[derive(Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Screen {
    /// The lines without their time.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let without_time = |line: &str| {
            let (time, rest) = line.split_once(' ').unwrap();
            let digits: Vec<_> = time.split(':').map(|part| (part.len(), part.parse::<u8>().is_ok())).collect();
            assert_eq!(digits, [(2, true); 3], "{line}");
            rest.to_owned()
        };
        text.lines().map(without_time).collect()
    }
}

/// The lines on the screen while `code` runs.
fn shown(builder: Builder, rust_log: Option<&str>, code: impl FnOnce()) -> Vec<String> {
    let page = Screen::default();
    let writer = page.clone();
    let subscriber = builder.subscriber_on(Some(screen(false, move || writer.clone())), rust_log).unwrap();
    with_default(subscriber, code);
    page.lines()
}

fn report() {
    let _span = info_span!(target: "stormfire_trainer", "fit").entered();
    info!(target: "stormfire_trainer::session", "a fit");
    debug!(target: "stormfire_trainer::session", "details");
    warn!(target: "stormfire_loggers::csv", rows = 3, "a table");
    info!(target: "other", "hello");
    error!(target: "other", "trouble");
}

#[test]
fn stormfire_is_heard_from_info_on_and_others_with_warnings() {
    let expected = ["INFO  stormfire_trainer: a fit", "WARN  stormfire_loggers: a table rows=3", "ERROR other: trouble"];
    assert_eq!(shown(Builder::new(), None, report), expected);
    assert_eq!(shown(Builder::new(), Some("  "), report), expected);
    assert_eq!(shown(Builder::new(), Some("not=a=level"), report), expected);
}

#[test]
fn every_target_can_be_silenced_or_heard_better() {
    let crates = Builder::new().level("stormfire_loggers", Level::ERROR).level("stormfire_trainer", Level::DEBUG);
    let expected = ["INFO  stormfire_trainer: a fit", "DEBUG stormfire_trainer: details", "ERROR other: trouble"];
    assert_eq!(shown(crates.clone(), None, report), expected);
    let part = Builder::new().level("stormfire", Level::OFF).level("stormfire_loggers::csv", Level::TRACE).level("other", Level::INFO);
    let expected = ["WARN  stormfire_loggers: a table rows=3", "INFO  other: hello", "ERROR other: trouble"];
    assert_eq!(shown(part, None, report), expected);
    let asked = Some("stormfire_trainer=debug,not=a=level");
    assert_eq!(shown(crates, asked, report), ["INFO  stormfire_trainer: a fit", "DEBUG stormfire_trainer: details"]);
    assert_eq!(shown(Builder::new(), Some("off"), report), Vec::<String>::new());
}

#[test]
fn colors_are_for_terminals_and_nothing_moves_the_cursor() {
    let page = Screen::default();
    let writer = page.clone();
    let subscriber = Builder::new().subscriber_on(Some(screen(true, move || writer.clone())), None).unwrap();
    with_default(subscriber, report);
    let has_colors = String::from_utf8_lossy(&page.0.lock().unwrap()).contains("\x1b[33mWARN \x1b[0m");
    assert_eq!(has_colors, std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()));
    let hostile = shown(Builder::new(), None, || warn!(target: "other", "a\x1b[2Jb"));
    assert!(!hostile.concat().contains('\x1b'), "{hostile:?}");
}

/// The lines of the file without their time.
fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let without_time = |line: &str| {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
        rest.trim_start().to_owned()
    };
    text.lines().map(without_time).collect()
}

fn begin(folder: &Path) {
    info!(target: "stormfire_trainer::session", log_dir = %folder.display(), "begins");
}

#[test]
fn the_file_is_in_the_folder_of_the_run() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let levels = Builder::new().no_screen().file().level("stormfire_trainer", Level::WARN).file_level("other", Level::TRACE);
    with_default(levels.subscriber_on(None::<tracing_subscriber::layer::Identity>, None).unwrap(), || {
        warn!(target: "stormfire_loggers::run_dir", "before there is a folder");
        begin(first.path());
        let _span = info_span!(target: "stormfire_trainer::fit", "fit").entered();
        trace!(target: "other", "of the first run");
        assert_eq!(lines(&first.path().join("training.log")).len(), 2, "a line is there at once");
        begin(second.path());
        error!(target: "other", "of the second run");
        begin(first.path());
        error!(target: "other", "of the first run again");
    });
    insta::assert_snapshot!(lines(&first.path().join("training.log")).join("\n"), @"
    WARN stormfire_loggers::run_dir: before there is a folder
    TRACE other: of the first run
    ERROR other: of the first run again
    ");
    assert_eq!(lines(&second.path().join("training.log")), ["ERROR other: of the second run"]);
}

#[test]
fn each_of_several_runs_has_its_own_lines_and_a_shared_file_says_whose_they_are() {
    let (first, second, shared) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = shared.path().join("all.log");
    let page = Screen::default();
    let writer = page.clone();
    let run = |levels: Builder, code: &dyn Fn()| {
        let writer = writer.clone();
        with_default(levels.subscriber_on(Some(screen(false, move || writer.clone())), None).unwrap(), code);
    };
    let two = || {
        let outer = live_run::begin(Some("outer".into()));
        let of_outer = live_run::current().unwrap();
        begin(first.path());
        let inner = live_run::begin(Some("inner".into()));
        begin(second.path());
        error!(target: "other", "of the inner run");
        std::thread::scope(|scope| {
            let subscriber = tracing::dispatcher::get_default(Clone::clone);
            scope.spawn(move || {
                let _subscriber = tracing::dispatcher::set_default(&subscriber);
                error!(target: "other", "of no run");
                let _in_outer = of_outer.enter();
                error!(target: "other", "of the outer run, on another thread");
            });
        });
        drop(inner);
        error!(target: "other", "of the outer run");
        drop(outer);
        error!(target: "other", "after them");
    };
    run(Builder::new().level("stormfire_trainer", Level::OFF).file(), &two);
    let line = |text: &str| format!("ERROR other: {text}");
    let of_outer = ["of no run", "of the outer run, on another thread", "of the outer run"].map(line);
    assert_eq!(lines(&first.path().join("training.log")), of_outer);
    // The newest run: it started last.
    assert_eq!(lines(&second.path().join("training.log")), ["of the inner run", "of no run", "after them"].map(line));
    let shown = page.lines();
    assert_eq!(shown[..2], ["ERROR other: [inner] of the inner run", "ERROR other: of no run"]);
    assert_eq!(shown[3..], ["ERROR other: [outer] of the outer run", "ERROR other: after them"]);

    run(Builder::new().level("stormfire_trainer", Level::OFF).file_at(&path), &two);
    let all = fs::read_to_string(&path).unwrap();
    let whose: Vec<_> =
        all.lines().map(|line| line.split_once("] ").filter(|(name, _)| name.starts_with('[')).map(|(name, _)| &name[1..])).collect();
    assert_eq!(whose, [Some("inner"), None, Some("outer"), Some("outer"), None]);
}

#[test]
fn lines_that_wait_for_a_folder_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let file = RunFile::of_runs();
    let line = [b'x'; 1 << 10];
    for _ in 0..2000 {
        file.clone().write_all(&line).unwrap();
    }
    file.begin_in(folder.path());
    assert_eq!(fs::metadata(folder.path().join("training.log")).unwrap().len(), 1 << 20);
}

#[test]
fn a_given_file_is_appended_to() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("logs/run.log");
    let run = |levels: Builder| {
        let subscriber = levels.no_screen().file_at(&path).subscriber().unwrap();
        with_default(subscriber, || {
            begin(folder.path());
            info!(target: "stormfire_trainer", "once");
        });
    };
    run(Builder::new());
    run(Builder::new().level("stormfire_trainer::session", Level::OFF));
    let begins = format!("INFO stormfire_trainer::session: begins log_dir={}", folder.path().display());
    assert_eq!(lines(&path), [begins.as_str(), "INFO stormfire_trainer: once", "INFO stormfire_trainer: once"]);
    assert!(!folder.path().join("training.log").exists());
}

#[test]
fn an_invalid_file_or_filter_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let blocked = Builder::new().file_at(folder.path().join("file/run.log")).init().unwrap_err();
    insta::assert_snapshot!(blocked.to_string().replace(&folder.path().display().to_string(), "[folder]"), @"`console`: `[folder]/file/run.log` cannot be opened: File exists (os error 17)");
    insta::assert_snapshot!(Builder::new().level("a=b", Level::INFO).init().unwrap_err(), @"`console`: `warn,stormfire=info,a=b=info`: invalid filter directive: too many '=' in filter directive, expected 0 or 1");
}
