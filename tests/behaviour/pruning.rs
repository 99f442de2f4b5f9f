//! Pruning in a fit: zeros stay zeros, over steps, validations, restarts, threads, ranks and float types.

use burn::prelude::*;
use stormfire::{Error, prelude::*, ranks::threads};

use crate::{
    devices::{
        net::{Net, digits},
        values,
    },
    support::quiet,
};

fn zeros(module: &impl Module) -> usize {
    values(module).iter().filter(|value| **value == 0.0).count()
}

fn prunes() -> ModelPruning {
    ModelPruning::new(0.5)
}

/// The net has 80 weights, of which 40 and then 20 more are pruned.
#[test]
fn half_of_the_rest_is_pruned_after_each_epoch_and_stays_zero() {
    let checks = LambdaCallback::new().on_validation_end(|ctx, module: &mut Net| {
        let expected = [0, 40, 60][ctx.current_epoch()];
        assert_eq!(zeros(module), expected, "epoch {}", ctx.current_epoch());
        Ok(())
    });
    let set = |trainer: Trainer<Net>| trainer.max_epochs(3).seed(1).num_sanity_val_steps(0).callback(prunes());
    let data = || (digits(24, 4), digits(8, 4));
    let mut trainer = set(quiet()).callback(checks).accumulate_grad_batches(4);
    let fit = trainer.fit(Net::new(), data()).unwrap();
    assert_eq!((zeros(&fit.module), fit.metrics.get("sparsity")), (70, Some(70.0 / 80.0)));
    assert_eq!(trainer.get::<ModelPruning>().unwrap().sparsity().map(|(_, pruned, _)| pruned).sum::<usize>(), 70);
    // A second fit of the Trainer is another one.
    assert_eq!(zeros(&trainer.fit(Net::new(), data()).unwrap().module), 70);
    assert_eq!(zeros(&set(quiet()).devices(2).fit(Net::new(), data()).unwrap().module), 70);
    assert_eq!(zeros(&set(quiet()).precision("bf16-mixed").fit(Net::new(), data()).unwrap().module), 70);
    let one = set(quiet()).accumulate_grad_batches(2).fit(Net::new(), data()).unwrap();
    let ranks = threads::run(2, |_| {
        let fit = set(quiet()).handle_signals(false).fit(Net::new().of_its_own(), data())?;
        Ok::<_, Error>(values(&fit.module))
    });
    let ranks: Vec<_> = ranks.into_iter().map(Result::unwrap).collect();
    assert_eq!((&ranks[0], &ranks[1]), (&values(&one.module), &values(&one.module)));
}

#[test]
fn a_resumed_fit_keeps_the_masks() {
    let data = || digits(24, 4);
    let whole = quiet().max_epochs(3).seed(1).callback(prunes()).fit(Net::new(), data()).unwrap();
    // In the middle of an epoch, and at its end.
    for steps in [8, 12] {
        let folder = tempfile::tempdir().unwrap();
        let save = || Trainer::new().no_logger().default_root_dir(folder.path()).enable_progress_bar(false).enable_model_summary(false);
        let _ = save().max_steps(steps).seed(1).callback(prunes()).fit(Net::new(), data()).unwrap();
        let mut trainer = save().max_epochs(3).seed(1).callback(prunes()).ckpt_path("last");
        let resumed = trainer.fit(Net::new(), data()).unwrap();
        assert_eq!(values(&resumed.module), values(&whole.module), "resumed after {steps} steps");
    }
}
