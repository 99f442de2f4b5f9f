//! The values of one metric in bounded memory: neighbouring points share a bucket with their extremes.

/// Neighbouring points of a curve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bucket {
    /// The smallest step.
    pub from: f64,
    /// The largest step.
    pub to: f64,
    /// The smallest finite value. Infinite without one.
    pub min: f64,
    /// The largest finite value. Negative infinity without one.
    pub max: f64,
    /// The sum of the finite values.
    pub sum: f64,
    /// Number of finite values.
    pub finite: u64,
    /// Number of values that are NaN or infinite.
    pub broken: u64,
}

impl Bucket {
    fn of(step: f64, value: f64) -> Self {
        let none = Self { from: step, to: step, min: f64::INFINITY, max: f64::NEG_INFINITY, sum: 0.0, finite: 0, broken: 0 };
        if value.is_finite() { Self { min: value, max: value, sum: value, finite: 1, ..none } } else { Self { broken: 1, ..none } }
    }

    /// Adds the points of another bucket.
    pub fn merge(&mut self, other: &Self) {
        self.from = self.from.min(other.from);
        self.to = self.to.max(other.to);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.sum += other.sum;
        self.finite += other.finite;
        self.broken += other.broken;
    }

    /// The mean of the finite values.
    pub fn mean(&self) -> Option<f64> {
        // A sum of large values may overflow. Their mean is between the extremes.
        (self.finite > 0).then(|| (self.sum / self.finite as f64).clamp(self.min, self.max))
    }

    /// The step in the middle.
    pub fn middle(&self) -> f64 {
        f64::midpoint(self.from, self.to)
    }

    fn points(&self) -> u64 {
        self.finite + self.broken
    }
}

/// The values of one metric by step. See [`Curve::buckets`].
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    buckets: Vec<Bucket>,
    /// Half of the maximum number of buckets.
    half: usize,
    /// Number of points of a full bucket.
    per_bucket: u64,
    count: u64,
    broken: u64,
    first_broken: Option<(f64, f64)>,
    last: Option<(f64, f64)>,
    min: Option<(f64, f64)>,
    max: Option<(f64, f64)>,
    /// A point that may still change.
    tail: Option<(f64, f64)>,
    /// A step was smaller than the step before it.
    is_unsorted: bool,
}

impl Curve {
    /// A curve without values that keeps at most `2 * half` buckets.
    pub fn new(half: usize) -> Self {
        Self {
            buckets: Vec::new(),
            half: half.max(2),
            per_bucket: 1,
            count: 0,
            broken: 0,
            first_broken: None,
            last: None,
            min: None,
            max: None,
            tail: None,
            is_unsorted: false,
        }
    }

    /// Adds a point. A step that is not finite is ignored.
    pub fn push(&mut self, step: f64, value: f64) {
        if !step.is_finite() {
            return;
        }
        self.is_unsorted |= self.last.is_some_and(|(last, _)| step < last);
        self.note(step, value);
        let point = Bucket::of(step, value);
        match self.buckets.last_mut() {
            Some(bucket) if bucket.points() < self.per_bucket => bucket.merge(&point),
            _ => {
                self.make_room();
                self.buckets.push(point);
            }
        }
    }

    /// Sets a point after all others that may still change. `None` removes it.
    pub fn set_tail(&mut self, point: Option<(f64, f64)>) {
        self.tail = point.filter(|(step, _)| step.is_finite());
    }

    /// Limits the memory to `2 * half` buckets.
    pub fn shrink(&mut self, half: usize) {
        self.half = half.clamp(2, self.half);
        while self.buckets.len() >= 2 * self.half {
            self.pair_up();
        }
    }

    /// Removes the points from this step on. A bucket with earlier points stays.
    pub fn void(&mut self, step: f64) {
        if self.last.is_none_or(|(last, _)| last < step) {
            return;
        }
        let (half, per_bucket) = (self.half, self.per_bucket);
        let kept: Vec<Bucket> = self.buckets.iter().filter(|bucket| bucket.from < step).copied().collect();
        *self = Self::new(half);
        self.per_bucket = per_bucket;
        for bucket in &kept {
            self.count += bucket.points();
            self.broken += bucket.broken;
            if let Some(mean) = bucket.mean() {
                self.last = Some((bucket.to, mean));
                self.rank(bucket.middle(), bucket.min);
                self.rank(bucket.middle(), bucket.max);
            }
        }
        self.buckets = kept;
    }

