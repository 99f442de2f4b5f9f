use burn::{
    module::{Module, Param},
    nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig},
    tensor::{DType, Device, Tensor, TensorData},
};
use stormfire_module::{Callback, Event, LightningModule, StepOutput, state::Saved};

use super::{Ema, StochasticWeightAveraging, WeightAveraging, averages::Averages};
use crate::testing::{Bench, Line, text};

/// The results of PyTorch's `swa_utils` for some weights (`xtask/python/averaging.py`).
fn of_torch(name: &str) -> Vec<Vec<f64>> {
    let table: serde_json::Value = serde_json::from_str(include_str!("torch.json")).unwrap();
    serde_json::from_value(table[name].clone()).unwrap()
}

fn vector(values: &[f64]) -> Tensor<1> {
    let device = Device::flex();
    Tensor::from_data(TensorData::from(values), (&device, DType::F32))
}

fn set(bench: &mut Bench, values: &[f64]) {
    bench.module.layer.weight = bench.module.layer.weight.clone().map(|_| {
        let values = vector(values).unsqueeze_dim::<2>(1);
        Tensor::from_inner(values).require_grad()
    });
}

fn bench() -> Bench {
    let mut bench = Bench::new();
    bench.module = Line { layer: LinearConfig::new(6, 1).with_bias(false).init(&Device::flex()) }.train();
    bench
}

fn weights<C: Callback<Line>>(bench: &Bench, callback: &mut C) -> Option<Vec<f64>> {
    let averaged = callback.weights(&bench.module).unwrap()?;
    Some(averaged.layer.weight.val().into_data().iter::<f64>().collect())
}

/// The averages after each step, of a fit that restarts after each of these steps.
fn averages<C: Callback<Line>>(make: impl Fn() -> C, restarts: &[usize]) -> Vec<Vec<f64>> {
    let (mut bench, mut callback) = (bench(), make());
    bench.start(&mut callback).unwrap();
    let mut all = Vec::new();
    for (step, values) in of_torch("weights").iter().enumerate() {
        set(&mut bench, values);
        bench.train_batch_end(&mut callback).unwrap();
        if restarts.contains(&step) {
            let before = weights(&bench, &mut callback);
            let saved = callback.state().unwrap();
            callback = make();
            bench.setup(&mut callback).unwrap();
            callback.load_state(saved).unwrap();
            let extra = serde_json::Map::new();
            bench.fire(&mut callback, Event::LoadCheckpoint { checkpoint: &extra }).unwrap();
            bench.fire(&mut callback, Event::FitStart).unwrap();
            assert_eq!(weights(&bench, &mut callback), before);
        }
        all.push(weights(&bench, &mut callback).unwrap());
    }
    all
}

#[track_caller]
fn assert_near(found: &[Vec<f64>], expected: &[Vec<f64>]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 2e-6, "{found} {expected}");
    }
}

#[test]
fn averages_are_those_of_pytorch() {
    for restarts in [&[][..], &[0, 3, 4]] {
        assert_near(&averages(WeightAveraging::new, restarts), &of_torch("mean"));
        assert_near(&averages(|| Ema::new(0.9), restarts), &of_torch("ema 0.9"));
        assert_near(&averages(|| Ema::new(0.999), restarts), &of_torch("ema 0.999"));
        assert_near(&averages(|| Ema::new(0.9).warm_up(true), restarts), &of_torch("ema 0.9 warm"));
        assert_near(&averages(|| WeightAveraging::new().share(|n| 1.0 / (n + 1) as f64), restarts), &of_torch("mean"));
    }
}

