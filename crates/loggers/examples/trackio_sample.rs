//! Logs one value of each kind to a trackio server, in two processes. The first is killed: `trackio_sample FOLDER
//! first`, then `trackio_sample FOLDER second`. `trackio_sample FOLDER away` is a run without a reachable server.

use std::path::Path;
use std::time::Duration;

use stormfire_loggers::{
    Audio, Background, Error, Figure, Histogram, HistogramStats, Hyperparams, Image, Logger, Metrics, Reduce, Result, Status, Table, Text,
    TrackioLogger,
};

const FIRST_LIFE: u64 = 30;
const CHECKPOINT: u64 = 20;
const STEPS: u64 = 1000;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, life] = &args[..] else { return Err(Error::other("usage: trackio_sample FOLDER away|first|second")) };
    let folder = Path::new(folder);
    if life == "away" {
        return away(TrackioLogger::new().project("late").run("run 2").save_dir(folder).patience(Duration::from_secs(1)));
    }
    let logger = TrackioLogger::new().project("sample.project").save_dir(folder).aggregate("samples", Reduce::Sum).strict(true);
    if life == "first" { first(logger.run("run 1").group("group 1"), folder) } else { second(logger.group("group 1"), folder) }
}

fn away(mut logger: TrackioLogger) -> Result<()> {
    logger.log_image("image", &Image::new(1, 1, 1, vec![7])?, Some(0))?;
    for step in 0..50 {
        logger.log_metrics(&[("loss", step as f64)].into(), Some(step))?;
    }
    logger.finalize(Status::Success)
}

fn first(logger: TrackioLogger, folder: &Path) -> Result<()> {
    let logger = Background::spawn(Box::new(logger))?;
    logger.log_hyperparams(hyperparams()?, Metrics::new())?;
    media(&logger)?;
    for step in 0..CHECKPOINT {
        metrics(&logger, step)?;
    }
    let position = logger.position().wait()?;
    fs_err::write(folder.join("position.json"), position.to_string())?;
    for step in CHECKPOINT..FIRST_LIFE {
        metrics(&logger, step)?;
    }
    // The server also gets the values after the position.
    logger.finalize(Status::Interrupted)?;
    std::process::abort();
}

fn second(mut logger: TrackioLogger, folder: &Path) -> Result<()> {
    logger.open()?;
    let position = fs_err::read_to_string(folder.join("position.json"))?;
    logger.resume(serde_json::from_str(&position).map_err(Error::other)?)?;
    let logger = Background::spawn(Box::new(logger))?;
    logger.log_hyperparams(hyperparams()?, Metrics::new())?;
    for step in CHECKPOINT..STEPS {
        metrics(&logger, step)?;
    }
    logger.log_metrics([("test_loss", f64::from(0.1_f32))].into(), Some(STEPS))?;
    logger.finalize(Status::Success)?;
    let delivery = logger.call(|logger: &mut TrackioLogger| Ok(logger.delivery()))?;
    #[expect(clippy::print_stdout, reason = "the checking program reads it")]
    {
        println!("{}", delivery.unwrap_or_default());
    }
    Ok(())
}

fn metrics(logger: &Background, step: u64) -> Result<()> {
    let loss = match step {
        5 => f64::NAN,
        6 => f64::INFINITY,
        7 => f64::NEG_INFINITY,
        _ => 1.0 / (step as f64 + 3.0),
    };
    logger.log_metrics([("loss", loss), ("samples", 32.0), ("epoch", (step / 10) as f64), ("time", 0.5)].into(), Some(step))?;
    logger.log_metrics([("samples", 16.0), ("val/acc", step as f64 / 7.0)].into(), Some(step))?;
    logger.log_metrics([("val/acc", step as f64 / 7.0 + 1.0)].into(), Some(step))
}

fn hyperparams() -> Result<Hyperparams> {
    let mut params = Hyperparams::new();
    params.insert("lr", 0.001_f32)?;
    params.insert("net", serde_json::json!({"depth": 2, "name": "cnn", "sizes": [8, 16]}))?;
    params.insert("none", serde_json::Value::Null)?;
    Ok(params)
}

fn media(logger: &Background) -> Result<()> {
    let image = Image::new(2, 1, 3, vec![255, 0, 0, 0, 0, 255])?;
    let audio = Audio::new(8000, 2, vec![0.0, 1.0, -1.0, 0.5])?;
    let stats = HistogramStats { min: 0.25, max: 2.5, sum: 4.0, sum_squares: 9.0 };
    let histogram = Histogram::from_counts(vec![0.0, 1.0, 2.0, 3.0], vec![0.0, 2.0, 0.0, 1.0], stats)?;
    let table = Table::new(["label", "count"]).row(["seven".into(), 7.into()])?.row(["π".into(), serde_json::Value::Null])?;
    logger.submit(move |logger| {
        logger.log_image("val/image", &image, Some(0))?;
        logger.log_audio("tone", &audio, Some(0))?;
        logger.log_figure("plot", &Figure::svg("<svg xmlns='http://www.w3.org/2000/svg'/>"), Some(0))?;
        logger.log_figure("plot.png", &Figure::png(image.to_png()?)?, Some(0))?;
        logger.log_histogram("weights", &histogram, Some(0))?;
        logger.log_table("table", &table, Some(0))?;
        logger.log_text("note", &Text::new("# A note"), Some(0))
    })
}
