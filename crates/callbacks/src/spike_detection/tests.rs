use burn::tensor::Device;
use insta::assert_snapshot;
use serde::Deserialize;
use stormfire_module::Event;

use super::*;
use crate::testing::{Bench, state_of, text, told};

/// The numbers of the losses that are spikes.
fn spikes(rule: &Rule, losses: &[f64]) -> Vec<usize> {
    let mut history = History::default();
    losses.iter().enumerate().filter(|(_, loss)| history.is_spike(**loss, rule)).map(|(number, _)| number).collect()
}

/// The expected lists were derived manually from the rule of Lightning's `SpikeDetection`.
#[test]
fn the_rule_is_that_of_lightning() {
    let default = Rule::default;
    let flat = [1.0, 1.0, 1.0, 3.0, 2.9, 1.0, -9.0];
    // |3 - 1| >= 2·1. A loss that is better than the last one is none.
    assert_eq!(spikes(&default(), &flat), [3]);
    assert_eq!(spikes(&Rule { rtol: Some(1.8), ..default() }, &flat), [3, 4]);
    assert_eq!(spikes(&Rule { atol: Some(2.5), ..default() }, &flat), [0; 0]);
    assert_eq!(spikes(&Rule { warmup: 4, ..default() }, &flat), [0; 0]);
    // Without warm-up there is nothing to compare the first one with.
    assert_eq!(spikes(&Rule { warmup: 0, ..default() }, &[9.0, 1.0, 99.0]), [2]);
    assert_eq!(spikes(&Rule { mode: Mode::Max, rtol: Some(0.5), ..default() }, &[1.0, 1.0, 0.4, 5.0]), [2]);
    let broken = [1.0, f64::NAN, f64::INFINITY, 1.0, 4.0];
    assert_eq!(spikes(&default(), &broken), [1, 2, 4]);
    assert_eq!(spikes(&Rule { finite_only: false, ..default() }, &broken), [4]);
    // The mean is over the last two: 1 and 3. A spike does not count.
    assert_eq!(spikes(&Rule { window: 2, rtol: Some(1.0), warmup: 3, ..default() }, &[1.0, 1.0, 3.0, 5.0, 7.9, 1e3]), [3, 4, 5]);
    assert_eq!(spikes(&Rule { window: 2, rtol: Some(1.2), warmup: 3, ..default() }, &[1.0, 1.0, 3.0, 4.0, 8.0]), [4]);
}

/// A case of `lightning.json`, which `xtask/python/lightning_rules.py` writes.
#[derive(Deserialize)]
struct Case {
    mode: Mode,
    window: usize,
    warmup: u64,
    atol: Option<f64>,
    rtol: Option<f64>,
    finite_only: bool,
    /// `null` is NaN.
    losses: Vec<Option<f64>>,
    spikes: Vec<usize>,
}

#[test]
fn spikes_are_those_that_lightning_detects() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("lightning.json")).unwrap();
    assert_eq!(cases.len(), 9);
    for Case { mode, window, warmup, atol, rtol, finite_only, losses, spikes: expected } in cases {
        let rule = Rule { window, warmup, rtol, atol, finite_only, mode };
        let losses: Vec<f64> = losses.into_iter().map(|loss| loss.unwrap_or(f64::NAN)).collect();
        assert_eq!(spikes(&rule, &losses), expected, "{rule:?}: {losses:?}");
    }
}

/// A step whose window has these losses.
fn step(bench: &mut Bench, detection: &mut SpikeDetection, losses: &[f32]) {
    bench.fire(detection, Event::BeforeZeroGrad { optimizer: "o" }).unwrap();
    for (number, loss) in losses.iter().enumerate() {
        let loss = Tensor::<1>::from_floats([*loss], &Device::flex().autodiff());
        bench.fire(detection, Event::BeforeBackward { loss: &loss }).unwrap();
        if number + 1 == losses.len() {
            bench.fire(detection, Event::BeforeOptimizerStep { optimizer: "o", gradients: &mut GradientsParams::new() }).unwrap();
        }
        bench.train_batch_end(detection).unwrap();
    }
}

#[test]
fn a_spike_is_reported_or_skipped() {
    let (mut bench, mut warns) = (Bench::new(), SpikeDetection::new(SpikeAction::Warn));
    bench.start(&mut warns).unwrap();
    let lines = told(|| {
        for loss in [1.0, 1.0, 50.0, 1.0] {
            step(&mut bench, &mut warns, &[loss]);
        }
    });
    assert_snapshot!(lines.join("\n"), @"WARN a spike at step 2 (epoch 0, batch 2): the loss is 50, and the mean before it is 1");
    assert_eq!((bench.stopped(), bench.run.internals.skip_step.take(), warns.spikes()), (None, None, 1));

    let (mut bench, mut skips) = (Bench::new(), SpikeDetection::new(SpikeAction::Skip));
    bench.start(&mut skips).unwrap();
    step(&mut bench, &mut skips, &[1.0, 1.0]);
    assert_eq!(bench.run.internals.skip_step.take(), None);
    step(&mut bench, &mut skips, &[1.0, 9.0]);
    assert_snapshot!(bench.run.internals.skip_step.take().unwrap(), @"a spike at step 3 (epoch 0, batches 2 to 3): the loss is 5, and the mean before it is 1");
}

