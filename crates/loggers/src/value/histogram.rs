//! Histograms of samples.

use std::sync::LazyLock;

use crate::{Error, Result};

/// `PyTorch`'s `"tensorflow"` bins: 0 and ±1e-12 · 1.1ᵏ below 1e20. Fixed bins make runs comparable.
static EDGES: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let positive: Vec<f64> = std::iter::successors(Some(1e-12), |edge| Some(edge * 1.1)).take_while(|edge| *edge < 1e20).collect();
    positive.iter().rev().map(|edge| -edge).chain([0.0]).chain(positive.iter().copied()).collect()
});

/// Statistics of the samples of a [`Histogram`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistogramStats {
    /// The smallest sample.
    pub min: f64,
    /// The largest sample.
    pub max: f64,
    /// The sum of the samples.
    pub sum: f64,
    /// The sum of the squares of the samples.
    pub sum_squares: f64,
}

/// A distribution as counts in buckets.
///
/// ```
/// use stormfire_loggers::Histogram;
/// let histogram = Histogram::from_samples([1.0_f32, 2.0, 2.0, f32::NAN])?;
/// assert_eq!((histogram.num(), histogram.stats().sum), (3.0, 5.0));
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    stats: HistogramStats,
    num: f64,
    limits: Vec<f64>,
    counts: Vec<f64>,
}

impl Histogram {
    /// Counts samples (`f32` or `f64`) in the default buckets of `torch.utils.tensorboard`: bounds at 0 and ±1e-12 ·
    /// 1.1ᵏ. Only the range of buckets with samples is kept, with one empty bucket on the left.
    ///
    /// Non-finite samples are skipped.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] without a finite sample.
    pub fn from_samples<T: Into<f64>>(samples: impl IntoIterator<Item = T>) -> Result<Self> {
        let edges = &*EDGES;
        let buckets = edges.len() - 1;
        let samples = samples.into_iter().map(Into::into).filter(|sample: &f64| sample.is_finite());
        // A sample beyond the outermost bounds belongs to the outermost bucket.
        let bucket = |sample: f64| edges.partition_point(|edge| *edge <= sample).saturating_sub(1).min(buckets - 1);
        let (all, stats, num) = count(samples.map(|sample| (sample, bucket(sample))), buckets);
        let (Some(first), Some(last)) = (all.iter().position(|count| *count > 0.0), all.iter().rposition(|count| *count > 0.0)) else {
            return Err(invalid("there is no finite sample".to_owned()));
        };
        // A limit is a bucket's upper bound, so the lower bound of the first bucket needs an empty bucket before it.
        let limits = edges[first..=last + 1].to_vec();
        let counts = std::iter::once(0.0).chain(all[first..=last].iter().copied()).collect();
        Ok(Self { stats, num, limits, counts })
    }

    /// Counts samples in buckets with custom bounds, as `numpy.histogram` does: a bucket includes its lower bound, and
    /// the last one includes both bounds. Samples outside all buckets and non-finite samples are skipped. All buckets
    /// are kept, with an empty one before them for the first bound.
    ///
    /// ```
    /// use stormfire_loggers::Histogram;
    /// let histogram = Histogram::with_edges([0.0, 0.5, 1.0, 7.0], &[0.0, 0.5, 1.0])?;
    /// assert_eq!((histogram.limits(), histogram.counts()), (&[0.0, 0.5, 1.0][..], &[0.0, 1.0, 2.0][..]));
    /// # Ok::<(), stormfire_loggers::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] if there are fewer than two bounds, they do not ascend or are not finite, or no sample
    /// is between them.
    pub fn with_edges<T: Into<f64>>(samples: impl IntoIterator<Item = T>, edges: &[f64]) -> Result<Self> {
        let (&[first, .., last], true) = (edges, edges.iter().all(|edge| edge.is_finite())) else {
            return Err(invalid(format!("the bounds are {edges:?}, expected two or more finite ones")));
        };
        check_ascending(edges)?;
        let buckets = edges.len() - 1;
        let inside = samples.into_iter().map(Into::into).filter(|sample: &f64| (first..=last).contains(sample));
        let bucket = |sample: f64| edges.partition_point(|edge| *edge <= sample).saturating_sub(1).min(buckets - 1);
        let (counts, stats, num) = count(inside.map(|sample| (sample, bucket(sample))), buckets);
        if num == 0.0 {
            return Err(invalid(format!("no sample is in {first}..={last}")));
        }
        Ok(Self { stats, num, limits: edges.to_vec(), counts: std::iter::once(0.0).chain(counts).collect() })
    }

    /// A histogram from existing counts. `limits` are the upper bounds of the buckets, ascending.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] without buckets, or if the lengths differ, the limits do not ascend, or a count is
    /// negative or not finite.
    pub fn from_counts(limits: Vec<f64>, counts: Vec<f64>, stats: HistogramStats) -> Result<Self> {
        if limits.is_empty() || limits.len() != counts.len() {
            return Err(invalid(format!("{} limits for {} counts", limits.len(), counts.len())));
        }
        check_ascending(&limits)?;
        if let Some(count) = counts.iter().find(|count| !count.is_finite() || **count < 0.0) {
            return Err(invalid(format!("a count is {count}")));
        }
        Ok(Self { stats, num: counts.iter().sum(), limits, counts })
    }

