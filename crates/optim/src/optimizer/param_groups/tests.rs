use burn::{
    lr_scheduler::{module_lr_scheduler::ModuleLrScheduler, step::StepLrSchedulerConfig},
    module::{Module, Param},
    nn::{Linear, LinearConfig},
    optim::{
        AdaGradConfig, AdafactorConfig, AdamConfig, AdamWConfig, AdanConfig, LambConfig, LionConfig, MuonConfig, RmsPropConfig, SgdConfig,
        decay::WeightDecayConfig, momentum::MomentumConfig,
    },
    tensor::{Device, Tensor, TensorData},
};
use stormfire_checkpoint::{ParamPaths, Snapshot};
use stormfire_values::Every;

use crate::{
    IntoOptimizer, Optimizer, Optimizers, Patterns, RateOf, Schedule,
    for_trainer::{DriveOptimizer as _, DriveOptimizers as _, SaveOptimizers as _},
    window::StepGradients,
};

#[derive(Module, Debug)]
struct Part {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
struct Net {
    body: Part,
    head: Part,
}

fn of_torch<T: serde::de::DeserializeOwned>(name: &str) -> T {
    let table: serde_json::Value = serde_json::from_str(include_str!("torch.json")).unwrap();
    serde_json::from_value(table[name].clone()).unwrap()
}

fn tensor(values: &[f64]) -> Tensor<1> {
    let device = Device::flex().autodiff();
    Tensor::from_data(TensorData::from(values).convert::<f32>(), &device)
}

impl Net {
    fn new() -> Self {
        let start: Vec<Vec<f64>> = of_torch("start");
        let param = |index: usize| Param::from_tensor(tensor(&start[index]));
        Self { body: Part { weight: param(0), bias: param(1) }, head: Part { weight: param(2), bias: param(3) } }
    }

    fn params(&self) -> [&Param<Tensor<1>>; 4] {
        [&self.body.weight, &self.body.bias, &self.head.weight, &self.head.bias]
    }

    /// A step with these gradients.
    fn step(&mut self, optimizers: &mut Optimizers, gradients: &[Vec<f64>]) {
        let losses = self.params().into_iter().zip(gradients).map(|(param, gradient)| (param.val() * tensor(gradient)).sum());
        let loss = losses.reduce(|a, b| a + b).unwrap();
        let optimizer = optimizers.at(0);
        let gradients = optimizer.gradients(loss.backward(), self);
        optimizer.update(self, StepGradients { params: gradients, is_sum: false });
        optimizer.step_schedule().unwrap();
    }

    fn values(&self) -> Vec<f64> {
        self.params().into_iter().flat_map(|param| param.val().into_data().iter::<f64>().collect::<Vec<_>>()).collect()
    }
}

/// The same groups as in the table.
fn grouped(optimizer: impl IntoOptimizer) -> Optimizer {
    Optimizer::new(optimizer, 0.1)
        .group("body", |g| g.lr_factor(0.2))
        .group("head.weight", |g| g.weight_decay(0.3))
        .group("*.bias", |g| g.weight_decay(0.0))
}

/// The parameters after each step. Restarts after each of the given steps.
fn train(make: impl Fn() -> Optimizer, restarts: &[usize]) -> Vec<Vec<f64>> {
    let mut net = Net::new();
    let start = |net: &Net| {
        let mut optimizers = Optimizers::from(make());
        optimizers.start(net).unwrap();
        optimizers
    };
    let mut optimizers = start(&net);
    let gradients: Vec<Vec<Vec<f64>>> = of_torch("gradients");
    let mut rows = Vec::new();
    for (step, gradients) in gradients.iter().enumerate() {
        net.step(&mut optimizers, gradients);
        if restarts.contains(&step) {
            let before = optimizers.learning_rates();
            let mut snapshot = Snapshot::default();
            let states = optimizers.snapshot(&ParamPaths::of(&net)).unwrap().save(&mut snapshot).unwrap();
            let states = serde_json::from_str(&serde_json::to_string(&states).unwrap()).unwrap();
            optimizers = start(&net);
            optimizers.load(states, snapshot.read().unwrap(), &ParamPaths::of(&net)).unwrap();
            assert_eq!(optimizers.learning_rates(), before);
        }
        rows.push(net.values());
    }
    rows
}

#[track_caller]
fn assert_near(found: &[Vec<f64>], expected: &[Vec<f64>]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 3e-6, "{found} {expected}");
    }
}

