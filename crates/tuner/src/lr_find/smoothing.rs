//! An exponential mean without bias.

/// The weight of the past.
const BETA: f64 = 0.98;

/// The mean of the values so far, with exponentially falling weights of older ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Smoothing {
    sum: f64,
    count: i32,
}

impl Smoothing {
    /// Adds a value. Returns the mean: the weights sum to 1, so a constant stays what it is.
    pub(super) fn add(&mut self, value: f64) -> f64 {
        self.sum = BETA * self.sum + (1.0 - BETA) * value;
        self.count = self.count.saturating_add(1);
        // Lightning counts one value too many here, and those of earlier epochs: a constant 1 then reads 0.505, 0.673..
        self.sum / (1.0 - BETA.powi(self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_stays_what_it_is() {
        let mut smoothing = Smoothing::default();
        for _ in 0..500 {
            assert!((smoothing.add(3.0) - 3.0).abs() < 1e-12);
        }
    }
}
