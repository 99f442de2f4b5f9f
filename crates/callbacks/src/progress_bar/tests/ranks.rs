//! The bar of a run on several ranks.

use super::*;

#[test]
fn a_bar_counts_the_batches_of_all_ranks() {
    let (mut bar, page) = on_page();
    let mut bench = Bench::new();
    (bench.run.moment.world, bench.run.limits.train_batches) = (2, Some(5));
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    for (batch_idx, done) in [(0, 2), (1, 4), (2, 5)] {
        bench.fire(&mut bar, Event::TrainBatchEnd { output: &StepOutput::none(), batch_idx }).unwrap();
        assert_eq!(bar.train.as_ref().map(|track| track.done), Some(done));
    }
    end_epoch(&mut bench, &mut bar);
    bench.fire(&mut bar, Event::TrainEnd).unwrap();
    assert_snapshot!(page.text(), @"epoch 0/2  5/5 batches  ? it/s");
}
