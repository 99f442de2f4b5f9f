//! The time to the end of the fit, the memory and the ranks.

use super::*;

/// The screen with a stand-in for the memory.
fn shown(screen: &InMemoryTerm) -> String {
    let text = screen.contents();
    let Some((before, rest)) = text.split_once("mem: ") else { return text };
    let (memory, after) = rest.split_once("iB").unwrap();
    assert!(memory.trim_end_matches([' ', 'M', 'G']).parse::<f64>().unwrap() > 1.0, "{memory}");
    format!("{before}mem: …{after}")
}

#[test]
fn the_time_to_the_end_contains_other_epochs_and_validations() {
    let (bar, screen) = on_screen(120);
    let mut bar = bar.details(true).metrics(|_, metrics| metrics.retain(|(name, _)| name != "mem"));
    let mut bench = Bench::new();
    bench.run.place.ranks = 4;
    bench.start(&mut bar).unwrap();
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    assert_snapshot!(shown(&screen), @"Epoch 0/2                           0/10 0:00 • -:-- ? it/s ranks: 4");
    train(&mut bench, &mut bar, 1, 37.0);
    train(&mut bench, &mut bar, 4, 2.0);
    // 25 batches of 2 s are left. The first batch does not count.
    assert_snapshot!(shown(&screen), @"Epoch 0/2 ━━━━━━━━━━━━╸             5/10 0:45 • 0:10 0.50 it/s • 0:50 to end ranks: 4");
    bench.run.moment.stage = RunningStage::Validate;
    bench.fire(&mut bar, Event::ValidationEpochStart).unwrap();
    evaluate(&mut bench, &mut bar, 0, 2, 4.0);
    bench.validation_end(&mut bar).unwrap();
    // 25 batches, each with its share of the validation: 16 s of 4 batches.
    assert_snapshot!(shown(&screen), @"Epoch 0/2 ━━━━━━━━━━━━╸             5/10 0:53 • 0:10 0.50 it/s • 1:40 to end ranks: 4");
    bench.fire(&mut bar, Event::TrainEnd).unwrap();
    // A second fit measures its own pace.
    bench.start(&mut bar).unwrap();
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    assert!(!screen.contents().lines().last().unwrap().contains("to end"), "{}", screen.contents());
}

#[test]
fn a_resumed_fit_continues_its_count_and_measures_its_own_pace() {
    let (bar, screen) = on_screen(120);
    let mut bar = bar.details(true);
    let mut bench = Bench::new();
    (bench.run.place.progress.epoch, bench.run.place.progress.batch_in_epoch) = (1, 4);
    (bench.run.place.progress.batches, bench.run.place.progress.global_step) = (14, 14);
    bench.start(&mut bar).unwrap();
    let begun = shown(&screen);
    assert!(begun.starts_with("Epoch 1/2 ━━━━━━━━━━╸") && begun.contains(" 4/10 0:00 • -:-- ? it/s"), "{begun}");
    train(&mut bench, &mut bar, 3, 3.0);
    let after = shown(&screen);
    // 13 batches of 3 s are left.
    assert!(after.contains(" 7/10 0:09 • 0:09 0.33 it/s • 0:39 to end"), "{after}");
    assert_eq!(after.contains("mem: …"), cfg!(target_os = "linux"), "{after}");
}
