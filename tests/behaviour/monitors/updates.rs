//! Norms of parameters and of their updates.

use burn::{
    optim::{AdamConfig, SgdConfig, momentum::MomentumConfig},
    prelude::*,
};
use stormfire::{callbacks::UpdatesOf, loggers::MemoryLogger, prelude::*};

use super::{Descent, check_close, line_data, logged, with};
use crate::support::{Batch, recording};

#[test]
fn updates_are_what_the_optimizer_did() {
    // As in the test of gradients: at w = b = 0 they are -1 and -3. The rate is 0.5, and the norm is clipped to 2.
    let logger = MemoryLogger::new();
    let trainer = with(OptimizerMonitor::new().of(UpdatesOf::Parameter), &logger).gradient_clip_val(2.0);
    drop(trainer.max_epochs(1).fit(Descent::new(), line_data(2, 2)).unwrap());
    let scale = 0.5 * 2.0 / 10.0_f64.sqrt();
    for (name, update) in [("/line.layer.weight", scale), ("/line.layer.bias", 3.0 * scale), ("_total", 1.0)] {
        check_close(&logged(&logger, &format!("update_2.0_norm{name}")), &[(0, update)]);
        // They were zero.
        check_close(&logged(&logger, &format!("weight_2.0_norm{name}")), &[(0, update)]);
        check_close(&logged(&logger, &format!("update_ratio{name}")), &[(0, 1.0)]);
    }
}

#[test]
fn only_logging_steps_are_measured_by_layer_and_accumulated_gradients_as_one() {
    let logger = MemoryLogger::new();
    let trainer =
        with(OptimizerMonitor::new(), &logger).callback(GradientNormMonitor::new()).log_every_n_steps(2).accumulate_grad_batches(2);
    drop(trainer.max_epochs(4).fit(Descent::new(), line_data(2, 1)).unwrap());
    let expected: Vec<_> = logged(&logger, "grad_2.0_norm_total").into_iter().map(|(step, norm)| (step, 0.5 * norm)).collect();
    assert_eq!(expected.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 3]);
    check_close(&logged(&logger, "update_2.0_norm_total"), &expected);
    check_close(&logged(&logger, "update_2.0_norm/line.layer"), &expected);
    assert!(logged(&logger, "update_2.0_norm/line.layer.bias").is_empty());
}

/// The line with an optimizer that has a state.
#[derive(Module, Debug)]
struct WithState {
    descent: Descent,
    #[module(skip)]
    is_adam: bool,
}

impl LightningModule for WithState {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.descent.training_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let momentum = SgdConfig::new().with_momentum(Some(MomentumConfig::new()));
        let optimizer = if self.is_adam { Optimizer::new(AdamConfig::new(), 0.1) } else { Optimizer::new(momentum, 0.1) };
        Ok(optimizer.into())
    }
}

#[test]
fn moments_are_those_of_pytorch() {
    let logger = MemoryLogger::new();
    let fit = |is_adam: bool, of: UpdatesOf| {
        let trainer = recording(&logger).log_every_n_steps(1).callback(OptimizerMonitor::new().of(of)).max_epochs(2);
        drop({ trainer }.fit(WithState { descent: Descent::new(), is_adam }, line_data(2, 2)).unwrap());
    };
    fit(true, UpdatesOf::Parameter);
    // torch 1.13, `torch.optim.Adam`: the norms of `exp_avg` and `exp_avg_sq` after each of two steps.
    let total = |weight: f64, bias: f64| (weight * weight + bias * bias).sqrt();
    check_close(&logged(&logger, "moment_1_2.0_norm/descent.line.layer.weight"), &[(0, 0.1), (1, 0.182_500_005)]);
    check_close(&logged(&logger, "moment_1_2.0_norm/descent.line.layer.bias"), &[(0, 0.300_000_012), (1, 0.545_000_017)]);
    check_close(&logged(&logger, "moment_1_2.0_norm_total"), &[(0, total(0.1, 0.3)), (1, total(0.1825, 0.545))]);
    let second = [(0, total(0.001, 0.009)), (1, total(0.001_854_625, 0.016_553_501))];
    check_close(&logged(&logger, "moment_2_2.0_norm_total"), &second);
    fit(false, UpdatesOf::Total);
    let velocity = logged(&logger, "velocity_2.0_norm_total");
    assert_eq!(velocity.len(), 2, "{velocity:?}");
    check_close(&velocity[..1], &[(0, 10.0_f64.sqrt())]);
}
