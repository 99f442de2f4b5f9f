//! A callback sees the values logged in the same event. A mistake or failure only affects its own run.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use burn::optim::SgdConfig;
use insta::assert_snapshot;
use stormfire::{
    checkpoint::Checkpoint,
    loggers::MemoryLogger,
    module::{Order, log::Entry},
    prelude::*,
    values::read::device_reads,
};
use stormfire_values::read::DistantCpu;

use super::probe::{Probe, counter, each_of, lines, on_device, trainer, watch};
use crate::{
    error_text::error_text,
    files::names,
    support::{Batch, Line, line_data, quiet},
};

/// A callback of this order that runs in one hook.
fn at(hook: Hook, order: Order, mut code: impl FnMut(&mut Context<'_>) -> Result<()> + 'static) -> impl Callback<Probe> {
    InOrder(order, watch(move |ctx, at| if at == hook { code(ctx) } else { Ok(()) }))
}

struct InOrder<C>(Order, C);

impl<C: Callback<Probe>> Callback<Probe> for InOrder<C> {
    fn name(&self) -> String {
        format!("{:?}", self.0)
    }

    fn order(&self) -> Order {
        self.0
    }

    fn on_event(&mut self, ctx: &mut Context<'_>, module: &mut Probe, event: &mut stormfire::Event<'_, Batch>) -> Result<()> {
        self.1.on_event(ctx, module, event)
    }
}

/// Logs in one hook, as the module or as a callback.
fn logging(
    hook: Hook,
    by_module: bool,
    code: impl Fn() + Clone + Send + Sync + 'static,
    trainer: Trainer<Probe>,
) -> (Trainer<Probe>, Probe) {
    if by_module {
        return (trainer, Probe::at(hook, code));
    }
    let callback = at(hook, Order::Ordinary, move |_| {
        code();
        Ok(())
    });
    (trainer.callback(callback), Probe::silent())
}

fn saving(folder: &Path) -> ModelCheckpoint {
    ModelCheckpoint::new().dirpath(folder).save_top_k(SaveTopK::All)
}

#[test]
fn monitors_see_values_logged_at_the_same_epoch_end() {
    for by_module in [true, false] {
        for device in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let epoch = counter();
            let code = move || {
                let f1 = 9.0 + epoch() as f64;
                if device { drop(log("f1", on_device(f1))) } else { drop(log("f1", f1)) }
            };
            let trainer = trainer(&MemoryLogger::new()).enable_checkpointing(true).max_epochs(9);
            let trainer = trainer.callback(saving(folder.path()).monitor("f1").filename("{epoch}-{f1}"));
            let trainer = trainer.callback(EarlyStopping::new("f1").patience(2));
            let (mut trainer, probe) = logging(Hook::TrainEpochEnd, by_module, code, trainer);
            let fit = trainer.fit(probe, line_data(4, 4)).unwrap();
            assert_eq!(fit.progress.epoch, 3, "10 is the best, 11 and 12 are too many");
            assert_eq!(names(folder.path()), ["epoch=0-f1=10.ckpt", "epoch=1-f1=11.ckpt", "epoch=2-f1=12.ckpt"]);
            let saved = trainer.get::<ModelCheckpoint>().unwrap();
            assert_eq!((saved.best_model_score(), saved.current_score()), (Some(10.0), Some(12.0)));
        }
    }
}

#[test]
fn monitors_see_values_logged_in_the_same_step() {
    for by_module in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let value = Arc::new(each_of([3.0, 1.0, 2.0]));
        let trainer = trainer(&MemoryLogger::new()).enable_checkpointing(true).max_epochs(1);
        let best = saving(folder.path()).save_top_k(1).monitor("x").every(Every::Steps(1)).filename("{step}");
        let (mut trainer, probe) =
            logging(Hook::TrainBatchEnd, by_module, move || drop(log("x", on_device(value()))), trainer.callback(best));
        drop(trainer.fit(probe, line_data(12, 4)).unwrap());
        assert_eq!(names(folder.path()), ["step=2.ckpt"]);
        let saved = trainer.get::<ModelCheckpoint>().unwrap();
        assert_eq!(saved.best_model_score(), Some(1.0));
        assert_eq!(Checkpoint::read_manifest(saved.best_model_path().unwrap()).unwrap().global_step(), Some(2));
    }
}

