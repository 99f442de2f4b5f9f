//! Logs to the folder of a store, and resumes on a simulated second machine without the first one's disk: `remote_logs
//! URL`, in an empty folder.

use stormfire_loggers::{CsvLogger, Error, Hyperparams, Logger, Metrics, Result, RunDir, Status, TensorBoardLogger};

const CHECKPOINT: u64 = 300;
const KILLED: u64 = 500;
const STEPS: u64 = 1000;

fn main() -> Result<()> {
    let url = std::env::args().nth(1).ok_or_else(|| Error::other("usage: remote_logs URL"))?;
    let run = RunDir::new(&url);
    let mut positions = Vec::new();
    for mut logger in loggers(&run) {
        let mut params = Hyperparams::new();
        params.insert("lr", 0.001_f32)?;
        logger.log_hyperparams(&params, &Metrics::new())?;
        log(&mut *logger, 0..CHECKPOINT)?;
        positions.push(logger.position()?);
        log(&mut *logger, CHECKPOINT..KILLED)?;
        logger.finalize(Status::Interrupted)?;
    }
    let version = run.version()?.to_owned();
    drop(run);
    std::fs::remove_dir_all(".stormfire")?;

    let run = RunDir::new(&url).resume(version)?;
    for (mut logger, position) in loggers(&run).into_iter().zip(positions) {
        logger.open()?;
        logger.resume(position)?;
        log(&mut *logger, CHECKPOINT..STEPS)?;
        logger.finalize(Status::Success)?;
    }
    if run.upload() { Ok(()) } else { Err(Error::other("the store does not have everything")) }
}

fn loggers(run: &RunDir) -> [Box<dyn Logger>; 2] {
    [Box::new(TensorBoardLogger::in_dir(run.clone())), Box::new(CsvLogger::in_dir(run.clone()).jsonl(true))]
}

fn log(logger: &mut dyn Logger, steps: std::ops::Range<u64>) -> Result<()> {
    for step in steps {
        logger.log_metrics(&[("loss", 1.0 / (step + 1) as f64)].into(), Some(step))?;
    }
    Ok(())
}
