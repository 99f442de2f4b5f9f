//! Logs every kind of value that Comet supports, online if `COMET_API_KEY` is set, otherwise into an archive. Writes
//! the expected values to `FOLDER/logged.json`:
//! `cargo run -p stormfire-loggers --features comet --example comet_sample -- FOLDER`.

use std::path::PathBuf;

use serde_json::json;
use stormfire_loggers::{
    Artifact, Audio, CometLogger, ConsoleStream, Error, Figure, Graph, Histogram, Hyperparams, Image, Logger, Metrics, Node, Result,
    Status, Table, Text,
};

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).map(PathBuf::from).ok_or_else(|| Error::other("usage: comet_sample FOLDER"))?;
    std::fs::create_dir_all(&folder)?;
    let mut logger = CometLogger::new().save_dir(&folder).workspace("team").project("samples").experiment_name("everything");
    logger = logger.tag("sample").tag("rust").strict(true);

    let config = json!({"lr": 1e-3, "net": {"width": 32, "bias": true, "note": null}, "sizes": [64, 10], "optimizer": "adam"});
    logger.log_hyperparams(&Hyperparams::from_serialize(&config)?, &Metrics::new())?;
    let mut expected = Vec::new();
    for step in 0..500_u64 {
        let values = [("train_loss", 1.0 / (step + 1) as f64), ("small", 1e-30 * step as f64), ("epoch", (step / 100) as f64)];
        logger.log_metrics(&values.into(), Some(step))?;
        expected.push(json!(["train_loss", values[0].1, step, step / 100]));
        expected.push(json!(["small", values[1].1, step, step / 100]));
    }
    for (name, value, text) in [("nan", f64::NAN, "NaN"), ("inf", f64::INFINITY, "Infinity"), ("ninf", f64::NEG_INFINITY, "-Infinity")] {
        logger.log_metrics(&[(name, value)].into(), Some(500))?;
        expected.push(json!([name, text, 500, 4]));
    }

    let pixels: Vec<u8> = (0..6 * 4 * 3).collect();
    let image = Image::new(6, 4, 3, pixels.clone())?;
    logger.log_image("val/digits", &image, Some(100))?;
    logger.log_figure("curve", &Figure::svg("<svg xmlns='http://www.w3.org/2000/svg'/>"), Some(101))?;
    logger.log_figure("curve png", &Figure::png(image.to_png()?)?, Some(101))?;
    let samples: Vec<f64> = (0..1000_u32).map(|index| (f64::from(index * 7919 % 1000) - 500.0) / 37.0).collect();
    logger.log_histogram("weights", &Histogram::from_samples(samples.iter().copied())?, Some(102))?;
    logger.log_text("note", &Text::new("# Größe\n*3 µm*"), Some(103))?;
    logger.log_audio("tone", &Audio::new(8000, 2, vec![0.0, 0.5, -0.5, 1.0])?, Some(104))?;
    let table = Table::new(["digit", "count"]).row(["seven, \"7\"".into(), 12.into()])?.row(["eight".into(), 1.5.into()])?;
    logger.log_table("counts", &table, Some(105))?;
    logger.log_graph(&Graph::new([Node::new("net/hidden", "Linear"), Node::new("net/output", "Linear").input("net/hidden")]))?;
    let checkpoint = folder.join("epoch=4.ckpt");
    std::fs::write(&checkpoint, vec![7_u8; 300_000])?;
    logger.log_artifact(&Artifact::new(&checkpoint).named("model").kind("model").alias("best").metadata("score", 0.25))?;
    let data = folder.join("data");
    std::fs::create_dir_all(data.join("inner"))?;
    std::fs::write(data.join("a.txt"), "a")?;
    std::fs::write(data.join("inner/b.txt"), "b")?;
    logger.log_artifact(&Artifact::new(&data).kind("dataset"))?;
    logger.log_other("result", "good")?;
    logger.log_console(ConsoleStream::Stdout, "epoch 4 of 4")?;
    logger.log_console(ConsoleStream::Stderr, "a warning")?;
    logger.finalize(Status::Success)?;

    let expected = json!({
        "key": logger.key(), "archive": logger.archive(), "metrics": expected, "pixels": pixels, "samples": samples,
        "params": {"lr": 1e-3, "net|width": 32, "net|bias": true, "net|note": null, "sizes": "[64,10]", "optimizer": "adam"},
    });
    std::fs::write(folder.join("logged.json"), expected.to_string())?;
    Ok(())
}
