use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Deserialize;

use super::*;

mod bounds;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Number {
    value: u64,
    kept: Option<PathBuf>,
}

impl Record for Number {
    fn files(&mut self) -> Vec<&mut PathBuf> {
        self.kept.iter_mut().collect()
    }

    fn is_last(&self) -> bool {
        self.value == LAST
    }
}

/// The record with the status of the run.
const LAST: u64 = 1000;

fn number(value: u64) -> Number {
    Number { value, kept: None }
}

#[derive(Clone, Default)]
struct Server {
    got: Arc<Mutex<Vec<u64>>>,
    /// Number of failing attempts before a success.
    failures: Arc<AtomicUsize>,
    down: Arc<std::sync::atomic::AtomicBool>,
    beats: Arc<AtomicUsize>,
}

impl Server {
    fn got(&self) -> Vec<u64> {
        self.got.lock().unwrap().clone()
    }
}

impl Server {
    /// The server is reachable again, except for the thread of an earlier process, which may be late.
    fn of_the_next_process(&self) -> Self {
        Self { down: Arc::default(), ..self.clone() }
    }
}

impl Carrier<Number> for Server {
    fn deliver(&mut self, records: &[Number]) -> Result<usize, Failure> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Failure::retry("connection refused"));
        }
        if self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(Failure::Retry { after: Some(Duration::from_millis(2)), reason: "status 429".to_owned() });
        }
        if records[0].value == 13 {
            return Err(Failure::refused("13 is refused"));
        }
        let taken = records.iter().take_while(|record| record.value != 13).take(3);
        let before = self.got.lock().unwrap().len();
        self.got.lock().unwrap().extend(taken.map(|record| record.value));
        Ok(self.got.lock().unwrap().len() - before)
    }

    fn idle(&mut self) -> Result<(), Failure> {
        match self.beats.fetch_add(1, Ordering::SeqCst) {
            0 => Err(Failure::retry("connection refused")),
            1 => panic!("a carrier that is wrong"),
            _ => Ok(()),
        }
    }
}

fn sending() -> Sending {
    // A reachable server answers in this time, even on a slow machine.
    Sending { linger: Duration::ZERO, patience: Duration::from_hours(1).into(), max_records: 5, ..Sending::new("test") }
}

/// Waits only until the server is found to be unreachable.
fn give_up(outbox: &mut Outbox<Number>) -> Result<Delivery> {
    outbox.flush()?;
    while outbox.shared.trouble().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    outbox.sending.patience = Duration::ZERO.into();
    outbox.settle()
}

fn open(folder: &Path, server: &Server) -> Outbox<Number> {
    Outbox::open(folder.join("spool"), server.clone(), sending()).unwrap()
}

fn push(outbox: &mut Outbox<Number>, values: std::ops::Range<u64>) {
    for value in values {
        outbox.push(&number(value)).unwrap();
    }
}

#[test]
fn everything_arrives_in_order_what_is_refused_is_counted_and_the_spool_vanishes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::default();
    server.failures.store(2, Ordering::SeqCst);
    let mut outbox = open(folder.path(), &server);
    push(&mut outbox, 0..20);
    let delivery = outbox.settle().unwrap();
    assert_eq!((delivery.delivered, delivery.spooled, delivery.refused), (19, 0, 1));
    assert_eq!(server.got(), (0..20).filter(|value| *value != 13).collect::<Vec<_>>());
    drop(outbox);
    assert!(!folder.path().join("spool").exists());
}

#[test]
fn the_server_hears_of_the_run_between_deliveries_also_after_failures() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::default();
    let sending = Sending { idle_every: Some(Duration::from_millis(1)), ..sending() };
    let mut outbox = Outbox::open(folder.path().join("spool"), server.clone(), sending).unwrap();
    push(&mut outbox, 0..2);
    outbox.flush().unwrap();
    while server.beats.load(Ordering::SeqCst) < 5 {
        std::thread::sleep(Duration::from_millis(1));
    }
    push(&mut outbox, 2..4);
    assert_eq!(outbox.settle().unwrap().delivered, 4);
    assert_eq!(server.got(), [0, 1, 2, 3]);
}

