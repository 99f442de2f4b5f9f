//! Records every kind of value that MLflow supports. `cargo xtask test --only mlflow` reads it back with MLflow itself:
//!
//! * `mlflow_sample FOLDER SERVER SECURE_SERVER WRONG_AUTHORITY` prints the ids of the runs as JSON. The logged files
//!   are in the folder. The environment contains the login and the authority of the second server.
//! * `mlflow_sample killed FOLDER URI` logs until it is killed, and prints a position on its way.
//! * `mlflow_sample resumed FOLDER URI POSITION` resumes that run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use stormfire_loggers::for_trainer::DriveBackground as _;
use stormfire_loggers::{
    Artifact, Audio, Background, CheckpointInfo, Error, Figure, Graph, Histogram, Hyperparams, Image, LogModel, Logger, Metrics,
    MlflowLogger, Node, Result, Status, Table, Text,
};

/// Enough steps to need several requests.
const STEPS: u32 = 2500;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["killed", folder, uri] => killed(new(Path::new(folder), uri)),
        ["resumed", folder, uri, position] => resumed(new(Path::new(folder), uri), position),
        [folder, server, secure_server, wrong] => all(Path::new(folder), server, secure_server, wrong),
        _ => Err(Error::other("usage: see the first lines of mlflow_sample.rs")),
    }
}

fn new(folder: &Path, uri: &str) -> MlflowLogger {
    MlflowLogger::new().tracking_uri(uri).save_dir(folder).experiment("stormfire checks").strict(true)
}

fn all(folder: &Path, server: &str, secure_server: &str, wrong: &str) -> Result<()> {
    let new = |uri: &str| new(folder, uri);
    let files = format!("file:{}", folder.join("ml runs").display());

    let parent = everything(new(server).run_name("parent"), folder)?;
    let child = ended(new(server).run_name("child").parent_run(&parent), Status::Failed)?;
    let killed = ended(new(server).run_name("killed"), Status::Interrupted)?;
    let continued = continued(&|| new(server).run_name("continued"))?;
    let again = joined(new(server).existing_run(&continued))?;
    let refused = conflict(new(server).run_name("conflict").strict(false))?;
    let login = ended(new(secure_server).run_name("with a login"), Status::Success)?;
    let unverified = ended(new(secure_server).run_name("unverified").insecure_tls(true).server_certificate(wrong), Status::Success)?;
    // `stormfire sync` sends it later.
    let distrusting = new(secure_server).server_certificate(wrong).patience(Duration::from_secs(2));
    match ended(distrusting, Status::Success) {
        Err(Error::Undelivered { reason, .. }) if reason.contains("certificate") => {}
        other => return Err(Error::other(format!("the server was not to be trusted: {other:?}"))),
    }

    let in_files = everything(new(&files).run_name("123"), folder)?;
    let files_continued = self::continued(&|| new(&files).run_name("continued"))?;
    let server_runs = json!({"parent": parent, "child": child, "killed": killed, "continued": again, "conflict": refused});
    let file_runs = json!({"parent": in_files, "continued": files_continued});
    println!("{}", json!({"server": server_runs, "secure": [login, unverified], "files": file_runs}));
    Ok(())
}

fn id(logger: &MlflowLogger) -> Result<String> {
    logger.run_id().ok_or_else(|| Error::other("the run is unknown"))
}

fn params(settings: &serde_json::Value) -> Result<Hyperparams> {
    Hyperparams::from_serialize(settings)
}