    fn note(&mut self, step: f64, value: f64) {
        self.count += 1;
        self.last = Some((step, value));
        if value.is_finite() {
            self.rank(step, value);
        } else {
            self.broken += 1;
            self.first_broken.get_or_insert((step, value));
        }
    }

    fn rank(&mut self, step: f64, value: f64) {
        if self.min.is_none_or(|(_, min)| value < min) {
            self.min = Some((step, value));
        }
        if self.max.is_none_or(|(_, max)| value > max) {
            self.max = Some((step, value));
        }
    }

    fn make_room(&mut self) {
        if self.buckets.len() >= 2 * self.half {
            self.pair_up();
        }
    }

    fn pair_up(&mut self) {
        let mut paired = Vec::with_capacity(2 * self.half);
        for pair in self.buckets.chunks(2) {
            let mut first = pair[0];
            if let Some(second) = pair.get(1) {
                first.merge(second);
            }
            paired.push(first);
        }
        self.buckets = paired;
        self.per_bucket *= 2;
    }

    /// The points, in buckets by rising step.
    pub fn buckets(&self) -> Vec<Bucket> {
        let mut all: Vec<Bucket> = self.buckets.clone();
        all.extend(self.tail.map(|(step, value)| Bucket::of(step, value)));
        if self.is_unsorted || self.tail.is_some() {
            all.sort_by(|a, b| a.from.total_cmp(&b.from));
        }
        all
    }

    /// The points between two steps in at most `count` buckets.
    pub fn binned(&self, from: f64, to: f64, count: usize) -> Vec<Bucket> {
        let width = (to - from).max(f64::MIN_POSITIVE);
        let bin = |bucket: &Bucket| ((bucket.middle() - from) / width * count as f64) as usize;
        let mut bins: Vec<(usize, Bucket)> = Vec::new();
        for bucket in self.buckets().into_iter().filter(|bucket| bucket.to >= from && bucket.from <= to) {
            let number = bin(&bucket).min(count.saturating_sub(1));
            match bins.last_mut() {
                Some((last, merged)) if *last == number => merged.merge(&bucket),
                _ => bins.push((number, bucket)),
            }
        }
        bins.into_iter().map(|(_, bucket)| bucket).collect()
    }

    /// Number of values.
    pub fn len(&self) -> u64 {
        self.count + u64::from(self.tail.is_some())
    }

    /// Whether the curve has no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of values that are NaN or infinite.
    pub fn broken(&self) -> u64 {
        self.broken + u64::from(self.tail.is_some_and(|(_, value)| !value.is_finite()))
    }

    /// The first value that is NaN or infinite, with its step.
    pub fn first_broken(&self) -> Option<(f64, f64)> {
        self.first_broken.or(self.tail.filter(|(_, value)| !value.is_finite()))
    }

    /// The newest value with its step.
    pub fn last(&self) -> Option<(f64, f64)> {
        self.tail.or(self.last)
    }