#[test]
fn the_next_process_sends_records_that_an_unreachable_server_did_not_get() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::default();
    let mut outbox = open(folder.path(), &server);
    push(&mut outbox, 0..4);
    outbox.settle().unwrap();
    server.down.store(true, Ordering::SeqCst);
    push(&mut outbox, 4..9);
    let delivery = give_up(&mut outbox).unwrap();
    assert_eq!((delivery.delivered, delivery.spooled), (4, 5));
    drop(outbox);

    // A kill in the middle of a line.
    let file = fs_err::read_dir(folder.path().join("spool")).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        path.extension().is_some_and(|extension| extension == "jsonl").then_some(path)
    });
    let mut torn = fs_err::OpenOptions::new().append(true).open(file.unwrap()).unwrap();
    std::io::Write::write_all(&mut torn, b"{\"value\":77").unwrap();

    let mut outbox = open(folder.path(), &server.of_the_next_process());
    push(&mut outbox, 9..12);
    let delivery = outbox.settle().unwrap();
    assert_eq!((delivery.delivered, delivery.spooled), (8, 0));
    assert_eq!(server.got(), (0..12).collect::<Vec<_>>());
}

#[test]
fn strictness_turns_a_refusal_and_a_dead_server_into_errors() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::default();
    let mut outbox = Outbox::open(folder.path().join("spool"), server.clone(), Sending { strict: true, ..sending() }).unwrap();
    push(&mut outbox, 12..15);
    let error = outbox.settle().unwrap_err();
    assert_eq!(error.to_string(), "logger `test`: 13 is refused (2 delivered, 0 spooled, 1 refused)");
    server.down.store(true, Ordering::SeqCst);
    push(&mut outbox, 15..17);
    let error = give_up(&mut outbox).unwrap_err();
    assert_eq!(error.to_string(), "logger `test`: connection refused (2 delivered, 2 spooled, 1 refused)");
    assert!(error.hint().is_some());
}

#[test]
fn a_continued_run_learns_what_was_delivered_and_drops_what_was_not() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::default();
    let mut outbox = open(folder.path(), &server);
    push(&mut outbox, 0..3);
    let position = outbox.position().unwrap();
    push(&mut outbox, 3..5);
    outbox.settle().unwrap();
    server.down.store(true, Ordering::SeqCst);
    push(&mut outbox, 5..8);
    give_up(&mut outbox).unwrap();
    drop(outbox);

    let mut outbox = open(folder.path(), &server.of_the_next_process());
    let delivered = outbox.rewind(position).unwrap();
    assert_eq!(delivered, [number(3), number(4)]);
    assert_eq!(outbox.delivery().spooled, 0);
    push(&mut outbox, 5..7);
    outbox.settle().unwrap();
    assert_eq!(server.got(), (0..7).collect::<Vec<_>>());
}

#[test]
fn long_runs_keep_only_what_is_needed_and_kept_files_go_with_their_records() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::default();
    let mut outbox = Outbox::open(folder.path().join("spool"), server.clone(), Sending { max_bytes: u64::MAX, ..sending() }).unwrap();
    let kept = outbox.keep("picture.png", b"bytes").unwrap();
    let path = outbox.folder().join(&kept);
    assert!(path.exists());
    outbox.push(&Number { value: 0, kept: Some(kept) }).unwrap();
    outbox.settle().unwrap();
    assert!(!path.exists());
    let long = PathBuf::from("x".repeat(1 << 20));
    for value in 1..60 {
        outbox.push(&Number { value: if value == 13 { 99 } else { value }, kept: Some(long.clone()) }).unwrap();
        outbox.flush().unwrap();
    }
    outbox.settle().unwrap();
    outbox.flush().unwrap();
    let segments = fs_err::read_dir(outbox.folder()).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_file()).count();
    assert!(segments <= 2, "{segments} files, the note of what was delivered among them");
    assert_eq!(server.got().len(), 60);
}

#[test]
fn a_kept_file_outlives_the_one_it_was_made_of() {
    let folder = tempfile::tempdir().unwrap();
    let mut outbox = open(&folder.path().join("spool"), &Server::default());
    let checkpoint = folder.path().join("a.ckpt");
    fs_err::write(&checkpoint, "weights").unwrap();
    let by_link = folder.path().join("last.ckpt");
    #[cfg(unix)]
    std::os::unix::fs::symlink("a.ckpt", &by_link).unwrap();
    #[cfg(not(unix))]
    fs_err::copy(&checkpoint, &by_link).unwrap();
    let kept = [outbox.keep_file(&checkpoint).unwrap(), outbox.keep_file(&by_link).unwrap(), outbox.keep("b.ckpt", b"bytes").unwrap()]
        .map(|name| outbox.folder().join(name));
    fs_err::remove_file(&checkpoint).unwrap();
    fs_err::write(&checkpoint, "of a later run").unwrap();
    assert_eq!(kept.each_ref().map(|path| fs_err::read_to_string(path).unwrap()), ["weights", "weights", "bytes"]);
    assert!(kept.iter().all(|path| path.extension().is_some_and(|extension| extension == "ckpt")));
    assert!(outbox.keep_file(&folder.path().join("missing.ckpt")).is_err());
}

