//! The hyperparameters of each trial.

use serde_json::{Map, Value};
use stormfire_data::Random;
use stormfire_module::{Error, Result};
use stormfire_values::{Mode, seeds::mix};

use super::{
    parzen::{Axis, propose},
    record::TrialRecord,
    space::{Dimension, Space, Values},
};

/// The most trials of a grid. Each has a file.
const MOST: usize = 1_000_000;

/// Trials without a model of the scores.
const RANDOM_TRIALS: usize = 10;

#[derive(Clone, Debug)]
pub(super) enum Search {
    Grid,
    Random { trials: usize },
    Tpe { trials: usize },
}

impl Search {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Search::Grid => "grid",
            Search::Random { .. } => "random",
            Search::Tpe { .. } => "tpe",
        }
    }

    /// The number of trials.
    pub(super) fn trials(&self, space: &Space) -> Result<usize> {
        match self {
            Search::Random { trials: 0 } | Search::Tpe { trials: 0 } => {
                Err(Error::config("Sweep", "it has no trials", "give their number"))
            }
            Search::Random { trials } | Search::Tpe { trials } => Ok(*trials),
            Search::Grid => space.dimensions().iter().try_fold(1_usize, |product, dimension| {
                let count = dimension.values.count().ok_or_else(|| {
                    let reason = format!("`{}` has no finite number of values", dimension.name);
                    Error::config("Sweep::grid", reason, "list its values with `Space::choice`")
                })?;
                let large = || Error::config("Sweep::grid", format!("it has more than {MOST} trials"), "use `Sweep::random`");
                product.checked_mul(count).filter(|trials| *trials <= MOST).ok_or_else(large)
            }),
        }
    }

    /// The hyperparameters of a trial, from the seed and the trials before it.
    pub(super) fn params(&self, space: &Space, seed: u64, number: usize, before: &[TrialRecord], mode: Mode) -> Map<String, Value> {
        let dimensions = space.dimensions();
        if let Search::Grid = self {
            let mut rest = number;
            let mut params = Vec::new();
            for dimension in dimensions.iter().rev() {
                let count = dimension.values.count().unwrap_or(1);
                params.push((dimension.name.clone(), dimension.values.nth(rest % count)));
                rest /= count;
            }
            return params.into_iter().rev().collect();
        }
        let before: Vec<_> = before.iter().filter(|record| record.number < number).collect();
        let seed = mix(seed, number as u64);
        let point = if matches!(self, Search::Tpe { .. }) && before.len() >= RANDOM_TRIALS {
            let known = before.iter().filter_map(|record| {
                let coordinate = |dimension: &Dimension| dimension.values.coordinate(record.params.get(&dimension.name)?);
                Some((dimensions.iter().map(coordinate).collect::<Option<Vec<f64>>>()?, record.rank(mode)))
            });
            let axes: Vec<Axis> = dimensions.iter().map(|dimension| axis(&dimension.values)).collect();
            propose(&known.collect::<Vec<_>>(), &axes, &mut Random::new(seed))
        } else {
            let draw = |(index, dimension): (usize, &Dimension)| {
                let (low, high) = dimension.values.ends();
                low + Random::new(mix(seed, index as u64)).unit() * (high - low)
            };
            dimensions.iter().enumerate().map(draw).collect()
        };
        dimensions.iter().zip(point).map(|(dimension, at)| (dimension.name.clone(), dimension.values.at(at))).collect()
    }
}

