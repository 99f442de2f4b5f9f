//! Means and squared deviations that merge without cancellation.

use burn::tensor::{FloatDType, Tensor};
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
    /// The relative rounding error of a mean.
    epsilon: f64,
}

impl Moments {
    /// The moments of the pairs of one batch.
    pub(crate) fn of(x: Tensor<1>, y: Tensor<1>) -> Self {
        let [count] = x.dims();
        if count == 0 {
            return Self { count: 0.0, mean: [0.0, 0.0].map(Scalar::Host), deviation: [0.0; 3].map(Scalar::Host), epsilon: 0.0 };
        }
        let dtype = sum_dtype(&x.device());
        let epsilon = if dtype == FloatDType::F64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
        let centered = |values: Tensor<1>| {
            let values = values.cast(dtype);
            let mean = values.clone().mean();
            (mean.clone(), values - mean)
        };
        let ((mean_x, x), (mean_y, y)) = (centered(x), centered(y));
        let deviation = [x.clone().square(), y.clone().square(), x * y].map(sum);
        Self { count: count as f64, mean: [mean_x, mean_y].map(Scalar::from), deviation, epsilon }
    }

    /// Number of pairs.
    pub fn count(&self) -> f64 {
        self.count
    }

    /// The means of x and y.
    pub fn means(&self) -> [f64; 2] {
        [0, 1].map(|index| self.mean[index].value())
    }

    /// The sums of `(x - x̄)²`, `(y - ȳ)²` and `(x - x̄)(y - ȳ)`. Those of constants are 0, although their mean is
    /// rounded.
    pub fn deviations(&self) -> [f64; 3] {
        let [x, y, xy] = [0, 1, 2].map(|index| self.deviation[index].value());
        let [mean_x, mean_y] = self.means();
        let of_more_than_rounding = |deviation: f64, mean: f64| {
            let is_rounding = deviation <= self.count * (mean * self.epsilon).powi(2);
            if is_rounding { 0.0 } else { deviation }
        };
        [of_more_than_rounding(x, mean_x), of_more_than_rounding(y, mean_y), xy]
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
        self.epsilon = self.epsilon.max(other.epsilon);
        Ok(())
    }

    fn save(&self, parts: &mut Vec<Part>) {
        parts.extend([self.count, self.epsilon].map(|number| Part::Number(number.into())));
        parts.extend(self.mean.iter().chain(&self.deviation).cloned().map(Part::Number));
    }

    fn load(&self, parts: &mut dyn Iterator<Item = Part>) -> Option<Self> {
        let (count, epsilon) = (parts.next()?.number(), parts.next()?.number());
        let mut scalar = || if let Part::Number(scalar) = parts.next()? { Some(scalar) } else { None };
        let mean = [scalar()?, scalar()?];
        let deviation = [scalar()?, scalar()?, scalar()?];
        Some(Self { count, mean, deviation, epsilon })
    }
}
