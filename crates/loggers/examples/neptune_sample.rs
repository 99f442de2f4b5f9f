//! Writes or reads a run in Neptune's format. All commands print JSON:
//!
//! * `write FOLDER` logs every kind of value that the format supports, and prints these values.
//! * `read RUN` prints a run.
//! * `convert RUN FOLDER` replays it into a table.
//!
//! `cargo run -p stormfire-loggers --features neptune --example neptune_sample -- write FOLDER`

use std::path::Path;

use serde_json::{Value, json};
use stormfire_loggers::{
    Artifact, Audio, CheckpointInfo, CsvLogger, Error, Figure, Graph, Hyperparams, Image, Logger, Metrics, NeptuneLogger, NeptuneRun, Node,
    Result, Status, Table, Text,
};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let shown = match words[..] {
        ["write", folder] => write(Path::new(folder))?,
        ["read", run] => read(Path::new(run))?,
        ["convert", run, folder] => {
            let done = NeptuneRun::read(run)?.replay(&mut CsvLogger::new(folder))?;
            json!({"metrics": done.metrics, "hyperparams": done.hyperparams, "left_out": done.left_out})
        }
        _ => return Err(Error::other("usage: neptune_sample write FOLDER | read RUN | convert RUN FOLDER")),
    };
    println!("{shown}");
    Ok(())
}

fn write(folder: &Path) -> Result<Value> {
    std::fs::create_dir_all(folder)?;
    let mut logger = NeptuneLogger::new(folder).run_name("everything").tag("sample").tag("rust");
    let config = json!({"lr": 1e-3, "net": {"width": 32, "bias": true, "note": null}, "sizes": [64, 10], "optimizer": "adam"});
    logger.log_hyperparams(&Hyperparams::from_serialize(&config)?, &Metrics::new())?;
    let mut metrics = Vec::new();
    for step in 0..500_u64 {
        let values = [("train_loss", 1.0 / (step + 1) as f64), ("val/small", 1e-30 * step as f64), ("epoch", (step / 100) as f64)];
        logger.log_metrics(&values.into(), Some(step))?;
        metrics.extend(values.iter().map(|(name, value)| json!([name, value, step])));
    }
    logger.log_metrics(&[("train_loss", f64::NAN)].into(), Some(500))?;
    let pixels: Vec<u8> = (0..6 * 4 * 3).collect();
    let image = Image::new(6, 4, 3, pixels.clone())?;
    logger.log_image("digits", &image, Some(100))?;
    logger.log_figure("curve png", &Figure::png(image.to_png()?)?, Some(101))?;
    logger.log_figure("curve", &Figure::svg("<svg xmlns='http://www.w3.org/2000/svg'/>"), Some(101))?;
    logger.log_text("note", &Text::new("# Größe\n*3 µm*"), Some(103))?;
    logger.log_audio("tone", &Audio::new(8000, 2, vec![0.0, 0.5, -0.5, 1.0])?, Some(104))?;
    logger.log_table("counts", &Table::new(["digit", "count"]).row(["seven, \"7\"".into(), 12.into()])?, Some(105))?;
    logger.log_graph(&Graph::new([Node::new("net/hidden", "Linear"), Node::new("net/output", "Linear").input("net/hidden")]))?;
    let checkpoint = folder.join("epoch=4.ckpt");
    std::fs::write(&checkpoint, vec![7_u8; 300_000])?;
    logger.log_artifact(&Artifact::new(&checkpoint).kind("model").alias("best").metadata("score", 0.25))?;
    logger.after_save_checkpoint(&CheckpointInfo::new("epoch=4.ckpt").scored("val/small", 0.25, true))?;
    std::fs::remove_file(&checkpoint)?;
    logger.log_artifact(&Artifact::new(std::env::current_exe()?).named("program").in_folder("data"))?;
    logger.finalize(Status::Success)?;
    let params = json!({"lr": 1e-3, "net/width": 32, "net/bias": true, "net/note": "None", "sizes": "[64,10]", "optimizer": "adam"});
    Ok(json!({"run": logger.log_dir(), "id": logger.version(), "metrics": metrics, "params": params, "pixels": pixels}))
}

fn read(folder: &Path) -> Result<Value> {
    let run = NeptuneRun::read(folder)?;
    let numbers = run.metrics().iter().map(|(name, points)| {
        let points: Vec<Value> = points.iter().map(|point| json!([point.value, point.step, point.time])).collect();
        (name.clone(), points.into())
    });
    let texts = run.texts().iter().map(|(name, points)| {
        let points: Vec<Value> = points.iter().map(|point| json!([point.value, point.step])).collect();
        (name.clone(), points.into())
    });
    let images = run.images().iter().map(|(name, points)| {
        let points: Vec<Value> = points.iter().map(|point| json!([point.value, point.step])).collect();
        (name.clone(), points.into())
    });
    let mut files = serde_json::Map::new();
    for (name, file) in run.files() {
        files.insert(name.clone(), json!([std::fs::read(&file.path)?, file.extension]));
    }
    let collected = |entries: &mut dyn Iterator<Item = (String, Value)>| entries.collect::<serde_json::Map<_, _>>();
    Ok(json!({
        "assigned": run.assigned(), "tags": run.tags(), "hyperparams": run.hyperparams(), "metrics": collected(&mut { numbers }),
        "texts": collected(&mut { texts }), "images": collected(&mut { images }), "files": files, "not_understood": run.not_understood(),
    }))
}
