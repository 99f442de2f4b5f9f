//! A tree-structured Parzen estimator (Bergstra et al., 2011) of all hyperparameters together, as Optuna 5 has it by
//! default: kernels, weights and candidates are the same. A kernel is a trial: it has a width for each hyperparameter.
//!
//! The crate `tpe` estimates each hyperparameter alone, and turns on features of `rand` below burn, which would be
//! compiled again. The crate `optimizer` (1.0) draws by a private count of its calls, which starts from 0 in each
//! process, so a resumed sweep would try other values than an uninterrupted one.

use std::f64::consts::{SQRT_2, TAU};

use stormfire_data::Random;

/// The share of trials that count as good, and their largest number.
const GOOD: f64 = 0.1;
const MOST_GOOD: usize = 25;
/// The number of newest trials with the full weight. Random trials at the start would otherwise keep hiding values that
/// were tried seldom.
const NEWEST: usize = 25;
/// Number of drawn points, of which the best is taken.
const CANDIDATES: usize = 24;
/// A draw outside of the range is repeated at most this often.
const DRAWS: usize = 100;

/// The coordinates of a hyperparameter: numbers in `low..high`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    /// They are indices from 0, without an order.
    pub(super) are_names: bool,
}

/// A hyperparameter in a kernel.
#[derive(Clone, Debug)]
enum Side {
    /// A normal distribution that is cut at the ends of the axis. Its height is a logarithm, for a range of length 1.
    Normal { centre: f64, width: f64, height: f64 },
    /// The probability of each name.
    Shares(Vec<f64>),
}

/// A density of points: the weighted mean of its kernels. The last one is as wide as the axes, so that every value is
/// possible.
struct Density<'a> {
    axes: &'a [Axis],
    /// The kernels of each axis.
    sides: Vec<Vec<Side>>,
    /// The weight of each kernel. Their sum is 1.
    weights: Vec<f64>,
}

/// A point at which good trials are denser than others. `seen` has points with ranks, lower ones of better trials. The
/// newest trial is the last one.
pub(super) fn propose(seen: &[(Vec<f64>, f64)], axes: &[Axis], random: &mut Random) -> Vec<f64> {
    let mut best_first: Vec<usize> = (0..seen.len()).collect();
    best_first.sort_by(|a, b| seen[*a].1.total_cmp(&seen[*b].1));
    best_first.truncate(((seen.len() as f64 * GOOD).ceil() as usize).min(MOST_GOOD));
    let (good, others): (Vec<usize>, Vec<usize>) = (0..seen.len()).partition(|index| best_first.contains(index));
    let density = |of: &[usize]| Density::new(&of.iter().map(|index| seen[*index].0.as_slice()).collect::<Vec<_>>(), axes);
    let (good, others) = (density(&good), density(&others));
    let mut best: Option<(f64, Vec<f64>)> = None;
    for _ in 0..CANDIDATES {
        let point = good.draw(random);
        let gain = good.log_at(&point) - others.log_at(&point);
        if best.as_ref().is_none_or(|(most, _)| gain > *most) {
            best = Some((gain, point));
        }
    }
    best.map(|(_, point)| point).unwrap_or_default()
}

impl<'a> Density<'a> {
    /// The newest point is the last one.
    fn new(points: &[&[f64]], axes: &'a [Axis]) -> Self {
        let of_axis = |(index, axis): (usize, &Axis)| {
            let seen: Vec<f64> = points.iter().map(|point| point[index]).collect();
            if axis.are_names { axis.shares(&seen) } else { axis.normals(&seen) }
        };
        let old = points.len().saturating_sub(NEWEST);
        let least = 1.0 / points.len().max(1) as f64;
        let weight = |age: usize| if age < old { least + (1.0 - least) * age as f64 / (old - 1).max(1) as f64 } else { 1.0 };
        let weights: Vec<f64> = (0..=points.len()).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let weights = weights.into_iter().map(|weight| weight / sum).collect();
        Self { axes, sides: axes.iter().enumerate().map(of_axis).collect(), weights }
    }

