//! The scale of the loss in `16-mixed`, and what it means for `on_non_finite`.

use burn::{optim::GradientsParams, prelude::*};
use insta::assert_snapshot;
use stormfire::{Error, loggers::MemoryLogger, module::moment::Progress, prelude::*};

use super::net::{Net, Points, fit, points};
use crate::{
    error_text::error_text,
    support::{quiet, recording},
};

/// Notes scales, and the batches that did not step.
#[derive(Default)]
struct Scales(Vec<(f64, u64)>);

impl Callback<Net> for Scales {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _: &mut Net, _: &StepOutput, _: usize) -> Result<()> {
        let Progress { global_step, .. } = *ctx.progress();
        self.0.push((ctx.run().place.loss_scale.map_or(0.0, |scale| scale.scale), global_step));
        Ok(())
    }
}

#[test]
fn the_first_overflow_skips_a_step_and_halves_the_scale() {
    let mut trainer = quiet().precision("16-mixed").max_epochs(1).callback(Scales::default());
    let fit = trainer.fit(Net::new(), points(32, 8)).unwrap();
    assert_eq!(trainer.get::<Scales>().unwrap().0, [(32768.0, 0), (32768.0, 1), (32768.0, 2), (32768.0, 3)]);
    assert_eq!(fit.progress.global_step, 3);
}

#[test]
fn logged_losses_are_not_scaled_and_the_batch_without_a_step_counts() {
    let mixed = fit(Net::new(), |trainer| trainer.precision("16-mixed")).unwrap();
    let full = fit(Net::new(), |trainer| trainer).unwrap();
    let first = |fitted: &super::net::Fitted| fitted.values("train_loss_epoch")[0];
    assert!((first(&mixed) - first(&full)).abs() < 0.2 * first(&full), "{} {}", first(&mixed), first(&full));
}

/// The third batch has no finite loss.
fn with_a_nan() -> Loader<Points> {
    let batches = (0..5).map(|batch| {
        let data = points(40, 8).batches(stormfire::data::Position::default(), &Device::flex()).unwrap().nth(batch).unwrap().unwrap();
        Points { scale: if batch == 2 { f32::NAN } else { 2.0 }, ..data.value }
    });
    Loader::from_batches(batches.collect())
}

#[test]
fn a_loss_that_is_not_finite_is_a_matter_of_the_policy() {
    let run = |policy: &str| {
        let logger = MemoryLogger::new();
        let mut trainer = recording(&logger).precision("16-mixed").max_epochs(1).on_non_finite(policy).callback(Scales::default());
        let fit = trainer.fit(Net::new(), with_a_nan());
        let scales = trainer.get::<Scales>().unwrap().0.clone();
        (fit.map(|fit| (fit.stop, fit.progress.global_step)), scales, logger.rows())
    };
    let (error, ..) = run("error");
    assert_snapshot!(error_text(error), @"
    the training loss is not finite at epoch 0, batch 2 (global step 1)
      hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
    ");
    let (stopped, ..) = run("stop");
    let (stopped, _) = stopped.unwrap();
    assert!(matches!(stopped, Stop::NonFinite(_)), "{stopped}");
    assert_snapshot!(stopped, @"the training loss is not finite at epoch 0, batch 2 (global step 1)");
    let (skipped, scales, rows) = run("skip:1");
    assert_eq!(skipped.unwrap().1, 3, "the first batch has overflowed, the third one is bad");
    assert!(scales.iter().all(|(scale, _)| (*scale - 32768.0).abs() < 0.1), "the scale is not to blame for a bad loss: {scales:?}");
    assert!(rows.iter().any(|(name, value, _)| name == "skipped_batches" && (*value - 1.0).abs() < 1e-9), "{rows:?}");
    assert_eq!(run("off").0.unwrap().1, 3, "a gradient that is not finite never reaches the parameters");
}

/// Breaks each gradient.
struct Breaks;

impl Callback<Net> for Breaks {
    fn on_before_optimizer_step(&mut self, _: &mut Context<'_>, module: &mut Net, _: &str, gradients: &mut GradientsParams) -> Result<()> {
        let id = module.hidden.weight.id;
        let gradient = gradients.remove::<2>(id).unwrap();
        gradients.register(id, gradient * f64::NAN);
        Ok(())
    }
}

#[test]
fn gradients_that_no_scale_makes_finite_are_a_matter_of_the_policy() {
    let run = |policy: &str| {
        let mut trainer = quiet().precision("16-mixed").max_epochs(20).on_non_finite(policy).callback(Breaks);
        trainer.fit(Net::new(), points(40, 8)).map(|fit| (fit.stop, fit.progress.global_step, fit.progress.batches))
    };
    let errors = [run("error"), run("skip:2")].map(error_text);
    assert_snapshot!(errors.join("\n"), @"
    a gradient is not finite at epoch 3, batch 1 (global step 0)
      hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
    after 2 skipped steps in a row the gradient of `hidden.weight` is not finite at epoch 3, batch 3 (global step 0)
      hint: lower the learning rate, set `gradient_clip_val`, or find the parameter with `detect_anomaly(true)`
    ");
    let (stop, steps, _) = run("stop").unwrap();
    assert!(matches!(stop, Stop::NonFinite(_)) && steps == 0, "{stop:?}");
    assert_eq!(run("off").unwrap().1, 0);
}

#[test]
fn an_anomaly_does_not_count_as_an_overflow() {
    let fit = |data: Loader<Points>| quiet().precision("16-mixed").max_epochs(1).detect_anomaly(true).fit(Net::new(), data);
    assert_eq!(fit(points(40, 8)).unwrap().progress.global_step, 4);
    assert!(matches!(fit(with_a_nan()).map(drop).unwrap_err(), Error::NonFinite { .. } | Error::InHook { .. }));
}
