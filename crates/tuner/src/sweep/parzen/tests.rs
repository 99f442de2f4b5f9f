use serde_json::Value;

use super::*;
use crate::sweep::optuna::{numbers, oracle};

const NUMBERS: Axis = Axis { low: -1.0, high: 2.0, are_names: false };
const NAMES: Axis = Axis { low: 0.0, high: 3.0, are_names: true };

fn density_of<'a>(seen: &[f64], axes: &'a [Axis]) -> Density<'a> {
    let points: Vec<&[f64]> = seen.chunks(1).collect();
    Density::new(&points, axes)
}

/// A number and the index of a name as coordinates.
fn points(of: &Value) -> Vec<Vec<f64>> {
    of.as_array().unwrap().iter().map(numbers).map(|point| vec![point[0], point[1] + 0.5]).collect()
}

#[test]
fn densities_are_those_of_optuna() {
    let axes = [NUMBERS, NAMES];
    let cases = oracle();
    let cases = cases["densities"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let seen = points(&case["seen"]);
        let density = Density::new(&seen.iter().map(Vec::as_slice).collect::<Vec<_>>(), &axes);
        for (point, log) in points(&case["at"]).iter().zip(numbers(&case["logs"])) {
            let ours = density.log_at(point) - (NUMBERS.high - NUMBERS.low).ln();
            assert!((ours - log).abs() < 1e-4, "{} points, at {point:?}: {ours} is not {log}", seen.len());
        }
    }
}

#[test]
fn densities_sum_to_one_and_draws_follow_them() {
    // scipy.stats.norm.cdf.
    for (at, expected) in [(-1.0, 0.158_655_3), (0.0, 0.5), (1.96, 0.975_002_1)] {
        assert!((below(at) - expected).abs() < 1e-6, "{at}: {}", below(at));
    }
    let density = density_of(&[0.1, 0.2, 1.5], &[NUMBERS]);
    let share_of = |places: std::ops::Range<u16>| -> f64 {
        places.map(|place| density.log_at(&[-1.0 + (f64::from(place) + 0.5) / 1000.0]).exp() / 3000.0).sum()
    };
    let sum = share_of(0..3000);
    assert!((sum - 1.0).abs() < 1e-3, "{sum}");
    let mut random = Random::new(1);
    let drawn: Vec<f64> = (0..2000).map(|_| density.draw(&mut random)[0]).collect();
    assert!(drawn.iter().all(|drawn| (-1.0..2.0).contains(drawn)));
    let share = drawn.iter().filter(|drawn| **drawn < 0.5).count() as f64 / 2000.0;
    assert!((share - share_of(0..1500)).abs() < 0.05, "{share}: {}", share_of(0..1500));
    let names = density_of(&[0.5, 0.5, 2.5], &[NAMES]);
    let shares = [0.5, 1.5, 2.5].map(|at| names.log_at(&[at]).exp());
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12 && shares[0] > shares[2] && shares[2] > shares[1], "{shares:?}");
}

#[test]
fn proposals_are_near_good_trials() {
    let line = [Axis { low: 0.0, high: 1.0, are_names: false }];
    let seen: Vec<(Vec<f64>, f64)> = (0..40).map(|i| (vec![f64::from(i) / 40.0], (f64::from(i) / 40.0 - 0.7).powi(2))).collect();
    let near = (0..100).filter(|&seed| (propose(&seen, &line, &mut Random::new(seed))[0] - 0.7).abs() < 0.15);
    assert!(near.count() > 80);
    let names: Vec<(Vec<f64>, f64)> = (0..30).map(|i| (vec![f64::from(i % 3) + 0.5], f64::from(i % 3 != 1))).collect();
    let good = (0..100).filter(|&seed| propose(&names, &[NAMES], &mut Random::new(seed))[0] as usize == 1);
    assert!(good.count() > 90);
}

/// With hundreds of hyperparameters, the densities themselves are beyond the range of numbers.
#[test]
fn many_hyperparameters_have_finite_densities() {
    let axes = vec![Axis { low: 0.0, high: 1e-9, are_names: false }; 400];
    let seen: Vec<(Vec<f64>, f64)> = (0..20_i32).map(|i| (vec![f64::from(i) * 5e-11; 400], f64::from((i - 7).abs()))).collect();
    let point = propose(&seen, &axes, &mut Random::new(1));
    assert!(point.iter().all(|at| (0.0..1e-9).contains(at)), "{point:?}");
    let points: Vec<&[f64]> = seen.iter().map(|(point, _)| point.as_slice()).collect();
    assert!(Density::new(&points, &axes).log_at(&point).is_finite());
}

#[test]
fn the_widest_range_has_a_finite_density() {
    let wide = [Axis { low: -8e307, high: 8e307, are_names: false }];
    assert!(density_of(&[0.0, 1e307], &wide).log_at(&[1e300]).is_finite());
}