#[test]
fn as_much_waits_as_may_and_what_is_left_out_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::default();
    server.down.store(true, Ordering::SeqCst);
    let limited = |limit| Sending { limit, ..sending() };
    let mut outbox = Outbox::open(folder.path().join("spool"), server.clone(), limited(200)).unwrap();
    push(&mut outbox, 0..12);
    let kept = outbox.keep("a.png", &[0; 100]).unwrap();
    outbox.push(&Number { value: 20, kept: Some(kept.clone()) }).unwrap();
    assert!(!outbox.folder().join(kept).exists());
    let delivery = give_up(&mut outbox).unwrap();
    let taken = delivery.spooled;
    assert!((4..12).contains(&taken) && delivery.refused == 13 - taken, "{delivery}");
    // Files kept before also count, even in another process.
    drop(outbox);
    let mut outbox = Outbox::open(folder.path().join("spool"), server.of_the_next_process(), limited(100)).unwrap();
    push(&mut outbox, 12..13);
    assert_eq!(outbox.delivery().refused, 1);
    // The status of the run is kept regardless of the limit.
    outbox.push(&number(LAST)).unwrap();
    // There is space again after the delivery.
    outbox.settle().unwrap();
    push(&mut outbox, 14..15);
    let delivery = outbox.settle().unwrap();
    assert_eq!((delivery.delivered, delivery.refused), (taken + 2, 1));
    assert_eq!(server.got(), (0..taken).chain([LAST, 14]).collect::<Vec<_>>());
    drop(outbox);
    let mut strict = Outbox::open(folder.path().join("spool"), server, Sending { limit: 0, strict: true, ..sending() }).unwrap();
    let error = strict.push(&number(1)).unwrap_err();
    insta::assert_snapshot!(error.to_string().replace(&folder.path().display().to_string(), "[folder]"), @"logger `test`: 0 bytes are waiting for the server in `[folder]/spool`, which is the limit (0 delivered, 0 spooled, 1 refused)");
}

#[test]
fn a_rewind_removes_the_files_of_dropped_records() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::default();
    server.down.store(true, Ordering::SeqCst);
    let mut outbox = open(folder.path(), &server);
    push(&mut outbox, 0..1);
    let position = outbox.position().unwrap();
    let kept = outbox.keep("a.png", &[0; 100]).unwrap();
    outbox.push(&Number { value: 1, kept: Some(kept.clone()) }).unwrap();
    give_up(&mut outbox).unwrap();
    drop(outbox);
    let mut outbox = open(folder.path(), &server.of_the_next_process());
    let kept = outbox.folder().join(kept);
    assert!(kept.exists());
    outbox.rewind(position).unwrap();
    assert!(!kept.exists());
}

#[test]
fn missing_and_damaged_records_of_a_spool_are_counted_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::default();
    server.down.store(true, Ordering::SeqCst);
    let mut outbox = open(folder.path(), &server);
    push(&mut outbox, 0..3);
    let position = outbox.position().unwrap();
    push(&mut outbox, 3..6);
    give_up(&mut outbox).unwrap();
    drop(outbox);
    let spool = folder.path().join("spool");
    let records = spool.join("records-00000000000000000000.jsonl");
    let text = fs_err::read_to_string(&records).unwrap().replace("{\"value\":1,", "{\"val\u{0}e\":1,");
    fs_err::write(&records, text).unwrap();
    // A resumed run sends the rest, and keeps its records.
    let mut outbox = open(folder.path(), &server.of_the_next_process());
    outbox.rewind(position).unwrap();
    push(&mut outbox, 3..6);
    let delivery = outbox.settle().unwrap();
    assert_eq!((delivery.delivered, delivery.spooled, delivery.damaged), (5, 0, 1));
    assert_eq!(server.got(), [0, 2, 3, 4, 5]);
    drop(outbox);
    let next = server.of_the_next_process();
    let mut outbox = Outbox::open(&spool, next, Sending { strict: true, ..sending() }).unwrap();
    let error = outbox.settle().unwrap_err().to_string();
    insta::assert_snapshot!(error.replace(&folder.path().display().to_string(), "[folder]"), @"logger `test`: 1 lines of the spool are damaged and were not sent; they are kept in `[folder]/spool/damaged.jsonl` (0 delivered, 0 spooled, 0 refused, 1 damaged)");
    drop(outbox);
    fs_err::remove_file(spool.join("damaged.jsonl")).unwrap();
    // A missing file before an existing one.
    fs_err::remove_file(&records).unwrap();
    fs_err::write(spool.join(format!("records-{:020}.jsonl", 1_000_000)), "{\"value\":9,\"kept\":null}\n").unwrap();
    let mut outbox = open(folder.path(), &server.of_the_next_process());
    let delivery = outbox.settle().unwrap();
    assert_eq!((delivery.delivered, delivery.damaged), (1, 1));
    assert!(fs_err::read_to_string(spool.join("damaged.jsonl")).unwrap().contains("of the spool are missing"));
}

