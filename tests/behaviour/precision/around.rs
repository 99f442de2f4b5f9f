//! A mixed precision together with the other features of a fit.

use burn::{module::Param, prelude::*};
use stormfire::{checkpoint::Checkpoint, prelude::*};

use super::net::{Fitted, Net, fit, points};
use crate::{
    devices::values,
    kept_state::SaveAt,
    repeatability::weights,
    support::{quiet, recording},
};

fn furthest(a: &Net, b: &Net) -> f32 {
    values(a).iter().zip(values(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn windows_add_their_gradients_in_f32() {
    for window in [2, 3] {
        let full = fit(Net::new(), |trainer| trainer.accumulate_grad_batches(window)).unwrap();
        for (precision, skipped) in [("bf16-mixed", 0), ("16-mixed", 1)] {
            let mixed = fit(Net::new(), |trainer| trainer.precision(precision).accumulate_grad_batches(window)).unwrap();
            assert_eq!(mixed.steps, full.steps - skipped, "{precision}, {window}");
            if skipped == 0 {
                assert!(furthest(&mixed.module, &full.module) < 0.05, "{precision}, {window}");
            }
        }
    }
}

#[test]
fn threads_share_the_copy() {
    for precision in ["bf16-mixed", "16-mixed"] {
        for net in [Net::new(), Net::new().normalised()] {
            let [one, two] = [1, 2].map(|devices| fit(net.clone(), |trainer| trainer.precision(precision).devices(devices)).unwrap());
            assert_eq!(one.steps, two.steps, "{precision}");
            let is_normalised = net.norm.is_some();
            let last = |fitted: &Fitted| *fitted.values("train_loss_epoch").last().unwrap();
            assert!((last(&one) - last(&two)).abs() < 0.1, "{precision}: {} {}", last(&one), last(&two));
            assert!(is_normalised || furthest(&one.module, &two.module) < 0.05, "{precision}: {}", furthest(&one.module, &two.module));
        }
    }
}

#[test]
fn frozen_parameters_keep_every_bit() {
    let mut net = Net::new();
    net.hidden = net.hidden.freeze();
    let before = net.hidden.weight.val().into_data();
    let fitted = fit(net, |trainer| trainer.precision("bf16-mixed")).unwrap();
    assert_eq!(fitted.module.hidden.weight.val().into_data(), before);
    assert!(!fitted.module.hidden.weight.is_require_grad());
    assert_ne!(values(&fitted.module.output), values(&Net::new().output));
}

/// Other weights for a validation: all logits are zero.
struct Zeros;

impl Callback<Net> for Zeros {
    fn weights(&mut self, module: &Net) -> Result<Option<Net>> {
        let mut net = module.clone();
        net.output.weight = net.output.weight.map(|weight| weight.mul_scalar(0.0).detach());
        net.output.bias = net.output.bias.map(|bias| bias.map(|bias| bias.mul_scalar(0.0).detach()));
        Ok(Some(net))
    }
}

#[test]
fn weights_of_a_callback_are_validated_on_their_copy_and_the_masters_are_restored() {
    let net = Net::new();
    let types = net.types.clone();
    let with = fit(net, |trainer| trainer.precision("bf16-mixed").callback(Zeros)).unwrap();
    for loss in with.values("val_loss") {
        assert!((loss - 3.0_f64.ln()).abs() < 0.01, "{loss}");
    }
    assert!(types.seen().contains(&("val", burn::tensor::DType::BF16)));
    let without = fit(Net::new(), |trainer| trainer.precision("bf16-mixed")).unwrap();
    assert_eq!(values(&with.module), values(&without.module));
}

/// A hook that changes the masters.
struct Clip;

impl Callback<Net> for Clip {
    fn on_train_batch_end(&mut self, _: &mut Context<'_>, module: &mut Net, _: &StepOutput, _: usize) -> Result<()> {
        module.hidden.weight =
            module.hidden.weight.clone().map(|weight| Tensor::from_inner(weight.inner().clamp(-0.1, 0.1)).require_grad());
        Ok(())
    }
}

#[test]
fn a_change_by_a_hook_is_in_the_next_copy() {
    let [full, mixed] = [None, Some("bf16-mixed")].map(|precision| {
        fit(Net::new(), |trainer| match precision {
            Some(precision) => trainer.precision(precision).callback(Clip),
            None => trainer.callback(Clip),
        })
        .unwrap()
    });
    assert!(values(&mixed.module.hidden.weight).iter().all(|weight| weight.abs() <= 0.1));
    let last = |fitted: &Fitted| *fitted.values("train_loss_epoch").last().unwrap();
    assert!((last(&full) - last(&mixed)).abs() < 0.02, "{} {}", last(&full), last(&mixed));
}

#[test]
fn a_checkpoint_has_the_masters_the_precision_and_the_scale() {
    let folder = tempfile::tempdir().unwrap();
    let fitted = fit(Net::new(), |trainer| trainer.precision("16-mixed").callback(SaveAt(vec![7], folder.path().into()))).unwrap();
    assert_eq!(fitted.steps, 19);
    let file = folder.path().join("7.ckpt");
    let mut checkpoint = Checkpoint::read(&file).unwrap();
    let manifest = checkpoint.manifest().clone();
    assert_eq!(manifest.precision, "16-mixed");
    assert_eq!(manifest.place["loss_scale"], serde_json::json!({"scale": 32768.0, "good_steps": 7}));
    assert_eq!(manifest.config["precision"], "16-mixed");
    assert!(checkpoint.take_training_weights().values().all(|data| data.dtype() == burn::tensor::DType::F32));
    let summary = stormfire::checkpoint::inspect(&file).unwrap().to_string();
    assert!(summary.contains("16-mixed"), "{summary}");
    let plain = fit(Net::new(), |trainer| trainer.callback(SaveAt(vec![1], folder.path().into()))).unwrap();
    assert_eq!(plain.steps, 20);
    assert_eq!(Checkpoint::read(folder.path().join("1.ckpt")).unwrap().manifest().precision, "32-true");
}

#[test]
fn a_resume_is_exact_and_another_precision_may_take_over() {
    for precision in ["bf16-mixed", "16-mixed"] {
        let folder = tempfile::tempdir().unwrap();
        let set = |trainer: Trainer<Net>| trainer.precision(precision).accumulate_grad_batches(2);
        let net = || Net::new().normalised();
        let uninterrupted = fit(net(), |trainer| set(trainer).callback(SaveAt(vec![1, 3, 4], folder.path().into()))).unwrap();
        for step in [1, 3, 4] {
            let file = folder.path().join(format!("{step}.ckpt"));
            let resumed = fit(net(), |trainer| set(trainer).ckpt_path(&file)).unwrap();
            assert_eq!(weights(&resumed.module.valid()), weights(&uninterrupted.module.valid()), "{precision}, step {step}");
            let others = ["32-true", "16-mixed", "bf16-mixed"].into_iter().filter(|other| *other != precision);
            for other in others {
                let other_way = fit(net(), |trainer| set(trainer).precision(other).ckpt_path(&file)).unwrap();
                assert!(furthest(&other_way.module, &uninterrupted.module) < 0.2, "{precision} to {other}");
                assert!(other_way.steps >= uninterrupted.steps - 1, "{precision} to {other}");
            }
        }
    }
}

#[test]
fn a_second_fit_starts_from_scratch_and_a_longer_one_continues() {
    let mut trainer = quiet().precision("16-mixed").max_epochs(1);
    let first = trainer.fit(Net::new(), points(40, 8)).unwrap();
    assert_eq!(first.progress.global_step, 4, "one overflow");
    let second = trainer.fit(Net::new(), points(40, 8)).unwrap();
    assert_eq!(weights(&second.module), weights(&first.module));
    trainer.set_max_epochs(4);
    let further = trainer.fit_further(second.module, points(40, 8)).unwrap();
    let whole = quiet().precision("16-mixed").max_epochs(4).fit(Net::new(), points(40, 8)).unwrap();
    assert_eq!(further.progress, whole.progress, "the scale is that of the first fit, so that nothing overflows again");
    assert_eq!(weights(&further.module), weights(&whole.module));
}

/// A run of another precision within a hook.
struct Inner;

impl Callback<Net> for Inner {
    fn on_train_epoch_end(&mut self, _: &mut Context<'_>, module: &mut Net) -> Result<()> {
        let inner = quiet().max_epochs(1).precision("16-mixed").fit(Net::new(), points(16, 8))?;
        assert_eq!(inner.module.hidden.weight.val().dtype(), burn::tensor::DType::F32);
        let loss = recording(&stormfire::loggers::MemoryLogger::new()).validate(module, points(10, 8))?;
        assert!(!loss.is_empty());
        Ok(())
    }
}

#[test]
fn a_run_within_another_one_has_its_own_precision() {
    let with = fit(Net::new(), |trainer| trainer.precision("bf16-mixed").callback(Inner)).unwrap();
    let without = fit(Net::new(), |trainer| trainer.precision("bf16-mixed")).unwrap();
    assert_eq!(values(&with.module), values(&without.module));
}

#[test]
fn parameters_that_are_narrow_become_masters() {
    let mut net = Net::new();
    net.hidden.weight = Param::from_tensor(net.hidden.weight.val().cast(burn::tensor::FloatDType::BF16));
    let fitted = fit(net, |trainer| trainer.precision("bf16-mixed")).unwrap();
    assert_eq!(fitted.module.hidden.weight.val().dtype(), burn::tensor::DType::F32);
}
