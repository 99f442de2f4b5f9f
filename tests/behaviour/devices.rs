//! Several threads share each batch with `Trainer::devices(n)`. The results equal those of one thread.

mod around;
mod chance;
pub(crate) mod net;
mod odd_parts;
mod refused;
pub(crate) mod set_ups;

use burn::{
    module::{ModuleVisitor, Param},
    prelude::*,
};
use stormfire::{loggers::MemoryLogger, prelude::*};

use self::net::{Net, digits};
use crate::support::recording;

/// All parameters and running statistics of a module.
pub(crate) fn values<M: Module>(module: &M) -> Vec<f32> {
    struct Collect(Vec<f32>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
    let mut collect = Collect(Vec::new());
    module.valid().visit(&mut collect);
    collect.0
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// A name, a step, and a value.
pub(crate) type Logged = (String, Option<u64>, f64);

/// The results of a fit with `devices` threads: the weights, and all logged values.
fn fit(net: &Net, devices: usize, set: impl Fn(Trainer<Net>) -> Trainer<Net>) -> (Vec<f32>, Vec<Logged>) {
    let logger = MemoryLogger::new();
    let trainer = recording(&logger).devices(devices).max_epochs(1).log_every_n_steps(1).num_sanity_val_steps(0);
    // Batches of 7, and one of 5 at the end. No number of threads divides them evenly.
    let fit = set(trainer).fit(net.clone(), (digits(19, 7), digits(10, 7))).unwrap();
    (values(&fit.module), logger.rows().into_iter().map(|(name, value, step)| (name, step, value)).collect())
}

#[test]
fn the_results_equal_those_of_one_device_up_to_rounding() {
    for (name, net) in [("mean", Net::new()), ("sum", Net::new().of_sums())] {
        for window in [1, 2] {
            let set = |trainer: Trainer<Net>| trainer.accumulate_grad_batches(window);
            let (weights, logged) = fit(&net, 1, set);
            for devices in [2, 3, 4] {
                let (divided, logged_divided) = fit(&net, devices, set);
                let difference = largest_difference(&weights, &divided);
                assert!(difference <= 2e-7, "{name}, window {window}, {devices} devices: {difference}");
                let names = |logged: &[Logged]| logged.iter().map(|(n, step, _)| (n.clone(), *step)).collect::<Vec<_>>();
                assert_eq!(names(&logged), names(&logged_divided), "{name}, {devices} devices");
                for ((key, step, one), (_, _, several)) in logged.iter().zip(&logged_divided) {
                    assert!((one - several).abs() <= 1e-6 * one.abs().max(1.0), "{key} at {step:?}: {one}, {several}");
                }
            }
        }
    }
}

#[test]
fn a_run_resumes_with_another_number_of_devices() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().join("after-one-step.ckpt");
    let net = Net::new();
    let uninterrupted = fit(&net, 1, |trainer| trainer.max_epochs(2)).0;
    for devices in [(3, 1), (1, 2)] {
        let mut trainer = recording(&MemoryLogger::new()).devices(devices.0).max_steps(1).num_sanity_val_steps(0);
        let begun = trainer.fit(net.clone(), (digits(19, 7), digits(10, 7))).unwrap();
        trainer.save_checkpoint(&begun.module, &checkpoint).unwrap();
        let continued = fit(&net, devices.1, |trainer| trainer.max_epochs(2).ckpt_path(&checkpoint)).0;
        assert!(largest_difference(&uninterrupted, &continued) < 1e-6, "{devices:?}");
    }
}

#[test]
fn a_run_is_repeated_bit_for_bit() {
    let net = Net::new().normalised();
    let runs: Vec<_> = (0..4).map(|_| fit(&net, 3, |trainer| trainer)).collect();
    assert!(runs.iter().all(|run| *run == runs[0]));
}

#[test]
fn running_statistics_are_the_mean_over_the_parts() {
    let net = Net::new().normalised();
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    // The later weights differ, because each part is normalised separately.
    let after_one_step = |devices: usize| fit(&net, devices, |trainer| trainer.max_steps(1)).0;
    let (one, several) = (after_one_step(1), after_one_step(2));
    let means = |weights: &[f32]| mean(&weights[Net::running_mean()]);
    assert!((means(&one) - means(&several)).abs() < 1e-7, "{} {}", means(&one), means(&several));
    assert!(means(&one).abs() > 1e-5, "they have moved");
}

#[test]
fn evaluations_equal_those_of_one_device() {
    let net = Net::new();
    let metrics = |devices: usize| {
        let mut trainer = recording(&MemoryLogger::new()).devices(devices);
        let validated = trainer.validate(&net, digits(19, 7)).unwrap();
        let tested = trainer.test(&net, digits(19, 7)).unwrap();
        let predicted: Vec<Vec<f32>> = trainer.predict(&net, digits(19, 7)).unwrap().concat();
        let numbers: Vec<f64> =
            [validated, tested].concat().iter().flat_map(|metrics| metrics.iter().map(|(_, v)| v).collect::<Vec<_>>()).collect();
        (numbers, predicted)
    };
    let (numbers, predicted) = metrics(1);
    assert!(numbers.len() >= 4 && predicted.len() == 3 && predicted[2].len() == 5);
    for devices in [2, 4] {
        let (several, predictions) = metrics(devices);
        assert_eq!(predictions, predicted, "{devices} devices: whole batches are predicted, in order");
        assert!(numbers.iter().zip(&several).all(|(a, b)| (a - b).abs() < 1e-6), "{numbers:?} {several:?}");
    }
}