#[test]
fn a_half_life_is_a_decay_that_does_not_depend_on_the_period_of_updates() {
    let decay = |every: u64| 0.5_f64.powf(every as f64 / 8.0);
    for every in [1, 3] {
        let period = format!("{every} steps");
        let by_half_life = |half_life: &str| {
            let (mut bench, mut callback) = (bench(), Ema::half_life(half_life).every(&*period));
            bench.start(&mut callback).unwrap();
            let mut newest = Vec::new();
            for values in of_torch("weights") {
                set(&mut bench, &values);
                bench.train_batch_end(&mut callback).unwrap();
                newest.extend(weights(&bench, &mut callback));
            }
            (newest, callback.updates())
        };
        let weights = of_torch("weights");
        let mut expected = weights[every as usize - 1].clone();
        for values in weights.iter().skip(every as usize - 1).step_by(every as usize).skip(1) {
            for (average, value) in expected.iter_mut().zip(values) {
                *average = decay(every) * *average + (1.0 - decay(every)) * value;
            }
        }
        // The bench has 10 batches in an epoch.
        for half_life in ["8 steps", "8 batches", "0.8 epochs"] {
            let (newest, updates) = by_half_life(half_life);
            assert_eq!(updates, 12 / every);
            assert_near(&[newest.last().unwrap().clone()], &[expected.clone()]);
        }
    }
}

/// After which batches an average is updated. `s` steps, `.` does not. An epoch has three batches.
fn updates(callback: &mut WeightAveraging, steps: &str) -> String {
    let mut bench = bench();
    bench.start(callback).unwrap();
    let mut updated = String::new();
    for epoch in steps.split('|') {
        bench.run.place.progress.batch_in_epoch = 0;
        for (batch, step) in epoch.chars().enumerate() {
            let before = callback.updates();
            let progress = &mut bench.run.place.progress;
            progress.global_step += u64::from(step != '.');
            // `+` is a step without a batch, as `skip_epoch` makes it.
            if step != '+' {
                progress.batch_in_epoch += 1;
                progress.batches += 1;
                bench.run.place.is_last_batch = batch == 2;
                bench.fire(callback, Event::TrainBatchEnd { output: &StepOutput::none(), batch_idx: batch }).unwrap();
            }
            updated.push_str(&(callback.updates() - before).to_string());
        }
        let before = callback.updates();
        bench.fire(callback, Event::TrainEpochEnd).unwrap();
        bench.run.place.progress.epoch += 1;
        updated.push_str(if callback.updates() > before { "+|" } else { "|" });
    }
    updated
}

#[test]
fn an_average_is_updated_once_for_each_step_from_its_start_on() {
    let new = WeightAveraging::new;
    for (mut callback, steps, expected) in [
        (new(), "sss|sss", "111|111|"),
        // Batches that only accumulate, and skipped steps.
        (new(), ".s.|s.s", "010|101|"),
        (new().every("2 steps"), "sss|.ss", "010|010|"),
        (new().every("1 epoch"), "sss|s..", "001|001|"),
        (new().every("2 epochs"), "sss|sss|sss", "000|001|000|"),
        (new().start_after("2 steps"), "sss|sss", "001|111|"),
        (new().start_after("1 epoch"), "sss|sss", "000|111|"),
        (new().start_after("1 epoch").every("2 epochs"), "sss|sss|sss|sss", "000|001|000|001|"),
        // An epoch that is cut short, and a step at its end.
        (new(), "s+|sss", "10+|111|"),
        (new().every("1 epoch"), "ss|sss", "00+|001|"),
        (new().every("1 epoch"), "...|sss", "000|001|"),
    ] {
        assert_eq!(updates(&mut callback, steps), expected, "{callback:?} {steps}");
    }
}