    /// The smallest finite value with its step.
    pub fn min(&self) -> Option<(f64, f64)> {
        let tail = self.tail.filter(|(_, value)| value.is_finite());
        [self.min, tail].into_iter().flatten().min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// The largest finite value with its step.
    pub fn max(&self) -> Option<(f64, f64)> {
        let tail = self.tail.filter(|(_, value)| value.is_finite());
        [tail, self.max].into_iter().flatten().max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// An exponential moving average of the means, without the bias of its start, as in `TensorBoard`. `weight` is the
/// weight of the past, below 1.
pub fn smoothed(buckets: &[Bucket], weight: f64) -> Vec<Option<f64>> {
    let weight = weight.clamp(0.0, 0.999);
    let (mut average, mut total) = (0.0, 0.0);
    let step = |bucket: &Bucket| {
        let mean = bucket.mean()?;
        average = average * weight + mean * (1.0 - weight);
        total = total * weight + (1.0 - weight);
        Some(average / total)
    };
    buckets.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(half: usize, points: impl IntoIterator<Item = (f64, f64)>) -> Curve {
        let mut curve = Curve::new(half);
        points.into_iter().for_each(|(step, value)| curve.push(step, value));
        curve
    }

    #[test]
    fn memory_is_bounded_and_no_extreme_is_lost() {
        let value = |step: u32| {
            if step == 70_001 {
                9.0
            } else if step == 3 {
                -9.0
            } else {
                f64::from(step % 10) / 10.0
            }
        };
        let long = curve(16, (0..100_000).map(|step| (f64::from(step), value(step))));
        let buckets = long.buckets();
        assert!((16..=32).contains(&buckets.len()), "{}", buckets.len());
        assert_eq!(buckets.iter().map(|bucket| bucket.finite).sum::<u64>(), 100_000);
        assert_eq!((long.min(), long.max(), long.last()), (Some((3.0, -9.0)), Some((70_001.0, 9.0)), Some((99_999.0, 0.9))));
        let spike = buckets.iter().find(|bucket| bucket.max > 8.0).unwrap();
        assert!(spike.from <= 70_001.0 && spike.to >= 70_001.0, "{spike:?}");
        assert!(buckets.windows(2).all(|pair| pair[0].to < pair[1].from));
        let sum: f64 = buckets.iter().map(|bucket| bucket.sum).sum();
        let exact: f64 = (0..100_000).map(value).sum();
        assert!((sum - exact).abs() < 1e-6, "{sum} is not {exact}");
        assert_eq!(long.binned(0.0, 100_000.0, 8).len(), 8);
        let part = long.binned(50_000.0, 60_000.0, 100);
        assert!(part.first().unwrap().to >= 50_000.0 && part.last().unwrap().from <= 60_000.0);
    }

    #[test]
    fn values_that_are_not_finite_are_counted_and_leave_a_gap() {
        let broken = curve(8, [(0.0, 1.0), (1.0, f64::NAN), (2.0, f64::INFINITY), (3.0, 2.0)]);
        assert_eq!((broken.len(), broken.broken()), (4, 2));
        assert!(broken.first_broken().is_some_and(|(step, value)| step as u64 == 1 && value.is_nan()));
        let means: Vec<_> = broken.buckets().iter().map(Bucket::mean).collect();
        assert_eq!(means, [Some(1.0), None, None, Some(2.0)]);
        assert_eq!((broken.min(), broken.max()), (Some((0.0, 1.0)), Some((3.0, 2.0))));
        let all = curve(8, [(0.0, f64::NAN)]);
        assert_eq!((all.min(), all.max(), all.is_empty()), (None, None, false));
        assert!(curve(8, [(f64::NAN, 1.0)]).is_empty());
        let huge = curve(2, (0..9).map(|step| (f64::from(step), f64::MAX)));
        assert!(huge.buckets().iter().all(|bucket| bucket.mean() == Some(f64::MAX)));
    }

    #[test]
    fn a_tail_replaces_itself() {
        let mut open = curve(8, [(0.0, 1.0)]);
        open.set_tail(Some((1.0, 5.0)));
        open.set_tail(Some((1.0, 3.0)));
        assert_eq!((open.len(), open.last(), open.max()), (2, Some((1.0, 3.0)), Some((1.0, 3.0))));
        open.set_tail(None);
        assert_eq!((open.len(), open.last()), (1, Some((0.0, 1.0))));
    }

    #[test]
    fn points_in_any_order_are_drawn_by_step() {
        let mixed = curve(8, [(2.0, 1.0), (0.0, 2.0), (1.0, 3.0)]);
        let steps: Vec<_> = mixed.buckets().iter().map(|bucket| bucket.from).collect();
        assert_eq!(steps, [0.0, 1.0, 2.0]);
    }

    #[test]
    fn a_restart_voids_later_points() {
        let mut restarted = curve(8, (0..10).map(|step| (f64::from(step), f64::from(step))));
        restarted.void(4.0);
        restarted.push(4.0, 0.5);
        assert_eq!((restarted.len(), restarted.last(), restarted.max()), (5, Some((4.0, 0.5)), Some((3.0, 3.0))));
    }

    #[test]
    fn smoothing_is_that_of_tensorboard() {
        // TensorBoard's `resmoothDataset` for weight 0.6 and the values 1, 2, 4, NaN, 3.
        let buckets = curve(8, [1.0, 2.0, 4.0, f64::NAN, 3.0].into_iter().enumerate().map(|(step, value)| (step as f64, value))).buckets();
        let found = smoothed(&buckets, 0.6);
        let expected = [Some(1.0), Some(1.625), Some(2.836_734_693_877_551), None, Some(2.911_764_705_882_353)];
        for (found, expected) in found.iter().zip(expected) {
            assert!(
                match (found, expected) {
                    (Some(found), Some(expected)) => (found - expected).abs() < 1e-9,
                    (found, expected) => *found == expected,
                },
                "{found:?} is not {expected:?}"
            );
        }
    }
}