mod over_http {
    use serde_json::json;

    use super::*;
    use crate::Secret;
    use crate::network::http::{Auth, Client};
    use crate::network::test_server::{Fault, TestServer};

    struct Poster(Client);

    impl Carrier<Number> for Poster {
        fn deliver(&mut self, records: &[Number]) -> Result<usize, Failure> {
            self.0.post_json("numbers", &json!({"first": records[0].value, "last": records[records.len() - 1].value}))?;
            Ok(records.len())
        }
    }

    #[test]
    fn every_fault_of_a_server_is_waited_out() {
        let folder = tempfile::tempdir().unwrap();
        let server = TestServer::start(|_| (200, json!({})));
        server.fail([
            Fault::Status(429, Some("0")),
            Fault::HangUp,
            Fault::Status(500, None),
            Fault::CutAnswer,
            Fault::Slow(Duration::from_millis(50)),
        ]);
        let client = Client::new(&server.address, Auth::Bearer(Secret::new("token-1")));
        let sending = Sending { linger: Duration::ZERO, patience: Duration::from_hours(1).into(), ..Sending::new("test") };
        let mut outbox = Outbox::open(folder.path().join("spool"), Poster(client), sending).unwrap();
        push(&mut outbox, 0..5);
        let delivery = outbox.settle().unwrap();
        assert_eq!((delivery.delivered, delivery.spooled, delivery.refused), (5, 0, 0));
        let received = server.received();
        assert_eq!(received.last().unwrap().json(), json!({"first": 0, "last": 4}));
        assert_eq!(received[0].header("authorization"), Some("Bearer token-1"));
    }
}

/// The run of a spool and its destination.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct To(u64);

impl Route for To {
    fn run(&self) -> String {
        String::new()
    }

    fn server(&self) -> String {
        String::new()
    }

    fn deliver(self, _folder: &Path, _patience: Duration) -> Result<Delivery> {
        Ok(Delivery::default())
    }
}

#[test]
fn a_spool_that_is_removed_under_the_run_comes_back_with_all_that_the_next_process_needs() {
    for (removed, held) in [(None, true), (None, false), (Some("run.json"), true)] {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::default();
        let mut outbox = open(folder.path(), &server);
        To(1).save(outbox.folder()).unwrap();
        push(&mut outbox, 0..3);
        outbox.settle().unwrap();
        let position = if held { Some(outbox.position().unwrap()) } else { None };
        // A sender may learn something later.
        To(2).save(outbox.folder()).unwrap();
        outbox.flush().unwrap();
        server.down.store(true, Ordering::SeqCst);
        let spool = outbox.folder().to_owned();
        match removed {
            Some(file) => std::fs::remove_file(spool.join(file)).unwrap(),
            None => std::fs::remove_dir_all(&spool).unwrap(),
        }
        push(&mut outbox, 3..5);
        outbox.flush().unwrap();
        assert_eq!(To::load(&spool).unwrap(), To(2), "{removed:?}");
        if removed.is_none() {
            let other = std::fs::File::open(&spool).unwrap();
            assert!(other.try_lock().is_err(), "another process could send the same records");
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&spool).unwrap().permissions().mode() & 0o777, 0o700, "{removed:?}");
        }
        // The process is killed. The next one sends the waiting records, and none twice.
        std::mem::forget(outbox);
        assert_eq!(spool::waiting(&spool).unwrap().0, 2, "{removed:?}");
        assert_eq!(spool::noted(&spool, HELD), position, "{removed:?}");
    }
}