#[test]
fn metrics_of_a_monitor_can_be_monitored_in_the_same_event() {
    let folder = tempfile::tempdir().unwrap();
    let logger = MemoryLogger::new();
    let by = |name: &str| saving(folder.path()).named(name).monitor(name).every(Every::Steps(1)).filename(format!("{{{name}:.9f}}"));
    let trainer = trainer(&logger).enable_checkpointing(true).max_epochs(1).callback(by("train/batches"));
    let trainer = trainer.callback(by("grad_2.0_norm_total")).callback(by("lr-SGD"));
    let trainer = trainer.callback(GradientNormMonitor::new().per_parameter(false)).callback(ThroughputMonitor::new());
    drop(trainer.callback(LearningRateMonitor::new()).fit(Probe::silent(), line_data(12, 4)).unwrap());
    let values_of = |name: &str| {
        let of_name = logger.rows().into_iter().filter(|row| row.0 == name);
        let mut names: Vec<String> = of_name.map(|(name, value, _)| format!("{name}={value:.9}")).collect();
        names.sort();
        names
    };
    let norms = values_of("grad_2.0_norm_total");
    assert_eq!(norms.len(), 3);
    let files = names(folder.path());
    for norm in norms {
        assert!(files.contains(&format!("{norm}.ckpt")), "{norm} is not in {files:?}");
    }
    assert_eq!(names(&folder.path().join("train")), [1, 2, 3].map(|batches| format!("batches={batches}.000000000.ckpt")));
    assert!(files.contains(&"lr-SGD=0.010000000.ckpt".to_string()), "{files:?}");
}

#[test]
fn each_callback_sees_the_values_of_earlier_callbacks() {
    type Seen = Arc<Mutex<Vec<String>>>;
    let seen = Seen::default();
    let look = |who: &'static str, seen: &Seen| {
        let seen = Arc::clone(seen);
        move |ctx: &mut Context<'_>| {
            let before = device_reads();
            ctx.log(who, 1.0);
            let values: Result<Vec<_>> = ctx.metric_names().iter().map(|name| Ok(format!("{name}={}", ctx.metric(name)?))).collect();
            seen.lock().unwrap().push(format!("{who}: {} ({} reads)", values?.join(" "), device_reads() - before));
            Ok(())
        }
    };
    let _distant = DistantCpu::new();
    for hook in [Hook::TrainBatchEnd, Hook::TrainEpochStart, Hook::ValidationStart, Hook::ValidationEpochEnd, Hook::TrainEpochEnd] {
        seen.lock().unwrap().clear();
        let trainer = trainer(&MemoryLogger::new()).max_epochs(1);
        let trainer = trainer.callback(at(hook, Order::Save, look("save", &seen))).callback(at(hook, Order::Watch, look("watch", &seen)));
        let trainer =
            trainer.callback(at(hook, Order::Ordinary, look("first", &seen))).callback(at(hook, Order::Ordinary, look("second", &seen)));
        let probe = Probe::at(hook, || drop(log("module", on_device(0.5))));
        drop({ trainer }.fit(probe, (line_data(4, 4), line_data(4, 4))).unwrap());
        let expected = [
            "first: first=1 (0 reads)",
            "second: first=1 second=1 (0 reads)",
            "watch: first=1 second=1 module=0.5 watch=1 (1 reads)",
            "save: first=1 second=1 module=0.5 watch=1 save=1 (0 reads)",
        ];
        assert_eq!(*seen.lock().unwrap(), expected, "{hook}");
    }
}

#[test]
fn hooks_of_a_step_see_its_values() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let looking = {
        let seen = Arc::clone(&seen);
        at(Hook::BeforeOptimizerStep, Order::Ordinary, move |ctx| {
            seen.lock().unwrap().push(ctx.metric("x")?);
            Ok(())
        })
    };
    let number = counter();
    let probe = Probe::at(Hook::TrainingStep, move || drop(log("x", number())));
    drop(trainer(&MemoryLogger::new()).max_epochs(1).callback(looking).fit(probe, line_data(8, 4)).unwrap());
    assert_eq!(*seen.lock().unwrap(), [1.0, 2.0]);
}

