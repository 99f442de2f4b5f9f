//! The tape of a loss: whether it can be walked back, and the walk.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
};

use burn::tensor::{DType, Gradients, Tensor};

use crate::{
    error::{Error, Result},
    loss_scale::LossScale,
};

/// Whether a loss can be walked back.
pub(crate) fn check_loss(loss: &Tensor<1>) -> Result<()> {
    has_one_element(loss)?;
    if !loss.is_tracked() {
        return Err(Error::Loss { reason: "it does not depend on the module's parameters".into() });
    }
    Ok(())
}

/// Refuses a loss that was not reduced.
pub(crate) fn has_one_element(loss: &Tensor<1>) -> Result<()> {
    if loss.dims() == [1] {
        return Ok(());
    }
    Err(Error::Loss { reason: format!("it has shape {:?} instead of [1]", loss.dims()) })
}

/// The loss for a backward pass that multiplies all gradients by this scale.
pub(crate) fn scaled(loss: &Tensor<1>, scale: Option<LossScale>) -> Cow<'_, Tensor<1>> {
    // A loss in `f16` has no room for the product.
    scale.map_or(Cow::Borrowed(loss), |scale| Cow::Owned(loss.clone().cast(DType::F32).mul_scalar(scale.scale)))
}

/// The backward pass of a loss. burn panics if there was one before.
pub(crate) fn walk_back(loss: &Tensor<1>) -> Result<Gradients> {
    catch_unwind(AssertUnwindSafe(|| loss.backward())).or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        match text {
            Some(text) if text.contains("tape has already been consumed") => Err(Error::UsedTape),
            _ => resume_unwind(panic),
        }
    })
}
