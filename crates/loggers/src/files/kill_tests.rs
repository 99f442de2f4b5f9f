//! A killed process leaves readable files.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use crate::files::tensorboard::record::{self, HEADER};
use crate::for_trainer::PendingPosition;
use crate::{Background, CsvLogger, Logger, Metrics, Result, RunDir, TensorBoardLogger, Value};

const FOLDER: &str = "STORMFIRE_TEST_FOLDER";
const POSITION: &str = "position ";
const PAUSE: &str = "STORMFIRE_TEST_PAUSE_US";

/// Not a test: the process that the tests kill.
#[test]
#[ignore = "logs until it is killed"]
fn victim() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let pause = Duration::from_micros(std::env::var(PAUSE).unwrap().parse().unwrap());
    log_forever(&folder, pause).unwrap();
}

fn log_forever(folder: &str, pause: Duration) -> Result<()> {
    let run = RunDir::new(folder);
    let loggers =
        [Background::spawn(Box::new(TensorBoardLogger::in_dir(run.clone())))?, Background::spawn(Box::new(CsvLogger::in_dir(run)))?];
    for step in 0.. {
        let mut metrics = Metrics::from([("loss", 0.123_456_789), ("seventh", (step % 7) as f64 * 1e9)]);
        if step % 100 == 0 {
            metrics.insert(format!("late_{}", step / 1000), step as f64);
        }
        for logger in &loggers {
            logger.log_metrics(metrics.clone(), Some(step))?;
            // Extends the row that may already be on the disk.
            logger.log_metrics([("again", step as f64)].into(), Some(step))?;
        }
        #[expect(clippy::print_stdout, reason = "the test that kills this process listens")]
        match step % 100 {
            0 => println!("logged {step}"),
            50 => {
                let positions = loggers.each_ref().map(Background::position).map(PendingPosition::wait);
                let positions = positions.into_iter().collect::<Result<Vec<_>>>()?;
                println!("{POSITION}{}", serde_json::json!([step, positions]));
            }
            _ => {}
        }
        sleep(pause);
    }
    Ok(())
}

fn start(folder: &Path, pause: Duration) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture"])
        .arg(format!("{}::victim", module_path!().split_once("::").unwrap().1))
        .env(FOLDER, folder)
        .env(PAUSE, pause.as_micros().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Complete rows of the table, and complete records of the event file.
fn inspect(folder: &Path) -> (usize, usize) {
    let run = folder.join("lightning_logs/version_0");
    let table = fs_err::read_to_string(run.join("metrics.csv")).unwrap();
    // The kernel may have been interrupted in the last write. Every reader ignores an incomplete line.
    let complete = table.rfind('\n').map_or(0, |end| end + 1);
    let mut reader = ::csv::ReaderBuilder::new().flexible(true).from_reader(&table.as_bytes()[..complete]);
    let header = reader.headers().unwrap().clone();
    let again = header.iter().position(|name| name == "again");
    let mut rows = 0;
    for record in reader.records() {
        let record = record.unwrap();
        assert!(record.len() <= header.len(), "{record:?}");
        assert_eq!(record[0], rows.to_string());
        let again = again.map_or("", |place| &record[place]);
        assert!(again == &record[0] || again.is_empty());
        rows += 1;
    }
    let events = fs_err::read_dir(&run).unwrap().map(|entry| entry.unwrap().path());
    let events = events.filter(|path| path.to_string_lossy().contains("tfevents")).min().unwrap();
    let file = fs_err::read(events).unwrap();
    let (mut rest, mut records) = (&file[..], 0);
    while rest.len() >= HEADER {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(rest[8..HEADER], record::masked_crc(&rest[..8]).to_le_bytes());
        // The kernel may have been interrupted in the last write. Every reader ignores an incomplete end.
        let Some(checksum) = rest.get(HEADER + length..HEADER + length + 4) else { break };
        assert_eq!(checksum, record::masked_crc(&rest[HEADER..HEADER + length]).to_le_bytes());
        rest = &rest[HEADER + length + 4..];
        records += 1;
    }
    (rows, records)
}

#[test]
fn a_kill_at_any_moment_leaves_readable_files() {
    for attempt in 0..10 {
        let folder = tempfile::tempdir().unwrap();
        let mut victim = start(folder.path(), Duration::ZERO);
        let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut positions = Vec::new();
        let mut heard = |line: String| positions.extend(line.strip_prefix(POSITION).map(str::to_owned));
        lines.by_ref().map(Result::unwrap).take_while(|line| line != "logged 1000").for_each(&mut heard);
        sleep(Duration::from_millis(7 * attempt));
        victim.kill().unwrap();
        victim.wait().unwrap();
        inspect(folder.path());

        lines.map(Result::unwrap).for_each(heard);
        // The oldest position is before a column of the table. The last one may be an incomplete line.
        for position in [positions.first(), positions.iter().rfind(|position| position.ends_with(']'))] {
            let (step, [tensorboard, csv]): (usize, [Value; 2]) = serde_json::from_str(position.unwrap()).unwrap();
            let folder = copied(folder.path());
            let run = RunDir::new(folder.path()).resume("version_0").unwrap();
            TensorBoardLogger::in_dir(run.clone()).resume(tensorboard).unwrap();
            CsvLogger::in_dir(run).resume(csv).unwrap();
            // One record contains the version, and each step has two.
            assert_eq!(inspect(folder.path()), (step + 1, 1 + 2 * (step + 1)));
        }
    }
}

fn copied(folder: &Path) -> tempfile::TempDir {
    let (copy, run) = (tempfile::tempdir().unwrap(), Path::new("lightning_logs/version_0"));
    fs_err::create_dir_all(copy.path().join(run)).unwrap();
    for entry in fs_err::read_dir(folder.join(run)).unwrap() {
        let entry = entry.unwrap();
        fs_err::copy(entry.path(), copy.path().join(run).join(entry.file_name())).unwrap();
    }
    copy
}

#[test]
fn recent_values_are_on_disk_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut victim = start(folder.path(), Duration::from_millis(1));
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let logging = lines.find(|line| line.as_ref().unwrap() == "logged 300");
    assert!(logging.is_some());
    // Much longer than the writer needs, so that a busy machine does not matter.
    sleep(Duration::from_secs(2));
    victim.kill().unwrap();
    victim.wait().unwrap();
    let (rows, records) = inspect(folder.path());
    assert!(rows >= 300 && records >= 600, "{rows} rows, {records} records");
}
