//! Tests for every tracker: no failure of a server loses records or changes their order.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;

use crate::network::test_server::{Fault, TestServer};
use crate::{Image, Logger, SpooledRun, Status};

/// A tracker's server on the loopback.
pub(crate) trait Tracker {
    const NAME: &'static str;
    /// The environment variable for the key, and the key.
    const KEY: (&'static str, &'static str);
    /// Whether a repeated request is recorded twice.
    const DOUBLES: bool = false;
    /// Whether files go to a store. A store answers only with a status, and has no login to retry.
    const HAS_STORE: bool = false;

    fn start() -> Self;

    fn http(&self) -> &TestServer;

    /// A logger for one run, with the key, for the server's address or one that redirects to it.
    fn logger_at(&self, address: &str, folder: &Path, patience: Duration) -> Box<dyn Logger>;

    fn logger(&self, folder: &Path, patience: Duration) -> Box<dyn Logger> {
        self.logger_at(&self.http().address, folder, patience)
    }

    /// The steps of `loss` in the order of arrival.
    fn steps(&self) -> Vec<u64>;

    /// Number of distinct images.
    fn images(&self) -> usize;
}

/// A reachable server gets everything, even on a slow machine.
const PATIENT: Duration = Duration::from_hours(1);

fn log(logger: &mut dyn Logger, steps: std::ops::Range<u64>) {
    for step in steps {
        logger.log_metrics(&[("loss", step as f64)].into(), Some(step)).unwrap();
        if step == 2 {
            logger.log_image("img", &Image::new(1, 1, 1, vec![7]).unwrap(), Some(step)).unwrap();
        }
    }
}

fn assert_complete<T: Tracker>(tracker: &T, steps: u64, doubles: bool, what: &str) {
    let mut found = tracker.steps();
    if doubles {
        let mut seen = Vec::new();
        found.retain(|step| {
            !seen.contains(step) && {
                seen.push(*step);
                true
            }
        });
    }
    assert_eq!(found, (0..steps).collect::<Vec<_>>(), "{}: {what}", T::NAME);
    assert_eq!(tracker.images(), 1, "{}: {what}", T::NAME);
}

/// Each fault occurs at each request of a run, in one run after the other.
fn every_fault_at_every_request<T: Tracker>() {
    let faults = [
        Fault::Status(408, None),
        Fault::Status(429, Some("0")),
        Fault::Status(500, None),
        Fault::HangUp,
        Fault::CutAnswer,
        // The answer of a proxy or a login page does not confirm a delivery.
        Fault::Redirect(302, "/login".to_owned()),
        Fault::Page("text/html; charset=utf-8", "<!doctype html><p>Who is it?"),
    ];
    let of_the_tracker =
        [Fault::Page("application/json", ""), Fault::Page("text/plain", "ok"), Fault::Status(401, None), Fault::Status(403, None)];
    let of_the_tracker = of_the_tracker.into_iter().filter(|_| !T::HAS_STORE);
    for fault in faults.into_iter().chain(of_the_tracker) {
        for before in 0.. {
            let what = format!("{fault:?} after {before} requests");
            let (folder, tracker) = (tempfile::tempdir().unwrap(), T::start());
            tracker.http().fail(std::iter::repeat_n(Fault::Slow(Duration::ZERO), before).chain([fault.clone()]));
            let mut logger = tracker.logger(folder.path(), PATIENT);
            log(&mut *logger, 0..4);
            logger.finalize(Status::Success).unwrap();
            let delivery = logger.delivery().unwrap();
            assert_eq!((delivery.spooled, delivery.refused), (0, 0), "{}: {what}", T::NAME);
            let is_met = tracker.http().faults_left() == 0;
            let doubles = T::DOUBLES && matches!(fault, Fault::CutAnswer);
            assert_complete(&tracker, 4, doubles, &what);
            if !is_met {
                assert!(before > 2, "{}: a run is more than {before} requests", T::NAME);
                break;
            }
        }
    }
}

