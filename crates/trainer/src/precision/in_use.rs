//! The precision of the current run.

use std::borrow::Cow;

use burn::tensor::{Device, FloatDType};
use stormfire_data::Caster;
use stormfire_module::{
    Callback, Error, LightningModule, Result,
    for_trainer::{ModuleHooks, cast, cast_parameters, explained, in_hook, refuse_unfit},
    place::Place,
};

use super::Precision;

/// The precision of a run, and how its steps are given the types that they compute in.
pub(crate) struct InUse<B> {
    given: Option<Precision>,
    /// The type of the steps, and how a batch is cast to it, if it is not that of the parameters.
    mixed: Option<(FloatDType, Caster<B>)>,
    /// Whether the user knows that it is not faster here.
    has_warned: bool,
}

impl<B> Default for InUse<B> {
    fn default() -> Self {
        Self { given: None, mixed: None, has_warned: false }
    }
}

impl<B> Clone for InUse<B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for InUse<B> {}

impl<B> InUse<B> {
    /// Starts a run with this module: sets the default type of the device, and refuses what cannot work.
    pub(crate) fn begin<M: LightningModule<Batch = B>>(
        &mut self,
        precision: Option<Precision>,
        device: &Device,
        module: &M,
        caster: Option<Caster<B>>,
    ) -> Result<()> {
        (self.given, self.mixed) = (precision, None);
        let Some(precision) = precision else { return Ok(()) };
        precision.prepare(device)?;
        let Some(dtype) = precision.of_steps() else { return Ok(()) };
        let Some(caster) = caster else {
            let reason = format!("`{precision}` casts the batches, but this Trainer has no function that casts them");
            let hint = "call `Trainer::precision` or `Cli::with_precision` in the program: it takes the value of a file, too";
            return Err(Error::config("precision", reason, hint));
        };
        refuse_unfit(module, &precision.to_string())?;
        if *device == Device::flex() && !std::mem::replace(&mut self.has_warned, true) {
            tracing::warn!("`precision` = {precision}: burn's CPU backend computes in f32 and converts, so this is slower than `32-true`");
        }
        self.mixed = Some((dtype, caster));
        Ok(())
    }

    /// The type in which the steps compute, if it is not that of the parameters.
    pub(crate) fn of_steps(&self) -> Option<FloatDType> {
        self.mixed.map(|(dtype, _)| dtype)
    }

    /// The scale of the loss at the start of a fit: that of the checkpoint, if it has one.
    pub(crate) fn start_loss_scale(&self, place: &mut Place) {
        let is_scaled = self.of_steps() == Some(FloatDType::F16);
        place.loss_scale = is_scaled.then(|| place.loss_scale.unwrap_or_default());
    }

    /// The module with parameters of the chosen type: it may have been loaded with another one.
    pub(crate) fn parameters<M: LightningModule>(&self, module: M) -> M {
        let Some(precision) = self.given else { return module };
        cast_parameters(&module, precision.of_parameters()).unwrap_or(module)
    }

    /// The batch for a step.
    pub(crate) fn batch(&self, batch: B) -> B {
        match self.mixed {
            Some((dtype, cast)) => cast(batch, dtype),
            None => batch,
        }
    }

    /// The module for an evaluation step, which is in evaluation mode. Made for each batch, because a hook may have
    /// changed the module.
    pub(crate) fn evaluated<'a, M: LightningModule>(&self, module: &'a M) -> Cow<'a, M> {
        self.of_steps().map_or(Cow::Borrowed(module), |dtype| Cow::Owned(cast(module, dtype)))
    }

    /// The error of a run. A panic of burn because two float types have met becomes an error with the cure.
    pub(crate) fn explained<M: LightningModule>(&self, error: Error) -> Error {
        let Error::Panic { hook, moment, message } = &error else { return error };
        let Some(precision) = self.given else { return error };
        let dtype = precision.of_steps().unwrap_or_else(|| precision.of_parameters());
        match (explained(message, &precision.to_string(), dtype), *hook) {
            (Some(explained), Some(step)) if step.is_step() => in_hook(explained, step, &Callback::<M>::name(&ModuleHooks), *moment),
            (Some(explained), _) => explained,
            (None, _) => error,
        }
    }

    /// The type that the parameters of a run on this device have.
    pub(crate) fn of_parameters(&self, device: &Device) -> FloatDType {
        self.given.map_or_else(|| device.settings().float_dtype, Precision::of_parameters)
    }

    /// Its name for a checkpoint.
    pub(crate) fn name(&self, device: &Device) -> String {
        self.given.map_or_else(|| name_of(device.settings().float_dtype).to_owned(), |precision| precision.to_string())
    }
}

/// The name of the precision whose parameters and steps have this type.
fn name_of(dtype: FloatDType) -> &'static str {
    match dtype {
        FloatDType::F64 => "64-true",
        FloatDType::BF16 => "bf16-true",
        FloatDType::F16 => "16-true",
        _ => "32-true",
    }
}

/// Whether the parameters in a checkpoint of a precision with this name have this type. An unknown name is compared
/// with `f16` only.
pub(crate) fn has_parameters_of(name: &str, dtype: FloatDType) -> bool {
    match name.parse::<Precision>() {
        Ok(precision) => precision.of_parameters() == dtype,
        Err(_) => name != name_of(FloatDType::F16) || dtype == FloatDType::F16,
    }
}
