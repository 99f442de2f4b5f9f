//! Measures how long a large log takes: `cargo run --release -p stormfire-viewer --example large_log -- FOLDER`. It
//! writes a table, lines of JSON and an event file of a gigabyte each into the folder, unless they exist.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use stormfire_loggers::{Logger, Status, TensorBoardLogger};
use stormfire_viewer::runs::{Keep, MediaLimits, Runs};

const BYTES: u64 = 1_000_000_000;
const KEEP: Keep = Keep { buckets: 1 << 18, media: MediaLimits::TAGS, samples_above: 16 << 20, all_messages: false };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = PathBuf::from(std::env::args().nth(1).ok_or("usage: large_log FOLDER")?);
    table(&folder.join("csv/metrics.csv"), "step,epoch,train_loss,lr-Adam\n", |step, loss, line| {
        writeln!(line, "{step},{},{loss},0.0003", step / 50_000)
    })?;
    table(&folder.join("jsonl/metrics.jsonl"), "", |step, loss, line| {
        writeln!(line, "{{\"step\":{step},\"epoch\":{},\"train_loss\":{loss},\"lr-Adam\":0.0003}}", step / 50_000)
    })?;
    events(&folder)?;
    for run in ["csv", "jsonl", "events"] {
        let start = Instant::now();
        let mut runs = Runs::open(&[folder.join(run)], KEEP)?;
        runs.poll(24 << 20);
        let (first, is_sampled) = (start.elapsed(), runs.list()[0].is_sampled());
        runs.read_all();
        let (_, bytes) = runs.list()[0].progress();
        let values = runs.list()[0].curve("train_loss").map_or(0, stormfire_viewer::runs::Curve::len);
        println!(
            "{run}: {bytes} bytes, first picture after {first:.2?} (sampled: {is_sampled}), all {values} rows after {:.2?}",
            start.elapsed()
        );
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default());
    Ok(())
}

fn loss(step: u64) -> f64 {
    (step.wrapping_mul(2_654_435_761) % 1_000_003) as f64 / 1e6
}

fn table(path: &Path, header: &str, row: impl Fn(u64, f64, &mut String) -> std::fmt::Result) -> Result<(), Box<dyn std::error::Error>> {
    if path.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(path.with_file_name(""))?;
    let (mut file, mut lines, mut step, mut bytes) = (File::create(path)?, header.to_owned(), 0, 0);
    while bytes < BYTES {
        for _ in 0..100_000 {
            row(step, loss(step), &mut lines)?;
            step += 1;
        }
        file.write_all(lines.as_bytes())?;
        bytes += lines.len() as u64;
        lines.clear();
    }
    Ok(())
}

fn events(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    if folder.join("events").exists() {
        return Ok(());
    }
    let mut logger = TensorBoardLogger::new(folder).name("").version("events");
    for step in 0..BYTES / 70 {
        logger.log_metrics(&[("train_loss", loss(step)), ("lr-Adam", 3e-4)].into(), Some(step))?;
    }
    Ok(logger.finalize(Status::Success)?)
}
