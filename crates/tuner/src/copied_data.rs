//! The data of a trial.

use std::{cell::Cell, rc::Rc};

use stormfire_data::{DataModule, Error, Loader, Loaders, Result, Stage, for_trainer::DriveLoader as _};
use stormfire_module::state::Saved;

/// The size of the training data of a trial.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    pub(crate) items: Option<usize>,
    pub(crate) batches: Option<usize>,
}

/// A data module that gets its state back after a trial.
pub(crate) struct CopiedData<D> {
    data: D,
    before: Option<Saved>,
    size: Rc<Cell<Size>>,
}

impl<D: DataModule> CopiedData<D> {
    pub(crate) fn new(data: D) -> Self {
        Self { data, before: None, size: Rc::default() }
    }

    /// The size, as soon as the loader is known.
    pub(crate) fn size(&self) -> Rc<Cell<Size>> {
        Rc::clone(&self.size)
    }
}

impl<D: DataModule> DataModule for CopiedData<D> {
    type Batch = D::Batch;

    fn prepare_data(&mut self) -> Result<()> {
        self.data.prepare_data()
    }

    fn setup(&mut self, stage: Stage) -> Result<()> {
        let before = self.data.state()?;
        self.before = (!before.is_empty()).then_some(before);
        self.data.setup(stage)
    }

    fn teardown(&mut self, stage: Stage) -> Result<()> {
        self.data.teardown(stage)?;
        self.before.take().map_or(Ok(()), |state| self.data.load_state(state))
    }

    fn train_dataloader(&mut self) -> Result<Loader<D::Batch>> {
        let loader = self.data.train_dataloader()?;
        if loader.is_single_pass() {
            let reason = "the training loader has a single pass, which a trial would use up: make it with `Loader::from_fn`";
            return Err(Error::other(reason));
        }
        self.size.set(Size { items: loader.dataset_len(), batches: loader.len().known() });
        Ok(loader)
    }

    fn val_dataloader(&mut self) -> Result<Loaders<D::Batch>> {
        let loaders = self.data.val_dataloader()?;
        if loaders.iter().any(Loader::is_single_pass) {
            let reason = "a validation loader has a single pass, which a trial would use up: make it with `Loader::from_fn`";
            return Err(Error::other(reason));
        }
        Ok(loaders)
    }

    fn state(&self) -> Result<Saved> {
        Ok(Saved::default())
    }

    fn on_exception(&mut self, error: &(dyn std::error::Error + 'static)) {
        self.data.on_exception(error);
    }
}
