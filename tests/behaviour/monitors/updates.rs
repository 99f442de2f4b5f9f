//! Norms of parameters and of their updates.

use stormfire::{callbacks::UpdatesOf, loggers::MemoryLogger, prelude::*};

use super::{Descent, check_close, line_data, logged, with};

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
