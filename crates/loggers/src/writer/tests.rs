use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};

use super::*;
use crate::{Call, MemoryLogger, RunDir, TensorBoardLogger};

/// The calls of a [`Probe`], in order.
type Seen = Arc<Mutex<Vec<String>>>;

/// Implements the four required methods, with failures on request.
#[derive(Default)]
struct Probe {
    seen: Seen,
    saves: Arc<AtomicUsize>,
    resumed: Option<Value>,
    gate: Option<Arc<Barrier>>,
}

impl Logger for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn version(&self) -> String {
        "7".to_owned()
    }

    fn log_metrics(&mut self, metrics: &Metrics, step: Option<u64>) -> Result<()> {
        if let Some(gate) = &self.gate {
            gate.wait();
        }
        assert!(!metrics.contains("panic"), "step {step:?} panics");
        if metrics.contains("fail") {
            return Err(Error::other(format!("step {step:?} fails")));
        }
        self.seen.lock().unwrap().push(format!("{}", step.unwrap_or(0)));
        Ok(())
    }

    fn log_hyperparams(&mut self, params: &Hyperparams, _: &Metrics) -> Result<()> {
        self.seen.lock().unwrap().push(params.flatten("/")[0].0.clone());
        Ok(())
    }

    fn position(&mut self) -> Result<Value> {
        assert_ne!(self.resumed, Some("panic".into()), "no position");
        if self.resumed == Some("fail".into()) {
            return Err(Error::other("no position"));
        }
        Ok(self.seen.lock().unwrap().len().into())
    }

    fn resume(&mut self, position: Value) -> Result<()> {
        self.resumed = Some(position);
        Ok(())
    }

    fn save(&mut self) -> Result<()> {
        self.saves.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn metric(name: &str) -> Metrics {
    [(name, 1.0)].into()
}

#[test]
fn everything_runs_in_order_through_back_pressure() {
    let probe = Probe::default();
    let seen = Arc::clone(&probe.seen);
    let logger = Background::spawn(Box::new(probe)).unwrap();
    let count = 5 * QUEUE_CAPACITY as u64;
    for step in 0..count {
        match step % 3 {
            0 => logger.log_metrics(metric("a"), Some(step)).unwrap(),
            1 => logger.submit(move |logger| logger.log_metrics(&metric("a"), Some(step))).unwrap(),
            _ => logger.with(move |probe: &mut Probe| probe.log_metrics(&metric("a"), Some(step))).unwrap(),
        }
    }
    let last = logger.call(|probe: &mut Probe| Ok(probe.seen.lock().unwrap().len())).unwrap();
    assert_eq!(last as u64, count);
    assert_eq!(*seen.lock().unwrap(), (0..count).map(|step| step.to_string()).collect::<Vec<_>>());
}

#[test]
fn producers_are_held_while_the_queue_is_full() {
    let gate = Arc::new(Barrier::new(2));
    let probe = Probe { gate: Some(Arc::clone(&gate)), ..Probe::default() };
    let seen = Arc::clone(&probe.seen);
    let logger = Background::spawn(Box::new(probe)).unwrap();
    let submitted = Arc::new(AtomicUsize::new(0));
    let total = 4 * QUEUE_CAPACITY;
    thread::scope(|scope| {
        scope.spawn(|| {
            for step in 0..total {
                logger.log_metrics(metric("a"), Some(step as u64)).unwrap();
                submitted.fetch_add(1, Ordering::SeqCst);
            }
        });
        for done in 0..total {
            // At most one batch waits and one is in work, so this is the maximum lead of the producer.
            assert!(submitted.load(Ordering::SeqCst) <= done + 2 * QUEUE_CAPACITY);
            gate.wait();
        }
    });
    logger.flush().unwrap();
    assert_eq!(seen.lock().unwrap().len(), total);
}

#[test]
fn a_flush_saves_and_the_quiet_thread_saves_by_itself() {
    let probe = Probe::default();
    let saves = Arc::clone(&probe.saves);
    let logger = Background::spawn(Box::new(probe)).unwrap();
    logger.flush().unwrap();
    assert_eq!(saves.load(Ordering::SeqCst), 1);
    logger.log_metrics(metric("a"), None).unwrap();
    while saves.load(Ordering::SeqCst) < 2 {
        thread::yield_now();
    }
    // Longer than the thread stays awake, so that the next job has to wake it.
    thread::sleep(Duration::from_millis(1200));
    assert_eq!(saves.load(Ordering::SeqCst), 2);
    logger.log_metrics(metric("a"), None).unwrap();
    while saves.load(Ordering::SeqCst) < 3 {
        thread::yield_now();
    }
}

#[test]
fn an_error_surfaces_once_and_logging_continues() {
    let probe = Probe::default();
    let seen = Arc::clone(&probe.seen);
    let logger = Background::spawn(Box::new(probe)).unwrap();
    logger.log_metrics(metric("fail"), Some(1)).unwrap();
    logger.log_metrics(metric("fail"), Some(2)).unwrap();
    logger.log_metrics(metric("a"), Some(3)).unwrap();
    assert_eq!(logger.flush().unwrap_err().to_string(), "step Some(1) fails");
    logger.flush().unwrap();
    logger.log_metrics(metric("fail"), Some(4)).unwrap();
    logger.call(|_: &mut Probe| Ok(())).unwrap();
    // The job is queued although the error of the previous one is returned.
    assert_eq!(logger.log_metrics(metric("a"), Some(5)).unwrap_err().to_string(), "step Some(4) fails");
    logger.finalize(Status::Failed).unwrap();
    assert_eq!(*seen.lock().unwrap(), ["3", "5"]);
}

#[test]
fn a_panic_surfaces_as_an_error_and_logging_continues() {
    let logger = Background::spawn(Box::new(Probe::default())).unwrap();
    logger.log_metrics(metric("panic"), Some(1)).unwrap();
    assert_eq!(logger.flush().unwrap_err().to_string(), "logger `probe` panicked: step Some(1) panics");
    let answer = logger.call(|_: &mut Probe| -> Result<()> { panic!("in the call") });
    assert_eq!(answer.unwrap_err().to_string(), "logger `probe` panicked: in the call");
    assert_eq!(logger.call(|probe: &mut Probe| Ok(probe.version())).unwrap(), "7");
}

#[test]
fn the_wrong_type_is_refused() {
    let logger = Background::spawn(Box::new(Probe::default())).unwrap();
    assert!(logger.is::<Probe>() && !logger.is::<MemoryLogger>());
    let error = logger.call(|_: &mut MemoryLogger| Ok(())).unwrap_err();
    insta::assert_snapshot!(error, @"logger `probe` is not of type `stormfire_loggers::files::memory::MemoryLogger`");
    assert!(matches!(logger.with(|_: &mut MemoryLogger| Ok(())), Err(Error::WrongLogger { .. })));
}

#[test]
fn dropping_runs_what_is_queued_also_in_a_panic() {
    for panics in [false, true] {
        let memory = MemoryLogger::new();
        let logger = Background::spawn(Box::new(memory.clone())).unwrap();
        let outcome = thread::spawn(move || {
            for step in 0..100 {
                logger.log_metrics(metric("a"), Some(step)).unwrap();
            }
            assert!(!panics, "as a user's step would");
        })
        .join();
        assert_eq!((outcome.is_err(), memory.metrics().len()), (panics, 100));
        assert_eq!(memory.calls().last(), Some(&Call::Save));
    }
}

#[test]
fn a_position_is_after_all_earlier_values_and_is_not_waited_for() {
    let gate = Arc::new(Barrier::new(2));
    let probe = Probe { gate: Some(Arc::clone(&gate)), ..Probe::default() };
    let logger = Background::spawn(Box::new(probe)).unwrap();
    let mut positions = Vec::new();
    for step in 0..5 {
        logger.log_metrics(metric("a"), Some(step)).unwrap();
        // The gate is closed, so waiting here would deadlock.
        positions.push(logger.position());
    }
    let waiting = thread::spawn(move || positions.into_iter().map(|position| position.wait().unwrap()).collect::<Vec<_>>());
    for _ in 0..5 {
        gate.wait();
    }
    assert_eq!(waiting.join().unwrap(), (1..=5).map(Value::from).collect::<Vec<_>>());
}

#[test]
fn a_missing_position_has_a_reason() {
    let errors = ["fail", "panic"].map(|how| {
        let logger = Background::spawn(Box::new(Probe::default())).unwrap();
        logger.resume(how.into());
        logger.resumed().unwrap();
        let error = logger.position().wait().unwrap_err().to_string();
        logger.flush().unwrap();
        error
    });
    insta::assert_snapshot!(errors.join("\n"), @r#"
    no position
    logger `probe` panicked: assertion `left != right` failed: no position
      left: Some(String("panic"))
     right: Some(String("panic"))
    "#);
    // Errors of other jobs stay for the next report.
    let logger = Background::spawn(Box::new(Probe::default())).unwrap();
    logger.log_metrics(metric("fail"), Some(1)).unwrap();
    assert_eq!(logger.position().wait().unwrap(), Value::from(0));
    assert_eq!(logger.flush().unwrap_err().to_string(), "step Some(1) fails");
    let position = logger.position();
    drop(logger);
    position.wait().unwrap();
}

#[test]
fn one_writer_serves_many_threads() {
    let memory = MemoryLogger::new();
    let logger = Background::spawn(Box::new(memory.clone())).unwrap();
    thread::scope(|scope| {
        for thread in 0..4 {
            let logger = &logger;
            scope.spawn(move || {
                for step in 0..1000 {
                    logger.log_metrics([(format!("thread_{thread}"), 1.0)].into(), Some(step)).unwrap();
                }
                logger.flush().unwrap();
            });
        }
    });
    let rows = memory.rows();
    for thread in 0..4 {
        let name = format!("thread_{thread}");
        let steps: Vec<_> = rows.iter().filter(|(of, ..)| *of == name).map(|(_, _, step)| *step).collect();
        assert_eq!(steps, (0..1000).map(Some).collect::<Vec<_>>());
    }
}

#[test]
fn the_facts_are_known_without_the_thread() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunDir::new(folder.path()).with_name("exp");
    let logger = Background::spawn(Box::new(TensorBoardLogger::in_dir(run.clone()))).unwrap();
    assert_eq!((logger.name(), logger.version(), logger.short_version()), ("exp", "version_0", "0"));
    assert_eq!((logger.save_dir(), logger.log_dir()), (Some(folder.path()), Some(run.log_dir().unwrap())));
    assert_eq!(logger.group_separator(), "/");
}

#[test]
fn a_logger_that_cannot_be_opened_is_not_spawned() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs_err::write(&file, "").unwrap();
    let error = Background::spawn(Box::new(TensorBoardLogger::new(&file))).unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error}");
}
