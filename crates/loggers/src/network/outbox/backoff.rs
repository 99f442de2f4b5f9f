//! The delay before the next attempt.

use std::time::Duration;

/// Tests use a short delay.
const FIRST: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 500 });
const LONGEST: Duration = Duration::from_mins(1);

/// Exponential backoff with jitter: a random factor from one half to one. A thousand jobs do not retry in the same
/// second.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The delay after one more failure, at most one minute. The delay that the server requests is a lower bound, up to
    /// that limit. A request for no delay does not shorten it.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let wait = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        let jittered = wait.mul_f64(fastrand::f64().mul_add(0.5, 0.5));
        asked.map_or(jittered, |asked| asked.min(LONGEST).mul_f64(fastrand::f64().mul_add(0.1, 1.0)).max(jittered).min(LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_minute_and_start_again() {
        let mut backoff = Backoff::default();
        let waits: Vec<f64> = (0..20).map(|_| backoff.next(None).as_secs_f64()).collect();
        for (failure, wait) in (0..).zip(&waits) {
            let full = (FIRST.as_secs_f64() * 2_f64.powi(failure)).min(60.0);
            assert!((full / 2.0..=full).contains(wait), "{wait} after {failure} failures");
        }
        backoff.reset();
        assert!(backoff.next(None) <= FIRST);
        let asked = Duration::from_secs(7);
        assert!((asked..=asked.mul_f64(1.1)).contains(&backoff.next(Some(asked))));
        assert!(backoff.next(Some(Duration::ZERO)) >= FIRST);
        for asked in [Duration::MAX, Duration::from_secs(99_999_999), Duration::from_secs(61)] {
            assert_eq!(backoff.next(Some(asked)), LONGEST);
        }
    }
}