#[test]
fn groups_step_as_those_of_pytorch() {
    let decay = || Some(WeightDecayConfig::new(0.1));
    for restarts in [&[][..], &[0, 3]] {
        let near = |make: &dyn Fn() -> Optimizer, name: &str| assert_near(&train(make, restarts), &of_torch::<Vec<Vec<f64>>>(name));
        let adam_w = || AdamWConfig::new().with_weight_decay(0.1);
        near(&|| grouped(adam_w()), "AdamW");
        near(&|| grouped(AdamConfig::new().with_weight_decay(decay())), "Adam");
        let momentum = MomentumConfig { momentum: 0.9, dampening: 0.0, nesterov: false };
        near(&|| grouped(SgdConfig::new().with_momentum(Some(momentum.clone())).with_weight_decay(decay())), "SGD");
        // An own rate, and a schedule that changes it in proportion.
        let own = || {
            let schedule = Schedule::new(StepLrSchedulerConfig::new(0.1, 2).with_gamma(0.5)).every(Every::Steps(1));
            let optimizer = Optimizer::new(adam_w(), 0.1).schedule(schedule).group("*.bias", |g| g.weight_decay(0.0));
            optimizer.group("body", |g| g.lr(0.02)).group("head.weight", |g| g.weight_decay(0.3))
        };
        near(&own, "AdamW, halving");
    }
}

/// Whether the decay of a group is used by every optimizer of burn.
#[test]
fn every_optimizer_of_burn_has_a_weight_decay_per_group() {
    type Make = Box<dyn Fn() -> Optimizer>;
    let config = || Some(WeightDecayConfig::new(0.0));
    let all: Vec<(&str, Make)> = vec![
        ("SGD", Box::new(move || Optimizer::new(SgdConfig::new().with_weight_decay(config()), 0.1))),
        ("Adam", Box::new(|| Optimizer::new(AdamConfig::new(), 0.1))),
        ("AdamW", Box::new(|| Optimizer::new(AdamWConfig::new().with_weight_decay(0.0), 0.1))),
        ("RMSprop", Box::new(|| Optimizer::new(RmsPropConfig::new(), 0.1))),
        ("AdaGrad", Box::new(|| Optimizer::new(AdaGradConfig::new(), 0.1))),
        ("Adafactor", Box::new(|| Optimizer::new(AdafactorConfig::new().with_weight_decay(0.0), 0.1))),
        ("Adan", Box::new(|| Optimizer::new(AdanConfig::new().with_weight_decay(0.0), 0.1))),
        ("LAMB", Box::new(|| Optimizer::new(LambConfig::new().with_weight_decay(0.0), 0.1))),
        ("Lion", Box::new(|| Optimizer::new(LionConfig::new().with_weight_decay(0.0), 0.1))),
    ];
    for (name, make) in all {
        let plain = train(&make, &[]);
        let decayed = train(|| make().group("head", |g| g.weight_decay(0.5)), &[]);
        let (last, decayed) = (plain.last().unwrap(), decayed.last().unwrap());
        assert_eq!(last[..4], decayed[..4], "{name}: the other parameters");
        assert!(last[4..].iter().zip(&decayed[4..]).all(|(a, b)| (a - b).abs() > 1e-4), "{name}: {last:?} {decayed:?}");
        assert_eq!(make().name(), name);
    }
    // Muon takes matrices.
    assert!(MuonConfig::new().weight_decays().is_some());
}

fn rates(optimizer: Optimizer) -> Vec<(String, f64)> {
    let mut optimizers = Optimizers::from(optimizer);
    optimizers.start(&Net::new()).unwrap();
    optimizers.learning_rates()
}

fn named(rates: &[(&str, f64)]) -> Vec<(String, f64)> {
    rates.iter().map(|(name, rate)| ((*name).to_owned(), *rate)).collect()
}

#[test]
fn groups_with_rates_are_shown_by_name_and_the_last_one_wins() {
    let adam = || Optimizer::new(AdamWConfig::new(), 0.5);
    assert_eq!(rates(adam().group("*.bias", |g| g.weight_decay(0.0))), named(&[("lr-AdamW", 0.5)]));
    let shown = rates(adam().group("head.*", |g| g.lr_factor(0.5)).group(["*.bias", "body"], |g| g.lr(2.0).named("größe/ü")));
    assert_eq!(shown, named(&[("lr-AdamW", 0.5), ("lr-AdamW/head", 0.25), ("lr-AdamW/größe/ü", 2.0)]));
    // `head.bias` has the rate of the last group.
    let optimizer = || Optimizer::new(SgdConfig::new(), 0.5).group("head", |g| g.lr_factor(0.0)).group("*.bias", |g| g.lr(1.0));
    let (start, end) = (Net::new().values(), train(optimizer, &[]).pop().unwrap());
    let moved: Vec<_> = start.iter().zip(&end).map(|(a, b)| (a - b).abs() > 1e-6).collect();
    assert_eq!(moved, [true, true, true, true, false, false, true, true]);
}

