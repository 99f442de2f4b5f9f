//! Measures the speed of batches.

use std::time::Instant;

/// The age in seconds at which a measurement has a weight of one tenth.
const MEMORY: f64 = 15.0;
/// Within this number of measured batches, a much faster batch ends the warm-up.
const WARM_UP: u64 = 20;
/// The factor for "much faster".
const LEAP: f64 = 5.0;

/// A smoothed rate in batches per second.
///
/// indicatif smooths in the same way (exponentially, by time). But its estimate includes the first batch, in which a
/// GPU compiles and tunes every kernel. The remaining time would be wrong by factors for a minute. Here the clock
/// starts after the first batch. It restarts if early batches turn out to be warm-up, too.
#[derive(Clone, Debug, Default)]
pub(super) struct Speed {
    last: Option<(u64, Instant)>,
    measured: u64,
    sum: f64,
    weight: f64,
}

impl Speed {
    /// Records that `done` batches are complete. The first call only starts the clock.
    pub(super) fn record(&mut self, done: u64, now: Instant) {
        let Some((from, at)) = self.last else {
            self.last = Some((done, now));
            return;
        };
        let (batches, seconds) = (done.saturating_sub(from), now.saturating_duration_since(at).as_secs_f64());
        if batches == 0 || seconds <= 0.0 {
            return;
        }
        let rate = batches as f64 / seconds;
        if self.measured < WARM_UP && self.per_second().is_some_and(|slow| rate > LEAP * slow) {
            (self.sum, self.weight) = (0.0, 0.0);
        }
        let keep = 0.1_f64.powf(seconds / MEMORY);
        self.sum = self.sum * keep + rate * (1.0 - keep);
        self.weight = self.weight * keep + (1.0 - keep);
        self.measured += batches;
        self.last = Some((done, now));
    }

    /// Excludes the time since the last record, which was not spent on these batches. Earlier measurements stay.
    pub(super) fn skip(&mut self, done: u64, now: Instant) {
        // Before the first batch, there is nothing to exclude. Otherwise the first batch would be measured with its
        // warm-up.
        if self.last.is_some() {
            self.last = Some((done, now));
        }
    }

    /// Batches per second. `None` until two batches are complete.
    pub(super) fn per_second(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.sum / self.weight)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn run(times: &[(u64, f64)]) -> Speed {
        let (mut speed, mut now) = (Speed::default(), Instant::now());
        let mut done = 0;
        for &(batches, seconds) in times {
            now += Duration::from_secs_f64(seconds);
            done += batches;
            speed.record(done, now);
        }
        speed
    }

    fn close(speed: &Speed, expected: f64) {
        let got = speed.per_second().unwrap();
        assert!((got / expected - 1.0).abs() < 1e-6, "{got} is not {expected}");
    }

    #[test]
    fn the_first_batch_does_not_count() {
        assert_eq!(run(&[(1, 37.0)]).per_second(), None);
        close(&run(&[(1, 37.0), (10, 0.1), (10, 0.1)]), 100.0);
    }

    #[test]
    fn slow_early_batches_are_forgotten() {
        close(&run(&[(1, 37.0), (1, 26.0), (1, 3.6), (5, 0.1)]), 50.0);
        let late = run(&[(1, 1.0), (25, 25.0), (10, 0.1)]).per_second().unwrap();
        assert!(late > 1.0 && late < 5.0, "after the warm-up a leap is smoothed: {late}");
    }

    #[test]
    fn old_measurements_fade() {
        let speed = run(&[(1, 0.1), (10, 1.0), (300, 15.0)]).per_second().unwrap();
        assert!(speed > 19.0 && speed < 20.0, "{speed}");
    }

    #[test]
    fn skipped_time_does_not_count() {
        let mut speed = run(&[(1, 1.0), (10, 1.0)]);
        let later = speed.last.unwrap().1 + Duration::from_mins(1);
        speed.skip(0, later);
        close(&speed, 10.0);
        speed.record(10, later + Duration::from_secs(1));
        close(&speed, 10.0);
        let mut fresh = Speed::default();
        fresh.skip(0, later);
        fresh.record(1, later + Duration::from_secs(37));
        assert_eq!(fresh.per_second(), None);
    }

    #[test]
    fn no_time_and_no_batches_change_nothing() {
        close(&run(&[(1, 1.0), (10, 1.0), (0, 0.5), (10, 0.5), (10, 0.0), (0, 1.0)]), 10.0);
    }
}