fn a_server_that_is_slow_then_away_then_back_gets_everything<T: Tracker>() {
    let (folder, tracker) = (tempfile::tempdir().unwrap(), T::start());
    let mut logger = tracker.logger(folder.path(), PATIENT);
    tracker.http().fail(std::iter::repeat_n(Fault::Slow(Duration::from_millis(20)), 6));
    log(&mut *logger, 0..3);
    logger.finalize(Status::Success).unwrap();
    tracker.http().down();
    let before = tracker.http().turned_away();
    log(&mut *logger, 3..8);
    logger.save().unwrap();
    while tracker.http().turned_away() == before {
        std::thread::sleep(Duration::from_millis(1));
    }
    tracker.http().up();
    logger.finalize(Status::Success).unwrap();
    let delivery = logger.delivery().unwrap();
    assert_eq!((delivery.spooled, delivery.refused), (0, 0), "{}", T::NAME);
    assert_complete(&tracker, 8, false, "away and back");
    drop(logger);
    let spools = folder.path().join(".stormfire").join(T::NAME);
    assert_eq!(fs_err::read_dir(spools).unwrap().count(), 0, "{}: nothing is left", T::NAME);
}

const FOLDER: &str = "STORMFIRE_TEST_SYNC";

/// Not a test: the process that sends the spooled records of the tests. It gets its keys from the environment.
#[test]
#[ignore = "sends what waits in a folder"]
fn courier() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    for run in SpooledRun::find(folder).unwrap() {
        let outcome = run.deliver(PATIENT).map_or_else(|error| error.to_string(), |delivery| delivery.to_string());
        #[expect(clippy::print_stdout, reason = "the parent process reads it")]
        {
            println!("courier: {} {}: {outcome}", run.tracker(), run.records());
        }
    }
}

/// The output of the courier for each run.
fn send<T: Tracker>(folder: &Path) -> Vec<String> {
    let (variable, key) = T::KEY;
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg(format!("{}::courier", module_path!().split_once("::").unwrap().1))
        .env(FOLDER, folder)
        .env(variable, key)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| Some(line.split_once("courier: ")?.1.to_owned())).collect()
}

/// The sending thread may outlive its logger by one request. That request must fail before the server is back.
fn wait_for_the_end_of(spools: &Path) {
    for entry in fs_err::read_dir(spools).unwrap() {
        let spool = std::fs::File::open(entry.unwrap().path()).unwrap();
        while spool.try_lock().is_err() {
            std::thread::sleep(Duration::from_millis(1));
        }
        spool.unlock().unwrap();
    }
}

/// A whole run without a server, in a folder that is then moved.
fn undelivered_records_are_sent_later_in_order<T: Tracker>() {
    let (home, tracker) = (tempfile::tempdir().unwrap(), T::start());
    tracker.http().down();
    let folder = home.path().join("run");
    let mut logger = tracker.logger(&folder, Duration::ZERO);
    log(&mut *logger, 0..50);
    logger.finalize(Status::Success).unwrap();
    let records = logger.delivery().unwrap().spooled;
    assert!(records > 50, "{}: {records} records", T::NAME);
    // The process of the run sends its records itself.
    #[cfg(unix)]
    {
        let told = send::<T>(home.path());
        assert!(told.len() == 1 && told[0].ends_with("is in use by another process"), "{told:?}");
    }
    drop(logger);
    wait_for_the_end_of(&folder.join(".stormfire").join(T::NAME));
    let moved = home.path().join("of another machine");
    fs_err::rename(&folder, &moved).unwrap();
    tracker.http().up();
    let told = send::<T>(home.path());
    assert_eq!(told, [format!("{} {records}: {records} delivered, 0 spooled, 0 refused", T::NAME)]);
    assert_complete(&tracker, 50, false, "sent later");
    assert_eq!(fs_err::read_dir(moved.join(".stormfire").join(T::NAME)).unwrap().count(), 0, "{}: nothing is left", T::NAME);
    assert!(send::<T>(home.path()).is_empty());
}

/// The run is resumed from a checkpoint that was saved before the server had the run.
fn a_run_that_was_sent_later_can_still_be_continued<T: Tracker>() {
    let (folder, tracker) = (tempfile::tempdir().unwrap(), T::start());
    tracker.http().down();
    let mut killed = tracker.logger(folder.path(), Duration::ZERO);
    log(&mut *killed, 0..4);
    let position = killed.position().unwrap();
    log(&mut *killed, 4..8);
    killed.save().unwrap();
    drop(killed);
    let spools = folder.path().join(".stormfire").join(T::NAME);
    wait_for_the_end_of(&spools);
    tracker.http().up();
    assert_eq!(send::<T>(folder.path()).len(), 1);
    assert_eq!(fs_err::read_dir(&spools).unwrap().count(), 1, "{}: what a checkpoint may need stays", T::NAME);
    let mut continued = tracker.logger(folder.path(), PATIENT);
    continued.open().unwrap();
    continued.resume(position).unwrap();
    log(&mut *continued, 4..12);
    continued.finalize(Status::Success).unwrap();
    assert_complete(&tracker, 12, false, "continued");
}

