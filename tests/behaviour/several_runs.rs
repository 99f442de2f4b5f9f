//! Nested runs, concurrent runs, and runs after an interrupted one.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use burn::{prelude::*, tensor::Distribution};
use insta::assert_snapshot;
use stormfire::{Signal, forget_interrupt, loggers::MemoryLogger, module::Event, prelude::*};
use stormfire_module::for_trainer::scope;

use crate::{
    child::{folder, part, play},
    error_text::error_text,
    support::{Batch, Line, line_data, quiet, recording},
};

/// Runs code in a hook.
struct In<F>(Hook, F);

impl<M: LightningModule, F: FnMut(&mut Context<'_>) -> Result<()> + 'static> Callback<M> for In<F> {
    fn on_event(&mut self, ctx: &mut Context<'_>, _module: &mut M, event: &mut Event<'_, M::Batch>) -> Result<()> {
        if event.hook() == self.0 { (self.1)(ctx) } else { Ok(()) }
    }
}

/// Logs in every step, and then runs its code.
#[derive(Module, Debug)]
struct Inner {
    line: Line,
    #[module(skip)]
    ends: Ends,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Well,
    InAPanic,
    InAMistake,
    WithoutAStep,
}

impl LightningModule for Inner {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("of_the_inner_run", 1.0);
        assert!(self.ends != Ends::InAPanic, "the inner run panics");
        Ok(self.line.loss(batch).into())
    }

    fn validation_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.training_step(batch, batch_idx)?;
        if self.ends == Ends::InAMistake {
            self.log("a_mistake", 1.0).on_step(false).on_epoch(false);
        }
        Ok(StepOutput::none())
    }

    fn test_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.validation_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

impl PredictModule for Inner {
    type Prediction = ();

    fn predict_step(&self, _batch: Batch, _batch_idx: usize) -> Result<()> {
        Ok(())
    }
}

/// Runs the module with every method of a Trainer. Some of them fail.
fn run_inside(ends: Ends, memory: &MemoryLogger) {
    let inner = || Inner { line: Line::new(), ends };
    let trainer = || recording(memory).max_epochs(1).log_every_n_steps(1).num_sanity_val_steps(0);
    let data = || line_data(4, 2);
    let is_ok = |is_ok: bool| assert!(is_ok || ends != Ends::Well);
    is_ok(trainer().fit(inner(), (data(), data())).is_ok());
    is_ok(trainer().validate(&inner(), data()).is_ok());
    is_ok(trainer().test(&inner(), data()).is_ok());
    is_ok(trainer().predict(&inner(), data()).is_ok());
    if ends == Ends::WithoutAStep {
        let without = quiet().test(&Trains { line: Line::new() }, data());
        assert!(matches!(without, Err(Error::NotImplemented { .. })), "{without:?}");
    }
}

/// Has only a training step.
#[derive(Module, Debug)]
struct Trains {
    line: Line,
}

impl LightningModule for Trains {
    type Batch = Batch;
}

fn names(memory: &MemoryLogger) -> Vec<(String, f64)> {
    let mut rows: Vec<_> = memory.rows().into_iter().filter(|(name, ..)| name != "epoch").map(|(name, value, _)| (name, value)).collect();
    rows.sort_by(|(a, x), (b, y)| a.cmp(b).then(x.total_cmp(y)));
    rows
}

#[test]
fn an_inner_run_does_not_change_the_logs_of_the_outer_run() {
    for ends in [Ends::Well, Ends::InAPanic, Ends::InAMistake, Ends::WithoutAStep] {
        let (outer, inner) = (MemoryLogger::new(), MemoryLogger::new());
        let of_inner = inner.clone();
        let both = In(Hook::TrainBatchEnd, move |ctx: &mut Context<'_>| {
            ctx.log("before", 1.0).on_step(true).on_epoch(true);
            run_inside(ends, &of_inner);
            ctx.log("after", 2.0).on_step(true);
            assert_eq!((scope::hook(), scope::moment().global_step), (Some(Hook::TrainBatchEnd), ctx.global_step()));
            assert_eq!(scope::loggers().len(), 1);
            Ok(())
        });
        let mut trainer = recording(&outer).max_epochs(1).log_every_n_steps(1).callback(both);
        let fit = trainer.fit(Line::new(), line_data(4, 2)).unwrap();
        assert_eq!((fit.stop, fit.progress.global_step), (Stop::MaxEpochs(1), 2), "{ends:?}");
        let expected = [("after", 2.0), ("after", 2.0), ("before_epoch", 1.0), ("before_step", 1.0), ("before_step", 1.0)];
        assert_eq!(names(&outer), expected.map(|(name, value)| (name.to_owned(), value)), "{ends:?}");
        assert!(names(&inner).iter().all(|(name, _)| name.starts_with("of_the_inner_run")), "{ends:?}: {:?}", names(&inner));
        assert_eq!(names(&inner).is_empty(), ends == Ends::InAPanic);
    }
}