#[test]
fn a_step_of_an_evaluation_is_seen_by_its_hooks() {
    for (hook, is_test) in [(Hook::ValidationBatchEnd, false), (Hook::TestBatchEnd, true)] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let looking = {
            let seen = Arc::clone(&seen);
            at(hook, Order::Watch, move |ctx| {
                let both = [ctx.metric("x")?, ctx.metric("x_step")?, ctx.metric("y")?, ctx.metric("z")?];
                seen.lock().unwrap().push(both);
                assert!(ctx.metric("mean").is_err(), "what only an epoch has is not there yet");
                Ok(())
            })
        };
        let ended = Arc::new(Mutex::new(Vec::new()));
        let at_end = {
            let ended = Arc::clone(&ended);
            at(if is_test { Hook::TestEnd } else { Hook::ValidationEnd }, Order::Watch, move |ctx| {
                ended.lock().unwrap().push([ctx.metric("x")?, ctx.metric("x_step")?, ctx.metric("y")?, ctx.metric("mean")?]);
                Ok(())
            })
        };
        let (number, z) = (counter(), counter());
        let code = move || {
            let x = number() as f64;
            drop(log("x", on_device(x)).on_step(true).on_epoch(true));
            drop(log("y", 10.0 * x).on_step(true).on_epoch(false));
            drop(log("mean", x));
        };
        let probe = Probe::at(if is_test { Hook::TestStep } else { Hook::ValidationStep }, code);
        let logging = at(hook, Order::Ordinary, move |ctx| {
            drop(ctx.log("z", z()).on_step(true));
            Ok(())
        });
        let mut trainer = trainer(&MemoryLogger::new()).max_epochs(1).callback(looking).callback(at_end).callback(logging);
        if is_test {
            drop(trainer.test(&probe, line_data(8, 4)).unwrap());
        } else {
            drop(trainer.fit(probe, (line_data(4, 4), line_data(8, 4))).unwrap());
        }
        assert_eq!(*seen.lock().unwrap(), [[1.0, 1.0, 10.0, 1.0], [2.0, 2.0, 20.0, 2.0]], "{hook}");
        assert_eq!(*ended.lock().unwrap(), [[1.5, 2.0, 20.0, 1.5]], "{hook}");
    }
}