/// Each request is redirected to another server once, in one run after the other.
fn another_server_gets_no_secret<T: Tracker>() {
    let login = base64::prelude::BASE64_STANDARD.encode(format!("api:{}", T::KEY.1));
    for before in 0.. {
        let (folder, tracker) = (tempfile::tempdir().unwrap(), T::start());
        let spy = TestServer::start(|_| (200, serde_json::json!({})));
        let lead = Fault::Redirect(307, format!("{}/there", spy.address));
        tracker.http().fail(std::iter::repeat_n(Fault::Slow(Duration::ZERO), before).chain([lead]));
        let mut logger = tracker.logger(folder.path(), PATIENT);
        log(&mut *logger, 0..4);
        logger.finalize(Status::Success).unwrap();
        for request in spy.received() {
            let text = format!("{request:?} {}", String::from_utf8_lossy(&request.body));
            assert!(!text.contains(T::KEY.1) && !text.contains(&login), "{}: {text}", T::NAME);
            assert_eq!(request.method, "PUT", "{}: only a file goes to a store", T::NAME);
        }
        let delivery = logger.delivery().unwrap();
        assert_eq!((delivery.spooled, delivery.refused), (0, 0), "{}: request {before}", T::NAME);
        if tracker.http().faults_left() > 0 {
            assert!(before > 2, "{}: a run is more than {before} requests", T::NAME);
            break;
        }
    }
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let (mut open, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs_err::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            found.push(path);
        }
    }
    found
}

/// Secrets in the address are not in any message or file. Other users cannot read spooled records. `sync` names the
/// missing key.
fn waiting_records_are_private_and_contain_no_secret<T: Tracker>() {
    let (folder, tracker) = (tempfile::tempdir().unwrap(), T::start());
    tracker.http().down();
    let host = tracker.http().address.strip_prefix("http://").unwrap();
    let mut logger = tracker.logger_at(&format!("http://me:pa55word@{host}/?token=q9query"), folder.path(), Duration::ZERO);
    log(&mut *logger, 0..4);
    let position = logger.position().unwrap();
    logger.finalize(Status::Success).unwrap();
    drop(logger);
    let spools = folder.path().join(".stormfire").join(T::NAME);
    wait_for_the_end_of(&spools);
    let [run] = &SpooledRun::find(folder.path()).unwrap()[..] else { panic!("{}: one run waits", T::NAME) };
    assert_eq!(run.server().trim_end_matches('/'), tracker.http().address, "{}", T::NAME);
    let error = run.deliver(Duration::ZERO).unwrap_err();
    assert!(matches!(error, crate::Error::Missing { .. }) && error.hint().is_some(), "{}: {error}", T::NAME);
    let mut texts = vec![format!("{run:?} {} {error} {position}", run.name())];
    let files = files(&spools);
    assert!(files.len() > 3, "{}: {files:?}", T::NAME);
    texts.extend(files.iter().map(|file| String::from_utf8_lossy(&fs_err::read(file).unwrap()).into_owned()));
    for secret in ["pa55word", "q9query", T::KEY.1] {
        assert!(texts.iter().all(|text| !text.contains(secret)), "{}: {texts:?}", T::NAME);
    }
    #[cfg(unix)]
    for path in files.iter().map(std::path::PathBuf::as_path).chain([run.folder()]) {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs_err::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {}", T::NAME, path.display());
    }
}

