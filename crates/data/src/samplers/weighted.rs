use std::sync::Arc;

use super::Sampler;
use crate::{Error, Random, Result};

/// Items drawn with a probability in proportion to their weights: `PyTorch`'s `WeightedRandomSampler`.
///
/// ```
/// use stormfire_data::{Sampler, WeightedSampler};
///
/// // Item 2 is drawn as often as the other two together, item 3 never.
/// let sampler = WeightedSampler::new([1.0, 1.0, 2.0, 0.0]).samples(1000);
/// let order = sampler.order(0, 0);
/// assert!(order.iter().all(|&item| item < 3));
/// assert!((450..550).contains(&order.iter().filter(|&&item| item == 2).count()));
/// ```
#[derive(Clone, Debug)]
pub struct WeightedSampler {
    weights: Arc<[f64]>,
    samples: usize,
    replacement: bool,
}

impl WeightedSampler {
    /// One weight for each item of the dataset. Items are drawn with replacement, as many in an epoch as there are
    /// weights. The weights need not add up to 1.
    pub fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let weights: Arc<[f64]> = weights.into_iter().collect();
        Self { samples: weights.len(), weights, replacement: true }
    }

    /// The number of items of an epoch.
    #[must_use]
    pub fn samples(mut self, items: usize) -> Self {
        self.samples = items;
        self
    }

    /// Whether an item can be drawn several times in an epoch (default true). If not, the next item is drawn from those
    /// that are left, in proportion to their weights.
    #[must_use]
    pub fn replacement(mut self, on: bool) -> Self {
        self.replacement = on;
        self
    }

    fn with_replacement(&self, random: &mut Random) -> Vec<usize> {
        let mut sum = 0.0;
        let sums: Vec<f64> = self.weights.iter().map(|weight| (sum += weight, sum).1).collect();
        // Rounding may return `sum` itself, which would be past the last item that has a weight.
        let last = self.weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0);
        let draw = |_| {
            let at = random.unit() * sum;
            sums.partition_point(|&sum| sum <= at).min(last)
        };
        (0..self.samples).map(draw).collect()
    }

    /// Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006): the items with the smallest
    /// `-ln(u) / weight`, smallest first. It equals drawing one item after the other. The keys are logarithms, since
    /// the quotient is infinite for tiny weights.
    fn without_replacement(&self, random: &mut Random) -> Vec<usize> {
        let mut keys: Vec<(f64, usize)> = Vec::with_capacity(self.weights.len());
        for (item, &weight) in self.weights.iter().enumerate() {
            // `1 - unit` is never 0. A draw for each item, so that a weight of 0 does not change the others.
            let key = (-(1.0 - random.unit()).ln()).ln() - weight.ln();
            if weight > 0.0 {
                keys.push((key, item));
            }
        }
        keys.sort_by(|a, b| a.0.total_cmp(&b.0));
        keys.into_iter().take(self.samples).map(|(_, item)| item).collect()
    }
}

impl Sampler for WeightedSampler {
    fn items(&self) -> usize {
        self.samples
    }

    fn order(&self, seed: u64, epoch: usize) -> Vec<usize> {
        let mut random = Random::of_epoch(seed, epoch);
        if self.replacement { self.with_replacement(&mut random) } else { self.without_replacement(&mut random) }
    }

    fn check(&self, items: usize) -> Result<()> {
        if self.weights.len() != items {
            return Err(Error::sampler(format!("there are {} weights for {items} items", self.weights.len())));
        }
        if let Some(item) = self.weights.iter().position(|weight| !weight.is_finite() || *weight < 0.0) {
            return Err(Error::sampler(format!("the weight of item {item} is {}", self.weights[item])));
        }
        let drawable = self.weights.iter().filter(|&&weight| weight > 0.0).count();
        if drawable == 0 || !self.weights.iter().sum::<f64>().is_finite() {
            return Err(Error::sampler("the sum of the weights is zero or infinite"));
        }
        if !self.replacement && drawable < self.samples {
            let samples = self.samples;
            return Err(Error::sampler(format!("{samples} items are to be drawn without replacement, but only {drawable} have a weight")));
        }
        Ok(())
    }
}
