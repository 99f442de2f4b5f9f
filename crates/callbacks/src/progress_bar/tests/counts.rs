//! Refreshes of the bar, and the batches that it counts.

use super::*;

#[test]
fn refreshes_are_limited_by_time() {
    let (mut bar, screen) = on_screen(80);
    let mut bench = Bench::new();
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    bar = bar.refresh_rate(10).metrics(move |_, _| *count.lock().unwrap() += 1);
    bench.run.limits.train_batches = Some(1000);
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    train(&mut bench, &mut bar, 1000, 0.001);
    // At the start, after the first batch, and then ten times a second.
    assert_eq!(*asked.lock().unwrap(), 11);
    assert_snapshot!(screen.contents(), @"Epoch 0/2 ━━━━━━━━━━━━━━━━━━━━━━╸   901/1000 0:00 • 0:00 1000 it/s");
    end_epoch(&mut bench, &mut bar);
    assert_snapshot!(screen.contents(), @"Epoch 0/2 ━━━━━━━━━━━━━━━━━━━━━━━━━ 1000/1000 0:01 • 0:00 1000 it/s");
}

#[test]
fn a_rate_of_0_draws_at_the_ends_only() {
    let (mut bar, screen) = on_screen(80);
    bar = bar.refresh_rate(0);
    let mut bench = Bench::new();
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    train(&mut bench, &mut bar, 10, 5.0);
    assert_snapshot!(screen.contents(), @"Epoch 0/2 ━━╸                       1/10 0:05 • -:-- ? it/s");
    end_epoch(&mut bench, &mut bar);
    assert_snapshot!(screen.contents(), @"Epoch 0/2 ━━━━━━━━━━━━━━━━━━━━━━━━━ 10/10 0:50 • 0:00 0.20 it/s");
}

#[test]
fn without_a_length_it_is_a_spinner() {
    let (mut bar, screen) = on_screen(80);
    let mut bench = Bench::new();
    bench.run.limits.train_batches = None;
    bench.run.limits.max_epochs = None;
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    train(&mut bench, &mut bar, 3, 1.0);
    assert_snapshot!(screen.contents(), @"Epoch 0 ⡀ 3 0:03 1.0 it/s");
}

#[test]
fn a_number_of_steps_shortens_the_last_epoch() {
    let (mut bar, screen) = on_screen(80);
    let mut bench = Bench::new();
    bench.run.limits.max_epochs = None;
    bench.run.limits.max_steps = Some(12);
    bench.run.place.accumulate_grad_batches = 2;
    bench.run.place.progress.global_step = 10;
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    assert_snapshot!(screen.contents(), @"Epoch 0                           0/4 0:00 • -:-- ? it/s");
}

#[test]
fn a_resumed_window_counts_the_batches_behind_it() {
    let (mut bar, screen) = on_screen(80);
    let mut bench = Bench::new();
    (bench.run.limits.max_epochs, bench.run.limits.train_batches) = (None, None);
    bench.run.limits.max_steps = Some(5);
    bench.run.place.accumulate_grad_batches = 4;
    // Four steps of four, and one batch of the last.
    (bench.run.place.progress.global_step, bench.run.place.progress.batch_in_epoch) = (4, 17);
    (bench.run.place.window.batches, bench.run.place.window.size) = (1, 4);
    bench.fire(&mut bar, Event::TrainStart).unwrap();
    assert_snapshot!(screen.contents(), @"Epoch 0 ━━━━━━━━━━━━━━━━━━━━━╸    17/20 0:00 • -:-- ? it/s");
}

#[test]
fn a_resumed_epoch_starts_where_it_was() {
    let (mut bar, screen) = on_screen(80);
    let mut bench = Bench::new();
    (bench.run.place.progress.epoch, bench.run.place.progress.batch_in_epoch) = (2, 5);
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    assert_snapshot!(screen.contents(), @"Epoch 2/2 ━━━━━━━━━━━━╸             5/10 0:00 • -:-- ? it/s");
}
