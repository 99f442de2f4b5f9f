//! Merges the records of the parts of a batch into values of the whole batch.

use std::collections::HashMap;

use stormfire_metrics::Logged;
use stormfire_values::Scalar;

use crate::record::{Record, ReduceFx};

/// One record for each name, from those of the parts with their weights. A name that a part has logged twice stays
/// twice.
///
/// A value is reduced as over an epoch: its mean, sum, smallest or largest. A metric merges. A value that only rank 0
/// is to log is that of the first part.
pub(super) fn merged(parts: Vec<(Vec<Record>, usize)>) -> Vec<Record> {
    let mut groups: Vec<Vec<(Record, usize)>> = Vec::new();
    let mut known: HashMap<(String, usize, usize), usize> = HashMap::new();
    for (part, (records, weight)) in parts.into_iter().enumerate() {
        let mut times: HashMap<(String, usize), usize> = HashMap::new();
        for record in records {
            if record.options.rank_zero_only && part > 0 {
                continue;
            }
            let name = (record.name.to_string(), record.dataloader_idx);
            let time = times.entry(name.clone()).or_default();
            let group = *known.entry((name.0, name.1, *time)).or_insert(groups.len());
            *time += 1;
            if group == groups.len() {
                groups.push(Vec::new());
            }
            groups[group].push((record, weight));
        }
    }
    groups.into_iter().flat_map(whole).collect()
}

/// The record of a whole batch. Those that do not fit together are left as they are: the log refuses them.
fn whole(parts: Vec<(Record, usize)>) -> Vec<Record> {
    let Some((first, _)) = parts.first() else { return Vec::new() };
    if parts.iter().any(|(record, _)| record.options != first.options) {
        return parts.into_iter().map(|(record, _)| record).collect();
    }
    let given: Option<usize> = parts.iter().map(|(record, _)| record.batch_size).sum();
    // A value of some parts stands for their items only.
    let items = (!first.options.rank_zero_only).then(|| parts.iter().map(|(_, weight)| weight).sum());
    let sizes = given.or(items);
    let weigh = |(record, weight): &(Record, usize)| record.batch_size.unwrap_or(*weight) as f64;
    let value = match &first.value {
        Logged::Metric(_) => joined_metric(&parts),
        Logged::Scalar(_) => joined_scalar(&parts, weigh),
        Logged::Invalid(_) => None,
    };
    match value {
        Some(value) => vec![Record { value, batch_size: sizes, ..first.clone() }],
        None => parts.into_iter().map(|(record, _)| record).collect(),
    }
}

fn joined_metric(parts: &[(Record, usize)]) -> Option<Logged> {
    let mut metrics = parts.iter().map(|(record, _)| match &record.value {
        Logged::Metric(metric) => Some(metric),
        _ => None,
    });
    let mut whole = metrics.next()??.clone();
    for metric in metrics {
        whole.merge_any(metric?.as_ref()).ok()?;
    }
    Some(Logged::Metric(whole))
}

fn joined_scalar(parts: &[(Record, usize)], weigh: impl Fn(&(Record, usize)) -> f64) -> Option<Logged> {
    let values = parts.iter().map(|part| match &part.0.value {
        Logged::Scalar(scalar) => Some((scalar, weigh(part))),
        _ => None,
    });
    let values: Vec<(&Scalar, f64)> = values.collect::<Option<_>>()?;
    let all = |join: fn(Scalar, Scalar) -> Scalar| values.iter().map(|(value, _)| (*value).clone()).reduce(join);
    let joined = match parts[0].0.options.reduce_fx {
        ReduceFx::Sum => all(Scalar::plus),
        ReduceFx::Min => all(Scalar::min),
        ReduceFx::Max => all(Scalar::max),
        ReduceFx::Mean | ReduceFx::Custom { .. } => mean(&values),
    };
    joined.map(Logged::Scalar)
}

fn mean(values: &[(&Scalar, f64)]) -> Option<Scalar> {
    let (first, _) = values.first()?;
    if let Scalar::Host(value) = first
        && values.iter().all(|(other, _)| matches!(other, Scalar::Host(other) if other.to_bits() == value.to_bits()))
    {
        // To the last bit.
        return Some((*first).clone());
    }
    let weight: f64 = values.iter().map(|(_, weight)| weight).sum();
    // Parts of no weight at all count alike.
    let share = |share: f64| if weight > 0.0 { share / weight } else { 1.0 / values.len() as f64 };
    values.iter().map(|(value, own)| (*value).clone().times(share(*own))).reduce(Scalar::plus)
}

#[cfg(test)]
mod tests {
    use stormfire_metrics::{aggregation::Mean, metric::Pending};

    use super::*;
    use crate::{
        hook::Hook,
        log::{capture, log},
    };

    fn records(code: impl FnOnce()) -> Vec<Record> {
        capture(Hook::TrainingStep, code).unwrap().1.records
    }

    fn values(parts: Vec<(Vec<Record>, usize)>) -> Vec<(String, f64)> {
        let value = |record: Record| {
            let value = match record.value {
                Logged::Scalar(scalar) => scalar.value(),
                Logged::Metric(metric) => Pending::of(metric.as_ref()).read().unwrap().number(0),
                Logged::Invalid(_) => f64::NAN,
            };
            (record.name.into_owned(), value)
        };
        merged(parts).into_iter().map(value).collect()
    }

    #[test]
    fn a_value_is_reduced_as_over_an_epoch() {
        let part = |value: f64| {
            records(move || {
                log("mean", value);
                log("sum", value).reduce_fx(ReduceFx::Sum);
                log("min", value).reduce_fx(ReduceFx::Min);
                log("max", value).reduce_fx(ReduceFx::Max);
                log("weighed", value).batch_size(if value > 2.0 { 3 } else { 1 });
                log("first", value).rank_zero_only(true);
                log("metric", Mean::new(value, 1.0));
            })
        };
        let of = |name: &str, value: f64| (name.to_owned(), value);
        let whole = [("mean", 1.5), ("sum", 5.0), ("min", 1.0), ("max", 4.0), ("weighed", 3.25), ("first", 1.0), ("metric", 2.5)];
        assert_eq!(values(vec![(part(1.0), 5), (part(4.0), 1)]), whole.map(|(name, value)| of(name, value)));
    }

    #[test]
    fn a_name_may_come_twice_or_from_some_parts_only() {
        let twice = records(|| {
            log("twice", 1.0);
            log("twice", 3.0);
        });
        let again = records(|| {
            log("twice", 5.0);
            log("second", 7.0);
            log("twice", 9.0);
        });
        let of = |name: &str, value: f64| (name.to_owned(), value);
        assert_eq!(values(vec![(twice, 1), (again, 1)]), [of("twice", 3.0), of("twice", 6.0), of("second", 7.0)]);
    }

    #[test]
    fn one_value_of_all_parts_stays_as_it_is() {
        let part = || records(|| drop(log("rate", 0.1)));
        assert_eq!(values(vec![(part(), 1), (part(), 1), (part(), 1)])[0].1.to_bits(), 0.1_f64.to_bits());
    }
}
