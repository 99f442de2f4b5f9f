//! The functions that make the module and the data.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Device;
use stormfire_module::{Error, Result};
use stormfire_trainer::for_tuner::panic_message;
use stormfire_values::error_text::one_line;

type BuildModel<M, D, MC> = Box<dyn Fn(MC, &D, &Device) -> Result<M>>;

type BuildData<D, DC> = Box<dyn Fn(DC, &Device) -> Result<D>>;

/// The functions that make the module and the data.
pub(super) struct Build<M, D, MC, DC> {
    model: BuildModel<M, D, MC>,
    data: BuildData<D, DC>,
}

impl<M, D, MC, DC> Build<M, D, MC, DC> {
    pub(super) fn apart(model: impl Fn(MC, &Device) -> Result<M> + 'static, data: impl Fn(DC) -> Result<D> + 'static) -> Self {
        Self::linked(move |config, _, device| model(config, device), move |config, _| data(config))
    }

    pub(super) fn linked(
        model: impl Fn(MC, &D, &Device) -> Result<M> + 'static,
        data: impl Fn(DC, &Device) -> Result<D> + 'static,
    ) -> Self {
        Self { model: Box::new(model), data: Box::new(data) }
    }

    pub(super) fn model(&self, config: MC, data: &D, device: &Device) -> Result<M> {
        guarded("model", || (self.model)(config, data, device))
    }

    pub(super) fn data(&self, config: DC, device: &Device) -> Result<D> {
        guarded("data", || (self.data)(config, device))
    }
}

/// The result of the program's function of a section. A panic in it is an error, as in a hook.
pub(super) fn guarded<T>(section: &str, make: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(make)).unwrap_or_else(|panic| {
        let message = one_line(&panic_message(panic.as_ref()));
        Err(Error::other(format!("the function that makes `{section}` panicked: {message}")))
    })
}
