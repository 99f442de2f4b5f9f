//! Measures how fast values are recorded, and with how much memory: `cargo run --release -p stormfire-loggers --example throughput`.

use std::sync::Arc;
use std::time::Instant;

use stormfire_loggers::{Background, CsvLogger, Logger, Metrics, Result, Status, TensorBoardLogger};

const SCALARS: u64 = 4_000_000;
const ROWS: u64 = 1_000_000;

fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let names = ["train_loss", "b", "c", "d", "e", "f", "g", "h", "i", "j"].map(Arc::<str>::from);
    let metrics = |step: u64, count: usize| -> Metrics {
        names.iter().take(count).map(|name| (Arc::clone(name), f64::from(1.0 / (step + 1) as f32))).collect()
    };

    for per_call in [1, 10] {
        let mut logger = TensorBoardLogger::new(folder.path());
        let calls = SCALARS / per_call as u64;
        measure(&format!("TensorBoard, {per_call} a call"), "scalars", SCALARS, || {
            for step in 0..calls {
                logger.log_metrics(&metrics(step, per_call), Some(step))?;
            }
            logger.finalize(Status::Success)
        })?;
        let logger = Background::spawn(Box::new(TensorBoardLogger::new(folder.path())))?;
        measure(&format!("TensorBoard in the background, {per_call} a call"), "scalars", SCALARS, || {
            for step in 0..calls {
                logger.log_metrics(metrics(step, per_call), Some(step))?;
            }
            logger.finalize(Status::Success)
        })?;
    }

    for (what, late) in [("CSV, 2 columns", 0), ("CSV, 2 columns and 100 late ones", 100)] {
        let mut logger = CsvLogger::new(folder.path());
        measure(what, "rows", ROWS, || {
            for step in 0..ROWS {
                logger.log_metrics(&metrics(step, 2), Some(step))?;
                if late > 0 && step % (ROWS / late) == ROWS / late / 2 {
                    logger.log_metrics(&[(format!("late_{step}"), 0.5)].into(), Some(step))?;
                }
            }
            logger.finalize(Status::Success)
        })?;
    }
    let logger = Background::spawn(Box::new(CsvLogger::new(folder.path())))?;
    measure("CSV in the background, 2 columns", "rows", ROWS, || {
        for step in 0..ROWS {
            logger.log_metrics(metrics(step, 2), Some(step))?;
        }
        logger.finalize(Status::Success)
    })?;

    // What a training loop pays: bursts that fit into the queue.
    let logger = Background::spawn(Box::new(TensorBoardLogger::new(folder.path())))?;
    let (bursts, burst) = (200_u64, 400_u64);
    let mut spent = std::time::Duration::ZERO;
    for step in 0..bursts {
        let prepared: Vec<Metrics> = (0..burst).map(|_| metrics(step, 2)).collect();
        let start = Instant::now();
        for metrics in prepared {
            logger.log_metrics(metrics, Some(step))?;
        }
        spent += start.elapsed();
        logger.flush()?;
    }
    report(&format!("one submit of a burst: {} ns", spent.as_nanos() / u128::from(bursts * burst)));
    Ok(())
}

fn measure(what: &str, unit: &str, count: u64, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let (start, cpu) = (Instant::now(), cpu_seconds());
    work()?;
    let (seconds, cpu) = (start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:")).map_or("?", str::trim).to_owned();
    let millions = count as f64 / 1e6;
    report(&format!("{what}: {:.2} million {unit} per second", millions / seconds));
    report(&format!("    {:.2} million per CPU second of all threads, peak memory so far {peak}", millions / cpu));
    Ok(())
}

/// What all threads have used, which a busy machine changes little. NaN where Linux's `/proc` is missing.
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