#[derive(Module, Debug)]
struct Deep {
    embedding: Linear,
    blocks: Vec<Linear>,
    head: Linear,
}

#[test]
fn layers_have_lower_rates_towards_the_input() {
    let linear = || LinearConfig::new(1, 1).init(&Device::flex());
    // Twelve blocks: their numbers are not compared as strings.
    let deep = Deep { embedding: linear(), blocks: vec![linear(); 12].into_iter().map(|_| linear()).collect(), head: linear() };
    let mut optimizers = Optimizers::from(
        Optimizer::new(SgdConfig::new(), 1.0).layer_wise_decay(0.5, ["embedding", "blocks.*", "head"]).group("head", |g| g.lr(3.0)),
    );
    let error = optimizers.start(&deep).unwrap_err();
    insta::assert_snapshot!(error, @"optimizer `SGD`: two groups with learning rates have the name `head`");
    let mut optimizers = Optimizers::from(Optimizer::new(SgdConfig::new(), 1.0).layer_wise_decay(0.5, ["embedding", "blocks.*", "head"]));
    optimizers.start(&deep).unwrap();
    let rates = optimizers.learning_rates();
    assert_eq!(rates.len(), 15);
    for (name, rate) in
        [("embedding", 0.5_f64.powi(13)), ("blocks.0", 0.5_f64.powi(12)), ("blocks.2", 0.5_f64.powi(10)), ("blocks.11", 0.5), ("head", 1.0)]
    {
        let found = rates.iter().find(|(known, _)| *known == format!("lr-SGD/{name}")).unwrap();
        assert!((found.1 - rate).abs() < 1e-12, "{found:?}");
    }
}

#[test]
fn a_rate_can_be_set_and_given_back() {
    let make = || {
        let schedule = Schedule::new(StepLrSchedulerConfig::new(0.5, 1).with_gamma(0.5)).every(Every::Steps(1));
        Optimizer::new(SgdConfig::new(), 0.5).schedule(schedule).group("head", |g| g.lr_factor(0.5))
    };
    let (mut net, mut optimizers) = (Net::new(), Optimizers::from(make()));
    optimizers.start(&net).unwrap();
    let shows = |optimizers: &Optimizers, expected: &[(&str, f64)]| assert_eq!(optimizers.learning_rates(), named(expected));
    optimizers.set_rate(&"lr-SGD".into(), Some(0.25)).unwrap();
    shows(&optimizers, &[("lr-SGD", 0.25), ("lr-SGD/head", 0.125)]);
    optimizers.set_rate(&"lr-SGD/head".into(), Some(8.0)).unwrap();
    optimizers.set_rate(&RateOf::Params(Patterns::from("*.bias")), Some(0.0)).unwrap();
    shows(&optimizers, &[("lr-SGD", 0.25), ("lr-SGD/head", 8.0), ("lr-SGD/bias", 0.0)]);
    let before = net.values();
    net.step(&mut optimizers, &vec![vec![1.0, 1.0]; 4]);
    let moved: Vec<_> = before.iter().zip(net.values()).map(|(a, b)| a - b).collect();
    assert_eq!(moved, [0.25, 0.25, 0.0, 0.0, 8.0, 8.0, 0.0, 0.0]);
    // The set rates are in a checkpoint.
    let mut snapshot = Snapshot::default();
    let states = optimizers.snapshot(&ParamPaths::of(&net)).unwrap().save(&mut snapshot).unwrap();
    let mut resumed = Optimizers::from(make());
    resumed.start(&net).unwrap();
    resumed
        .load(serde_json::from_value(serde_json::to_value(&states).unwrap()).unwrap(), snapshot.read().unwrap(), &ParamPaths::of(&net))
        .unwrap();
    assert_eq!(resumed.learning_rates(), optimizers.learning_rates());
    for optimizers in [&mut optimizers, &mut resumed] {
        optimizers.set_rate(&"lr-SGD/bias".into(), Some(1.0)).unwrap();
        shows(optimizers, &[("lr-SGD", 0.25), ("lr-SGD/head", 8.0), ("lr-SGD/bias", 1.0)]);
        for of in ["lr-SGD", "lr-SGD/head", "lr-SGD/bias"] {
            optimizers.set_rate(&of.into(), None).unwrap();
        }
        // The schedule has stepped in between.
        shows(optimizers, &[("lr-SGD", 0.25), ("lr-SGD/head", 0.125)]);
    }
    let text = |error: crate::Error| format!("{error} | hint: {}", error.hint().unwrap_or_default());
    insta::assert_snapshot!(text(optimizers.set_rate(&"lr-Adam".into(), Some(1.0)).unwrap_err()), @"optimizer `lr-Adam`: no learning rate has this name | hint: the names are `lr-SGD`, `lr-SGD/head`");
    insta::assert_snapshot!(text(optimizers.set_rate(&RateOf::Params("haed".into()), Some(1.0)).unwrap_err()), @"`learning rate`: `haed` matches no parameter | hint: similar names are `head`, `body`, `head.bias`");
    assert!(optimizers.set_rate(&"lr-SGD".into(), Some(f64::NAN)).is_err());
}

