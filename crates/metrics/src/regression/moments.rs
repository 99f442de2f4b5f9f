//! Means and squared deviations that merge without cancellation.

use burn::tensor::Tensor;
use stormfire_values::{
    Scalar,
    read::{Part, sum_dtype},
};

use super::errors::sum;
use crate::merge::{Merge, MergeError};

/// Count, means, and sums of squared deviations of pairs of numbers.
///
/// Sums of squares lose their digits if the mean is large. Deviations from the mean do not. Two values merge by the
/// formula of Chan: `M = M₁ + M₂ + δ²·n₁·n₂ / n`.
#[derive(Clone, Debug)]
pub struct Moments {
    count: f64,
    mean: [Scalar; 2],
    /// The sums of `(x - x̄)²`, `(y - ȳ)²` and `(x - x̄)(y - ȳ)`.
    deviation: [Scalar; 3],
}

impl Moments {
    /// The moments of the pairs of one batch.
    pub(crate) fn of(x: Tensor<1>, y: Tensor<1>) -> Self {
        let [count] = x.dims();
        if count == 0 {
            return Self { count: 0.0, mean: [0.0, 0.0].map(Scalar::Host), deviation: [0.0; 3].map(Scalar::Host) };
        }
        let dtype = sum_dtype(&x.device());
        // The mean of constants is rounded, but their difference to the first one is exactly 0.
        let centered = |values: Tensor<1>| {
            let values = values.cast(dtype);
            let first = values.clone().narrow(0, 0, 1);
            let values = values - first.clone();
            let mean = values.clone().mean();
            (first + mean.clone(), values - mean)
        };
        let ((mean_x, x), (mean_y, y)) = (centered(x), centered(y));
        let deviation = [x.clone().square(), y.clone().square(), x * y].map(sum);
        Self { count: count as f64, mean: [mean_x, mean_y].map(Scalar::from), deviation }
    }

    /// Number of pairs.
    pub fn count(&self) -> f64 {
        self.count
    }

    /// The means of x and y.
    pub fn means(&self) -> [f64; 2] {
        [0, 1].map(|index| self.mean[index].value())
    }

    /// The sums of `(x - x̄)²`, `(y - ȳ)²` and `(x - x̄)(y - ȳ)`. Those of constants are 0.
    pub fn deviations(&self) -> [f64; 3] {
        [0, 1, 2].map(|index| self.deviation[index].value())
    }
}

impl Merge for Moments {
    fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        if other.count == 0.0 {
            return Ok(());
        }
        if self.count == 0.0 {
            *self = other.clone();
            return Ok(());
        }
        let count = self.count + other.count;
        let delta = [0, 1].map(|index| other.mean[index].clone().minus(self.mean[index].clone()));
        let weight = self.count / count * other.count;
        for (index, (a, b)) in [(0, 0), (1, 1), (0, 1)].into_iter().enumerate() {
            let between = delta[a].clone().times(delta[b].clone()).times(weight);
            self.deviation[index] = self.deviation[index].clone().plus(other.deviation[index].clone()).plus(between);
        }
        for (mean, delta) in self.mean.iter_mut().zip(delta) {
            *mean = mean.clone().plus(delta.times(other.count / count));
        }
        self.count = count;
        Ok(())
    }

    fn save(&self, parts: &mut Vec<Part>) {
        parts.push(Part::Number(self.count.into()));
        parts.extend(self.mean.iter().chain(&self.deviation).cloned().map(Part::Number));
    }

    fn load(&self, parts: &mut dyn Iterator<Item = Part>) -> Option<Self> {
        let count = parts.next()?.number();
        let mut scalar = || if let Part::Number(scalar) = parts.next()? { Some(scalar) } else { None };
        let mean = [scalar()?, scalar()?];
        let deviation = [scalar()?, scalar()?, scalar()?];
        Some(Self { count, mean, deviation })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::Metric as _;
    use crate::regression::{pearson, r2};

    /// The mean of 0.1 over 60 numbers differs from 0.1 by several units in the last place.
    #[test]
    fn constants_have_no_deviation() {
        let device = Device::flex();
        for constant in [0.1_f32, 0.7, 1e-30, 3.3e7, -0.3] {
            for count in [1, 3, 60, 999, 4096_u16] {
                let constants = Tensor::<1>::full([usize::from(count)], constant, &device);
                let values = Tensor::<1, burn::tensor::Int>::arange(0..i64::from(count), &device).float();
                let mut all = Moments::of(constants.clone(), values.clone());
                assert!(all.deviations()[0] == 0.0 && all.deviations()[2] == 0.0, "{count} of {constant}: {:?}", all.deviations());
                all.merge(&Moments::of(constants.clone(), values.clone())).unwrap();
                assert!(all.deviations()[0] == 0.0, "{count} of {constant}, merged: {:?}", all.deviations());
                if count > 1 {
                    assert_eq!(r2(&values, &constants).unwrap().read().unwrap().to_bits(), 0, "{count} of {constant}");
                    assert!(pearson(&values, &constants).unwrap().read().unwrap().is_nan(), "{count} of {constant}");
                }
            }
        }
    }
}