    /// The statistics of the samples.
    pub const fn stats(&self) -> HistogramStats {
        self.stats
    }

    /// Number of counted samples.
    pub const fn num(&self) -> f64 {
        self.num
    }

    /// The upper bounds of the buckets, ascending.
    pub fn limits(&self) -> &[f64] {
        &self.limits
    }

    /// Number of samples in each bucket. As long as [`Histogram::limits`].
    pub fn counts(&self) -> &[f64] {
        &self.counts
    }
}

/// Counts samples, given with their bucket indices.
fn count(samples: impl Iterator<Item = (f64, usize)>, buckets: usize) -> (Vec<f64>, HistogramStats, f64) {
    let mut counts = vec![0.0; buckets];
    let mut stats = HistogramStats { min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, sum_squares: 0.0 };
    let mut num = 0.0;
    for (sample, bucket) in samples {
        counts[bucket] += 1.0;
        num += 1.0;
        stats.min = stats.min.min(sample);
        stats.max = stats.max.max(sample);
        stats.sum += sample;
        stats.sum_squares += sample * sample;
    }
    (counts, stats, num)
}

fn check_ascending(limits: &[f64]) -> Result<()> {
    let is_less = |left: &f64, right: &f64| left.partial_cmp(right) == Some(std::cmp::Ordering::Less);
    match limits.iter().zip(&limits[1..]).position(|(left, right)| !is_less(left, right)) {
        Some(at) => Err(invalid(format!("the limits do not ascend after {}", limits[at]))),
        None => Ok(()),
    }
}

fn invalid(reason: String) -> Error {
    Error::InvalidMedia { what: "histogram", reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_those_of_torch() {
        assert_eq!(EDGES.len(), 2 * 774 + 1);
        let histogram = Histogram::from_samples([0.0, 1.0, 1.0, -3.0]).unwrap();
        assert_eq!(histogram.limits().len(), histogram.counts().len());
        assert_eq!(histogram.counts().first(), Some(&0.0));
        assert!((histogram.counts().iter().sum::<f64>() - 4.0).abs() < 1e-9);
        let holding = |value: f64| {
            let bucket = histogram.limits().iter().position(|limit| *limit > value).unwrap();
            (histogram.counts()[bucket], histogram.limits()[bucket - 1] <= value)
        };
        assert_eq!([holding(0.0), holding(1.0), holding(-3.0)], [(1.0, true), (2.0, true), (1.0, true)]);
        assert_eq!(histogram.counts().last(), Some(&2.0));
        assert_eq!(histogram.stats(), HistogramStats { min: -3.0, max: 1.0, sum: -1.0, sum_squares: 11.0 });
    }

    #[test]
    fn extreme_samples_are_counted_in_the_outermost_buckets() {
        let histogram = Histogram::from_samples([-1e30, 1e30, f64::NAN, f64::INFINITY]).unwrap();
        assert_eq!((histogram.num(), histogram.counts().last(), histogram.counts()[1]), (2.0, Some(&1.0), 1.0));
        assert_eq!(histogram.counts().len(), EDGES.len());
    }

    #[test]
    fn given_buckets_are_counted_as_numpy_does() {
        let samples = [-0.1, 0.0, 0.1, 0.25, 0.3, 0.5, 0.5, 1.0, 1.1, f64::NAN];
        // numpy.histogram(samples, [0, 0.25, 0.5, 1])[0]
        let histogram = Histogram::with_edges(samples, &[0.0, 0.25, 0.5, 1.0]).unwrap();
        assert_eq!(histogram.counts(), [0.0, 2.0, 2.0, 3.0]);
        assert_eq!((histogram.num(), histogram.stats().min, histogram.stats().max), (7.0, 0.0, 1.0));
        let text = |samples: &[f64], edges: &[f64]| Histogram::with_edges(samples.iter().copied(), edges).unwrap_err().to_string();
        assert_eq!(text(&[1.0], &[1.0]), "invalid histogram: the bounds are [1.0], expected two or more finite ones");
        assert_eq!(text(&[1.0], &[1.0, 1.0]), "invalid histogram: the limits do not ascend after 1");
        assert_eq!(text(&[2.0], &[0.0, 1.0]), "invalid histogram: no sample is in 0..=1");
    }

    #[test]
    fn wrong_parts_are_refused() {
        let stats = HistogramStats { min: 0.0, max: 1.0, sum: 1.0, sum_squares: 1.0 };
        let text =
            |limits: &[f64], counts: &[f64]| Histogram::from_counts(limits.to_vec(), counts.to_vec(), stats).unwrap_err().to_string();
        assert_eq!(text(&[1.0], &[]), "invalid histogram: 1 limits for 0 counts");
        assert_eq!(text(&[1.0, 1.0], &[1.0, 1.0]), "invalid histogram: the limits do not ascend after 1");
        assert_eq!(text(&[1.0, f64::NAN], &[1.0, 1.0]), "invalid histogram: the limits do not ascend after 1");
        assert_eq!(text(&[1.0], &[-1.0]), "invalid histogram: a count is -1");
        assert!(Histogram::from_samples([f32::NAN]).is_err());
        let counted = Histogram::from_counts(vec![1.0, 2.0], vec![3.0, 4.0], stats).unwrap();
        assert!((counted.num() - 7.0).abs() < 1e-9);
    }
}