#[test]
fn invalid_groups_are_refused_by_name() {
    let text = |optimizer: Optimizer| {
        let error = Optimizers::from(optimizer).start(&Net::new()).unwrap_err();
        format!("{error} | hint: {}", error.hint().unwrap_or_default())
    };
    let adam = || Optimizer::new(AdamWConfig::new(), 0.5);
    insta::assert_snapshot!(text(adam().group("*.bais", |g| g.weight_decay(0.0))), @"`Optimizer::group`: `*.bais` matches no parameter | hint: similar names are `bias`, `body`, `head`");
    insta::assert_snapshot!(text(adam().group("head", |g| g.lr(f64::NAN))), @"optimizer `AdamW`: the learning rate NaN of the group `head` is not a number of at least 0 | hint: use 1e-4, for example");
    insta::assert_snapshot!(text(adam().group("head", |g| g.weight_decay(-0.1))), @"optimizer `AdamW`: the weight decay -0.1 of the group `head` is not a number of at least 0 | hint: use 0.01, for example");
    insta::assert_snapshot!(text(Optimizer::new(AdamConfig::new().init(), 0.5).group("head", |g| g.weight_decay(0.1))), @"optimizer `optimizer`: the group `head` has a weight decay, which the given `ModuleOptimizer` cannot change | hint: give a configuration such as `AdamWConfig::new()`, or use `ModuleOptimizer::with_group`");
    insta::assert_snapshot!(text(adam().layer_wise_decay(0.5, ["blocks.*"])), @"optimizer `AdamW`: `blocks.*` matches no layer with a number | hint: name a list of layers, such as `blocks.*`");
    insta::assert_snapshot!(text(adam().layer_wise_decay(0.0, ["body"])), @"optimizer `AdamW`: the layer-wise decay 0 is not a number above 0 | hint: use 0.9, for example");
    let schedule = ModuleLrScheduler::new(0.1_f64).with_group(burn::module::ParamGroup::from_predicate("head"), 0.2_f64);
    insta::assert_snapshot!(text(adam().schedule(schedule).group("head", |g| g.lr(1.0))), @"optimizer `AdamW`: both its schedule and `Optimizer::group` give groups learning rates | hint: use one of them");
}

/// As a tuner sets the rate of an optimizer.
#[test]
fn a_factor_on_all_rates_keeps_the_proportions_of_groups() {
    let gradients: Vec<Vec<Vec<f64>>> = of_torch("gradients");
    let start = Net::new().values();
    let step = |factor: f64| {
        let optimizer = Optimizer::new(SgdConfig::new(), 0.1).group("body", |g| g.lr_factor(0.2)).group("head.bias", |g| g.lr(0.05));
        let (mut net, mut optimizers) = (Net::new(), Optimizers::from(optimizer));
        optimizers.start(&net).unwrap();
        optimizers.at(0).scale_rates(factor);
        net.step(&mut optimizers, &gradients[0]);
        let changes = net.values().iter().zip(&start).map(|(after, before)| after - before).collect::<Vec<_>>();
        (optimizers.learning_rates().into_iter().map(|(_, rate)| rate).collect::<Vec<_>>(), changes)
    };
    let ((rates, changes), (scaled_rates, scaled_changes)) = (step(1.0), step(3.0));
    let is_scaled = |own: &[f64], scaled: &[f64]| own.iter().zip(scaled).all(|(own, scaled)| (scaled - 3.0 * own).abs() < 1e-5);
    assert_eq!(rates.len(), 3);
    assert!(is_scaled(&rates, &scaled_rates), "{rates:?} {scaled_rates:?}");
    assert!(changes.iter().any(|change| change.abs() > 1e-3) && is_scaled(&changes, &scaled_changes), "{changes:?} {scaled_changes:?}");
}
