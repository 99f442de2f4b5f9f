use serde_json::Value;
use stormfire_checkpoint::Saved;

use crate::{Error, Loader, Loaders, Result, Stage};

/// Everything about the data of an experiment in one place: where it comes from, how it is split, and its loaders.
///
/// A run calls `prepare_data`, `setup(stage)`, the loaders it needs, and at its end `teardown(stage)`. Every method has a default;
/// give at least one loader. A [`Loader`] alone, [`Loaders`], and pairs `(train, val)` of them are data modules too.
///
/// Your own errors become [`Error`] by `.map_err(Error::other)?`.
///
/// ```
/// use burn::{data::dataset::InMemDataset, tensor::Device};
/// use stormfire_data::{DataModule, Loader, Loaders, Result, Stage};
///
/// #[derive(Default)]
/// struct Numbers {
///     items: Vec<f32>,
/// }
///
/// impl DataModule for Numbers {
///     type Batch = Vec<f32>;
///
///     fn setup(&mut self, _stage: Stage) -> Result<()> {
///         self.items = (0..100u8).map(f32::from).collect();
///         Ok(())
///     }
///
///     fn train_dataloader(&mut self) -> Result<Loader<Self::Batch>> {
///         let train = InMemDataset::new(self.items[..80].to_vec());
///         Ok(Loader::collate(train, |items, _| items).batch_size(16).shuffle(true))
///     }
///
///     fn val_dataloader(&mut self) -> Result<Loaders<Self::Batch>> {
///         let val = InMemDataset::new(self.items[80..].to_vec());
///         Ok(Loader::collate(val, |items, _| items).batch_size(16).into())
///     }
/// }
///
/// let mut data = Numbers::default();
/// data.setup(Stage::Fit)?;
/// assert_eq!(data.train_dataloader()?.dataset_len(), Some(80));
/// # Ok::<(), stormfire_data::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a data module",
    label = "not a `Loader`, a pair `(train, val)` of them, or a `DataModule`",
    note = "make a loader of batches with `Loader::from_batches` or of a dataset with `Loader::collate`, or implement `DataModule`"
)]
pub trait DataModule {
    /// What a step is given.
    type Batch: Send + 'static;

    /// Downloads and converts what has to be there once; keep no state here, since only one rank runs it.
    fn prepare_data(&mut self) -> Result<()> {
        Ok(())
    }

    /// Opens and splits the data, before the loaders are asked for. May be called for several stages.
    fn setup(&mut self, stage: Stage) -> Result<()> {
        let _ = stage;
        Ok(())
    }

    /// Lets go of what `setup` has opened; also called after an error.
    fn teardown(&mut self, stage: Stage) -> Result<()> {
        let _ = stage;
        Ok(())
    }

    /// The loader that is trained on. The default is [`Error::LoaderMissing`].
    fn train_dataloader(&mut self) -> Result<Loader<Self::Batch>> {
        Err(Error::LoaderMissing { stage: Stage::Fit })
    }

    /// The loaders of validation, in `fit` and alone. The default is none: `fit` does not validate.
    fn val_dataloader(&mut self) -> Result<Loaders<Self::Batch>> {
        Ok(Loaders::none())
    }

    /// The loaders of a test. The default is none.
    fn test_dataloader(&mut self) -> Result<Loaders<Self::Batch>> {
        Ok(Loaders::none())
    }

    /// The loaders of a prediction. The default is none.
    fn predict_dataloader(&mut self) -> Result<Loaders<Self::Batch>> {
        Ok(Loaders::none())
    }

    /// What a checkpoint of a fit should keep of this module: plain values, and tensors by name. The default is nothing.
    ///
    /// It is asked for between two batches, when a checkpoint is about to be taken. Workers may be some batches ahead by then.
    /// JSON has no infinity and no NaN: where there may be one, use `stormfire::state::save` and `load`.
    fn state(&self) -> Result<Saved> {
        Ok(Saved::default())
    }