#[test]
fn invalid_options_are_refused_by_name() {
    let ema = |mut callback: Ema| text(&bench().start(&mut callback).unwrap_err());
    insta::assert_snapshot!(ema(Ema::new(1.0)), @"`Ema::new`: the decay must be at least 0 and less than 1, not 1 | hint: use 0.999, for example");
    insta::assert_snapshot!(ema(Ema::new(f64::NAN)), @"`Ema::new`: the decay must be at least 0 and less than 1, not NaN | hint: use 0.999, for example");
    insta::assert_snapshot!(ema(Ema::half_life("1 hour")), @"`Ema::half_life`: a half-life in time would give other weights when a fit is resumed | hint: use steps, batches or epochs");
    insta::assert_snapshot!(ema(Ema::half_life("5 parsecs")), @"`Ema::half_life`: cannot read `5 parsecs` as a period: `parsecs` is not one of steps, batches, epochs, seconds, minutes, hours, days | hint: write a number with a unit: `50 steps`, `200 batches`, `2 epochs`, `0.25 epochs` or `10 minutes`");
    insta::assert_snapshot!(ema(Ema::new(0.9).every("0.5 epochs")), @"`Ema::every`: it counts steps or epochs, not 0.5 epochs | hint: use `10 steps` or `1 epoch`");
    let mut unsized_data = bench();
    unsized_data.run.limits.train_batches = None;
    insta::assert_snapshot!(text(&unsized_data.start(&mut Ema::half_life("2 epochs")).unwrap_err()), @"`Ema::half_life`: `2 epochs` needs training data of known length | hint: use a number of steps, or limit the data with `limit_train_batches`");
}

#[derive(Module, Debug)]
struct Net {
    body: Linear,
    norm: BatchNorm,
    head: Linear,
}

impl LightningModule for Net {
    type Batch = ();
}

impl Net {
    fn new(value: f32, dtype: DType) -> Self {
        let device = Device::flex();
        let linear = || {
            let mut linear = LinearConfig::new(1, 1).with_bias(false).init(&device);
            linear.weight = Param::from_tensor(Tensor::full([1, 1], value, (&device, dtype)));
            linear
        };
        Self { body: linear(), norm: BatchNormConfig::new(1).init(&device), head: linear() }.train()
    }

    /// The weights of body and head, and the running mean.
    fn values(&self) -> [f32; 3] {
        let of = |layer: &Linear| layer.weight.val().into_data().iter::<f32>().next().unwrap();
        [of(&self.body), of(&self.head), self.norm.running_mean.value_sync().into_data().iter::<f32>().next().unwrap()]
    }

    fn set(mut self, body: f32, head: f32, input: f32) -> Self {
        let full = |layer: &mut Linear, value: f32| {
            layer.weight = layer.weight.clone().map(|old| {
                let trains = old.is_require_grad();
                Tensor::from_inner(Tensor::full_like(&old.inner(), value)).set_require_grad(trains)
            });
        };
        full(&mut self.body, body);
        full(&mut self.head, head);
        self.norm.forward(Tensor::<2>::full([4, 1], input, &Device::flex().autodiff()));
        self
    }
}

#[test]
fn a_narrow_type_is_averaged_in_a_wide_one() {
    let (mut net, mut averages) = (Net::new(1.0, DType::BF16), Averages::default());
    averages.update(&net, 1.0, false);
    // Each change of the average is less than half a digit of `bf16`.
    for _ in 0..100 {
        net = net.set(1.1, 1.1, 0.0);
        averages.update(&net, 0.001, false);
    }
    let result = averages.put_into(&net);
    assert_eq!(result.body.weight.val().dtype(), DType::BF16);
    let expected = 1.1 - 0.1 * 0.999_f32.powi(100);
    assert!((result.values()[0] - expected).abs() < 0.005, "{:?} {expected}", result.values());
}

#[test]
fn running_statistics_are_the_current_ones_or_averaged() {
    for all in [false, true] {
        let (mut net, mut averages) = (Net::new(0.0, DType::F32), Averages::default());
        averages.update(&net, 1.0, all);
        net = net.set(1.0, 2.0, 1.0);
        averages.update(&net, 0.5, all);
        let statistic = if all { 0.05 } else { 0.1 };
        let found = averages.put_into(&net).values();
        assert!(found.iter().zip([0.5, 1.0, statistic]).all(|(a, b)| (a - b).abs() < 1e-6), "{all} {found:?}");
        // The averaged module has separate statistics. The trained one keeps its statistics.
        assert!((net.values()[2] - 0.1).abs() < 1e-6);
    }
}