#[test]
fn a_run_inside_a_step_does_not_change_the_step() {
    #[derive(Module, Debug)]
    struct Asks {
        line: Line,
    }

    impl LightningModule for Asks {
        type Batch = Batch;

        fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
            self.log("before", 1.0);
            let scores = quiet().test(&self.line, line_data(2, 2)).unwrap();
            self.log("score", scores[0].get("test_loss").unwrap());
            Ok(self.line.loss(batch).into())
        }

        fn configure_optimizers(&self) -> Result<Optimizers> {
            self.line.configure_optimizers()
        }
    }

    let memory = MemoryLogger::new();
    let fit = recording(&memory).max_epochs(1).log_every_n_steps(1).fit(Asks { line: Line::new() }, line_data(4, 2)).unwrap();
    assert_eq!(fit.progress.global_step, 2);
    let seen: Vec<_> = names(&memory).into_iter().map(|(name, _)| name).collect();
    assert_eq!(seen, ["before", "before", "score", "score"]);
}

#[test]
fn a_mistake_in_the_outer_run_is_not_reported_for_the_inner_one() {
    let memory = MemoryLogger::new();
    let of_inner = memory.clone();
    let both = In(Hook::TrainBatchEnd, move |ctx: &mut Context<'_>| {
        ctx.log("outer", 1.0).on_step(false).on_epoch(false);
        run_inside(Ends::Well, &of_inner);
        Ok(())
    });
    assert_snapshot!(error_text(quiet().max_epochs(1).callback(both).fit(Line::new(), line_data(4, 2))), @"
    `outer`: logging with `on_step(false)` and `on_epoch(false)` in `on_train_batch_end` records nothing
      hint: set one of the two to true
    ");
}

#[test]
fn a_checkpoint_of_another_trainer_contains_nothing_of_this_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.ckpt");
    let mut other = quiet().max_epochs(1);
    let trained = other.fit(Line::new(), line_data(4, 2)).unwrap().module;
    let memory = MemoryLogger::new();
    let saves = In(Hook::TrainBatchEnd, move |ctx: &mut Context<'_>| {
        ctx.log("before", 1.0);
        other.save_checkpoint(&trained, &path)
    });
    let fit = recording(&memory).max_epochs(1).log_every_n_steps(1).callback(saves).fit(Line::new(), line_data(4, 2)).unwrap();
    assert_eq!((fit.progress.global_step, names(&memory).len()), (2, 2));
}

/// Adds noise in its step.
#[derive(Module, Debug)]
struct Noisy {
    line: Line,
}

impl LightningModule for Noisy {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let noise = Tensor::<1>::random([1], Distribution::Default, &batch.0.device());
        Ok((self.line.loss(batch) * noise).into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.line.configure_optimizers()
    }
}

/// Helper test for a child process, because burn's random generator is global.
#[test]
#[ignore = "a part of `an_inner_run_does_not_change_the_random_numbers`"]
fn draws() {
    if folder().is_none() {
        return;
    }
    let weights = |inside: Option<(Hook, Option<u64>)>| {
        let mut trainer = quiet().max_epochs(2).seed(3);
        if let Some((hook, seed)) = inside {
            trainer = trainer.callback(In(hook, move |_: &mut Context<'_>| {
                let inner = quiet().max_epochs(1);
                let mut inner = seed.map_or_else(quiet, |seed| inner.seed(seed)).max_epochs(1);
                inner.fit(Noisy { line: Line::new() }, line_data(4, 2)).map(drop)
            }));
        }
        let fit = trainer.fit(Noisy { line: Line::new() }, line_data(8, 2)).unwrap();
        fit.module.line.layer.weight.val().into_scalar::<f32>()
    };
    let uninterrupted = weights(None);
    for hook in [Hook::TrainEpochStart, Hook::TrainBatchStart, Hook::BeforeBackward, Hook::TrainBatchEnd, Hook::TrainEpochEnd] {
        for seed in [None, Some(9)] {
            assert_eq!(weights(Some((hook, seed))).to_bits(), uninterrupted.to_bits(), "{hook} {seed:?}");
        }
    }
}

#[test]
fn an_inner_run_does_not_change_the_random_numbers() {
    play(part("several_runs::draws", tempfile::tempdir().unwrap().path()));
}

