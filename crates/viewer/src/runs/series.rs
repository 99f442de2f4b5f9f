//! The curves of a log by name, in bounded memory.

use std::collections::HashMap;

use super::curve::Curve;

/// Maximum number of names of one log. Further names are counted only.
const MOST_NAMES: usize = 10_000;
/// Limits of half the number of buckets of a curve.
const HALF: (usize, usize) = (32, 1024);

/// Curves by name, in the order of their first values.
#[derive(Debug, Clone)]
pub(super) struct Series {
    names: Vec<String>,
    curves: Vec<Curve>,
    places: HashMap<String, usize>,
    /// The number of buckets that all curves share.
    budget: usize,
    refused: u64,
}

impl Series {
    /// No curves. Together they will keep about `budget` buckets of 56 bytes each.
    pub(super) fn new(budget: usize) -> Self {
        Self { names: Vec::new(), curves: Vec::new(), places: HashMap::new(), budget, refused: 0 }
    }

    /// The place of a name. `None` if there are too many names.
    pub(super) fn place(&mut self, name: &str) -> Option<usize> {
        if let Some(place) = self.places.get(name) {
            return Some(*place);
        }
        let place = self.names.len();
        if place >= MOST_NAMES {
            self.refused += 1;
            return None;
        }
        self.names.push(name.to_owned());
        self.places.insert(name.to_owned(), place);
        let half = self.half();
        // Each doubling of the number of names halves the room of a curve.
        if self.names.len().is_power_of_two() {
            self.curves.iter_mut().for_each(|curve| curve.shrink(half));
        }
        self.curves.push(Curve::new(half));
        Some(place)
    }

    fn half(&self) -> usize {
        (self.budget / 2 / self.names.len().next_power_of_two()).clamp(HALF.0, HALF.1)
    }

    pub(super) fn push(&mut self, place: usize, step: f64, value: f64) {
        if let Some(curve) = self.curves.get_mut(place) {
            curve.push(step, value);
        }
    }

    pub(super) fn set_tail(&mut self, place: usize, step: f64, value: f64) {
        if let Some(curve) = self.curves.get_mut(place) {
            curve.set_tail(Some((step, value)));
        }
    }

    pub(super) fn clear_tails(&mut self) {
        self.curves.iter_mut().for_each(|curve| curve.set_tail(None));
    }

    pub(super) fn void(&mut self, step: f64) {
        self.curves.iter_mut().for_each(|curve| curve.void(step));
    }

    pub(super) fn clear(&mut self) {
        *self = Self::new(self.budget);
    }

    /// The curves with values, by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Curve)> {
        self.names.iter().map(String::as_str).zip(&self.curves).filter(|(_, curve)| !curve.is_empty())
    }

    /// The curve of a name, if it has values.
    pub(super) fn get(&self, name: &str) -> Option<&Curve> {
        self.curves.get(*self.places.get(name)?).filter(|curve| !curve.is_empty())
    }

    /// Number of values that were dropped because the log has too many names.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_share_the_memory() {
        let mut series = Series::new(4096);
        for name in 0..MOST_NAMES + 5 {
            for step in 0..200 {
                if let Some(place) = series.place(&name.to_string()) {
                    series.push(place, f64::from(step), 1.0);
                }
            }
        }
        assert_eq!((series.iter().count(), series.refused()), (MOST_NAMES, 5 * 200));
        let buckets: usize = series.iter().map(|(_, curve)| curve.buckets().len()).sum();
        assert!(buckets <= 2 * HALF.0 * MOST_NAMES, "{buckets}");
        assert!(series.iter().all(|(_, curve)| curve.len() == 200));
    }
}