#[test]
fn a_stop_writes_the_list_that_a_resumed_fit_reads() {
    let folder = tempfile::tempdir().unwrap();
    let (mut bench, mut stops) = (Bench::new(), SpikeDetection::new(SpikeAction::Stop));
    bench.run.default_root_dir = folder.path().into();
    bench.start(&mut stops).unwrap();
    told(|| [[1.0, 1.0], [1.0, 1.0], [70.0, 1.0]].iter().for_each(|losses| step(&mut bench, &mut stops, losses)));
    assert!(bench.run.place.requests.saves_nothing);
    assert_snapshot!(bench.stopped().unwrap(), @"a spike at step 5 (epoch 0, batches 4 to 5): the loss is 35.5, and the mean before it is 1");
    let list = folder.path().join(LIST);
    assert_eq!(std::fs::read_to_string(&list).unwrap(), "[[0,4],[0,5]]");

    let mut resumed = Bench::new();
    resumed.run.default_root_dir = folder.path().into();
    resumed.run.resumed_from = Some(folder.path().join("checkpoints/last.ckpt"));
    resumed.start(&mut SpikeDetection::new(SpikeAction::Stop)).unwrap();
    assert_eq!(resumed.run.place.left_out, [(0, 4), (0, 5)].into());
    // A fit from the start sees all batches.
    resumed.run.resumed_from = None;
    resumed.run.place.left_out.clear();
    resumed.start(&mut SpikeDetection::new(SpikeAction::Stop)).unwrap();
    assert!(resumed.run.place.left_out.is_empty());
    std::fs::write(&list, "{}").unwrap();
    resumed.run.resumed_from = Some(folder.path().join("checkpoints/last.ckpt"));
    let error = text(&resumed.start(&mut SpikeDetection::new(SpikeAction::Stop)).unwrap_err());
    assert_snapshot!(error.replace(&folder.path().display().to_string(), "[folder]"), @"`SpikeDetection`: `[folder]/spikes.json` is not a list of batches: invalid type: map, expected a sequence at line 1 column 0 | hint: write pairs of epoch and batch, such as `[[0, 17], [2, 5]]`, or remove the file");
}

/// On a device that makes readers wait, losses are read at logging steps. A checkpoint in between contains them.
#[test]
fn a_resumed_detection_continues_with_steps_that_are_not_read_yet() {
    let _distant = stormfire_values::read::DistantCpu::new();
    let losses = [1.0, 1.0, 8.0, 1.0, 30.0, 1.0];
    for cut in 1..losses.len() {
        let (mut bench, mut first) = (Bench::new(), SpikeDetection::new(SpikeAction::Warn));
        bench.start(&mut first).unwrap();
        let before = stormfire_values::read::device_reads();
        losses[..cut].iter().for_each(|loss| step(&mut bench, &mut first, &[*loss]));
        // An open window, too.
        let loss = Tensor::<1>::from_floats([losses[cut]], &Device::flex().autodiff());
        bench.fire(&mut first, Event::BeforeBackward { loss: &loss }).unwrap();
        let saved = Callback::<crate::testing::Line>::state(&first).unwrap();
        assert_eq!(stormfire_values::read::device_reads(), before, "a step has read the device");
        let mut second = SpikeDetection::new(SpikeAction::Warn);
        Callback::<crate::testing::Line>::load_state(&mut second, saved).unwrap();
        bench.fire(&mut second, Event::BeforeOptimizerStep { optimizer: "o", gradients: &mut GradientsParams::new() }).unwrap();
        bench.train_batch_end(&mut second).unwrap();
        losses[cut + 1..].iter().for_each(|loss| step(&mut bench, &mut second, &[*loss]));
        bench.run.place.logs_this_step = true;
        told(|| bench.fire(&mut second, Event::TrainEpochEnd).unwrap());
        assert_eq!(second.spikes(), 2, "cut before {cut}");
        assert!(state_of(&second)[0]["recent"].as_array().unwrap().len() == 4);
    }
}

#[test]
fn wrong_options_are_named() {
    let new = || SpikeDetection::new(SpikeAction::Warn);
    let errors = [new().window(0), new().rtol(-1.0), new().atol(f64::NAN)];
    let errors = errors.map(|mut detection| text(&Bench::new().setup(&mut detection).unwrap_err()));
    assert_snapshot!(errors.join("\n"), @r"
    `SpikeDetection::window`: a mean needs a window of at least 1 | hint: leave it at 10
    `SpikeDetection::rtol`: -1 is not a number from 0 on | hint: leave it out, or give another one
    `SpikeDetection::atol`: NaN is not a number from 0 on | hint: leave it out, or give another one
    ");
}
