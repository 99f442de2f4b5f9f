//! What tells whether losses and gradients were finite.

use burn::{
    module::Module,
    optim::GradientsParams,
    tensor::{DType, Tensor},
};

use stormfire_optim::gradients;
use stormfire_values::{Scalar, read::read};

use crate::error::Result;

/// Whether the Stepper looks for losses and gradients that are not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FiniteCheck {
    /// Not at all.
    Off,
    /// It leaves [`Evidence`] on the device, for whoever reads it later, and computes nothing for it.
    Later,
    /// Before each step, with one device read: a step from a loss or gradient that is not finite is left out.
    BeforeStep,
}

/// What tells later whether the losses and gradients of a batch were finite: numbers on the device, shape `[1]`, that are
/// finite if and only if what they stand for is.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// For the losses that were walked back; `None` if there were none.
    pub losses: Option<Tensor<1>>,
    /// For the gradients that the optimizers stepped with; `None` if none stepped, or if nobody knows their norm anyhow and
    /// it need not be known before the step.
    pub gradients: Option<Tensor<1>>,
}

impl Evidence {
    /// What is not finite, if something is. One device read, and a second one for the names.
    pub(crate) fn what_is_not_finite<M: Module>(self, gradients: &GradientsParams, module: &M) -> Result<Option<String>> {
        let losses = self.losses.is_some();
        let values = read(&[self.losses, self.gradients].into_iter().flatten().map(Scalar::Device).collect::<Vec<_>>())?;
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(None),
            Some(0) if losses => Ok(Some(LOSS.into())),
            Some(_) => match gradients::non_finite(gradients, module)? {
                paths if paths.is_empty() => Ok(Some("the norm of the gradients".into())),
                paths => Ok(Some(gradient_of(&paths))),
            },
        }
    }
}

/// Adds to one piece of evidence another one. A single one costs nothing.
pub(crate) fn add(evidence: &mut Option<Tensor<1>>, more: Tensor<1>) {
    *evidence = Some(match evidence.take() {
        Some(evidence) => evidence.cast(DType::F32) + more.cast(DType::F32),
        None => more,
    });
}

pub(crate) const LOSS: &str = "the training loss";

pub(crate) fn gradient_of(paths: &[String]) -> String {
    let named: Vec<_> = paths.iter().map(|path| format!("`{path}`")).collect();
    format!("the gradient of {}", named.join(", "))
}
