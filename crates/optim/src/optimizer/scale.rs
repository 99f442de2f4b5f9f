//! A factor on all rates of an optimizer.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// A factor for each step of an optimizer, and the number of steps that it has made. Clones share that number.
#[derive(Clone, Debug)]
pub struct Ramp {
    factors: Arc<[f64]>,
    steps: Arc<AtomicU64>,
}

impl Ramp {
    /// The factors of the first steps. Later steps have the last factor.
    pub fn new(factors: impl Into<Arc<[f64]>>) -> Self {
        Self { factors: factors.into(), steps: Arc::default() }
    }

    /// The number of steps so far.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::Relaxed)
    }
}

/// The factor of the rates of an optimizer.
#[derive(Clone, Debug)]
pub(super) enum Scale {
    Fixed(f64),
    OfStep(Ramp),
}

impl Scale {
    /// The factor of a step.
    pub(super) fn at(&self, step: u64) -> f64 {
        match self {
            Self::Fixed(factor) => *factor,
            Self::OfStep(ramp) => ramp.factors.get(step as usize).or(ramp.factors.last()).copied().unwrap_or(1.0),
        }
    }

    /// Notes that this number of steps was made.
    pub(super) fn note(&self, steps: u64) {
        if let Self::OfStep(ramp) = self {
            ramp.steps.store(steps, Ordering::Relaxed);
        }
    }
}