fn axis(values: &Values) -> Axis {
    let (low, high) = values.ends();
    Axis { low, high, are_names: matches!(values, Values::Choice(_)) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sweep::record::TrialState;

    fn space() -> Space {
        Space::new().log_uniform("lr", 1e-4, 1.0).int("hidden", 2, 5).choice("act", ["relu", "gelu"])
    }

    #[test]
    fn a_grid_has_every_combination_once() {
        let space = Space::new().choice("lr", [0.1, 0.01]).int("hidden", 2, 4);
        assert_eq!(Search::Grid.trials(&space).unwrap(), 6);
        let all: Vec<_> = (0..6).map(|number| Search::Grid.params(&space, 0, number, &[], Mode::Min)).collect();
        assert_eq!(Value::from(all[0].clone()), json!({"lr": 0.1, "hidden": 2}));
        assert_eq!(Value::from(all[4].clone()), json!({"lr": 0.01, "hidden": 3}));
        assert!((1..6).all(|number| !all[..number].contains(&all[number])));
        let error = Search::Grid.trials(&super::tests::space()).unwrap_err();
        assert!(error.to_string().contains("`lr` has no finite number of values"), "{error}");
        for large in [Space::new().int("n", 0, i64::MAX - 1), Space::new().int("n", 1, 1001).int("m", 1, 1000)] {
            let error = Search::Grid.trials(&large).unwrap_err();
            assert_eq!(error.to_string(), "`Sweep::grid`: it has more than 1000000 trials");
        }
    }

    #[test]
    fn draws_stay_in_their_ranges_and_depend_on_seed_and_number() {
        let draw = |seed, number| Search::Random { trials: 9 }.params(&space(), seed, number, &[], Mode::Min);
        assert_eq!(draw(1, 3), draw(1, 3));
        assert_ne!(draw(1, 3), draw(1, 4));
        assert_ne!(draw(1, 3), draw(2, 3));
        for number in 0..200 {
            let params = draw(5, number);
            let lr = params["lr"].as_f64().unwrap();
            assert!((1e-4..1.0).contains(&lr) && (2..=5).contains(&params["hidden"].as_i64().unwrap()), "{params:?}");
        }
        let small = (0..200).filter(|number| draw(5, *number)["lr"].as_f64().unwrap() < 1e-2).count();
        assert!((70..130).contains(&small), "half of the logarithms: {small}");
    }

    #[test]
    fn ranges_of_one_value_and_of_all_numbers_have_proposals() {
        let large = 1_i64 << 53;
        let space = Space::new().int("one", 3, 3).int("large", large, large).int("all", i64::MIN, i64::MAX).choice("only", ["a"]);
        let space = space.log_uniform("near", 1e5, 1e5_f64.next_up()).log_uniform("wide", 5e-324, f64::MAX).uniform("x", -8e307, 8e307);
        space.check().unwrap();
        let mut records: Vec<TrialRecord> = Vec::new();
        for number in 0..40 {
            let params = Search::Tpe { trials: 40 }.params(&space, 1, number, &records, Mode::Min);
            assert_eq!((params["one"].as_i64(), params["large"].as_i64(), params["only"].as_str()), (Some(3), Some(large), Some("a")));
            assert!(["near", "wide", "x"].iter().all(|name| params[*name].as_f64().is_some_and(f64::is_finite)), "{params:?}");
            let score = Some([1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY][number % 4]);
            records.push(TrialRecord { state: TrialState::Completed, score, ..TrialRecord::new(number, params) });
        }
    }

    /// The best score of a search of a bowl in three dimensions.
    fn best(search: &Search, mode: Mode, seed: u64) -> f64 {
        let sign = if mode == Mode::Min { 1.0 } else { -1.0 };
        let mut records: Vec<TrialRecord> = Vec::new();
        for number in 0..60 {
            let params = search.params(&space(), seed, number, &records, mode);
            let distance = (params["lr"].as_f64().unwrap().log10() + 2.0).powi(2) + (params["hidden"].as_f64().unwrap() - 4.0).powi(2);
            let score = sign * (distance + f64::from(u8::from(params["act"] == "relu")));
            let score = if number % 7 == 3 { f64::NAN } else { score };
            records.push(TrialRecord { state: TrialState::Completed, score: Some(score), ..TrialRecord::new(number, params) });
        }
        records.iter().filter_map(|record| record.score).map(|score| sign * score).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn a_model_of_the_scores_finds_better_ones() {
        for mode in [Mode::Min, Mode::Max] {
            let better =
                (0..10).filter(|&seed| best(&Search::Tpe { trials: 60 }, mode, seed) < best(&Search::Random { trials: 60 }, mode, seed));
            let better = better.count();
            assert!(better >= 7, "{mode:?}: better in {better} of 10");
        }
    }
}