/// Helper test for a child process, which is interrupted.
#[test]
#[ignore = "a part of `no_run_of_the_process_starts_after_an_interrupt`"]
#[cfg(unix)]
fn folds() {
    if folder().is_none() {
        return;
    }
    let interrupted = || {
        let ctrl_c = In(Hook::TrainBatchEnd, |ctx: &mut Context<'_>| {
            if ctx.global_step() == 2 {
                crate::signals::kill_self("INT");
            }
            Ok(())
        });
        let mut trainer = quiet().max_epochs(1).callback(ctrl_c);
        let fit = trainer.fit(Line::new(), line_data(8, 2)).unwrap();
        (trainer, fit)
    };
    let (mut fitted, first) = interrupted();
    assert_eq!((first.stop, first.progress.global_step), (Stop::Interrupted(Signal::Interrupt), 2));
    let begun = Arc::new(AtomicU64::new(0));
    let noting = || {
        let begun = Arc::clone(&begun);
        quiet().max_epochs(1).callback(In(Hook::Setup, move |_: &mut Context<'_>| {
            begun.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }))
    };
    let refused = [
        noting().fit(Line::new(), line_data(8, 2)).map(drop),
        noting().handle_signals(false).fit(Line::new(), line_data(8, 2)).map(drop),
        noting().validate(&first.module, line_data(8, 2)).map(drop),
        noting().test(&first.module, line_data(8, 2)).map(drop),
        noting().predict(&first.module, line_data(8, 2)).map(drop),
        fitted.fit_further(first.module, line_data(8, 2)).map(drop),
    ];
    assert_snapshot!(refused.map(error_text).join("\n"), @"
    interrupted by Ctrl-C before this run started
      hint: later runs in this process are also refused; to run them anyway, call `forget_interrupt()` first
    interrupted by Ctrl-C before this run started
      hint: later runs in this process are also refused; to run them anyway, call `forget_interrupt()` first
    interrupted by Ctrl-C before this run started
      hint: later runs in this process are also refused; to run them anyway, call `forget_interrupt()` first
    interrupted by Ctrl-C before this run started
      hint: later runs in this process are also refused; to run them anyway, call `forget_interrupt()` first
    interrupted by Ctrl-C before this run started
      hint: later runs in this process are also refused; to run them anyway, call `forget_interrupt()` first
    interrupted by Ctrl-C before this run started
      hint: later runs in this process are also refused; to run them anyway, call `forget_interrupt()` first
    ");
    assert_eq!(begun.load(Ordering::Relaxed), 0);
    // The program allows the next run, each time.
    assert_eq!(forget_interrupt(), Some(Signal::Interrupt));
    assert_eq!(noting().fit(Line::new(), line_data(8, 2)).unwrap().stop, Stop::MaxEpochs(1));
    assert!(interrupted().1.stop.is_interrupted());
    assert!(noting().fit(Line::new(), line_data(8, 2)).is_err());
}

#[test]
#[cfg(unix)]
fn no_run_of_the_process_starts_after_an_interrupt() {
    play(part("several_runs::folds", tempfile::tempdir().unwrap().path()));
}

/// Helper test for a child process: three runs in two threads, until a signal arrives.
#[test]
#[ignore = "a part of `a_signal_ends_all_runs_of_the_process_cleanly`"]
#[cfg(unix)]
fn side_by_side() {
    let Some(work_in) = folder() else { return };
    let run = |folder: &Path, inside: bool| {
        std::fs::create_dir_all(folder).unwrap();
        crate::rig::Logging::in_step(|_| std::thread::sleep(std::time::Duration::from_millis(1)));
        let mut trainer = crate::signals::endless(folder);
        if inside {
            let folder = folder.join("inner");
            std::fs::create_dir_all(&folder).unwrap();
            trainer = trainer.callback(In(Hook::TrainBatchEnd, move |ctx: &mut Context<'_>| {
                if ctx.global_step() == 20 {
                    let inner = crate::signals::endless(&folder).fit(crate::rig::Logging::new(), line_data(200, 2))?;
                    assert!(inner.stop.is_interrupted());
                }
                Ok(())
            }));
        }
        trainer.fit(crate::rig::Logging::new(), line_data(200, 2)).unwrap().stop
    };
    let stops = std::thread::scope(|scope| {
        let [a, b] = [("a", false), ("b", true)].map(|(name, inside)| {
            let folder = work_in.join(name);
            scope.spawn(move || run(&folder, inside))
        });
        [a.join().unwrap(), b.join().unwrap()]
    });
    assert_eq!(stops[0], stops[1]);
    std::process::exit(stops[0].exit_code().into());
}

#[test]
#[cfg(unix)]
fn a_signal_ends_all_runs_of_the_process_cleanly() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let folder = tempfile::tempdir().unwrap();
        let places = ["a", "b", "b/inner"].map(|name| folder.path().join(name));
        let mut running = crate::child::Running::start(part("several_runs::side_by_side", folder.path()));
        running.wait_until("the first logged steps of all", || {
            let logged =
                |place| std::fs::read_to_string(crate::rig::run_of(place).join("metrics.csv")).is_ok_and(|table| table.lines().count() > 5);
            places.iter().all(|place| logged(place))
        });
        running.signal(signal);
        assert_eq!(running.wait().code(), Some(code));
        for place in places {
            assert_eq!(std::fs::read_to_string(place.join("status")).unwrap(), "Interrupted", "{}", place.display());
        }
    }
}
