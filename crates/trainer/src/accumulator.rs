//! Reduces the values of an epoch, wherever they are.

use burn::tensor::Device;
use stormfire_metrics::{
    Logged,
    metric::{AnyMetric, Max, Min},
};
use stormfire_module::{log::ReduceFx, log_error::LogError};
use stormfire_values::{
    Scalar,
    read::{Reading, Reduce},
};

use crate::{
    log_state::{Pending, SavedAccumulator, SavedScalar},
    total::{RunningMean, Total},
};

/// The state of a `reduce_fx` between batches.
#[derive(Clone, Debug)]
pub(crate) enum Accumulator {
    Mean(RunningMean),
    Sum(Total),
    Metric(Box<dyn AnyMetric>),
    Custom {
        values: Vec<Scalar>,
        reduce: Reduce,
    },
    /// From a checkpoint, until the code that logs it supplies its type or function again.
    Saved {
        parts: Vec<Scalar>,
        value: Scalar,
        /// On rank 0 of several ranks: the parts of all of them. Their value is `value`.
        whole: Vec<Scalar>,
    },
}

/// A logged value as a single number.
pub(crate) fn value_of(value: &Logged) -> Scalar {
    match value {
        Logged::Scalar(scalar) => scalar.clone(),
        Logged::Metric(metric) => metric.compute_any(),
        Logged::Invalid(_) => Scalar::Host(f64::NAN),
    }
}

impl Accumulator {
    pub(crate) fn start(
        value: &Logged,
        reduce: ReduceFx,
        items: Option<usize>,
        unknown_size: impl FnOnce() -> LogError,
    ) -> Result<Self, LogError> {
        let scalar = match value {
            Logged::Metric(metric) => return Ok(Accumulator::Metric(metric.clone())),
            other => value_of(other),
        };
        Ok(match reduce {
            ReduceFx::Mean => {
                let mut mean = RunningMean::default();
                mean.add(scalar, items.ok_or_else(unknown_size)? as f64);
                Accumulator::Mean(mean)
            }
            ReduceFx::Sum => {
                let mut sum = Total::default();
                sum.add(scalar, 1.0);
                Accumulator::Sum(sum)
            }
            ReduceFx::Min => Accumulator::Metric(Box::new(Min::new(scalar))),
            ReduceFx::Max => Accumulator::Metric(Box::new(Max::new(scalar))),
            ReduceFx::Custom { reduce, .. } => Accumulator::Custom { values: vec![scalar], reduce },
        })
    }

    pub(crate) fn add(
        &mut self,
        value: &Logged,
        items: Option<usize>,
        unknown_size: impl FnOnce() -> LogError,
        other_kind: impl FnOnce() -> LogError,
    ) -> Result<(), LogError> {
        match (self, value) {
            (Accumulator::Metric(own), Logged::Metric(other)) => {
                if !own.merge_any(other.as_ref()) {
                    return Err(other_kind());
                }
            }
            (Accumulator::Metric(own), scalar) => {
                let scalar = value_of(scalar);
                if !(own.merge_any(&Min::new(scalar.clone())) || own.merge_any(&Max::new(scalar))) {
                    return Err(other_kind());
                }
            }
            (Accumulator::Saved { .. }, _) | (_, Logged::Metric(_)) => return Err(other_kind()),
            (Accumulator::Mean(mean), scalar) => mean.add(value_of(scalar), items.ok_or_else(unknown_size)? as f64),
            (Accumulator::Sum(sum), scalar) => sum.add(value_of(scalar), 1.0),
            (Accumulator::Custom { values, .. }, scalar) => values.push(value_of(scalar)),
        }
        Ok(())
    }

    /// Restores the type of an accumulator from a checkpoint, based on the value to be added. Returns false if the
    /// value has another kind.
    pub(crate) fn revive(&mut self, value: &Logged, reduce: ReduceFx) -> bool {
        let Accumulator::Saved { parts, .. } = self else { return true };
        let one = |make: fn(Scalar) -> Box<dyn AnyMetric>| parts.first().cloned().map(|part| Accumulator::Metric(make(part)));
        let alive = match (value, reduce) {
            (Logged::Metric(metric), _) => metric.with_parts_any(parts).map(Accumulator::Metric),
            (_, ReduceFx::Min) => one(|part| Box::new(Min::new(part))),
            (_, ReduceFx::Max) => one(|part| Box::new(Max::new(part))),
            (_, ReduceFx::Custom { reduce, .. }) => Some(Accumulator::Custom { values: std::mem::take(parts), reduce }),
            (_, ReduceFx::Mean | ReduceFx::Sum) => None,
        };
        alive.map(|alive| *self = alive).is_some()
    }

    /// Appends a later part of the same epoch. Returns false if it has another kind.
    pub(crate) fn append(&mut self, later: Self) -> bool {
        match (self, later) {
            (Accumulator::Mean(mean), Accumulator::Mean(later)) => mean.append(later),
            (Accumulator::Sum(sum), Accumulator::Sum(later)) => sum.append(later, 1.0),
            (Accumulator::Custom { values, .. }, Accumulator::Custom { values: later, .. }) => values.extend(later),
            (Accumulator::Metric(metric), Accumulator::Metric(later)) => return metric.merge_any(later.as_ref()),
            _ => return false,
        }
        true
    }

