//! Records every basic kind of value. View the result with `tensorboard --logdir FOLDER` and a spreadsheet:
//! `cargo run -p stormfire-loggers --example everything -- FOLDER`.

use serde::Serialize;
use stormfire_loggers::{CsvLogger, Error, Histogram, Hyperparams, Image, Logger, Metrics, Result, RunDir, Status, TensorBoardLogger};

#[derive(Serialize)]
struct Config {
    optimizer: &'static str,
    lr: f32,
    tiny: f64,
    huge: f64,
    layers: [usize; 2],
    net: Net,
}

#[derive(Serialize)]
struct Net {
    width: u32,
    bias: bool,
    note: Option<String>,
}

fn main() -> Result<()> {
    let folder = std::env::args().nth(1).ok_or_else(|| Error::other("usage: everything FOLDER"))?;
    let run = RunDir::new(folder);
    let mut loggers: [Box<dyn Logger>; 2] = [Box::new(TensorBoardLogger::in_dir(run.clone())), Box::new(CsvLogger::in_dir(run.clone()))];
    let net = Net { width: 32, bias: true, note: None };
    let config = Config { optimizer: "adam", lr: 1e-3, tiny: 1e-30, huge: 1e20, layers: [64, 10], net };
    let params = Hyperparams::from_serialize(&config)?;
    for logger in &mut loggers {
        logger.open()?;
        logger.log_hyperparams(&params, &Metrics::new())?;
        for step in 0..100_u32 {
            let loss = 1.0 / f64::from((step + 1) as f32);
            logger.log_metrics(&[("train_loss", loss), ("epoch", f64::from(step / 50))].into(), Some(step.into()))?;
            if step % 50 == 49 {
                let late = [("val_loss", f64::from(0.1_f32)), ("val_acc", if step < 50 { f64::NAN } else { f64::INFINITY })];
                logger.log_metrics(&late.into(), Some(step.into()))?;
            }
        }
        logger.log_metrics(&[("hp_metric", 0.25)].into(), Some(99))?;
    }
    let [tensorboard, _] = &mut loggers;
    for (channels, name) in [(1_u8, "grey"), (3, "rgb"), (4, "rgba")] {
        let pixels = (0..6 * 4 * u32::from(channels)).map(|byte| (byte * 2) as u8).collect();
        tensorboard.log_image(name, &Image::new(6, 4, channels, pixels)?, Some(7))?;
    }
    let samples = (0..10_000_u32).map(|index| (f64::from(index * 7919 % 1000) - 500.0) / 37.0);
    tensorboard.log_histogram("weights", &Histogram::from_samples(samples)?, Some(8))?;
    loggers.iter_mut().try_for_each(|logger| logger.finalize(Status::Success))
}
