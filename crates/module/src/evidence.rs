//! Evidence of whether losses and gradients were finite.

use burn::{module::Module, optim::GradientsParams};

use stormfire_optim::gradients;
use stormfire_values::{Scalar, read::read};

use crate::error::Result;

/// How the Stepper checks that losses and gradients are finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FiniteCheck {
    /// No check.
    Off,
    /// It leaves [`Evidence`] on the device for a later read, and computes nothing for it.
    Later,
    /// Before each step, with one device read. A step with a loss or gradient that is not finite is skipped.
    BeforeStep,
}

/// Evidence of whether the losses and gradients of a batch were finite. Each number is finite exactly when the values
/// that it represents are.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// Represents the losses with a backward pass. `None` without any.
    pub losses: Option<Scalar>,
    /// Represents the gradients of the optimizer steps. `None` if no optimizer stepped, or if their norm was not
    /// computed for another purpose and is not required before the step.
    pub gradients: Option<Scalar>,
}

impl Evidence {
    /// Describes the first value that is not finite. Needs one device read, and a second one for the names.
    pub(crate) fn what_is_not_finite<M: Module>(self, gradients: &GradientsParams, module: &M) -> Result<Option<String>> {
        let losses = self.losses.is_some();
        let values = read(&[self.losses, self.gradients].into_iter().flatten().collect::<Vec<_>>())?;
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

/// Why an optimizer did not step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skipped {
    /// This value is not finite ([`FiniteCheck::BeforeStep`]).
    NotFinite(String),
    /// A callback has requested it, for this reason.
    Asked(String),
}

/// Adds a piece of evidence to another one. A single piece costs nothing.
pub(crate) fn add(evidence: &mut Option<Scalar>, more: Scalar) {
    *evidence = Some(match evidence.take() {
        Some(evidence) => evidence.plus(more),
        None => more,
    });
}

pub(crate) const LOSS: &str = "the training loss";

pub(crate) fn gradient_of(paths: &[String]) -> String {
    let named: Vec<_> = paths.iter().map(|path| format!("`{path}`")).collect();
    format!("the gradient of {}", named.join(", "))
}
