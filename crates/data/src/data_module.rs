use serde_json::Value;
use stormfire_checkpoint::Saved;

use crate::{Error, Loader, Loaders, Result, Stage};

/// The data of an experiment in one place: its source, its splits and its loaders.
///
/// A run calls `prepare_data`, `setup(stage)`, the methods of the loaders it needs, and `teardown(stage)` at its end.
/// Every method has a default. Implement at least one loader. A single [`Loader`], [`Loaders`], and tuples
/// `(train, val)` and `(train, val, test)` of them are data modules, too.
///
/// Convert your own errors with `.map_err(Error::other)?`.
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
///
#[doc = include_str!("../docs/data_module.md")]
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a data module",
    label = "not a `Loader`, a pair `(train, val)` of them, or a `DataModule`",
    note = "make a loader of batches with `Loader::from_batches` or of a dataset with `Loader::collate`, or implement `DataModule`"
)]
pub trait DataModule {
    /// The batch that a step receives.
    type Batch: Send + 'static;

    /// Downloads and converts data once. Only one rank runs it, so it must not set state.
    fn prepare_data(&mut self) -> Result<()> {
        Ok(())
    }

    /// Opens and splits the data. Called before the loaders are requested, and possibly for several stages.
    fn setup(&mut self, stage: Stage) -> Result<()> {
        let _ = stage;
        Ok(())
    }

    /// Releases what `setup` has opened. Also called after an error.
    fn teardown(&mut self, stage: Stage) -> Result<()> {
        let _ = stage;
        Ok(())
    }

    /// Returns the training loader. The default is [`Error::LoaderMissing`].
    fn train_dataloader(&mut self) -> Result<Loader<Self::Batch>> {
        Err(Error::LoaderMissing { stage: Stage::Fit })
    }

    /// Returns the validation loaders, for `fit` and for `validate`. The default is no loader: `fit` does not validate.
    fn val_dataloader(&mut self) -> Result<Loaders<Self::Batch>> {
        Ok(Loaders::none())
    }

    /// Returns the test loaders. The default is no loader.
    fn test_dataloader(&mut self) -> Result<Loaders<Self::Batch>> {
        Ok(Loaders::none())
    }

    /// Returns the prediction loaders. The default is no loader.
    fn predict_dataloader(&mut self) -> Result<Loaders<Self::Batch>> {
        Ok(Loaders::none())
    }

    /// Returns the state that a checkpoint of a fit saves: plain values, and tensors by name. The default is no state.
    ///
    /// It is called between two batches, right before a checkpoint is taken. Workers may be some batches ahead at that
    /// moment. JSON cannot represent infinity and NaN: if the state may contain them, use `stormfire::state::save` and
    /// `load`.
    fn state(&self) -> Result<Saved> {
        Ok(Saved::default())
    }

    /// Restores what [`state`](Self::state) returned when a fit resumes. Called after `setup` and before the loaders
    /// are requested. The default ignores it.
    fn load_state(&mut self, state: Saved) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Called with the error that ended a run.
    fn on_exception(&mut self, error: &(dyn std::error::Error + 'static)) {
        let _ = error;
    }

    /// Returns values that loggers record in addition to the hyperparameters of the module, such as the batch size. The
    /// default is `null`: no values.
    fn hparams(&self) -> Result<Value> {
        Ok(Value::Null)
    }
}

/// In a fit, it is the training loader, and the fit does not validate. In the other stages, it is the loader of that
/// stage.
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
        // A fit calls this method, too. Validating on the training data would be a surprise.
        Ok(if self.stage == Some(Stage::Fit) { Loaders::none() } else { self.clone().into() })
    }

    fn test_dataloader(&mut self) -> Result<Loaders<B>> {
        Ok(self.clone().into())
    }

    fn predict_dataloader(&mut self) -> Result<Loaders<B>> {
        Ok(self.clone().into())
    }
}

/// The loaders of a validation, test or prediction. A fit fails, because the training loader is missing.
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

/// `(train, val)`. Loaders to test and predict are missing.
impl<B: Send + 'static, V: Into<Loaders<B>> + Clone> DataModule for (Loader<B>, V) {
    type Batch = B;

    fn train_dataloader(&mut self) -> Result<Loader<B>> {
        Ok(self.0.clone())
    }

    fn val_dataloader(&mut self) -> Result<Loaders<B>> {
        Ok(self.1.clone().into())
    }
}

/// `(train, val, test)`. A loader to predict is missing.
impl<B: Send + 'static, V: Into<Loaders<B>> + Clone, T: Into<Loaders<B>> + Clone> DataModule for (Loader<B>, V, T) {
    type Batch = B;

    fn train_dataloader(&mut self) -> Result<Loader<B>> {
        Ok(self.0.clone())
    }

    fn val_dataloader(&mut self) -> Result<Loaders<B>> {
        Ok(self.1.clone().into())
    }

    fn test_dataloader(&mut self) -> Result<Loaders<B>> {
        Ok(self.2.clone().into())
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
