//! Reduces the values of an epoch, wherever they are.

use burn::tensor::Device;
use stormfire_metrics::{
    Computed, Logged, MergeError, Outline, Part, Picture,
    aggregation::{Max, Min},
    metric::{AnyMetric, Pending as PendingMetric},
};
use stormfire_module::{log::ReduceFx, log_error::LogError};
use stormfire_values::{
    ReadError, Scalar,
    read::{OnHost, Reading, Reduce, reduce_on_host},
};

use crate::{
    log_state::{Compute, Pending, SavedAccumulator, SavedComputed, SavedPart},
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
        parts: Vec<Part>,
        value: Computed,
        /// On rank 0 of several ranks: the parts of all of them. Their value is `value`.
        whole: Vec<Part>,
    },
}

/// The numbers of a result, each with its name below that of the metric.
pub(crate) type Readings = Vec<(Option<String>, Reading)>;

/// The numbers of a logged value.
pub(crate) fn readings_of(value: &Logged) -> Readings {
    match value {
        Logged::Scalar(scalar) => vec![(None, Reading::new(scalar.clone()))],
        Logged::Metric(metric) => PendingMetric::of(metric.as_ref()).readings(),
        Logged::Invalid(_) => vec![(None, Reading::new(Scalar::Host(f64::NAN)))],
    }
}

/// The numbers of a result that is known.
pub(crate) fn readings_of_computed(value: &Computed) -> Readings {
    let reading = |value: f64| Reading::new(Scalar::Host(value));
    match value {
        Computed::One(value) => vec![(None, reading(*value))],
        Computed::Named(named) => named.0.iter().map(|(name, value)| (Some(name.clone()), reading(*value))).collect(),
        Computed::Picture(_) => Vec::new(),
    }
}

/// A logged value that is not a metric, as a number.
fn value_of(value: &Logged) -> Scalar {
    match value {
        Logged::Scalar(scalar) => scalar.clone(),
        Logged::Metric(_) | Logged::Invalid(_) => Scalar::Host(f64::NAN),
    }
}

fn numbers(values: &[Scalar]) -> Vec<Part> {
    values.iter().cloned().map(Part::Number).collect()
}

/// A function of the user's, on the parts of [`numbers`].
fn reduced(parts: &[Part], reduce: Reduce) -> f64 {
    reduce_on_host(&parts.iter().map(Part::number).collect::<Vec<_>>(), reduce)
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
        other_kind: impl Fn() -> LogError,
        unmerged: impl FnOnce(MergeError) -> LogError,
    ) -> Result<(), LogError> {
        match (self, value) {
            (Accumulator::Metric(own), Logged::Metric(other)) => own.merge_any(other.as_ref()).map_err(unmerged)?,
            (Accumulator::Metric(own), scalar) => {
                let scalar = value_of(scalar);
                if own.merge_any(&Min::new(scalar.clone())).is_err() && own.merge_any(&Max::new(scalar)).is_err() {
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
        let scalar = |part: &Part| if let Part::Number(scalar) = part { Some(scalar.clone()) } else { None };
        let scalars = || parts.iter().map(scalar).collect::<Option<Vec<_>>>();
        let one = |make: fn(Scalar) -> Box<dyn AnyMetric>| Some(Accumulator::Metric(make(scalar(parts.first()?)?)));
        let alive = match (value, reduce) {
            (Logged::Metric(metric), _) => metric.with_parts_any(parts).map(Accumulator::Metric),
            (_, ReduceFx::Min) => one(|part| Box::new(Min::new(part))),
            (_, ReduceFx::Max) => one(|part| Box::new(Max::new(part))),
            (_, ReduceFx::Custom { reduce, .. }) => scalars().map(|values| Accumulator::Custom { values, reduce }),
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
            (Accumulator::Metric(metric), Accumulator::Metric(later)) => return metric.merge_any(later.as_ref()).is_ok(),
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
                metric.with_parts_any(&parts.collect::<Vec<_>>()).is_some_and(|later| metric.merge_any(later.as_ref()).is_ok())
            }
            Accumulator::Custom { values, .. } => {
                values.extend(parts.by_ref().filter_map(|part| if let Part::Number(scalar) = part { Some(scalar) } else { None }));
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
        let mut save = |parts: &[Part]| -> Vec<SavedPart> { parts.iter().map(|part| pending.save_part(part)).collect() };
        let (parts, compute) = match self {
            Accumulator::Mean(mean) => return SavedAccumulator::Mean(mean.state(pending)),
            Accumulator::Sum(sum) => return SavedAccumulator::Sum(sum.state(pending)),
            Accumulator::Metric(metric) => {
                let computed = PendingMetric::of(metric.as_ref());
                (save(computed.parts()), Compute::new(move |parts| computed.compute(parts)))
            }
            Accumulator::Custom { values, reduce } => {
                let reduce = *reduce;
                (save(&numbers(values)), Compute::new(move |parts| reduced(parts, reduce).into()))
            }
            Accumulator::Saved { parts, value, whole } => {
                let (parts, whole) = (save(parts), save(whole));
                return SavedAccumulator::Parts { parts, value: SavedComputed::Read(value.clone()), whole, is_restored: false };
            }
        };
        let value = SavedComputed::Pending { parts: parts.clone(), compute };
        SavedAccumulator::Parts { value, parts, whole: Vec::new(), is_restored: false }
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
        match saved {
            SavedAccumulator::Mean(mean) => Accumulator::Mean(RunningMean::restore(mean, device)),
            SavedAccumulator::Sum(sum) => Accumulator::Sum(Total::restore(sum, device)),
            SavedAccumulator::Parts { parts, value, whole, .. } => {
                let restored = |parts: &[SavedPart]| parts.iter().map(|part| part.restore(device)).collect();
                Accumulator::Saved { parts: restored(parts), value: value.value(), whole: restored(whole) }
            }
        }
    }

    /// The current values of the epoch, without a device read.
    pub(crate) fn readings(&self) -> Readings {
        let one = |reading: Reading| vec![(None, reading)];
        match self {
            Accumulator::Mean(mean) => one(Reading::new(mean.compute())),
            Accumulator::Sum(sum) => one(Reading::new(sum.compute())),
            Accumulator::Metric(metric) => PendingMetric::of(metric.as_ref()).readings(),
            Accumulator::Custom { values, reduce } => {
                let reduce = *reduce;
                one(Reading::computed(&numbers(values).into(), OnHost::new(move |parts| reduced(parts, reduce))))
            }
            Accumulator::Saved { value, .. } => readings_of_computed(value),
        }
    }

    /// The picture of the epoch, if it is one. Reads the device.
    pub(crate) fn picture(&self) -> Result<Option<Picture>, ReadError> {
        let value = match self {
            Accumulator::Metric(metric) if metric.outline_any() == Outline::Picture => PendingMetric::of(metric.as_ref()).read()?,
            Accumulator::Saved { value, .. } => value.clone(),
            _ => return Ok(None),
        };
        Ok(value.picture().cloned())
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
                Some(all) => all.add(&value, Some(items), never, never, |_| never()).unwrap(),
                None => all = Some(Accumulator::start(&value, reduce, Some(items), never).unwrap()),
            }
        }
        Reading::read_all(&[all.unwrap().readings().remove(0).1]).unwrap()[0]
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
