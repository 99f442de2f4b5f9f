//! Writes a million rows as CSV and as lines of JSON, with columns that appear late, by the loggers of two processes:
//! `csv_million FOLDER`. Prints the growth of the memory after the first hundredth of the rows.

use std::path::Path;

use stormfire_loggers::{CsvLogger, Error, Logger, Metrics, Result, RunDir, Status};

const ROWS: u64 = 1_000_000;
const LATE: u64 = 50;

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).ok_or_else(|| Error::other("usage: csv_million FOLDER"))?;
    let open = |run: RunDir| CsvLogger::in_dir(run).jsonl(true);
    let run = || RunDir::new(Path::new(&folder)).with_name("");
    let mut logger = open(run().with_version("run"));
    log(&mut logger, 0..ROWS / 100)?;
    logger.save()?;
    let before = peak_memory();
    log(&mut logger, ROWS / 100..ROWS / 2)?;
    let position = logger.position()?;
    // These values are logged again.
    log(&mut logger, ROWS / 2..ROWS / 2 + 10_000)?;
    drop(logger);
    let mut logger = open(run().resume("run")?);
    logger.resume(position)?;
    log(&mut logger, ROWS / 2..ROWS)?;
    logger.finalize(Status::Success)?;
    let growth = before.zip(peak_memory()).map(|(before, after)| after - before);
    #[expect(clippy::print_stdout, reason = "the checking program reads it")]
    {
        println!("{}", growth.map_or_else(|| "unknown".to_owned(), |growth| growth.to_string()));
    }
    Ok(())
}

fn log(logger: &mut CsvLogger, steps: std::ops::Range<u64>) -> Result<()> {
    for step in steps {
        logger.log_metrics(&[("loss", 1.0 / (step + 1) as f64), ("acc", f64::from(step as f32 / 3.0))].into(), Some(step))?;
        if step % 100_000 == 7 {
            logger.log_metrics(&[("odd", f64::NAN), ("even", f64::NEG_INFINITY)].into(), Some(step))?;
        }
        if step % (ROWS / LATE) == ROWS / LATE - 1 {
            let late: Metrics = [(format!("late_{}", step / (ROWS / LATE)), step as f64)].into();
            logger.log_metrics(&late, Some(step))?;
        }
    }
    Ok(())
}

/// The peak memory of this process in KiB, where the system reports it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?.split_whitespace().next()?.parse().ok()
}
