use std::{
    io,
    sync::{Arc, Mutex},
};

use burn::tensor::{Device, Tensor};
use indicatif::{InMemoryTerm, MultiProgress, ProgressDrawTarget};
use insta::assert_snapshot;
use stormfire_loggers::{CsvLogger, Loggers};
use stormfire_module::{Callback, Error, Event, StepOutput};

use super::{terminal::Columns, *};
use crate::testing::{Bench, Line};

mod counts;
mod details;
mod ranks;
mod several_runs;

fn pass(seconds: f64) {
    clock::advance(Duration::from_secs_f64(seconds));
}

/// Stops the clock for the rest of the test, which has its own thread.
fn stop_the_clock() {
    std::mem::forget(clock::stop());
}

fn display(screen: &InMemoryTerm) -> MultiProgress {
    MultiProgress::with_draw_target(ProgressDrawTarget::term_like(Box::new(screen.clone())))
}

fn on_screen(columns: u16) -> (ProgressBar, InMemoryTerm) {
    let screen = InMemoryTerm::new(20, columns);
    stop_the_clock();
    let terminal = Terminal::new(display(&screen), false, Columns::Fixed(columns.into()));
    (ProgressBar::with_output(Output::Terminal(terminal)), screen)
}

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl Page {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn on_page() -> (ProgressBar, Page) {
    stop_the_clock();
    let page = Page::default();
    (ProgressBar::with_output(Output::Plain(Plain::new(Box::new(page.clone())))), page)
}

/// Runs training batches of `seconds` each.
fn train(bench: &mut Bench, bar: &mut ProgressBar, batches: usize, seconds: f64) {
    for _ in 0..batches {
        pass(seconds);
        bench.train_batch_end(bar).unwrap();
    }
}

/// Validation, test or prediction batches of one loader.
fn evaluate(bench: &mut Bench, bar: &mut ProgressBar, loader: usize, batches: usize, seconds: f64) {
    let batch = Tensor::<2>::zeros([1, 1], &Device::flex());
    let stage = bench.run.moment.stage;
    for batch_idx in 0..batches {
        let (batch, output, dataloader_idx) = (&batch, &StepOutput::none(), loader);
        let (start, end) = match stage {
            RunningStage::Test => {
                (Event::TestBatchStart { batch, batch_idx, dataloader_idx }, Event::TestBatchEnd { output, batch_idx, dataloader_idx })
            }
            RunningStage::Predict => (
                Event::PredictBatchStart { batch, batch_idx, dataloader_idx },
                Event::PredictBatchEnd { prediction: &(), batch_idx, dataloader_idx },
            ),
            _ => (
                Event::ValidationBatchStart { batch, batch_idx, dataloader_idx },
                Event::ValidationBatchEnd { output, batch_idx, dataloader_idx },
            ),
        };
        bench.fire(bar, start).unwrap();
        pass(seconds);
        bench.fire(bar, end).unwrap();
    }
}

fn end_epoch(bench: &mut Bench, bar: &mut ProgressBar) {
    bench.fire(bar, Event::TrainEpochEnd).unwrap();
    bench.run.place.progress.epoch += 1;
    bench.run.place.progress.batch_in_epoch = 0;
}

#[test]
fn a_fit_on_a_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let (mut bar, screen) = on_screen(120);
    let mut bench = Bench::new();
    let logger = || Box::new(CsvLogger::new(folder.path()).version("version_3")) as _;
    bench.run.loggers = Loggers::spawn([logger(), logger()]).unwrap();
    bench.start(&mut bar).unwrap();
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    assert_snapshot!(screen.contents(), @"Epoch 0/2                           0/10 0:00 • -:-- ? it/s v_num: 3");

    bench.metric("train_loss", 0.4123);
    train(&mut bench, &mut bar, 1, 37.0);
    train(&mut bench, &mut bar, 4, 2.0);
    assert_snapshot!(screen.contents(), @"Epoch 0/2 ━━━━━━━━━━━━╸             5/10 0:45 • 0:10 0.50 it/s v_num: 3, train_loss: 0.412");

    bench.run.moment.stage = RunningStage::Validate;
    bench.fire(&mut bar, Event::ValidationEpochStart).unwrap();
    evaluate(&mut bench, &mut bar, 0, 1, 1.0);
    assert_snapshot!(screen.contents(), @"
    Epoch 0/2 ━━━━━━━━━━━━╸             5/10 0:45 • 0:10 0.50 it/s v_num: 3, train_loss: 0.412
    Validation DataLoader 0 ━━━━━━━━━━━━╸             1/2 0:01 • -:-- ? it/s
    ");
    evaluate(&mut bench, &mut bar, 0, 2, 20.0);
    bench.metric("val_acc", 0.9);
    bench.validation_end(&mut bar).unwrap();
    // The bar of the validation has disappeared, and its time does not count for the training.
    assert_snapshot!(screen.contents(), @"Epoch 0/2 ━━━━━━━━━━━━╸             5/10 1:26 • 0:10 0.50 it/s v_num: 3, train_loss: 0.412, val_acc: 0.900");

    train(&mut bench, &mut bar, 5, 2.0);
    end_epoch(&mut bench, &mut bar);
    bench.metric("train_loss", 0.25);
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    // All epochs share one line, and the speed is still known.
    assert_snapshot!(screen.contents(), @"Epoch 1/2                           0/10 0:00 • 0:20 0.50 it/s v_num: 3, val_acc: 0.900, train_loss: 0.250");

    train(&mut bench, &mut bar, 10, 2.0);
    end_epoch(&mut bench, &mut bar);
    bench.metric("train_loss", 0.125);
    pass(100.0);
    bench.fire(&mut bar, Event::TrainEnd).unwrap();
    // The last line stays. It has the metrics that were logged at the end of the epoch.
    let last = screen.contents();
    assert_snapshot!(last, @"Epoch 1/2 ━━━━━━━━━━━━━━━━━━━━━━━━━ 10/10 0:20 • 0:00 0.50 it/s v_num: 3, val_acc: 0.900, train_loss: 0.125");
    drop(bar);
    assert_eq!(screen.contents(), last);
}

#[test]
fn the_metrics_can_be_customized() {
    let (bar, screen) = on_screen(100);
    let mut bench = Bench::new();
    let mut bar = bar.metrics(|ctx, metrics| {
        metrics.retain(|(name, _)| name != "noise");
        metrics.insert(0, ("step".into(), ctx.global_step().to_string()));
    });
    bench.metric("noise", 1.0).metric("loss\n\u{1b}[2J", 0.00001);
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    train(&mut bench, &mut bar, 1, 1.0);
    assert_snapshot!(screen.contents(), @"Epoch 0/2 ━━╸                       1/10 0:01 • -:-- ? it/s step: 1, loss[2J: 1.00e-5");
}

#[test]
fn a_narrow_terminal_shows_metrics_below() {
    let (mut bar, screen) = on_screen(60);
    let mut bench = Bench::new();
    for name in ["train_loss", "train_accuracy", "gradient_norm"] {
        bench.metric(name, 0.5);
    }
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    train(&mut bench, &mut bar, 10, 1.0);
    assert_snapshot!(screen.contents(), @"
    Epoch 0/2 ━━━━━━━━━━━━━━━ 10/10 0:10 • 0:00 1.0 it/s
      train_loss: 0.500, train_accuracy: 0.500,
      gradient_norm: 0.500
    ");
    bench.fire(&mut bar, Event::TrainEnd).unwrap();
    assert_eq!(screen.contents().lines().count(), 3, "nothing of an earlier picture is left");
}

#[test]
fn the_sanity_check_has_its_own_bar() {
    let (mut bar, screen) = on_screen(80);
    let mut bench = Bench::new();
    bench.run.limits.sanity_batches = vec![Some(2)];
    bench.run.moment.stage = RunningStage::SanityCheck;
    bench.fire(&mut bar, Event::ValidationEpochStart).unwrap();
    evaluate(&mut bench, &mut bar, 0, 2, 1.0);
    assert_snapshot!(screen.contents(), @"Sanity Checking DataLoader 0 ━━━━━━━━━━━━━━━━━━━━━━━━━ 2/2 0:02 • 0:00 1.0 it/s");
    bench.fire(&mut bar, Event::ValidationEnd).unwrap();
    assert_eq!(screen.contents(), "");
}

#[test]
fn test_and_predict_keep_their_bars() {
    let (mut bar, screen) = on_screen(80);
    let mut bench = Bench::new();
    bench.run.limits.test_batches = vec![Some(2), None];
    bench.run.limits.predict_batches = vec![Some(1)];
    (bench.run.stage, bench.run.moment.stage) = (Stage::Test, RunningStage::Test);
    bench.setup(&mut bar).unwrap();
    bench.fire(&mut bar, Event::TestEpochStart).unwrap();
    evaluate(&mut bench, &mut bar, 0, 2, 1.0);
    assert_snapshot!(screen.contents(), @"Testing DataLoader 0 ━━━━━━━━━━━━━━━━━━━━━━━━━ 2/2 0:02 • 0:00 1.0 it/s");
    evaluate(&mut bench, &mut bar, 1, 3, 1.0);
    bench.fire(&mut bar, Event::TestEnd).unwrap();

    (bench.run.stage, bench.run.moment.stage) = (Stage::Predict, RunningStage::Predict);
    bench.setup(&mut bar).unwrap();
    bench.fire(&mut bar, Event::PredictEpochStart).unwrap();
    evaluate(&mut bench, &mut bar, 0, 1, 4.0);
    bench.fire(&mut bar, Event::PredictEnd).unwrap();
    assert_snapshot!(screen.contents(), @"
    Testing DataLoader 1 ⠁ 3 0:03 1.0 it/s
    Predicting DataLoader 0 ━━━━━━━━━━━━━━━━━━━━━━━━━ 1/1 0:04 • 0:00 ? it/s
    ");
}

#[test]
fn an_error_or_a_panic_leaves_whole_lines() {
    let error = Error::other("full disk");
    for panics in [false, true] {
        let (mut bar, screen) = on_screen(80);
        let mut bench = Bench::new();
        bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
        train(&mut bench, &mut bar, 5, 1.0);
        bench.run.moment.stage = RunningStage::Validate;
        bench.fire(&mut bar, Event::ValidationEpochStart).unwrap();
        let before = screen.contents();
        assert_eq!(before.lines().count(), 2);
        if panics {
            let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
                let _bar = bar;
                std::panic::resume_unwind(Box::new("a step of the user"));
            }));
            assert!(unwound.is_err());
            assert_eq!(screen.contents(), before, "indicatif draws nothing while a thread panics");
        } else {
            bench.fire(&mut bar, Event::Exception { error: &error }).unwrap();
            bench.fire(&mut bar, Event::Teardown { stage: Stage::Fit }).unwrap();
            assert_snapshot!(screen.contents(), @"Epoch 0/2 ━━━━━━━━━━━━╸             5/10 0:05 • 0:05 1.0 it/s");
        }
    }
}