#[test]
fn a_frozen_parameter_is_averaged_once_it_is_trained() {
    let freeze = |mut net: Net, trains: bool| {
        net.body = net.body.set_require_grad(trains);
        net
    };
    let restart = |averages: &Averages, net: &Net, with_untrained: bool| {
        let saved = averages.add_to(Saved::default(), with_untrained);
        let mut loaded = Averages::default();
        loaded.load(saved, &[], net, "Ema").unwrap();
        loaded
    };
    // With steps between two updates, the state also has the values that are not averaged yet.
    for (restarts, with_untrained) in [(false, false), (true, false), (true, true)] {
        let restart = |averages: &Averages, net: &Net, _: bool| restart(averages, net, with_untrained);
        let (mut net, mut averages) = (freeze(Net::new(1.0, DType::F32), false), Averages::default());
        averages.update(&net, 1.0, false);
        net = net.set(1.0, 2.0, 0.0);
        averages.update(&net, 0.5, false);
        if restarts {
            averages = restart(&averages, &net, false);
        }
        assert_eq!(averages.put_into(&net).values()[..2], [1.0, 1.5]);
        net = freeze(net, true).set(3.0, 2.0, 0.0);
        averages.update(&net, 0.5, false);
        if restarts {
            averages = restart(&averages, &net, false);
        }
        assert_eq!(averages.put_into(&net).values()[..2], [2.0, 1.75], "{restarts}");
        // Frozen again, it stays in the average.
        net = freeze(net, false);
        averages.update(&net, 0.5, false);
        assert_eq!(averages.put_into(&net).values()[..2], [2.5, 1.875]);
        // Running statistics stay those of the training.
        net = net.set(3.0, 2.0, 10.0);
        averages.update(&net, 0.5, false);
        assert_eq!(averages.put_into(&net).values()[2].to_bits(), net.values()[2].to_bits(), "{restarts} {with_untrained}");
    }
}

#[test]
fn a_state_of_another_module_is_refused() {
    let mut averages = Averages::default();
    averages.update(&Net::new(1.0, DType::F32), 1.0, false);
    let mut wider = Net::new(1.0, DType::F32);
    wider.body = LinearConfig::new(2, 1).init(&Device::flex()).train();
    let error = Averages::default().load(averages.add_to(Saved::default(), false), &[], &wider, "Ema").unwrap_err();
    insta::assert_snapshot!(text(&error), @"`Ema`: the checkpoint has the average with the shape [1, 1], not [2, 1], of `body.weight` | hint: build the module as it was when the checkpoint was saved, or leave the callback out");
    let error = Averages::default().load(Saved::default(), &[], &wider, "Ema").unwrap_err();
    insta::assert_snapshot!(text(&error), @"`Ema`: the checkpoint has no average of `body.weight` | hint: build the module as it was when the checkpoint was saved, or leave the callback out");
}

#[test]
fn rates_are_annealed_as_those_of_pytorch() {
    for (name, epochs, strategy) in [("swalr cos 4", 4, "cos"), ("swalr linear 3", 3, "linear"), ("swalr cos 0", 0, "cos")] {
        let expected = of_torch(name);
        for restarts in [false, true] {
            let make = || StochasticWeightAveraging::new(0.01).start_epoch(2).annealing(epochs, strategy);
            let (mut bench, mut callback) = (bench(), make());
            bench.start(&mut callback).unwrap();
            let (mut rates, mut found) = (vec![0.4, 0.04], Vec::new());
            for epoch in 0..8 {
                bench.run.place.progress.epoch = epoch;
                bench.run.place.learning_rates = ["lr", "lr/head"].map(String::from).into_iter().zip(rates.clone()).collect();
                bench.fire(&mut callback, Event::TrainEpochStart).unwrap();
                for (index, (_, rate)) in std::mem::take(&mut bench.run.place.requests.rates).into_iter().enumerate() {
                    rates[index] = rate.unwrap();
                }
                found.push(rates.clone());
                if epoch < 2 {
                    for rate in &mut rates {
                        *rate *= 0.5;
                    }
                }
                if restarts {
                    let saved = Callback::<Line>::state(&callback).unwrap();
                    callback = make();
                    bench.setup(&mut callback).unwrap();
                    Callback::<Line>::load_state(&mut callback, saved).unwrap();
                    let extra = serde_json::Map::new();
                    bench.fire(&mut callback, Event::LoadCheckpoint { checkpoint: &extra }).unwrap();
                    bench.fire(&mut callback, Event::FitStart).unwrap();
                }
            }
            assert_near(&found, &expected);
        }
    }
}

