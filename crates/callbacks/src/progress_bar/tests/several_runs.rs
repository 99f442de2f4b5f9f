//! More than one run on a terminal.

use super::*;

#[test]
fn two_runs_share_one_display_and_say_whose_line_is_whose() {
    stop_the_clock();
    let screen = InMemoryTerm::new(20, 100);
    let bars = display(&screen);
    let bar = || ProgressBar::with_output(Output::Terminal(Terminal::new(bars.clone(), false, Columns::Fixed(100))));
    let (mut first, mut second) = (bar(), bar());
    let [mut a, mut b] = [(); 2].map(|()| Bench::new());
    let of_a = live_run::begin(Some("a".into()));
    let run_a = live_run::current().unwrap();
    a.fire(&mut first, Event::TrainEpochStart).unwrap();
    // The other run is in another thread, or inside the first one.
    let of_b = live_run::begin(Some("b".into()));
    let run_b = live_run::current().unwrap();
    b.fire(&mut second, Event::TrainEpochStart).unwrap();
    train(&mut b, &mut second, 5, 1.0);
    {
        let _in_a = run_a.enter();
        train(&mut a, &mut first, 10, 1.0);
        a.run.moment.stage = RunningStage::Validate;
        a.fire(&mut first, Event::ValidationEpochStart).unwrap();
    }
    let shown: Vec<String> = screen.contents().lines().map(Into::into).collect();
    assert_snapshot!(shown.join("\n"), @r"
    a Epoch 0/2 ━━━━━━━━━━━━━━━━━━━━━━━━━ 10/10 0:15 • 0:00 1.0 it/s
    a Validation DataLoader 0                           0/2 0:00 • -:-- ? it/s
    b Epoch 0/2 ━━━━━━━━━━━━╸             5/10 0:05 • 0:05 1.0 it/s
    ");

    // A finished run leaves its line above the active ones, and messages go above those.
    b.fire(&mut second, Event::TrainEnd).unwrap();
    drop(of_b);
    first.printer().suspend(|| {});
    let over: Vec<String> = screen.contents().lines().map(Into::into).collect();
    // Its last draw was before the ten seconds of the other run.
    assert_eq!(over, [shown[2].replacen("0:05", "0:15", 1), shown[0].clone(), shown[1].clone()], "{over:#?}");
    let _in_b = run_b.enter();
    drop((first, second, of_a));
}
