//! `Ema` and `WeightAveraging` in the set-ups of a Trainer: the average is in force, and the training does not change.

use std::sync::{Arc, Mutex};

use burn::module::Module as _;
use insta::assert_snapshot;
use stormfire::{loggers::MemoryLogger, prelude::*, ranks::threads, values::read::device_reads};
use stormfire_values::read::DistantCpu;

use crate::{
    error_text::error_text,
    precision::net::{Net, Points, points},
    repeatability::{Weights, weights},
    support::recording,
};

/// The weights after each optimizer step, those of each validation, and the validation losses.
#[derive(Clone, Default)]
struct Seen {
    steps: u64,
    trained: Arc<Mutex<Vec<Weights>>>,
    validated: Arc<Mutex<Vec<(Weights, u64)>>>,
    losses: Arc<Mutex<Vec<u64>>>,
}

impl Callback<Net> for Seen {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut Net, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if ctx.global_step() > self.steps {
            self.steps = ctx.global_step();
            self.trained.lock().unwrap().push(sorted(&module.valid()));
        }
        Ok(())
    }

    fn on_validation_start(&mut self, ctx: &mut Context<'_>, module: &mut Net) -> Result<()> {
        self.validated.lock().unwrap().push((sorted(module), ctx.global_step()));
        Ok(())
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut Net) -> Result<()> {
        self.losses.lock().unwrap().push(ctx.metric("val_loss")?.to_bits());
        Ok(())
    }
}

fn sorted(net: &Net) -> Weights {
    let mut weights = weights(net);
    weights.sort();
    weights
}

type Data = (Loader<Points>, Loader<Points>);

/// Epochs of five batches.
fn data() -> Data {
    (points(40, 8), points(10, 8))
}

type SetUp<'a> = &'a dyn Fn(Trainer<Net>) -> Trainer<Net>;

fn trainer(set: SetUp<'_>) -> Trainer<Net> {
    set(recording(&MemoryLogger::new()).seed(3).max_epochs(3).num_sanity_val_steps(0))
}

fn fit(net: Net, set: SetUp<'_>) -> (Fit<Net>, Seen, Trainer<Net>) {
    let seen = Seen::default();
    let mut trainer = trainer(&|trainer| set(trainer.callback(seen.clone())));
    let fit = trainer.fit(net, data()).unwrap();
    (fit, seen, trainer)
}

fn is_statistic(name: &str) -> bool {
    name.contains("running")
}

/// The exponential average of weights, by its formula.
fn averaged(trained: &[Weights], decay: f64) -> Vec<(String, Vec<f64>)> {
    let numbers = |weights: &Weights| -> Vec<(String, Vec<f64>)> {
        let floats = |bits: &Vec<u32>| bits.iter().map(|&bits| f64::from(f32::from_bits(bits))).collect();
        weights.iter().map(|(name, bits)| (name.clone(), floats(bits))).collect()
    };
    let mut average = numbers(&trained[0]);
    for weights in &trained[1..] {
        for ((name, average), (_, new)) in average.iter_mut().zip(numbers(weights)) {
            for (average, new) in average.iter_mut().zip(new) {
                *average = if is_statistic(name) { new } else { decay * *average + (1.0 - decay) * new };
            }
        }
    }
    average
}

#[track_caller]
fn assert_near(weights: &Weights, expected: &[(String, Vec<f64>)], what: &str) {
    for ((name, bits), (_, expected)) in weights.iter().zip(expected) {
        for (bits, expected) in bits.iter().zip(expected) {
            let found = f64::from(f32::from_bits(*bits));
            assert!((found - expected).abs() < 2e-6 * (1.0 + expected.abs()), "{what}: {name}: {found} {expected}");
        }
    }
}