#[test]
fn the_start_is_an_epoch_or_a_share_of_them() {
    let first = |callback: StochasticWeightAveraging, epochs: usize| {
        let (mut bench, mut callback) = (bench(), callback);
        bench.run.limits.max_epochs = Some(epochs);
        bench.start(&mut callback).unwrap();
        (0..epochs).find(|&epoch| {
            bench.run.place.progress.epoch = epoch;
            bench.fire(&mut callback, Event::TrainEpochStart).unwrap();
            !std::mem::take(&mut bench.run.place.requests.rates).is_empty()
        })
    };
    let new = || StochasticWeightAveraging::new(0.05);
    assert_eq!([first(new(), 10), first(new(), 4), first(new().start_share(0.0), 3)], [Some(8), Some(3), Some(0)]);
    assert_eq!([first(new().start_epoch(2), 3), first(new().start_share(1.0), 3)], [Some(2), None]);
    let error = |mut callback: StochasticWeightAveraging| {
        let mut bench = bench();
        bench.run.limits.max_epochs = None;
        text(&bench.setup(&mut callback).unwrap_err())
    };
    insta::assert_snapshot!(error(new()), @"`StochasticWeightAveraging::start_share`: a share of the epochs needs `max_epochs` | hint: set `max_epochs`, or use `start_epoch`");
    insta::assert_snapshot!(error(new().start_share(1.5)), @"`StochasticWeightAveraging::start_share`: 1.5 is not a share | hint: use a number from 0 to 1");
    insta::assert_snapshot!(error(StochasticWeightAveraging::new(0.0)), @"`StochasticWeightAveraging::new`: [0.0] are not learning rates above 0 | hint: use 0.05, for example");
    insta::assert_snapshot!(error(new().annealing(3, "sine")), @"`StochasticWeightAveraging::annealing`: cannot read `sine` as an annealing strategy: it is not a known value | hint: write `cos` or `linear`");
}

/// A frozen part counts as often as the rest, also if it is trained after the statistics were renewed.
#[test]
fn a_part_that_is_unfrozen_after_the_statistics_were_renewed_keeps_its_average() {
    #[derive(Module, Debug)]
    struct Net {
        frozen: Linear,
        norm: BatchNorm,
    }
    let device = Device::flex();
    let filled = |value: f64| {
        let mut linear = LinearConfig::new(1, 1).with_bias(false).init(&device);
        linear.weight = Param::from_tensor(Tensor::full([1, 1], value, &device));
        linear
    };
    let net = Net { frozen: filled(2.0).no_grad(), norm: BatchNormConfig::new(1).init(&device) }.train();
    let mut averages = Averages::default();
    averages.update(&net, 1.0, false);
    averages.fix(&net.valid());
    let fixed = averages.fixed();
    assert_eq!(fixed.len(), 2, "{fixed:?}");
    let id = net.frozen.weight.id;
    let mut net = net;
    net.frozen.weight = Param::initialized(id, Tensor::from_inner(Tensor::full([1, 1], 4.0, &device)).require_grad());
    averages.update(&net, 0.5, false);
    let found = averages.put_into(&net).frozen.weight.val().into_data().iter::<f64>().next().unwrap();
    assert!((found - 3.0).abs() < 1e-6, "{found}");
}
