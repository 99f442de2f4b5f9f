//! A fit with much that changes the numbers: accumulation, clipping, groups of parameters, an average in force for the
//! validation, a checkpoint of the best weights.

use accelerator_tests::{Outcome, models::weights};
use burn::tensor::Device;
use stormfire::{loggers::MemoryLogger, prelude::*};

use super::{
    largest,
    net::{Net, batches},
};

type Rows = Vec<(String, f64)>;

/// The logged rows, then the weights of the best checkpoint.
fn fit(device: &Device) -> Outcome<(Rows, Vec<f32>)> {
    let (folder, memory) = (tempfile::tempdir()?, MemoryLogger::new());
    let (module, data) = (Net::new(), || Loader::from_batches(batches(5, device)));
    let trainer = Trainer::new().logger(memory.clone()).default_root_dir(folder.path()).enable_progress_bar(false);
    let trainer = trainer.enable_model_summary(false).accelerator(device.clone()).max_epochs(3).log_every_n_steps(1);
    let trainer = trainer.accumulate_grad_batches(2).gradient_clip_val(0.5).callback(Ema::new(0.9)).callback(GradientNormMonitor::new());
    let best = ModelCheckpoint::new().monitor("val_loss").dirpath(folder.path());
    let mut trainer = trainer.callback(best).callback(EarlyStopping::new("val_loss"));
    let _ = trainer.fit(module.copy(), (data(), data()))?;
    let best = trainer.get::<ModelCheckpoint>().and_then(|saved| saved.best_model_path()).ok_or("there is no best checkpoint")?;
    let (loaded, _) = module.load_weights(best, &LoadOptions::new())?;
    let rows = memory.rows().into_iter().map(|(name, value, _)| (name, value)).collect();
    Ok((rows, weights(&loaded)))
}

pub(super) fn check(device: &Device) -> Outcome<String> {
    let ((expected, saved), (actual, saved_there)) = (fit(&Device::flex())?, fit(device)?);
    if expected.iter().map(|row| &row.0).ne(actual.iter().map(|row| &row.0)) || expected.is_empty() {
        return Err(format!("other rows are logged: {expected:?}, {actual:?}").into());
    }
    let apart = |(expected, actual): (f64, f64)| (expected - actual).abs() / expected.abs().max(1.0);
    let rows = expected.iter().zip(&actual).map(|(expected, actual)| apart((expected.1, actual.1)));
    let weights = saved.iter().zip(&saved_there).map(|(expected, actual)| apart((f64::from(*expected), f64::from(*actual))));
    let largest = largest(rows.chain(weights));
    if largest >= 1e-3 || saved.len() != saved_there.len() {
        return Err(format!("numbers differ by up to {largest:.1e}: {expected:?}, {actual:?}").into());
    }
    Ok(format!("{} logged values and the best weights within {largest:.1e}", actual.len()))
}
