//! Where the predictions of a run go.

use stormfire_ranks::Shared;

use crate::{error::Result, place::EvaluationPosition};

/// The prediction of one batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicted<P> {
    /// The result of [`predict_step`](crate::PredictModule::predict_step).
    pub prediction: P,
    /// The 0-based number of the loader.
    pub dataloader_idx: usize,
    /// The 0-based number of the batch in its loader. With several ranks, each gets every `world`-th one.
    pub batch_idx: usize,
    /// The indices of the batch's items in the dataset, in their order. `None` for a loader that has no dataset.
    pub indices: Option<Vec<usize>>,
}

/// The prediction that starts.
pub struct PredictionRun<'a> {
    /// Number of loaders.
    pub num_dataloaders: usize,
    /// The ranks that predict together.
    pub ranks: Shared,
    identity: &'a dyn Fn() -> Result<String>,
}

impl<'a> PredictionRun<'a> {
    /// For the Trainer. `identity` is that of [`identity`](Self::identity).
    pub fn new(num_dataloaders: usize, ranks: Shared, identity: &'a dyn Fn() -> Result<String>) -> Self {
        Self { num_dataloaders, ranks, identity }
    }

    /// A text that is the same for two runs that predict the same: with the same weights, options, loaders and number
    /// of ranks. Reads all weights from the device.
    ///
    /// # Errors
    /// If the device fails.
    pub fn identity(&self) -> Result<String> {
        (self.identity)()
    }
}

impl std::fmt::Debug for PredictionRun<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PredictionRun").field("num_dataloaders", &self.num_dataloaders).finish_non_exhaustive()
    }
}

/// Takes the predictions of a run one by one (`Trainer::predict_each`), so that they are never in memory together.
///
/// A closure that takes a [`Predicted`] is one, and so is the `PredictionWriter`. The predictions come in the order of
/// the loaders and of their batches. Each of several ranks gives the predictions of its batches to its sink.
///
/// ```
/// use stormfire_module::{Result, prediction_sink::{Predicted, PredictionSink}};
///
/// fn takes_strings(_: impl PredictionSink<String>) {}
///
/// takes_strings(|predicted: Predicted<String>| -> Result<()> {
///     println!("{}: {}", predicted.batch_idx, predicted.prediction);
///     Ok(())
/// });
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot take predictions of type `{P}`",
    label = "takes no `Predicted<{P}>`",
    note = "give a closure: `|predicted: Predicted<_>| {{ ..; Ok(()) }}`, or a `PredictionWriter`"
)]
pub trait PredictionSink<P> {
    /// The prediction starts. The first batch is that at the returned position: earlier ones are neither loaded nor
    /// predicted. With several ranks, the position of rank 0 holds.
    ///
    /// # Errors
    /// Any error ends the run before its first batch.
    fn start(&mut self, run: &PredictionRun<'_>) -> Result<EvaluationPosition> {
        let _ = run;
        Ok(EvaluationPosition::default())
    }

    /// Takes a prediction.
    ///
    /// # Errors
    /// Any error ends the run.
    fn take(&mut self, predicted: Predicted<P>) -> Result<()>;

    /// All predictions before this position have been taken, on all ranks. Every rank calls this equally often.
    ///
    /// # Errors
    /// Any error ends the run.
    fn reached(&mut self, position: EvaluationPosition) -> Result<()> {
        let _ = position;
        Ok(())
    }

    /// All predictions have been taken.
    ///
    /// # Errors
    /// Any error is that of the run.
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

impl<P, F: FnMut(Predicted<P>) -> Result<()>> PredictionSink<P> for F {
    fn take(&mut self, predicted: Predicted<P>) -> Result<()> {
        self(predicted)
    }
}
