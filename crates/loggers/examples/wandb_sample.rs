//! Logs every kind of value that W&B shows, is killed, and is resumed: `cargo run -p stormfire-loggers --features wandb
//! --example wandb_sample -- FOLDER begin`, then the same with `continue`. `WANDB_MODE=offline` writes a folder,
//! otherwise the server at `WANDB_BASE_URL` gets the run. `FOLDER/expected.json` contains the expected values.

use std::f64::consts::PI;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use stormfire_loggers::{
    Artifact, Audio, ConsoleStream, Error, Figure, Graph, Histogram, Hyperparams, Image, Logger, Metrics, Node, Result, Status, Table,
    Text, WandbLogger,
};

const STEPS: u64 = 1000;
/// The last step before the checkpoint. The checkpoint is taken in the middle of it.
const CHECKPOINT: u64 = 600;
const LOST: u64 = 50;

fn main() -> Result<()> {
    let usage = || Error::other("usage: wandb_sample FOLDER begin|continue");
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or_else(usage)?;
    let folder = Path::new(&folder);
    let logger = WandbLogger::new().save_dir(folder).id("sample01").run_name("sample run").tag("a").tag("b").strict(true);
    let logger = logger.project("a project").group("group").job_type("train").notes("some notes").send_every(Duration::from_millis(100));
    match args.next().as_deref() {
        Some("begin") => begin(logger, folder),
        Some("continue") => resume(logger, folder),
        _ => Err(usage()),
    }
}

fn begin(mut logger: WandbLogger, folder: &Path) -> Result<()> {
    logger.open()?;
    let params = Hyperparams::from_serialize(&json!({"lr": 0.001, "net": {"width": 32, "name": "caf\u{e9}"}, "none": null}))?;
    logger.log_hyperparams(&params, &Metrics::new())?;
    media(&mut logger, folder)?;
    for step in 0..CHECKPOINT {
        train(&mut logger, step)?;
    }
    logger.log_metrics(&Metrics::from([("loss", loss(CHECKPOINT))]), Some(CHECKPOINT))?;
    fs_err::write(folder.join("position.json"), logger.position()?.to_string())?;
    for step in CHECKPOINT..CHECKPOINT + LOST {
        logger.log_metrics(&Metrics::from([("loss", -1.0), ("lost", 1.0)]), Some(step))?;
        logger.save()?;
    }
    // The server has these rows, so the resumed run must overwrite them.
    while logger.delivery().is_some_and(|delivery| delivery.spooled > 0) {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::process::abort()
}

fn resume(mut logger: WandbLogger, folder: &Path) -> Result<()> {
    logger.open()?;
    logger.resume(serde_json::from_str(&fs_err::read_to_string(folder.join("position.json"))?).map_err(Error::other)?)?;
    logger.log_metrics(&Metrics::from([("accuracy", accuracy(CHECKPOINT))]), Some(CHECKPOINT))?;
    for step in CHECKPOINT + 1..STEPS {
        train(&mut logger, step)?;
    }
    // In the row of the last step.
    logger.log_metrics(&Metrics::from([("not a number", f64::NAN), ("infinite", f64::NEG_INFINITY)]), Some(STEPS - 1))?;
    logger.log_summary("best accuracy", accuracy(STEPS - 1))?;
    logger.log_console(ConsoleStream::Stdout, "a line\nanother line")?;
    logger.log_console(ConsoleStream::Stderr, "something went wrong")?;
    logger.log_system(&Metrics::from([("cpu", 12.5), ("memory_percent", 50.0)]))?;
    let model = folder.join("model.ckpt");
    fs_err::write(&model, vec![7; 100_000])?;
    logger.log_file(&model, "saved/model.ckpt")?;
    let artifact = Artifact::new(&model).named("model-sample01").kind("model").alias("best").metadata("score", 0.5);
    logger.log_artifact(&artifact)?;
    logger.finalize(Status::Success)?;
    fs_err::write(folder.join("expected.json"), expected().to_string())?;
    Ok(())
}

/// Two calls with a save between them. They are one row.
fn train(logger: &mut WandbLogger, step: u64) -> Result<()> {
    logger.log_metrics(&Metrics::from([("loss", loss(step)), ("epoch", (step / 100) as f64)]), Some(step))?;
    if step.is_multiple_of(7) {
        logger.save()?;
    }
    logger.log_metrics(&Metrics::from([("accuracy", accuracy(step)), ("loss", loss(step))]), Some(step))
}

fn loss(step: u64) -> f64 {
    1.0 / (step + 3) as f64
}

fn accuracy(step: u64) -> f64 {
    f64::from((step as f32 * 0.1).sin())
}

/// All in the first row, except the graph, which has a separate row.
fn media(logger: &mut WandbLogger, folder: &Path) -> Result<()> {
    logger.log_graph(&Graph::new([Node::new("hidden", "Linear"), Node::new("output", "Linear").input("hidden")]))?;
    let pixels: Vec<u8> = (0..8 * 6 * 3).collect();
    logger.log_image("val/image", &Image::new(8, 6, 3, pixels)?, Some(0))?;
    logger.log_text("text", &Text::new("**bold** <b>"), Some(0))?;
    let wave: Vec<f32> = (0..800).map(|sample| (f64::from(sample) / 800.0 * PI).sin() as f32).collect();
    logger.log_audio("sound", &Audio::new(8000, 2, wave)?, Some(0))?;
    logger.log_figure("drawing", &Figure::svg("<svg xmlns=\"http://www.w3.org/2000/svg\"/>"), Some(0))?;
    logger.log_figure("plot", &Figure::png(Image::new(2, 2, 1, vec![0, 85, 170, 255])?.to_png()?)?, Some(0))?;
    let table = Table::new(["name", "count"]).row(["seven".into(), 7.into()])?.row(["none".into(), Value::Null])?;
    logger.log_table("table", &table, Some(0))?;
    logger.log_histogram("weights", &Histogram::from_samples([-1.0, 0.5, 0.5, 2.0])?, Some(0))?;
    fs_err::create_dir_all(folder)?;
    Ok(())
}

fn expected() -> Value {
    let row = |step: u64| {
        let mut row = json!({"accuracy": accuracy(step), "loss": loss(step), "trainer/global_step": step});
        if step != CHECKPOINT {
            row["epoch"] = (step / 100).into();
        }
        if step == STEPS - 1 {
            row["not a number"] = "NaN".into();
            row["infinite"] = "-Infinity".into();
        }
        row
    };
    json!({
        "rows": (0..STEPS).map(row).collect::<Vec<_>>(),
        "config": {"lr": 0.001, "net": {"width": 32, "name": "caf\u{e9}"}, "none": null},
        "best accuracy": accuracy(STEPS - 1),
        "media": ["val/image", "text", "sound", "drawing", "plot", "table", "weights"],
    })
}