    /// Appends the part of a later rank, as a state of it says.
    pub(crate) fn append_saved(&mut self, later: &SavedAccumulator, device: &Device) -> bool {
        let SavedAccumulator::Parts { parts, is_restored, .. } = later else { return self.append(Self::restore(later, device)) };
        let mut parts = parts.iter().map(|part| part.restore(device));
        match self {
            Accumulator::Metric(metric) => {
                metric.with_parts_any(&parts.collect::<Vec<_>>()).is_some_and(|later| metric.merge_any(later.as_ref()))
            }
            Accumulator::Custom { values, .. } => {
                values.extend(parts.by_ref());
                true
            }
            // Nothing was logged since both were restored: the checkpoint also contains their sum.
            Accumulator::Saved { parts, whole, .. } if *is_restored && !whole.is_empty() => {
                parts.clone_from(whole);
                true
            }
            _ => false,
        }
    }

    /// The state for a checkpoint, without a device read.
    pub(crate) fn state(&self, pending: &mut Pending) -> SavedAccumulator {
        let mut save = |parts: &[Scalar]| -> Vec<_> { parts.iter().map(|part| pending.save(part)).collect() };
        let (parts, value, whole) = match self {
            Accumulator::Mean(mean) => return SavedAccumulator::Mean(mean.state(pending)),
            Accumulator::Sum(sum) => return SavedAccumulator::Sum(sum.state(pending)),
            Accumulator::Metric(metric) => (save(&metric.parts_any()), pending.save(&metric.compute_any()), Vec::new()),
            Accumulator::Custom { values, reduce } => {
                let values = save(values);
                (values.clone(), SavedScalar::Reduced { values, reduce: *reduce }, Vec::new())
            }
            Accumulator::Saved { parts, value, whole } => {
                let (parts, whole) = (save(parts), save(whole));
                (parts, pending.save(value), whole)
            }
        };
        SavedAccumulator::Parts { parts, value, whole, is_restored: false }
    }

    /// The same for rank 0, which may not have the type of a metric either.
    pub(crate) fn state_for_rank_zero(&self, pending: &mut Pending) -> SavedAccumulator {
        let mut state = self.state(pending);
        if let SavedAccumulator::Parts { is_restored, .. } = &mut state {
            *is_restored = matches!(self, Accumulator::Saved { .. });
        }
        state
    }

    /// Restores an accumulator from a state.
    pub(crate) fn restore(saved: &SavedAccumulator, device: &Device) -> Self {
        let scalar = |saved: &SavedScalar| saved.restore(device);
        match saved {
            SavedAccumulator::Mean(mean) => Accumulator::Mean(RunningMean::restore(mean, device)),
            SavedAccumulator::Sum(sum) => Accumulator::Sum(Total::restore(sum, device)),
            SavedAccumulator::Parts { parts, value, whole, .. } => Accumulator::Saved {
                parts: parts.iter().map(scalar).collect(),
                value: scalar(value),
                whole: whole.iter().map(scalar).collect(),
            },
        }
    }

    /// The current value of the epoch, without a device read.
    pub(crate) fn reading(&self) -> Reading {
        Reading::new(match self {
            Accumulator::Mean(mean) => mean.compute(),
            Accumulator::Sum(sum) => sum.compute(),
            Accumulator::Metric(metric) => metric.compute_any(),
            Accumulator::Custom { values, reduce } => return Reading::reduced(values.clone(), *reduce),
            Accumulator::Saved { value, .. } => value.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use stormfire_module::Hook;

    use super::*;

    fn never() -> LogError {
        LogError::Useless { name: String::new(), hook: Hook::TrainingStep }
    }

    fn over(reduce: ReduceFx, values: &[(f64, usize)]) -> f64 {
        let mut all: Option<Accumulator> = None;
        for &(value, items) in values {
            let value = Logged::Scalar(Scalar::Host(value));
            match &mut all {
                Some(all) => all.add(&value, Some(items), never, never).unwrap(),
                None => all = Some(Accumulator::start(&value, reduce, Some(items), never).unwrap()),
            }
        }
        Reading::read_all(&[all.unwrap().reading()]).unwrap()[0]
    }

    #[test]
    fn values_become_one() {
        let values = [(1.0, 4), (2.0, 4), (6.0, 2), (3.0, 4)];
        assert!((over(ReduceFx::Mean, &values) - 36.0 / 14.0).abs() < 1e-12);
        assert!((over(ReduceFx::Mean, &values[..2]) - 1.5).abs() < 1e-12);
        assert!((over(ReduceFx::Sum, &values) - 12.0).abs() < 1e-12);
        assert!((over(ReduceFx::Min, &values) - 1.0).abs() < 1e-12);
        assert!((over(ReduceFx::Max, &values) - 6.0).abs() < 1e-12);
        let range = ReduceFx::Custom { name: "range", reduce: |all| all.clone().max() - all.min() };
        assert!((over(range, &values) - 5.0).abs() < 1e-6);
    }

    #[test]
    fn a_mean_needs_the_batch_size() {
        let value = Logged::Scalar(Scalar::Host(1.0));
        assert!(Accumulator::start(&value, ReduceFx::Mean, None, never).is_err());
        assert!(Accumulator::start(&value, ReduceFx::Sum, None, never).is_ok());
    }
}
