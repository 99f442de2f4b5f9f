//! The factor by which a loss in `f16` is multiplied before the backward pass, so that small gradients do not become
//! zero.

use serde::{Deserialize, Serialize};

/// The scale of the loss with the precision `16-mixed`, with the rules of PyTorch's `GradScaler`.
///
/// Gradients are divided by it before anything reads them. A step whose gradients have overflowed is not made, and
/// halves the scale. After 2000 steps without an overflow it is doubled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossScale {
    /// The factor. A power of two, so that nothing is rounded.
    pub scale: f64,
    /// Number of steps since the scale has changed.
    pub good_steps: u32,
}

impl Default for LossScale {
    fn default() -> Self {
        Self { scale: 65536.0, good_steps: 0 }
    }
}

impl LossScale {
    /// The smallest scale. With it, gradients that are not finite have no overflow of `f16` as their cause.
    pub const SMALLEST: f64 = 1.0;
    /// Steps without an overflow until the scale grows.
    pub const GROWS_AFTER: u32 = 2000;

    /// Whether a smaller scale may help against an overflow.
    pub fn can_shrink(&self) -> bool {
        self.scale > Self::SMALLEST
    }

    /// Adapts it after a batch in which optimizers have stepped, or could not.
    pub fn adapt(&mut self, has_overflowed: bool, has_stepped: bool) {
        if has_overflowed {
            *self = Self { scale: (self.scale * 0.5).max(Self::SMALLEST), good_steps: 0 };
        } else if has_stepped {
            self.good_steps += 1;
            if self.good_steps >= Self::GROWS_AFTER {
                *self = Self { scale: self.scale * 2.0, good_steps: 0 };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_halves_at_an_overflow_and_doubles_after_2000_steps() {
        let mut scale = LossScale::default();
        scale.adapt(true, false);
        assert_eq!(scale, LossScale { scale: 32768.0, good_steps: 0 });
        for _ in 0..1999 {
            scale.adapt(false, true);
            scale.adapt(false, false);
        }
        assert_eq!(scale, LossScale { scale: 32768.0, good_steps: 1999 }, "a batch without a step does not count");
        scale.adapt(false, true);
        assert_eq!(scale, LossScale::default());
        for _ in 0..20 {
            scale.adapt(true, false);
        }
        assert_eq!(scale.scale.to_bits(), LossScale::SMALLEST.to_bits());
        assert!(!scale.can_shrink());
    }
}
