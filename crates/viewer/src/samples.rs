//! Runs for tests, and for the pictures in the documentation.

use std::path::{Path, PathBuf};

use serde_json::json;
use stormfire_loggers::for_trainer::{RunState, write_options};
use stormfire_loggers::{Audio, CsvLogger, Histogram, Hyperparams, Image, Logger, Metrics, Result, Status, Table, TensorBoardLogger, Text};

/// Writes two runs, `version_0` and `version_1`, with every kind of file, and returns their folders.
pub(crate) fn write(root: &Path) -> Result<[PathBuf; 2]> {
    Ok([run(root, "version_0", 0.002, Status::Success)?, run(root, "version_1", 0.0005, Status::Interrupted)?])
}

fn run(root: &Path, version: &str, rate: f64, status: Status) -> Result<PathBuf> {
    let folder = root.join(version);
    let mut csv = CsvLogger::new(root).name("").version(version);
    let mut events = TensorBoardLogger::new(root).name("").version(version);
    let mut params = Hyperparams::new();
    params.insert("learning_rate", rate)?;
    params.insert("batch_size", 64)?;
    let (rows, seed) = (if status == Status::Success { 300 } else { 180 }, (rate * 1e4) as u32);
    for logger in [&mut csv as &mut dyn Logger, &mut events] {
        logger.log_hyperparams(&params, &Metrics::new())?;
        for row in 0..rows {
            logger.log_metrics(&metrics(row, rate, seed), Some(u64::from(row) * 10 + 9))?;
        }
    }
    media(&mut events, seed)?;
    csv.finalize(status)?;
    events.finalize(status)?;
    let (defaults, options) = (
        json!({"precision": "32-true", "gradient_clip_val": null}),
        json!({
            "max_epochs": 10, "accelerator": "cpu", "precision": "32-true", "log_every_n_steps": 10, "seed": seed % 7,
            "gradient_clip_val": null,
        }),
    );
    let (options, defaults) = (Hyperparams::from_json(options)?, Hyperparams::from_json(defaults)?);
    write_options(&folder, "fit", RunState::Ended(status), options, &defaults)?;
    std::fs::write(folder.join("training.log"), LOG)?;
    std::fs::write(folder.join("fit-trace.json"), TRACE)?;
    for (epoch, score) in [(2_u64, 0.31), (4, 0.24)] {
        checkpoint(&folder, epoch, score * (1.0 + rate * 50.0), rate)?;
    }
    Ok(folder)
}

const LOG: &str = "2026-11-29T13:11:57.640212Z  INFO fit: stormfire_trainer::session: `Trainer.fit` starts device=\"cpu\"\n\
                   2026-11-29T13:12:40.102311Z  WARN fit: stormfire_trainer: the loss of 3 batches is NaN: their steps were skipped\n\
                   2026-11-29T13:12:58.102311Z  INFO fit: stormfire_trainer::session: epoch 4 of 10\n";

const TRACE: &str = "[\n{\"ph\":\"X\",\"ts\":0,\"dur\":81000000,\"name\":\"run_training_epoch\"},\n\
                     {\"ph\":\"X\",\"ts\":1,\"dur\":52000000,\"name\":\"backward\"},\n\
                     {\"ph\":\"X\",\"ts\":2,\"dur\":24000000,\"name\":\"training_step\"},\n\
                     {\"ph\":\"X\",\"ts\":3,\"dur\":1500000,\"name\":\"[DataLoader] next batch\"}\n]\n";

/// Pseudo-random numbers in 0..1.
fn noise(seed: u32) -> f64 {
    let mixed = seed.wrapping_add(1).wrapping_mul(2_654_435_761);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(2_246_822_519);
    f64::from(mixed ^ mixed >> 13) / f64::from(u32::MAX)
}

