//! Norms of gradients.

use burn::{module::Param, optim::SgdConfig, prelude::*};
use stormfire::{callbacks::GradientNorm, loggers::MemoryLogger, prelude::*};

use super::{Descent, check_close, line_data, logged, with};
use crate::support::recording;

#[test]
fn each_gradient_and_all_of_them_are_measured_before_clipping() {
    // x = 0, 1/2 and y = 1, 2. At w = b = 0 the loss is mean(y²). Its gradients are -2·mean(x·y) = -1 and -2·mean(y) =
    // -3.
    let logger = MemoryLogger::new();
    let monitor = GradientNormMonitor::new().norms([GradientNorm::L2, GradientNorm::Max]);
    drop(with(monitor, &logger).max_epochs(1).gradient_clip_val(0.1).fit(Descent::new(), line_data(2, 2)).unwrap());
    let expected = [
        ("grad_2.0_norm/line.layer.weight", 1.0),
        ("grad_2.0_norm/line.layer.bias", 3.0),
        ("grad_2.0_norm_total", 10.0_f64.sqrt()),
        ("grad_inf_norm/line.layer.weight", 1.0),
        ("grad_inf_norm/line.layer.bias", 3.0),
        ("grad_inf_norm_total", 3.0),
    ];
    for (name, value) in expected {
        check_close(&logged(&logger, name), &[(0, value)]);
    }
    let names: Vec<_> = logger.metrics()[0].0.iter().map(|(name, _)| name.to_string()).collect();
    assert_eq!(names, [&expected.map(|(name, _)| name.to_string())[..], &["epoch".to_string()]].concat());
}

#[test]
fn only_logging_steps_are_measured_and_accumulated_gradients_as_one() {
    let logger = MemoryLogger::new();
    let trainer = with(GradientNormMonitor::new().per_parameter(false), &logger).log_every_n_steps(2).accumulate_grad_batches(2);
    // Two points in batches of one. Every epoch has the same batches.
    drop(trainer.max_epochs(4).fit(Descent::new(), line_data(2, 1)).unwrap());
    let steps: Vec<_> = logged(&logger, "grad_2.0_norm_total").iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [1, 3]);
    assert!(logged(&logger, "grad_2.0_norm/line.layer.bias").is_empty());

    let logger = MemoryLogger::new();
    let trainer = with(GradientNormMonitor::new(), &logger).accumulate_grad_batches(2);
    drop(trainer.max_epochs(1).fit(Descent::new(), line_data(2, 1)).unwrap());
    check_close(&logged(&logger, "grad_2.0_norm_total"), &[(0, 10.0_f64.sqrt())]);
}

#[test]
fn a_skipped_step_has_no_norm() {
    #[derive(Module, Debug)]
    struct OnceBroken {
        descent: Descent,
    }
    impl LightningModule for OnceBroken {
        type Batch = crate::support::Batch;
        fn training_step(&self, batch: Self::Batch, batch_idx: usize) -> Result<StepOutput> {
            let loss = self.descent.line.loss(batch);
            Ok(if batch_idx == 1 { (loss * f64::NAN).into() } else { loss.into() })
        }
        fn configure_optimizers(&self) -> Result<Optimizers> {
            self.descent.configure_optimizers()
        }
    }
    let logger = MemoryLogger::new();
    let trainer = recording(&logger).log_every_n_steps(1).max_epochs(1).on_non_finite(NonFinite::Skip { max_in_a_row: 1 });
    drop(trainer.callback(GradientNormMonitor::new()).fit(OnceBroken { descent: Descent::new() }, line_data(3, 1)).unwrap());
    let norms = logged(&logger, "grad_2.0_norm_total");
    assert_eq!(norms.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 1]);
    assert!(norms.iter().all(|(_, norm)| norm.is_finite()), "{norms:?}");
}

/// Two parameters with one optimizer each. The gradient of a parameter is its weight in the loss.
#[derive(Module, Debug)]
struct Two {
    first: Param<Tensor<1>>,
    second: Param<Tensor<1>>,
}

impl LightningModule for Two {
    type Batch = crate::support::Batch;

    fn training_batch(&mut self, _batch: Self::Batch, _batch_idx: usize, stepper: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        let loss = self.first.val() * 3.0;
        stepper.step("first", self, &loss)?;
        let loss = self.second.val() * 4.0;
        stepper.step("second", self, &loss)?;
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let sgd = |name: &'static str, of: &Param<Tensor<1>>| Optimizer::new(SgdConfig::new(), 0.1).named(name).params_of(of);
        Ok([sgd("first", &self.first), sgd("second", &self.second)].into())
    }
}

#[test]
fn the_total_norm_covers_all_optimizers() {
    let zero = || Param::from_tensor(Tensor::zeros([1], &Device::flex()));
    let logger = MemoryLogger::new();
    let mut trainer = recording(&logger).log_every_n_steps(1).max_epochs(1).callback(GradientNormMonitor::new());
    drop(trainer.fit(Two { first: zero(), second: zero() }, line_data(1, 1)).unwrap());
    check_close(&logged(&logger, "grad_2.0_norm/first"), &[(0, 3.0)]);
    check_close(&logged(&logger, "grad_2.0_norm/second"), &[(0, 4.0)]);
    check_close(&logged(&logger, "grad_2.0_norm_total"), &[(0, 5.0)]);
}

/// Skips the rest of an epoch after its second batch.
pub(super) struct Skips;

impl Callback<Descent> for Skips {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, _: &mut Descent, _: &StepOutput, batch_idx: usize) -> Result<()> {
        if batch_idx == 1 {
            ctx.skip_epoch();
        }
        Ok(())
    }
}

#[test]
fn the_step_that_ends_a_skipped_epoch_is_measured() {
    let logger = MemoryLogger::new();
    let trainer = with(GradientNormMonitor::new().per_parameter(false), &logger).callback(Skips).accumulate_grad_batches(4);
    drop(trainer.max_epochs(2).fit(Descent::new(), line_data(8, 1)).unwrap());
    let steps: Vec<_> = logged(&logger, "grad_2.0_norm_total").iter().map(|(step, _)| *step).collect();
    assert_eq!(steps, [0, 1]);
}