    fn draw(&self, random: &mut Random) -> Vec<f64> {
        let kernel = pick(&self.weights, random);
        self.axes.iter().zip(&self.sides).map(|(axis, sides)| axis.draw(&sides[kernel], random)).collect()
    }

    /// The logarithm of the density, for axes of length 1.
    fn log_at(&self, point: &[f64]) -> f64 {
        let of_kernel = |(kernel, weight): (usize, &f64)| {
            self.sides.iter().zip(point).map(|(sides, at)| sides[kernel].log_at(*at)).sum::<f64>() + weight.ln()
        };
        let logs: Vec<f64> = self.weights.iter().enumerate().map(of_kernel).collect();
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        largest + logs.iter().map(|log| (log - largest).exp()).sum::<f64>().ln()
    }
}

impl Axis {
    /// Shares of names for each seen one, and equal shares. In a kernel, each name has one count in proportion to the
    /// number of kernels, and the seen name has one more.
    fn shares(&self, seen: &[f64]) -> Vec<Side> {
        let names = (self.high as usize).max(1);
        let count = 1.0 / (seen.len() + 1) as f64;
        let sum = 1.0 + names as f64 * count;
        let of = |name: &f64| {
            let mut shares = vec![count / sum; names];
            if let Some(share) = shares.get_mut(*name as usize) {
                *share += 1.0 / sum;
            }
            Side::Shares(shares)
        };
        seen.iter().map(of).chain([Side::Shares(vec![1.0 / names as f64; names])]).collect()
    }

    /// A normal distribution around each seen coordinate, as wide as the distance to the farther of its neighbours, and
    /// one as wide as the range.
    fn normals(&self, seen: &[f64]) -> Vec<Side> {
        let whole = self.high - self.low;
        let narrowest = whole / (seen.len() as f64 + 2.0).min(100.0);
        let mut order: Vec<usize> = (0..seen.len()).collect();
        order.sort_by(|a, b| seen[*a].total_cmp(&seen[*b]));
        let mut sides = vec![self.normal(f64::midpoint(self.low, self.high), whole); seen.len() + 1];
        for (place, &index) in order.iter().enumerate() {
            let centre = seen[index];
            let left = place.checked_sub(1).map(|before| centre - seen[order[before]]);
            let right = order.get(place + 1).map(|after| seen[*after] - centre);
            let width = match (left, right) {
                (None, None) => (centre - self.low).max(self.high - centre),
                _ => left.unwrap_or(0.0).max(right.unwrap_or(0.0)),
            };
            sides[index] = self.normal(centre, width.clamp(narrowest, whole));
        }
        sides
    }

    fn normal(&self, centre: f64, width: f64) -> Side {
        let inside = below((self.high - centre) / width) - below((self.low - centre) / width);
        // The width itself times a number may be infinite.
        Side::Normal { centre, width, height: -(width / (self.high - self.low) * TAU.sqrt() * inside).ln() }
    }

    /// A coordinate from a kernel of this axis.
    fn draw(&self, side: &Side, random: &mut Random) -> f64 {
        match side {
            Side::Shares(shares) => pick(shares, random) as f64 + 0.5,
            Side::Normal { centre, width, .. } => {
                let normal = |random: &mut Random| {
                    // Box and Muller: the first number is never 0.
                    let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
                    centre + width * radius * (TAU * random.unit()).cos()
                };
                let drawn = (0..DRAWS).map(|_| normal(random)).find(|drawn| (self.low..self.high).contains(drawn));
                drawn.unwrap_or(*centre).clamp(self.low, self.high.next_down())
            }
        }
    }
}

/// An index, drawn with the probability that it has.
fn pick(shares: &[f64], random: &mut Random) -> usize {
    let mut left = random.unit();
    let found = shares.iter().position(|share| {
        left -= share;
        left < 0.0
    });
    // Rounding may leave something.
    found.unwrap_or(shares.len().saturating_sub(1))
}

impl Side {
    fn log_at(&self, coordinate: f64) -> f64 {
        match self {
            Self::Shares(shares) => shares.get(coordinate as usize).copied().unwrap_or(0.0).ln(),
            Self::Normal { centre, width, height } => height - ((coordinate - centre) / width).powi(2) / 2.0,
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
mod tests;
