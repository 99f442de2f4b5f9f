//! Modules with predictions.

use crate::{error::Result, module::LightningModule};

/// A module that can predict. It is a separate trait, so that other modules need no associated type.
///
/// ```
/// # use burn::{nn::{Linear, LinearConfig}, prelude::*};
/// # use stormfire_module::{LightningModule, PredictModule, Result};
/// # #[derive(Module, Debug)]
/// # struct Classifier { layer: Linear }
/// # impl LightningModule for Classifier { type Batch = Tensor<2>; }
/// impl PredictModule for Classifier {
///     type Prediction = Tensor<1, Int>;
///
///     fn predict_step(&self, images: Tensor<2>, _batch_idx: usize) -> Result<Tensor<1, Int>> {
///         Ok(self.layer.forward(images).argmax(1).flatten(0, 1))
///     }
/// }
/// # let classifier = Classifier { layer: LinearConfig::new(4, 3).init(&Device::flex()) };
/// # assert_eq!(classifier.predict_step(Tensor::zeros([2, 4], &Device::flex()), 0)?.dims(), [2]);
/// # Ok::<(), stormfire_module::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `PredictModule`",
    label = "a module of this type cannot predict",
    note = "write `impl PredictModule for {Self}` with its `Prediction` and its `predict_step`"
)]
pub trait PredictModule: LightningModule {
    /// The result of [`predict_step`](Self::predict_step) for a batch.
    type Prediction: Send + 'static;

    /// The prediction for one batch, in evaluation mode.
    ///
    /// # Errors
    /// Any error of the batch. It ends the run.
    fn predict_step(&self, batch: Self::Batch, batch_idx: usize) -> Result<Self::Prediction>;
}