/// A damaged line is counted, kept, and reported until a user removes it.
fn a_damaged_line_is_never_passed_over_in_silence<T: Tracker>() {
    let (folder, tracker) = (tempfile::tempdir().unwrap(), T::start());
    tracker.http().down();
    let mut logger = tracker.logger(folder.path(), Duration::ZERO);
    log(&mut *logger, 0..20);
    logger.finalize(Status::Success).unwrap();
    let records = logger.delivery().unwrap().spooled;
    drop(logger);
    wait_for_the_end_of(&folder.path().join(".stormfire").join(T::NAME));
    let [run] = &SpooledRun::find(folder.path()).unwrap()[..] else { panic!("{}: one run waits", T::NAME) };
    let spool = run.folder().join("records-00000000000000000000.jsonl");
    let text = fs_err::read_to_string(&spool).unwrap();
    let loss = text.lines().rfind(|line| line.contains("loss")).unwrap().to_owned();
    fs_err::write(&spool, text.replace(&loss, &format!("#{}", &loss[1..]))).unwrap();
    tracker.http().up();
    let kept = run.folder().join("damaged.jsonl");
    let told = send::<T>(folder.path());
    let counted = format!("({} delivered, 0 spooled, 0 refused, 1 damaged)", records - 1);
    assert!(told.len() == 1 && told[0].ends_with(&counted) && told[0].contains(&*kept.to_string_lossy()), "{}: {told:?}", T::NAME);
    assert_eq!(fs_err::read_to_string(&kept).unwrap(), format!("#{}\n", &loss[1..]));
    // It is reported again after later deliveries.
    let told = send::<T>(folder.path());
    assert!(told.len() == 1 && told[0].ends_with("(0 delivered, 0 spooled, 0 refused, 1 damaged)"), "{}: {told:?}", T::NAME);
    assert_eq!(SpooledRun::find(folder.path()).unwrap()[0].damaged(), 1);
    fs_err::remove_file(kept).unwrap();
    assert!(send::<T>(folder.path()).is_empty(), "{}", T::NAME);
}

/// A name that no file system and no service accepts causes no error, and different names stay different.
fn odd_names_end_nothing<T: Tracker>() {
    let (folder, tracker) = (tempfile::tempdir().unwrap(), T::start());
    let mut logger = tracker.logger(folder.path(), PATIENT);
    log(&mut *logger, 0..3);
    for tag in [&*"x".repeat(300), &*format!("a.{}", "y".repeat(300)), "nul\u{0}", "..", "a/../../b", "", "acc>0.5", "acc<0.5"] {
        logger.log_metrics(&[(tag, 0.5)].into(), Some(2)).unwrap();
        logger.log_text(tag, &crate::Text::new("text"), Some(2)).unwrap();
        let params = crate::Hyperparams::from_serialize(&std::collections::BTreeMap::from([(tag, 1)])).unwrap();
        logger.log_hyperparams(&params, &crate::Metrics::new()).unwrap();
        logger.log_table(tag, &crate::Table::new(["a"]).row([1.into()]).unwrap(), Some(2)).unwrap();
        logger.save().unwrap();
    }
    logger.finalize(Status::Success).unwrap();
    let delivery = logger.delivery().unwrap();
    assert_eq!((delivery.spooled, delivery.refused), (0, 0), "{}", T::NAME);
    assert_complete(&tracker, 3, false, "odd names");
}

macro_rules! tracker {
    ($name:ident: $tracker:ty) => {
        mod $name {
            #[test]
            fn every_fault_at_every_request() {
                super::every_fault_at_every_request::<$tracker>();
            }

            #[test]
            fn a_server_that_is_slow_then_away_then_back_gets_everything() {
                super::a_server_that_is_slow_then_away_then_back_gets_everything::<$tracker>();
            }

            #[test]
            fn undelivered_records_are_sent_later_in_order() {
                super::undelivered_records_are_sent_later_in_order::<$tracker>();
            }

            #[test]
            fn a_run_that_was_sent_later_can_still_be_continued() {
                super::a_run_that_was_sent_later_can_still_be_continued::<$tracker>();
            }

            #[test]
            fn another_server_gets_no_secret() {
                super::another_server_gets_no_secret::<$tracker>();
            }

            #[test]
            fn waiting_records_are_private_and_contain_no_secret() {
                super::waiting_records_are_private_and_contain_no_secret::<$tracker>();
            }

            #[test]
            fn a_damaged_line_is_never_passed_over_in_silence() {
                super::a_damaged_line_is_never_passed_over_in_silence::<$tracker>();
            }

            #[test]
            fn odd_names_end_nothing() {
                super::odd_names_end_nothing::<$tracker>();
            }
        }
    };
}

#[cfg(feature = "comet")]
tracker!(of_comet: crate::trackers::comet::tests::Comet);
#[cfg(feature = "mlflow")]
tracker!(of_mlflow: crate::trackers::mlflow::fake::Fake);
#[cfg(feature = "trackio")]
tracker!(of_trackio: crate::trackers::trackio::tests::Server);
#[cfg(feature = "wandb")]
tracker!(of_wandb: crate::trackers::wandb::tests::server::Wandb);
