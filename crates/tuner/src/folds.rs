//! Cross-validation.

mod runs;
mod scores;

use std::path::Path;

use stormfire_data::DataModule;
use stormfire_loggers::{Metrics, RunDir, json};
use stormfire_module::{Error, LightningModule, Result};
use stormfire_trainer::{Stop, Trainer, for_tuner::ProbeTrainer as _};
use stormfire_values::seeds::mix;

use runs::{Runs, Start, name};

pub use scores::FoldScores;

use crate::{
    ranks::{agree, of_zero},
    tables::print,
};

/// Fits a new module on each fold, and returns the mean and the deviation of each metric.
///
/// `folds` are those of [`KFold::folds`](stormfire_data::KFold::folds), or anything else that describes a fold. `make`
/// gets the number of a fold and the fold, and makes a Trainer, a module and data from it.
///
/// The files of all folds are in the next free `version_N` below `folder`: `fold_0`, `fold_1` and so on, and
/// `folds.csv` with all metrics. There, a Trainer without loggers logs with TensorBoard and CSV. The metrics are those
/// at the end of each fit ([`Fit::metrics`](stormfire_trainer::Fit::metrics)).
///
/// ```no_run
/// # use burn::{nn::{Linear, LinearConfig}, prelude::*};
/// # use stormfire_module::{LightningModule, Result};
/// # use stormfire_data::Loader;
/// # #[derive(Module, Debug)]
/// # struct Net { layer: Linear }
/// # impl Net { fn new() -> Self { Self { layer: LinearConfig::new(1, 1).init(&Device::flex()) } } }
/// # impl LightningModule for Net { type Batch = Tensor<2>; }
/// # fn data(train: std::ops::Range<usize>, val: std::ops::Range<usize>) -> (Loader<Tensor<2>>, Loader<Tensor<2>>) {
/// #     let part = |items: std::ops::Range<usize>| Loader::from_batches(vec![Tensor::ones([items.len(), 1], &Device::flex())]);
/// #     (part(train), part(val))
/// # }
/// use stormfire_trainer::Trainer;
/// use stormfire_tuner::cross_validate;
///
/// let halves = [(0..50, 50..100), (50..100, 0..50)];
/// let scores = cross_validate("folds", halves, |_number, (train, val)| {
///     Ok((Trainer::new().max_epochs(5), Net::new(), data(train, val)))
/// })?;
/// println!("{scores}");
/// # Ok::<(), stormfire_module::Error>(())
/// ```
///
/// On several ranks, call it on all of them: they train each fold together.
///
/// **Restarts.** If the newest call in the folder was interrupted or has failed, a call continues it: complete folds
/// are not fitted again, and the one that was running continues from its newest checkpoint, or from scratch if it has
/// none. `make` is called for each fold. The folds must be the same. With other hyperparameters of the module
/// ([`hparams`](LightningModule::hparams)) or other options of the Trainer, a call starts from scratch in the next
/// version. So does a call after a complete one.
///
/// # Errors
/// Those of `make` and of [`Trainer::fit`](stormfire_trainer::Trainer::fit), for the first fold that fails.
/// [`Error::Interrupted`](stormfire_module::Error::Interrupted) after a signal: later folds are not started.
pub fn cross_validate<F, M: LightningModule, D: DataModule<Batch = M::Batch>>(
    folder: impl AsRef<Path>,
    folds: impl IntoIterator<Item = F>,
    mut make: impl FnMut(usize, F) -> Result<(Trainer<M>, M, D)>,
) -> Result<FoldScores> {
    let ranks = stormfire_ranks::here()?;
    // Rank 0 has the files.
    let mut runs: Option<Runs> = None;
    let mut scores: Vec<Metrics> = Vec::new();
    for (number, fold) in folds.into_iter().enumerate() {
        agree(&ranks, &Ok(()))?;
        let (trainer, module, data) = make(number, fold)?;
        let settings = settings(&module, &trainer)?;
        let start = of_zero(&ranks, || {
            let opened = match runs.take() {
                Some(opened) => opened,
                None => Runs::open(folder.as_ref(), settings)?,
            };
            runs.insert(opened).start(number, settings)
        })?;
        let (root, resumes) = match start {
            Start::Fit { root, resumes } => (root, resumes),
            Start::Complete(metrics) => {
                tracing::info!("fold {number} is complete");
                scores.push(metrics.into_iter().collect());
                continue;
            }
        };
        tracing::info!("fold {number}");
        let run = RunDir::new(&root).with_name("").with_version(name(number)).with_other_files();
        let mut trainer = trainer.in_folder(&root.join(name(number)), &run);
        if resumes {
            trainer = trainer.ckpt_path("last");
        }
        let fit = trainer.fit(module, data)?;
        if let Stop::Interrupted(signal) = fit.stop {
            return Err(signal.into());
        }
        of_zero(&ranks, || runs.as_ref().map_or(Ok(()), |runs| runs.complete(number, settings, &fit.metrics)))?;
        scores.push(fit.metrics);
    }
    let scores = FoldScores::new(scores);
    if let Some(runs) = &runs {
        scores.write(runs.root())?;
        print(&scores);
    }
    Ok(scores)
}

/// A number for the hyperparameters of a module and the options of its Trainer. They may contain secrets.
fn settings<M: LightningModule>(module: &M, trainer: &Trainer<M>) -> Result<u64> {
    let settings = json::to_value(&(module.hparams()?, trainer.config())).map_err(Error::other)?;
    Ok(settings.to_string().bytes().fold(0, |digest, byte| mix(digest, byte.into())))
}