    /// Takes back what [`state`](Self::state) returned, in a fit that continues: after `setup`, before the loaders are asked for.
    /// The default ignores it.
    fn load_state(&mut self, state: Saved) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Told about the error that ended a run.
    fn on_exception(&mut self, error: &(dyn std::error::Error + 'static)) {
        let _ = error;
    }

    /// Values that loggers record with the run, beside the hyperparameters of the module, such as the batch size. The default
    /// is `null`, which is none.
    fn hparams(&self) -> Result<Value> {
        Ok(Value::Null)
    }
}

/// In a fit it is the training loader, and nothing is validated; in the other stages it is the loader of that stage.
impl<B: Send + 'static> DataModule for Loader<B> {
    type Batch = B;

    fn setup(&mut self, stage: Stage) -> Result<()> {
        self.stage = Some(stage);
        Ok(())
    }

    fn train_dataloader(&mut self) -> Result<Loader<B>> {
        Ok(self.clone())
    }

    fn val_dataloader(&mut self) -> Result<Loaders<B>> {
        // The same method is asked in a fit, where validating on the training data would be a surprise.
        Ok(if self.stage == Some(Stage::Fit) { Loaders::none() } else { self.clone().into() })
    }

    fn test_dataloader(&mut self) -> Result<Loaders<B>> {
        Ok(self.clone().into())
    }

    fn predict_dataloader(&mut self) -> Result<Loaders<B>> {
        Ok(self.clone().into())
    }
}

/// The loaders of a validation, test or prediction; a fit misses its training loader.
impl<B: Send + 'static> DataModule for Loaders<B> {
    type Batch = B;

    fn val_dataloader(&mut self) -> Result<Loaders<B>> {
        Ok(self.clone())
    }

    fn test_dataloader(&mut self) -> Result<Loaders<B>> {
        Ok(self.clone())
    }

    fn predict_dataloader(&mut self) -> Result<Loaders<B>> {
        Ok(self.clone())
    }
}

/// `(train, val)`; there is nothing to test or predict.
impl<B: Send + 'static, V: Into<Loaders<B>> + Clone> DataModule for (Loader<B>, V) {
    type Batch = B;

    fn train_dataloader(&mut self) -> Result<Loader<B>> {
        Ok(self.0.clone())
    }

    fn val_dataloader(&mut self) -> Result<Loaders<B>> {
        Ok(self.1.clone().into())
    }
}

macro_rules! forward {
    ($($pointer:ty),*) => {$(
        impl<D: DataModule + ?Sized> DataModule for $pointer {
            type Batch = D::Batch;

            fn prepare_data(&mut self) -> Result<()> {
                (**self).prepare_data()
            }

            fn setup(&mut self, stage: Stage) -> Result<()> {
                (**self).setup(stage)
            }

            fn teardown(&mut self, stage: Stage) -> Result<()> {
                (**self).teardown(stage)
            }

            fn train_dataloader(&mut self) -> Result<Loader<Self::Batch>> {
                (**self).train_dataloader()
            }

            fn val_dataloader(&mut self) -> Result<Loaders<Self::Batch>> {
                (**self).val_dataloader()
            }

            fn test_dataloader(&mut self) -> Result<Loaders<Self::Batch>> {
                (**self).test_dataloader()
            }

            fn predict_dataloader(&mut self) -> Result<Loaders<Self::Batch>> {
                (**self).predict_dataloader()
            }

            fn state(&self) -> Result<Saved> {
                (**self).state()
            }

            fn load_state(&mut self, state: Saved) -> Result<()> {
                (**self).load_state(state)
            }

            fn on_exception(&mut self, error: &(dyn std::error::Error + 'static)) {
                (**self).on_exception(error);
            }

            fn hparams(&self) -> Result<Value> {
                (**self).hparams()
            }
        }
    )*};
}

forward!(&mut D, Box<D>);