#[test]
fn the_average_is_validated_and_the_training_is_unchanged_in_every_set_up() {
    let set_ups: [(&str, bool, SetUp<'_>); 8] = [
        ("plain", false, &|trainer| trainer),
        ("batch normalization", true, &|trainer| trainer),
        ("windows, the last one short", true, &|trainer| trainer.accumulate_grad_batches(2)),
        ("validation in an open window", false, &|trainer| trainer.accumulate_grad_batches(2).val_check_interval("3 batches")),
        ("two devices", true, &|trainer| trainer.devices(2)),
        ("bf16-mixed", true, &|trainer| trainer.precision("bf16-mixed")),
        // Its first steps overflow.
        ("16-mixed", false, &|trainer| trainer.precision("16-mixed")),
        ("skipped steps", false, &|trainer| trainer.on_non_finite("skip:9")),
    ];
    for (what, is_normalised, set) in set_ups {
        let net = || if is_normalised { Net::new().normalised() } else { Net::new() };
        let (plain, seen_without, _) = fit(net(), set);
        let (fitted, seen, mut trainer) = fit(net(), &|trainer| set(trainer).callback(Ema::new(0.7)));
        assert_eq!(sorted(&fitted.module.valid()), sorted(&plain.module.valid()), "{what}: the training");
        let after_steps = seen.trained.lock().unwrap();
        assert_eq!(after_steps.len() as u64, fitted.progress.global_step, "{what}");
        assert_eq!(trainer.get::<Ema>().unwrap().updates(), fitted.progress.global_step, "{what}: an update for each step");
        let validated = seen.validated.lock().unwrap();
        assert!(validated.len() >= 3, "{what}");
        for (weights, count) in validated.iter() {
            assert_near(weights, &averaged(&after_steps[..*count as usize], 0.7), what);
        }
        assert_ne!(*seen.losses.lock().unwrap(), *seen_without.losses.lock().unwrap(), "{what}");
        let in_force = trainer.weights_in_force(&fitted.module).unwrap();
        assert_near(&sorted(&in_force), &averaged(&after_steps, 0.7), what);
    }
}

#[test]
fn the_module_of_the_fit_is_evaluated_with_the_average() {
    let (fitted, seen, mut trainer) = fit(Net::new(), &|trainer| trainer.callback(Ema::new(0.7)));
    let average = trainer.weights_in_force(&fitted.module).unwrap();
    let loss = |trainer: &mut Trainer<Net>, net: &Net| trainer.validate(net, points(10, 8)).unwrap()[0].get("val_loss").unwrap().to_bits();
    let of_average = loss(&mut self::trainer(&|trainer| trainer), &average);
    let of_trained = loss(&mut self::trainer(&|trainer| trainer), &fitted.module);
    assert_ne!(of_average, of_trained);
    assert_eq!(seen.losses.lock().unwrap().last(), Some(&of_average));
    assert_eq!(loss(&mut trainer, &fitted.module), of_average);
    let test = trainer.test(&fitted.module, points(10, 8)).unwrap();
    assert_eq!(test[0].get("test_loss").unwrap().to_bits(), of_average);
    let predicted = trainer.predict(&fitted.module, points(10, 8)).unwrap();
    assert_eq!(predicted, self::trainer(&|trainer| trainer).predict(&average, points(10, 8)).unwrap());
    // Another module is evaluated as it is, also the average itself.
    assert_eq!(loss(&mut trainer, &average), of_average);
    let (other, ..) = fit(Net::new(), &|trainer| trainer.max_epochs(1));
    let of_other = loss(&mut self::trainer(&|trainer| trainer), &other.module);
    assert_eq!(loss(&mut trainer, &other.module), of_other);
    // The evaluations have changed nothing: a longer fit continues with the trained weights.
    trainer.set_max_epochs(4);
    let further = trainer.fit_further(fitted.module, data()).unwrap();
    let (whole, _, mut longer) = fit(Net::new(), &|trainer| trainer.max_epochs(4).callback(Ema::new(0.7)));
    assert_eq!(sorted(&further.module.valid()), sorted(&whole.module.valid()));
    let in_force = |trainer: &mut Trainer<Net>, net: &Net| sorted(&trainer.weights_in_force(net).unwrap());
    assert_eq!(in_force(&mut trainer, &further.module), in_force(&mut longer, &whole.module));
}

#[test]
fn every_fit_of_a_trainer_has_its_own_average() {
    let mut trainer = trainer(&|trainer| trainer.callback(WeightAveraging::new()));
    let mut averages = Vec::new();
    for _ in 0..2 {
        let fitted = trainer.fit(Net::new(), data()).unwrap();
        assert_eq!(trainer.get::<WeightAveraging>().unwrap().updates(), 15);
        averages.push(sorted(&trainer.weights_in_force(&fitted.module).unwrap()));
    }
    assert_eq!(averages[0], averages[1]);
}

#[test]
fn before_the_first_update_the_trained_weights_are_validated() {
    let (_, plain, _) = fit(Net::new(), &|trainer| trainer.num_sanity_val_steps(1));
    let (_, seen, _) = fit(Net::new(), &|trainer| trainer.num_sanity_val_steps(1).callback(WeightAveraging::new().start_after("2 epochs")));
    let (plain, seen) = (plain.losses.lock().unwrap(), seen.losses.lock().unwrap());
    // The sanity check, two epochs, and the first epoch with an average.
    assert_eq!(seen[..3], plain[..3]);
    assert_ne!(seen[3], plain[3]);
}

#[test]
fn the_best_checkpoint_contains_the_average_that_was_scored() {
    let folder = tempfile::tempdir().unwrap();
    let saving = || ModelCheckpoint::new().dirpath(folder.path()).monitor("val_loss").filename("best");
    let (fitted, seen, mut trainer) =
        fit(Net::new().normalised(), &|trainer| trainer.enable_checkpointing(true).callback(Ema::new(0.9)).callback(saving()));
    let best = seen.losses.lock().unwrap().iter().map(|bits| f64::from_bits(*bits)).fold(f64::INFINITY, f64::min);
    trainer.set_ckpt_path("best");
    let tested = trainer.test(&fitted.module, points(10, 8)).unwrap();
    assert_eq!(tested[0].get("test_loss").unwrap().to_bits(), best.to_bits());
    let loaded = Net::new().normalised().load_weights(folder.path().join("best.ckpt"), &LoadOptions::new()).unwrap().0;
    let mut plain = self::trainer(&|trainer| trainer);
    assert_eq!(plain.validate(&loaded, points(10, 8)).unwrap()[0].get("val_loss").unwrap().to_bits(), best.to_bits());
}

#[test]
fn an_average_reads_nothing_from_the_device() {
    let reads = |set: SetUp<'_>| {
        let _distant = DistantCpu::new();
        let before = device_reads();
        let _ = fit(Net::new().normalised(), set);
        device_reads() - before
    };
    let plain = reads(&|trainer| trainer);
    assert_eq!(reads(&|trainer| trainer.callback(Ema::half_life("2 epochs").warm_up(true).average_buffers(true))), plain);
}