fn everything(logger: MlflowLogger, folder: &Path) -> Result<String> {
    let mut logger = logger.log_model(LogModel::AtEnd);
    let settings = json!({
        "lr": 0.001, "seed": 42, "on": true, "none": null, "net": {"width": 32, "act": "relu"}, "list": [1, 2],
        "text": "a: \"b\"\nñ 漢 #", "long": "x".repeat(7000), "empty": "", "odd (name)": "1e5",
    });
    logger.log_hyperparams(&params(&settings)?, &Metrics::new())?;
    logger.set_tag("mlflow.note.content", "**a note**")?;
    logger.set_tag("tag with ñ", "long ".repeat(1700).as_str())?;
    for step in 0..STEPS {
        let third = f64::from(step) / 3.0;
        logger
            .log_metrics(&[("train/loss", third), ("f32", f64::from(0.1_f32 * step as f32)), ("at:é", 1e-300)].into(), Some(step.into()))?;
    }
    let special = [("special/nan", f64::NAN), ("special/inf", f64::INFINITY), ("special/-inf", f64::NEG_INFINITY), ("zero", -0.0)];
    logger.log_metrics(&special.into(), Some(u64::from(STEPS)))?;
    logger.log_metrics(&[("no step", 1.0)].into(), None)?;
    for step in [1, 2] {
        let pixels = (0..400 * 300 * 3).map(|byte| (byte % 251 * step) as u8).collect();
        let image = Image::new(400, 300, 3, pixels)?;
        fs::write(folder.join(format!("dogs_{step}.png")), image.to_png()?)?;
        logger.log_image("val/dogs", &image, Some(step))?;
    }
    logger.log_image("grey", &Image::new(2, 1, 1, vec![0, 255])?, Some(7))?;
    logger.log_text("notes/first", &Text::new("# Title\n\nñ"), Some(3))?;
    logger.log_figure("curve", &Figure::svg("<svg xmlns=\"http://www.w3.org/2000/svg\"/>"), Some(3))?;
    logger.log_figure("curve", &Figure::png(Image::new(1, 1, 1, vec![9])?.to_png()?)?, Some(4))?;
    logger.log_audio("beep", &Audio::new(8000, 2, vec![0.0, 0.5, -1.0, 1.0])?, Some(3))?;
    let table = Table::new(["label", "count", "ok"]).row(["seven".into(), 12.into(), true.into()])?;
    logger.log_table("confusion", &table.row(["ñ".into(), 0.5.into(), false.into()])?, Some(3))?;
    logger.log_histogram("weights", &Histogram::from_samples([0.5, 1.0, 1.0])?, Some(3))?;
    logger.log_graph(&Graph::new([Node::new("net/a", "Linear"), Node::new("net/b", "Relu").input("net/a")]))?;

    let model = folder.join("epoch=0-step=4.ckpt");
    fs::write(&model, (0..3_000_000_u32).map(|byte| (byte % 253) as u8).collect::<Vec<_>>())?;
    logger.after_save_checkpoint(&CheckpointInfo::new(&model).scored("val_loss", 0.5, true))?;
    let tree = folder.join("tree");
    fs::create_dir_all(tree.join("sub folder"))?;
    fs::write(tree.join("sub folder/50% ñ+.txt"), "deep")?;
    fs::write(tree.join("empty.bin"), "")?;
    logger.log_artifact(&Artifact::new(&tree).in_folder("data"))?;
    logger.finalize(Status::Success)?;
    id(&logger)
}

fn ended(mut logger: MlflowLogger, status: Status) -> Result<String> {
    logger.log_metrics(&[("loss", 0.5)].into(), Some(1))?;
    logger.finalize(status)?;
    id(&logger)
}

/// The process is killed after step 5 and resumed from step 3.
fn continued(new: &dyn Fn() -> MlflowLogger) -> Result<String> {
    let log = |logger: &mut MlflowLogger, steps: std::ops::Range<u64>| -> Result<()> {
        for step in steps {
            logger.log_metrics(&[("loss", step as f64)].into(), Some(step))?;
            logger.log_image("dogs", &Image::new(1, 1, 1, vec![step as u8])?, Some(step))?;
        }
        Ok(())
    };
    let mut killed = new();
    log(&mut killed, 0..3)?;
    let position = killed.position()?;
    log(&mut killed, 3..5)?;
    killed.save()?;
    while killed.delivery().is_some_and(|delivery| delivery.spooled > 0) {
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(killed);
    let mut logger = new();
    logger.open()?;
    logger.resume(position)?;
    log(&mut logger, 3..8)?;
    logger.finalize(Status::Success)?;
    id(&logger)
}

/// The position is taken after this step.
const SAVED: u64 = 700;

fn log(logger: &Background, step: u64) -> Result<()> {
    logger.log_metrics([("loss", step as f64), (if step.is_multiple_of(2) { "even" } else { "odd" }, 1.0)].into(), Some(step))
}

fn killed(logger: MlflowLogger) -> Result<()> {
    let logger = Background::spawn(Box::new(logger.run_name("kill -9")))?;
    for step in 1.. {
        log(&logger, step)?;
        if step == SAVED {
            println!("position {}", logger.position().wait()?);
        }
        if step % 100 == 0 {
            println!("logged {step}");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn resumed(logger: MlflowLogger, position: &str) -> Result<()> {
    let logger = Background::spawn(Box::new(logger))?;
    logger.resume(serde_json::from_str(position).map_err(Error::other)?);
    logger.resumed()?;
    (SAVED + 1..=3000).try_for_each(|step| log(&logger, step))?;
    logger.finalize(Status::Success)?;
    println!("{}", logger.call(|logger: &mut MlflowLogger| id(logger))?);
    Ok(())
}

fn joined(mut logger: MlflowLogger) -> Result<String> {
    logger.log_metrics(&[("test_loss", 0.25)].into(), Some(8))?;
    logger.finalize(Status::Success)?;
    id(&logger)
}

fn conflict(mut logger: MlflowLogger) -> Result<String> {
    logger.log_hyperparams(&params(&json!({"lr": 0.1}))?, &Metrics::new())?;
    logger.log_hyperparams(&params(&json!({"a": 1, "lr": 0.2, "z": 2}))?, &Metrics::new())?;
    logger.log_metrics(&[("loss", 0.5)].into(), Some(1))?;
    logger.finalize(Status::Success)?;
    if logger.delivery().is_none_or(|delivery| delivery.refused != 1) {
        return Err(Error::other(format!("one record was to be refused: {:?}", logger.delivery())));
    }
    id(&logger)
}
