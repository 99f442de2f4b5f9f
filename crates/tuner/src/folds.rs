//! Cross-validation.

mod runs;
mod scores;

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    path::Path,
};

use serde_json::Value;
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
/// `folds` are those of [`KFold::folds`](stormfire_data::KFold::folds), or anything else that describes a fold and can
/// be hashed. `make` gets the number of a fold and the fold, and makes a Trainer, a module and data from it.
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
/// none. `make` is called for each fold. With another number of folds, other hyperparameters of the module
/// ([`hparams`](LightningModule::hparams)) or other options of the Trainer, a call starts from scratch in the next
/// version. So does a call after a complete one, and one of a module without `hparams`, which may have changed. A
/// single fold that has changed is fitted again. Other changes, such as those of the data, are not noticed: choose
/// another folder for them.
///
/// # Errors
/// Those of `make` and of [`Trainer::fit`](stormfire_trainer::Trainer::fit), for the first fold that fails.
/// [`Error::Interrupted`](stormfire_module::Error::Interrupted) after a signal: later folds are not started.
pub fn cross_validate<F: Hash, M: LightningModule, D: DataModule<Batch = M::Batch>>(
    folder: impl AsRef<Path>,
    folds: impl IntoIterator<Item = F>,
    mut make: impl FnMut(usize, F) -> Result<(Trainer<M>, M, D)>,
) -> Result<FoldScores> {
    let ranks = stormfire_ranks::here()?;
    // Rank 0 has the files.
    let mut runs: Option<Runs> = None;
    let mut scores: Vec<Metrics> = Vec::new();
    let folds: Vec<F> = folds.into_iter().collect();
    let count = folds.len();
    for (number, fold) in folds.into_iter().enumerate() {
        agree(&ranks, &Ok(()))?;
        let of_fold = hash_of(&(count, &fold));
        let (trainer, module, data) = make(number, fold)?;
        let hparams = module.hparams()?;
        let is_known = !hparams.is_null();
        let settings = json::to_value(&(hparams, trainer.config(), of_fold)).map_err(Error::other)?;
        let settings = is_known.then(|| number_of(settings));
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

/// A number for a fold and the number of folds. It may be another one with another version of Rust: then a call starts
/// from scratch.
fn hash_of(fold: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    fold.hash(&mut hasher);
    hasher.finish()
}

/// A number for settings, which may contain secrets. The order of names does not matter: that of a `HashMap` is another
/// one in each process.
fn number_of(mut settings: Value) -> u64 {
    settings.sort_all_objects();
    settings.to_string().bytes().fold(0, |digest, byte| mix(digest, byte.into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_do_not_depend_on_the_order_of_names() {
        assert_eq!(number_of(json!({"lr": 0.1, "net": {"a": 1, "b": 2}})), number_of(json!({"net": {"b": 2, "a": 1}, "lr": 0.1})));
        assert_ne!(number_of(json!({"lr": 0.1})), number_of(json!({"lr": 0.2})));
        assert_ne!(number_of(json!([1, 2])), number_of(json!([2, 1])));
    }
}