#[test]
fn ranks_have_the_average_of_one_rank() {
    let on_ranks = |world: usize, batches: usize| {
        let run = |_rank| -> Result<_> {
            let seen = Seen::default();
            let set = |trainer: Trainer<Net>| trainer.handle_signals(false).callback(seen.clone()).callback(Ema::new(0.7));
            let mut trainer = trainer(&|trainer| set(trainer.accumulate_grad_batches(batches)));
            let fit = trainer.fit(Net::new(), data())?;
            Ok((sorted(&trainer.weights_in_force(&fit.module)?), seen.validated.lock().unwrap().clone()))
        };
        threads::run(world, run).into_iter().map(|ended| ended.unwrap()).collect::<Vec<_>>()
    };
    let (two, one) = (on_ranks(2, 1), on_ranks(1, 2));
    assert_eq!(two[0], two[1]);
    let numbers = averaged(&[one[0].0.clone()], 0.0);
    assert_near(&two[0].0, &numbers, "two ranks");
    assert_eq!(two[0].1.len(), one[0].1.len());
}

#[test]
fn two_averages_are_refused() {
    let error = trainer(&|trainer| trainer.callback(Ema::new(0.9)).callback(WeightAveraging::new())).fit(Net::new(), data());
    assert_snapshot!(error_text(error), @"
    `callback`: two callbacks average the weights, and only one average can be in force
      hint: use one of them
    ");
}
