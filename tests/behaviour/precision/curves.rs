//! A mixed precision learns as `32-true` does, and only the steps see its types.

use burn::{optim::GradientsParams, prelude::*, tensor::DType};
use stormfire::prelude::*;

use super::net::{Net, Types, fit, points};
use crate::{devices::values, support::quiet};

/// Notes the types that hooks see.
struct Hooks(Types);

impl Callback<Net> for Hooks {
    fn on_train_batch_start(&mut self, _ctx: &mut Context<'_>, module: &mut Net, batch: &super::net::Points, _: usize) -> Result<()> {
        self.0.note("hook_batch", batch.inputs.dtype());
        self.0.note("hook_module", module.hidden.weight.val().dtype());
        Ok(())
    }
    fn on_before_backward(&mut self, _ctx: &mut Context<'_>, module: &mut Net, _loss: &Tensor<1>) -> Result<()> {
        self.0.note("hook_module", module.hidden.weight.val().dtype());
        Ok(())
    }
    fn on_after_backward(&mut self, _ctx: &mut Context<'_>, module: &mut Net, gradients: &mut GradientsParams) -> Result<()> {
        self.0.note("hook_gradient", gradients.get::<2>(module.hidden.weight.id).unwrap().dtype());
        self.0.note("hook_module", module.hidden.weight.val().dtype());
        Ok(())
    }
    fn on_before_optimizer_step(&mut self, _: &mut Context<'_>, module: &mut Net, _: &str, gradients: &mut GradientsParams) -> Result<()> {
        self.0.note("hook_gradient", gradients.get::<2>(module.hidden.weight.id).unwrap().dtype());
        self.0.note("hook_module", module.hidden.weight.val().dtype());
        Ok(())
    }
    fn on_validation_epoch_end(&mut self, _ctx: &mut Context<'_>, module: &mut Net) -> Result<()> {
        self.0.note("hook_module", module.hidden.weight.val().dtype());
        Ok(())
    }
}

#[test]
fn the_steps_see_the_narrow_type_and_everything_else_the_masters() {
    for (precision, narrow) in [("bf16-mixed", DType::BF16), ("16-mixed", DType::F16)] {
        let net = Net::new();
        let types = net.types.clone();
        let fitted = fit(net, |trainer| trainer.precision(precision).callback(Hooks(types.clone()))).unwrap();
        let mut trainer = quiet().precision(precision);
        trainer.test(&fitted.module, points(8, 8)).unwrap();
        trainer.predict(&fitted.module, points(8, 8)).unwrap();
        let expected = [
            ("batch", narrow),
            ("hook_batch", DType::F32),
            ("hook_gradient", DType::F32),
            ("hook_module", DType::F32),
            ("predict", narrow),
            ("test", narrow),
            ("train", narrow),
            ("val", narrow),
        ];
        assert_eq!(types.seen(), expected, "{precision}");
        assert_eq!(fitted.module.hidden.weight.val().dtype(), DType::F32);
        let weights = fitted.module.hidden.weight.val().into_data();
        assert!(weights.iter::<f32>().any(|weight| weight.to_bits() & 0x1FFF != 0), "the masters have digits that no half float has");
    }
}

#[test]
fn mixed_precisions_learn_as_f32_does() {
    let full = fit(Net::new(), |trainer| trainer).unwrap();
    let loss = |fitted: &super::net::Fitted| *fitted.values("train_loss_epoch").last().unwrap();
    assert!(loss(&full) < 0.7 * full.values("train_loss_step")[0], "it learns: {} -> {}", full.values("train_loss_step")[0], loss(&full));
    for (precision, skipped, tolerance) in [("bf16-mixed", 0, 0.02), ("16-mixed", 1, 0.2)] {
        let mixed = fit(Net::new(), |trainer| trainer.precision(precision)).unwrap();
        assert_eq!(mixed.steps, full.steps - skipped, "{precision}: the first step in f16 overflows");
        assert!((loss(&mixed) - loss(&full)).abs() < tolerance * loss(&full), "{precision}: {} and {}", loss(&mixed), loss(&full));
        if skipped == 0 {
            let (of_mixed, of_full) = (values(&mixed.module), values(&full.module));
            let furthest = of_mixed.iter().zip(&of_full).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!((1e-6..0.05).contains(&furthest), "{precision}: {furthest}");
        }
    }
    // The same numbers, under its name.
    assert_eq!(values(&fit(Net::new(), |trainer| trainer.precision("32-true")).unwrap().module), values(&full.module));
}
