//! Tree-structured Parzen estimators for one hyperparameter (Bergstra et al., 2011).
//!
//! The crate `tpe` does the same. But it turns on features of `rand` below burn, which would be compiled again. The
//! crate `optimizer` (1.0) draws by a private count of its calls, which starts from 0 in each process, so a resumed
//! sweep would try other values than an uninterrupted one.

use std::f64::consts::{SQRT_2, TAU};

use stormfire_data::Random;

/// The share of trials that count as good.
const GOOD: f64 = 0.1;
/// Number of drawn values, of which the best is taken.
const CANDIDATES: usize = 24;
/// A draw outside of the range is repeated at most this often.
const DRAWS: usize = 100;

/// A density of values in a range.
enum Density {
    /// A normal distribution for each value: its centre and its width.
    Kernels { low: f64, high: f64, kernels: Vec<(f64, f64)> },
    /// A probability for each whole number from 0.
    Shares(Vec<f64>),
}

/// A coordinate in `low..high` at which good trials are denser than others. `seen` has coordinates with ranks, lower
/// ones of better trials. `are_names`: the coordinates are indices without an order.
pub(super) fn propose(mut seen: Vec<(f64, f64)>, (low, high): (f64, f64), are_names: bool, random: &mut Random) -> f64 {
    seen.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let good = (seen.len() as f64 * GOOD).ceil() as usize;
    let coordinates: Vec<f64> = seen.into_iter().map(|(coordinate, _)| coordinate).collect();
    let (good, others) = coordinates.split_at(good.min(coordinates.len()));
    let density = |of: &[f64]| if are_names { Density::shares(of, high as usize) } else { Density::kernels(of, low, high) };
    let (good, others) = (density(good), density(others));
    let mut best = (f64::NEG_INFINITY, low);
    for _ in 0..CANDIDATES {
        let coordinate = good.draw(random);
        let gain = good.at(coordinate).ln() - others.at(coordinate).ln();
        if gain > best.0 {
            best = (gain, coordinate);
        }
    }
    best.1
}

impl Density {
    /// Each name has one more count than was seen.
    fn shares(seen: &[f64], names: usize) -> Self {
        let mut counts = vec![1.0; names.max(1)];
        for coordinate in seen {
            if let Some(count) = counts.get_mut(*coordinate as usize) {
                *count += 1.0;
            }
        }
        let sum: f64 = counts.iter().sum();
        Self::Shares(counts.into_iter().map(|count| count / sum).collect())
    }

    /// A kernel is as wide as the distance to the farther of its neighbours. One as wide as the range keeps every value
    /// possible.
    fn kernels(seen: &[f64], low: f64, high: f64) -> Self {
        let whole = high - low;
        let mut sorted = seen.to_vec();
        sorted.push(f64::midpoint(low, high));
        sorted.sort_by(f64::total_cmp);
        let narrowest = whole / (sorted.len() as f64 + 1.0).min(100.0);
        let width = |index: usize| {
            let left = sorted[index] - index.checked_sub(1).map_or(low, |before| sorted[before]);
            let right = sorted.get(index + 1).copied().unwrap_or(high) - sorted[index];
            left.max(right).clamp(narrowest, whole)
        };
        let mut kernels: Vec<(f64, f64)> = (0..sorted.len()).map(|index| (sorted[index], width(index))).collect();
        kernels.push((f64::midpoint(low, high), whole));
        Self::Kernels { low, high, kernels }
    }

    fn draw(&self, random: &mut Random) -> f64 {
        match self {
            Self::Shares(shares) => {
                let mut left = random.unit();
                let found = shares.iter().position(|share| {
                    left -= share;
                    left < 0.0
                });
                found.unwrap_or(shares.len() - 1) as f64 + 0.5
            }
            Self::Kernels { low, high, kernels } => {
                let (centre, width) = kernels[random.below(kernels.len())];
                let normal = |random: &mut Random| {
                    // Box and Muller: the first number is never 0.
                    let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
                    centre + width * radius * (TAU * random.unit()).cos()
                };
                let drawn = (0..DRAWS).map(|_| normal(random)).find(|drawn| (*low..*high).contains(drawn));
                drawn.unwrap_or(centre).clamp(*low, high.next_down())
            }
        }
    }

    fn at(&self, coordinate: f64) -> f64 {
        match self {
            Self::Shares(shares) => shares.get(coordinate as usize).copied().unwrap_or(0.0),
            Self::Kernels { low, high, kernels } => {
                let kernel = |(centre, width): &(f64, f64)| {
                    let scaled = |at: f64| (at - centre) / width;
                    let inside = below(scaled(*high)) - below(scaled(*low));
                    (-scaled(coordinate).powi(2) / 2.0).exp() / (width * TAU.sqrt() * inside)
                };
                kernels.iter().map(kernel).sum::<f64>() / kernels.len() as f64
            }
        }
    }
}

/// The probability that a normal number is below this one, to 1e-7 (Abramowitz and Stegun, 7.1.26).
fn below(at: f64) -> f64 {
    let x = at.abs() / SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series = [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let tail = series.iter().fold(0.0, |sum, factor| (sum + factor) * t) * (-x * x).exp();
    if at < 0.0 { tail / 2.0 } else { 1.0 - tail / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn densities_sum_to_one_and_draws_follow_them() {
        // scipy.stats.norm.cdf.
        for (at, expected) in [(-1.0, 0.158_655_3), (0.0, 0.5), (1.96, 0.975_002_1)] {
            assert!((below(at) - expected).abs() < 1e-6, "{at}: {}", below(at));
        }
        let density = Density::kernels(&[0.1, 0.2, 1.5], -1.0, 2.0);
        let sum: f64 = (0..3000).map(|i| density.at(-1.0 + (f64::from(i) + 0.5) / 1000.0) / 1000.0).sum();
        assert!((sum - 1.0).abs() < 1e-3, "{sum}");
        let mut random = Random::new(1);
        let drawn: Vec<f64> = (0..2000).map(|_| density.draw(&mut random)).collect();
        assert!(drawn.iter().all(|drawn| (-1.0..2.0).contains(drawn)));
        let share = drawn.iter().filter(|drawn| **drawn < 0.5).count() as f64 / 2000.0;
        let expected: f64 = (0..1500).map(|i| density.at(-1.0 + (f64::from(i) + 0.5) / 1000.0) / 1000.0).sum();
        assert!((share - expected).abs() < 0.05, "{share}: {expected}");
        let names = Density::shares(&[0.5, 0.5, 2.5], 3);
        assert_eq!([0.5, 1.5, 2.5].map(|at| (names.at(at) * 6.0).round() as u8), [3, 1, 2]);
    }

    #[test]
    fn proposals_are_near_good_trials() {
        let seen: Vec<(f64, f64)> = (0..40).map(|i| (f64::from(i) / 40.0, (f64::from(i) / 40.0 - 0.7).powi(2))).collect();
        let near = (0..100).filter(|&seed| (propose(seen.clone(), (0.0, 1.0), false, &mut Random::new(seed)) - 0.7).abs() < 0.15);
        assert!(near.count() > 80);
        let names: Vec<(f64, f64)> = (0..30).map(|i| (f64::from(i % 3) + 0.5, f64::from(i % 3 != 1))).collect();
        let good = (0..100).filter(|&seed| propose(names.clone(), (0.0, 3.0), true, &mut Random::new(seed)) as usize == 1);
        assert!(good.count() > 90);
    }
}
