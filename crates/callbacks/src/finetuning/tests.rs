use burn::{
    module::Module,
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    tensor::Device,
};
use serde::Deserialize;
use stormfire_module::Callback;
use stormfire_optim::{RateOf, trained::frozen};

use super::{BackboneFinetuning, norms::Norms};
use crate::testing::{Bench, Line, state_of, text};

#[derive(Module, Debug)]
struct Net {
    body: Linear,
    norm: BatchNorm,
    head: Linear,
}

fn net() -> Net {
    let device = Device::flex();
    let linear = || LinearConfig::new(1, 1).with_bias(false).init(&device);
    Net { body: linear(), norm: BatchNormConfig::new(1).init(&device), head: linear() }.train()
}

#[test]
fn norms_of_a_frozen_part_train_or_keep_their_statistics() {
    let part = ["body", "norm"].into();
    let freeze = |net: Net| stormfire_optim::freeze(net, ["body", "norm"]).unwrap();
    for trains in [true, false] {
        let before = net();
        let norms = Norms::of(&before, &part);
        let mut net = freeze(before);
        norms.settle(&mut net, trains);
        let stats = ["norm.running_mean", "norm.running_var"];
        let expected: &[&str] = if trains { &["body.weight"] } else { &["body.weight", "norm.gamma", "norm.beta"] };
        assert_eq!(frozen(&net), [expected, &stats].concat(), "{trains}");
        assert_eq!(net.norm.training.is_enabled(), trains);
        // A resumed fit has the frozen parameters, but not the flags.
        let mut resumed = net.clone();
        resumed.norm.training = resumed.norm.training.with_value(true);
        Norms::of(&resumed, &part).settle_as_frozen(&mut resumed, trains);
        assert_eq!(resumed.norm.training.is_enabled(), trains);
        let mut net = stormfire_optim::unfreeze(net, ["body", "norm"]).unwrap();
        Norms::of(&net, &part).settle_as_frozen(&mut net, trains);
        assert_eq!((frozen(&net), net.norm.training.is_enabled()), (stats.map(String::from).to_vec(), true));
    }
}

/// The rates that a callback has set at the starts of epochs, with these rates of the optimizer.
fn rates(mut callback: BackboneFinetuning, of_optimizer: [f64; 6], restarts: bool) -> Vec<Option<f64>> {
    let mut bench = Bench::new();
    bench.start(&mut callback).unwrap();
    let mut rates = Vec::new();
    for (epoch, of_optimizer) in of_optimizer.into_iter().enumerate() {
        bench.run.place.progress.epoch = epoch;
        bench.run.place.learning_rates = vec![("lr-Adam".into(), of_optimizer), ("lr-Adam/layer".into(), 7.0)];
        bench.fire(&mut callback, stormfire_module::Event::TrainEpochStart).unwrap();
        let asked = std::mem::take(&mut bench.run.place.requests.rates);
        rates.push(asked.into_iter().next().and_then(|(of, rate)| {
            assert_eq!(of, RateOf::Params("layer".into()));
            rate
        }));
        assert_eq!(frozen(&bench.module).is_empty(), epoch >= 2, "{epoch}");
        if restarts {
            let state = Callback::<Line>::state(&callback).unwrap();
            Callback::<Line>::load_state(&mut callback, state).unwrap();
        }
    }
    rates
}

#[test]
fn the_backbone_is_unfrozen_with_lightnings_rates() {
    let make = || BackboneFinetuning::new("layer").unfreeze_at_epoch(2);
    for restarts in [false, true] {
        let near = |callback, expected: [f64; 4]| {
            let found = rates(callback, [0.4; 6], restarts);
            assert_eq!(found[..2], [None, None]);
            let found: Vec<_> = found[2..].iter().map(|rate| rate.unwrap()).collect();
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} {expected:?}");
        };
        near(make(), [0.04, 0.08, 0.16, 0.32]);
        near(make().initial_ratio(0.5).lambda(|epoch| epoch as f64), [0.2, 0.4, 0.4, 0.4]);
        near(make().initial_ratio(0.5).lambda(|epoch| epoch as f64).align(false), [0.2, 0.8, 4.0, 24.0]);
        near(make().initial_lr(0.01).lambda(|_| 1.5), [0.01, 0.015, 0.0225, 0.03375]);
    }
}

/// A case of `lightning.json`, which `xtask/python/lightning_rules.py` writes.
#[derive(Deserialize)]
struct Case {
    of_optimizer: [f64; 6],
    /// The value of `lambda` at each epoch.
    factors: Vec<f64>,
    initial_ratio: f64,
    initial_lr: Option<f64>,
    align: bool,
    rates: Vec<Option<f64>>,
}

#[test]
fn rates_equal_those_that_lightning_sets() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("lightning.json")).unwrap();
    assert_eq!(cases.len(), 7);
    for Case { of_optimizer, factors, initial_ratio, initial_lr, align, rates: expected } in cases {
        for restarts in [false, true] {
            let factors = factors.clone();
            let callback = BackboneFinetuning::new("layer").unfreeze_at_epoch(2).initial_ratio(initial_ratio).align(align);
            let callback = callback.lambda(move |epoch| factors[epoch]);
            let callback = match initial_lr {
                Some(lr) => callback.initial_lr(lr),
                None => callback,
            };
            // A frozen backbone has no rate.
            let numbers = |rates: &[Option<f64>]| rates.iter().map(|rate| rate.unwrap_or(-1.0)).collect::<Vec<_>>();
            let (found, expected) = (numbers(&rates(callback, of_optimizer, restarts)), numbers(&expected));
            assert_eq!(found.len(), expected.len());
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?} {expected:?}");
        }
    }
}

#[test]
fn mistakes_are_refused_by_name() {
    let error = |mut callback: BackboneFinetuning| text(&Bench::new().start(&mut callback).unwrap_err());
    insta::assert_snapshot!(error(BackboneFinetuning::new("layr")), @"`BackboneFinetuning::new`: `layr` matches no parameter | hint: similar names are `layer`, `layer.bias`, `layer.weight`");
    insta::assert_snapshot!(error(BackboneFinetuning::new("layer").initial_ratio(-1.0)), @"`BackboneFinetuning::initial_ratio`: -1 is not a number of at least 0 | hint: use 0.1, for example");
    assert_eq!(state_of(&BackboneFinetuning::new("layer")), serde_json::json!({"rate": null}));
    // An epoch that no fit reaches.
    Bench::new().start(&mut BackboneFinetuning::new("layer").unfreeze_at_epoch(usize::MAX)).unwrap();
}