fn metrics(row: u32, rate: f64, seed: u32) -> Metrics {
    let x = f64::from(row);
    let decay = (-x * rate * 12.0).exp();
    let mut metrics = Metrics::from([
        ("epoch", (x / 30.0).floor()),
        ("lr-Adam", rate * (1.0 + (x / 300.0 * std::f64::consts::PI).cos()) / 2.0),
        ("train_loss", 0.25 + 2.0 * decay + 0.25 * (noise(row * 7 + seed) - 0.5)),
        ("train/device/batches_per_sec", 12.0 + noise(row + seed)),
        ("DeviceStatsMonitor.on_train_batch_start/cpu_percent", 70.0 + 25.0 * noise(row * 3)),
        ("DeviceStatsMonitor.on_train_batch_start/process_rss_bytes", 4e8 + x * 1e5),
    ]);
    if (80..83).contains(&row) {
        metrics.insert("train_loss", f64::NAN);
    }
    if row % 30 == 29 {
        metrics.insert("val_loss", 0.3 + 1.6 * decay);
        metrics.insert("val_acc", 0.95 - 0.8 * decay);
    }
    metrics
}

fn media(events: &mut TensorBoardLogger, seed: u32) -> Result<()> {
    for step in [899_u64, 1799] {
        let pixel =
            |at: u32| (255.0 * (noise(at * 31 + seed + step as u32) * 0.3 + if at % 28 > 9 && at % 28 < 18 { 0.7 } else { 0.0 })) as u8;
        events.log_image("samples/digit", &Image::new(28, 28, 1, (0..28 * 28).map(pixel).collect())?, Some(step))?;
        let confusion = (0..10 * 10).flat_map(|at| if at % 11 == 0 { [30, 90, 200] } else { [235 - (noise(at) * 40.0) as u8; 3] });
        events.log_image("confusion_matrix", &Image::new(10, 10, 3, confusion.collect())?, Some(step))?;
    }
    events.log_text("note", &Text::new("**A note** with `code` & <b>markup</b>."), Some(899))?;
    let table = Table::new(["class", "f1"]).row(["seven".into(), 0.91.into()])?.row(["<script>".into(), 0.5.into()])?;
    events.log_table("scores", &table, Some(1799))?;
    let wave = (0..4000).map(|at| (f64::from(at) * 0.2).sin() as f32 * 0.4);
    events.log_audio("tone", &Audio::new(8000, 1, wave.collect())?, Some(1799))?;
    events.log_histogram("weights/hidden", &Histogram::from_samples((0..500).map(|at| noise(at) + noise(at + 999) - 1.0))?, Some(1799))?;
    let labels: Vec<bool> = (0..200).map(|at| noise(at + seed) > 0.5).collect();
    let scores: Vec<f32> =
        labels.iter().zip(0..).map(|(label, at)| (noise(at * 5) * 0.6 + if *label { 0.4 } else { 0.0 }) as f32).collect();
    events.log_pr_curve("pr/seven", &labels, &scores, 51, Some(1799))
}

/// The header of a checkpoint, which is all that a viewer reads.
fn checkpoint(run: &Path, epoch: u64, score: f64, rate: f64) -> Result<()> {
    let (step, name) = (epoch * 300, |epoch: u64| format!("checkpoints/epoch={epoch}-step={}.ckpt", epoch * 300));
    let state = json!({
        "monitor": "val_loss", "best_model_path": run.join(name(epoch)), "best_k_models": [{"path": run.join(name(epoch)), "score": score}],
    });
    let manifest = json!({
        "format_version": 1, "stormfire_version": "0.1.0", "burn_version": "0.22.1", "saved_at": format!("2026-11-29T13:1{epoch}:00Z"),
        "module": "mnist::Mnist", "device": "cpu", "precision": "32-true", "seed": 1, "run_id": "18ec72dfa80b3e93-7e1c",
        "progress": {"epoch": epoch, "batches": step, "global_step": step}, "metrics": {"val_loss": score},
        "hparams": {"learning_rate": rate}, "callbacks": {"ModelCheckpoint{monitor: val_loss, mode: min, every: 1 epoch}": state},
    });
    let header = json!({"__metadata__": {"stormfire": manifest.to_string()}}).to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    std::fs::create_dir_all(run.join("checkpoints"))?;
    Ok(std::fs::write(run.join(name(epoch)), bytes)?)
}
