//! A mixed precision on several ranks.

use burn::prelude::*;
use stormfire::ranks::threads;

use super::net::{Net, points};
use crate::{devices::values, repeatability::weights, support::quiet};

#[test]
fn ranks_equal_a_window_of_one_rank_and_agree_on_the_scale() {
    for precision in ["bf16-mixed", "16-mixed"] {
        // The last round has one batch only.
        let ranks = threads::run(2, |_| {
            let mut trainer = quiet().precision(precision).max_epochs(3).handle_signals(false);
            let fit = trainer.fit(Net::new(), points(40, 8))?;
            Ok::<_, stormfire::Error>((weights(&fit.module.valid()), values(&fit.module), fit.progress.global_step))
        });
        let ranks: Vec<_> = ranks.into_iter().map(Result::unwrap).collect();
        assert_eq!(ranks[0], ranks[1], "{precision}");
        let mut trainer = quiet().precision(precision).accumulate_grad_batches(2).max_epochs(3).handle_signals(false);
        let one = trainer.fit(Net::new(), points(40, 8)).unwrap();
        assert_eq!(one.progress.global_step, ranks[0].2, "{precision}");
        let furthest = values(&one.module).iter().zip(&ranks[0].1).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(furthest < 1e-4, "{precision}: {furthest}");
    }
}