#[test]
fn a_printer_takes_the_bar_away_and_back() {
    let (mut bar, screen) = on_screen(80);
    let printer = bar.printer();
    let mut bench = Bench::new();
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    let before = screen.contents();
    let during = printer.suspend(|| screen.contents());
    assert_eq!((during.as_str(), screen.contents()), ("", before.clone()));
    let unwound = std::panic::catch_unwind(|| printer.suspend(|| std::panic::resume_unwind(Box::new("a writer of log lines"))));
    assert!(unwound.is_err());
    train(&mut bench, &mut bar, 1, 1.0);
    assert_ne!(screen.contents(), before, "the bar still works");
    assert_eq!(on_page().0.printer().suspend(|| 7), 7);
    assert_eq!(printer.suspend(|| printer.suspend(|| screen.contents())), "", "a line of a logger while another one is printed");
}

#[test]
fn off_a_terminal_lines_are_plain_and_rare() {
    let (mut bar, page) = on_page();
    let mut bench = Bench::new();
    bench.run.limits.train_batches = Some(80);
    bench.run.limits.max_epochs = Some(2);
    bench.start(&mut bar).unwrap();
    for _ in 0..2 {
        bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
        train(&mut bench, &mut bar, 40, 0.5);
        bench.metric("train_loss", 0.412);
        bench.run.moment.stage = RunningStage::Validate;
        bench.fire(&mut bar, Event::ValidationEpochStart).unwrap();
        evaluate(&mut bench, &mut bar, 0, 2, 0.5);
        bench.validation_end(&mut bar).unwrap();
        train(&mut bench, &mut bar, 40, 0.5);
        end_epoch(&mut bench, &mut bar);
        bench.metric("train_loss", 0.3);
    }
    bench.fire(&mut bar, Event::TrainEnd).unwrap();
    bench.fire(&mut bar, Event::Teardown { stage: Stage::Fit }).unwrap();
    assert_snapshot!(page.text(), @"
    epoch 0/1  59/80 batches  2.0 it/s  train_loss 0.412
    epoch 0/1  80/80 batches  2.0 it/s  train_loss 0.300
    epoch 1/1  59/80 batches  2.0 it/s  train_loss 0.412
    epoch 1/1  80/80 batches  2.0 it/s  train_loss 0.300
    ");
}

#[test]
fn plain_lines_of_a_test_and_of_a_failure() {
    let (mut bar, page) = on_page();
    let mut bench = Bench::new();
    bench.run.limits.test_batches = vec![Some(2), None];
    (bench.run.stage, bench.run.moment.stage) = (Stage::Test, RunningStage::Test);
    bench.fire(&mut bar, Event::TestEpochStart).unwrap();
    evaluate(&mut bench, &mut bar, 0, 2, 1.0);
    evaluate(&mut bench, &mut bar, 1, 1, 1.0);
    bench.fire(&mut bar, Event::TestEnd).unwrap();
    (bench.run.stage, bench.run.moment.stage) = (Stage::Fit, RunningStage::Train);
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    train(&mut bench, &mut bar, 3, 1.0);
    bench.metric("loss\u{1b}[31m", f64::NAN);
    let error = Error::other("full disk");
    bench.fire(&mut bar, Event::Exception { error: &error }).unwrap();
    // An error in the first batch of an epoch or a test has no line.
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    bench.fire(&mut bar, Event::Exception { error: &error }).unwrap();
    (bench.run.stage, bench.run.moment.stage) = (Stage::Test, RunningStage::Test);
    bench.fire(&mut bar, Event::TestEpochStart).unwrap();
    bench.fire(&mut bar, Event::Exception { error: &error }).unwrap();
    assert_snapshot!(page.text(), @"
    testing dataloader 0  2/2 batches  1.0 it/s
    testing dataloader 1  1 batches  ? it/s
    epoch 0/2  3/10 batches  1.0 it/s  loss[31m NaN
    ");
}

/// `plain` writes the same output through the public setter, without a terminal.
#[test]
fn plain_lines_can_go_anywhere() {
    let page = Page::default();
    let mut bar = ProgressBar::new().plain(page.clone());
    let mut bench = Bench::new();
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    bench.fire(&mut bar, Event::TrainEnd).unwrap();
    assert_snapshot!(page.text(), @"epoch 0/2  0/10 batches  ? it/s");
    let _: &dyn Callback<Line> = &bar;
}

#[test]
fn a_failed_test_run_keeps_its_bar() {
    let (mut bar, screen) = on_screen(80);
    let mut bench = Bench::new();
    bench.run.limits.test_batches = vec![Some(2)];
    (bench.run.stage, bench.run.moment.stage) = (Stage::Test, RunningStage::Test);
    bench.fire(&mut bar, Event::TestEpochStart).unwrap();
    evaluate(&mut bench, &mut bar, 0, 1, 1.0);
    bench.fire(&mut bar, Event::Exception { error: &Error::other("full disk") }).unwrap();
    assert_snapshot!(screen.contents(), @"Testing DataLoader 0 ━━━━━━━━━━━━╸             1/2 0:01 • -:-- ? it/s");
}

#[test]
fn validation_begins_with_all_batches_counted() {
    let (mut bar, screen) = on_screen(80);
    let mut bench = Bench::new();
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    train(&mut bench, &mut bar, 10, 0.001);
    assert_snapshot!(screen.contents(), @"Epoch 0/2 ━━╸                       1/10 0:00 • -:-- ? it/s");
    bench.run.moment.stage = RunningStage::Validate;
    bench.fire(&mut bar, Event::ValidationEpochStart).unwrap();
    assert_snapshot!(screen.contents(), @r"
    Epoch 0/2 ━━━━━━━━━━━━━━━━━━━━━━━━━ 10/10 0:00 • 0:00 1000 it/s
    Validation DataLoader 0                           0/2 0:00 • -:-- ? it/s
    ");
}

#[test]
fn a_fit_that_resumes_in_the_middle_of_an_epoch() {
    let (mut bar, screen) = on_screen(120);
    let mut bench = Bench::new();
    (bench.run.place.progress.epoch, bench.run.place.progress.batch_in_epoch) = (1, 5);
    bench.start(&mut bar).unwrap();
    assert_snapshot!(screen.contents(), @"Epoch 1/2 ━━━━━━━━━━━━╸             5/10 0:00 • -:-- ? it/s");
    train(&mut bench, &mut bar, 3, 2.0);
    assert_snapshot!(screen.contents(), @"Epoch 1/2 ━━━━━━━━━━━━━━━━━━━━╸     8/10 0:06 • 0:04 0.50 it/s");
    // This event occurs at the start of an epoch, and one line is enough.
    let (mut bar, page) = on_page();
    let mut bench = Bench::new();
    bench.start(&mut bar).unwrap();
    bench.fire(&mut bar, Event::TrainEpochStart).unwrap();
    train(&mut bench, &mut bar, 10, 1.0);
    end_epoch(&mut bench, &mut bar);
    bench.fire(&mut bar, Event::TrainEnd).unwrap();
    assert_eq!(page.text().lines().count(), 1, "{}", page.text());
}