#[test]
fn a_wrong_log_call_is_reported_for_the_callback_that_made_it() {
    let twice = at(Hook::TrainBatchEnd, Order::Ordinary, |ctx| {
        ctx.log("x", 1);
        ctx.log("x", 1).prog_bar(true);
        // A read in between does not hide the mistake.
        let _ = (ctx.metric_names(), ctx.metric("x"), ctx.progress_bar_metrics());
        Ok(())
    });
    let called = Arc::new(Mutex::new(0));
    let next = {
        let called = Arc::clone(&called);
        at(Hook::TrainBatchEnd, Order::Watch, move |ctx| {
            *called.lock().unwrap() += 1;
            ctx.metric("x").map(drop)
        })
    };
    let outcome = trainer(&MemoryLogger::new()).max_epochs(1).callback(twice).callback(next).fit(Probe::silent(), line_data(4, 4));
    assert_snapshot!(error_text(outcome), @"
    `x` was logged twice in `on_train_batch_end` with different arguments
      hint: use the same arguments, or two names
    ");
    assert_eq!(*called.lock().unwrap(), 0);
}

#[test]
fn values_logged_before_a_failure_do_not_reach_the_next_run() {
    type Refine = fn(Entry) -> Entry;
    let cases: [(bool, Refine); 3] = [(false, |entry| entry), (true, |entry| entry), (true, |entry| entry.on_step(false))];
    let errors = cases.map(|(panics, refine)| {
        let logger = MemoryLogger::new();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let failing = at(Hook::TrainBatchEnd, Order::Watch, move |ctx| {
            drop(refine(ctx.log("late", 1)));
            assert!(!panics, "on purpose");
            Err(stormfire::Error::other("on purpose"))
        });
        let last = {
            let seen = Arc::clone(&seen);
            at(Hook::Exception, Order::Ordinary, move |ctx| {
                *seen.lock().unwrap() = ctx.metric_names();
                Ok(())
            })
        };
        let mut failing = trainer(&logger).max_epochs(1).callback(failing).callback(last);
        let error = failing.fit(Probe::at(Hook::TrainBatchEnd, || drop(log("x", 1))), line_data(4, 4)).unwrap_err();
        // After a panic, the values of the incomplete hook are dropped. After an error, they are kept.
        let known = if panics { vec!["x"] } else { vec!["x", "late"] };
        assert_eq!(*seen.lock().unwrap(), known);

        let logger = MemoryLogger::new();
        assert!(trainer(&logger).max_epochs(1).fit(Probe::silent(), line_data(4, 4)).is_ok());
        assert_eq!(lines(&logger), [""; 0]);
        error.to_string()
    });
    assert_snapshot!(errors.join("\n"), @r"
    on purpose (in `on_train_batch_end` of `Watch`, epoch 0, batch 0)
    panicked in `on_train_batch_end`, epoch 0, batch 0: on purpose
    panicked in `on_train_batch_end`, epoch 0, batch 0: on purpose
    ");
}

#[test]
fn epoch_and_step_can_be_monitored() {
    let folder = tempfile::tempdir().unwrap();
    let trainer = || trainer(&MemoryLogger::new()).max_epochs(5);
    let until = EarlyStopping::new("epoch").mode(Mode::Max).stopping_threshold(1.5);
    let fit = trainer().callback(until).fit(Probe::silent(), line_data(8, 4)).unwrap();
    assert_eq!(fit.progress.epoch, 3, "epoch 2 is the first above 1.5");

    let newest = saving(folder.path()).save_top_k(2).monitor("step").mode(Mode::Max).filename("{epoch}-{step}");
    let mut saving_newest = trainer().enable_checkpointing(true).callback(newest);
    drop(saving_newest.fit(Probe::silent(), line_data(8, 4)).unwrap());
    let scores: Vec<f64> = saving_newest.get::<ModelCheckpoint>().unwrap().best_k_models().map(|(_, score)| score).collect();
    assert_eq!(scores, [8.0, 10.0]);
    assert_eq!(names(folder.path()), ["epoch=3-step=8.ckpt", "epoch=4-step=10.ckpt"]);

    // Values that the user logs under these names take precedence, as in Lightning.
    let folder = tempfile::tempdir().unwrap();
    let probe = Probe::at(Hook::TrainEpochEnd, || drop(log("epoch", 7.9)));
    let seventh = saving(folder.path()).monitor("epoch").filename("{epoch:03d}");
    let mut own = trainer().max_epochs(1).enable_checkpointing(true).callback(seventh);
    drop(own.fit(probe, line_data(8, 4)).unwrap());
    assert_eq!(own.get::<ModelCheckpoint>().unwrap().best_model_score(), Some(7.9));
    assert_eq!(names(folder.path()), ["epoch=007.ckpt"]);
}

#[test]
fn a_schedule_can_watch_epoch_and_step() {
    #[derive(burn::module::Module, Debug)]
    struct Watching {
        line: Line,
    }
    impl LightningModule for Watching {
        type Batch = Batch;
        fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
            Ok(self.line.loss(batch).into())
        }
        fn configure_optimizers(&self) -> Result<Optimizers> {
            let plateau = Schedule::new(ReduceLrOnPlateau::new().patience(0).factor(0.5)).monitor("epoch");
            Ok(Optimizer::new(SgdConfig::new(), 0.8).schedule(plateau).into())
        }
    }
    let rates = Arc::new(Mutex::new(Vec::new()));
    let noting = {
        let rates = Arc::clone(&rates);
        LambdaCallback::new().on_train_epoch_start(move |ctx, _| {
            rates.lock().unwrap().push(ctx.learning_rates()[0].1);
            Ok(())
        })
    };
    drop(quiet().max_epochs(3).callback(noting).fit(Watching { line: Line::new() }, line_data(4, 4)).unwrap());
    // Epoch 0 is the best, 1 is worse.
    assert_eq!(*rates.lock().unwrap(), [0.8, 0.8, 0.4]);
}
