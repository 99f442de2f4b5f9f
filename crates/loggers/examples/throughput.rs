//! Measures the speed and the memory of recording values:
//! `cargo run --release -p stormfire-loggers --example throughput`.
//!
//! With the name of a case and a number of values as arguments, it measures this case and prints JSON, for `cargo xtask
//! bench`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stormfire_loggers::{Background, CsvLogger, Error, Logger, Metrics, Result, Status, TensorBoardLogger};

const COUNT: u64 = 1_000_000;

/// Records this number of values below a folder.
type Work = fn(&Path, u64) -> Result<()>;

const CASES: [(&str, Work); 7] = [
    ("tensorboard", |folder, count| scalars(here(TensorBoardLogger::new(folder)), count, 1)),
    ("tensorboard-10-a-call", |folder, count| scalars(here(TensorBoardLogger::new(folder)), count, 10)),
    ("tensorboard-background", |folder, count| scalars(background(TensorBoardLogger::new(folder))?, count, 1)),
    ("tensorboard-background-10-a-call", |folder, count| scalars(background(TensorBoardLogger::new(folder))?, count, 10)),
    ("csv", |folder, count| rows(here(CsvLogger::new(folder)), count, 0)),
    ("csv-late", |folder, count| rows(here(CsvLogger::new(folder)), count, 100)),
    ("csv-background", |folder, count| rows(background(CsvLogger::new(folder))?, count, 0)),
];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [name, count] = &arguments[..] {
        let (_, work) = CASES.iter().find(|(known, _)| known == name).ok_or_else(|| Error::other("no such case"))?;
        let count = count.parse().map_err(Error::other)?;
        let (seconds, cpu) = measure(*work, count)?;
        report(&format!(r#"{{"seconds": {seconds}, "cpu": {cpu}, "peak_kib": {}}}"#, peak_kib()));
        return Ok(());
    }
    for (name, work) in CASES {
        let (seconds, cpu) = measure(work, COUNT)?;
        let millions = COUNT as f64 / 1e6;
        report(&format!(
            "{name}: {:.2} million per second, {:.2} million per CPU second of all threads",
            millions / seconds,
            millions / cpu
        ));
    }
    report(&format!("one submit of a burst: {} ns; peak memory of all {} KiB", submit()?, peak_kib()));
    Ok(())
}

fn here(logger: impl Logger) -> Record {
    Record::Here(Box::new(logger))
}

fn background(logger: impl Logger) -> Result<Record> {
    Ok(Record::Background(Background::spawn(Box::new(logger))?))
}

/// A logger on this thread or on a separate one.
enum Record {
    Here(Box<dyn Logger>),
    Background(Background),
}

impl Record {
    fn record(&mut self, metrics: Metrics, step: u64) -> Result<()> {
        match self {
            Self::Here(logger) => logger.log_metrics(&metrics, Some(step)),
            Self::Background(logger) => logger.log_metrics(metrics, Some(step)),
        }
    }

    fn end(self) -> Result<()> {
        match self {
            Self::Here(mut logger) => logger.finalize(Status::Success),
            Self::Background(logger) => logger.finalize(Status::Success),
        }
    }
}

fn names() -> [Arc<str>; 10] {
    ["train_loss", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(Arc::from)
}

fn metrics(names: &[Arc<str>], step: u64, count: usize) -> Metrics {
    names.iter().take(count).map(|name| (Arc::clone(name), f64::from(1.0 / (step + 1) as f32))).collect()
}

fn scalars(mut logger: Record, count: u64, per_call: u64) -> Result<()> {
    let names = names();
    for step in 0..count / per_call {
        logger.record(metrics(&names, step, per_call as usize), step)?;
    }
    logger.end()
}

/// Rows of two columns, and a table whose columns appear one after the other.
fn rows(mut logger: Record, count: u64, late: u64) -> Result<()> {
    let names = names();
    for step in 0..count {
        logger.record(metrics(&names, step, 2), step)?;
        if late > 0 && step % (count / late) == count / late / 2 {
            logger.record([(format!("late_{step}"), 0.5)].into(), step)?;
        }
    }
    logger.end()
}

/// Elapsed seconds, and CPU seconds of all threads.
fn measure(work: Work, count: u64) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let (start, cpu) = (Instant::now(), cpu_seconds());
    work(folder.path(), count)?;
    Ok((start.elapsed().as_secs_f64(), cpu_seconds() - cpu))
}

/// The cost for a training loop in nanoseconds, for bursts that fit into the queue.
fn submit() -> Result<u128> {
    let folder = tempfile::tempdir()?;
    let names = names();
    let logger = Background::spawn(Box::new(TensorBoardLogger::new(folder.path())))?;
    let (bursts, burst) = (200_u64, 400_u64);
    let mut spent = Duration::ZERO;
    for step in 0..bursts {
        let prepared: Vec<Metrics> = (0..burst).map(|_| metrics(&names, step, 2)).collect();
        let start = Instant::now();
        for metrics in prepared {
            logger.log_metrics(metrics, Some(step))?;
        }
        spent += start.elapsed();
        logger.flush()?;
    }
    Ok(spent.as_nanos() / u128::from(bursts * burst))
}

/// The peak memory of this process in KiB. 0 without Linux's `/proc`.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).and_then(|peak| peak.split_whitespace().next());
    peak.and_then(|peak| peak.parse().ok()).unwrap_or(0)
}

/// The CPU time of all threads, which hardly depends on the load of the machine. NaN without Linux's `/proc`.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|ticks| ticks.parse().ok()).collect();
    if ticks.len() == 2 { ticks.iter().sum::<f64>() / 100.0 } else { f64::NAN }
}

#[expect(clippy::print_stdout, reason = "an example's output")]
fn report(line: &str) {
    println!("{line}");
}
