//! Cross-validation.

mod scores;

use std::path::Path;

use stormfire_data::DataModule;
use stormfire_loggers::{Metrics, RunDir};
use stormfire_module::{LightningModule, Result};
use stormfire_trainer::{Stop, Trainer, for_tuner::ProbeTrainer as _};

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
/// A call does not resume an earlier one: it fits all folds from scratch. A [`Sweep`](crate::Sweep) resumes.
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
    let all = RunDir::new(folder.as_ref()).with_name("");
    let root = of_zero(&ranks, || Ok(all.log_dir()?.to_owned()))?;
    let mut scores: Vec<Metrics> = Vec::new();
    for (number, fold) in folds.into_iter().enumerate() {
        agree(&ranks, &Ok(()))?;
        tracing::info!("fold {number}");
        let (trainer, module, data) = make(number, fold)?;
        let name = format!("fold_{number}");
        let run = RunDir::new(&root).with_name("").with_version(name.as_str());
        let fit = trainer.in_folder(&root.join(name), &run).fit(module, data)?;
        if let Stop::Interrupted(signal) = fit.stop {
            return Err(signal.into());
        }
        scores.push(fit.metrics);
    }
    let scores = FoldScores::new(scores);
    if ranks.is_global_zero() {
        scores.write(&root)?;
        print(&scores);
    }
    Ok(scores)
}
