use std::time::Duration;

use serde_json::json;

use super::fake::Fake;
use super::tests::{logger, loss};
use crate::test_server::Fault;
use crate::{Hyperparams, Logger, Metrics, Status, Text};

#[test]
fn whatever_the_server_does_nothing_is_lost_or_doubled_and_the_order_stays() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut logger = logger(&fake, folder.path());
    let quick = Fault::Slow(Duration::from_millis(1));
    let faults = [
        // The experiment, then the run, are made, but the answers are cut off. In between the experiment is looked for.
        vec![Fault::Status(503, None), quick.clone(), Fault::CutAnswer, quick.clone(), Fault::CutAnswer],
        vec![Fault::Status(429, Some(0))],
        vec![Fault::Status(500, None)],
        vec![Fault::Status(408, None)],
        vec![Fault::HangUp],
        vec![Fault::CutAnswer],
        vec![Fault::Slow(Duration::from_millis(200))],
    ];
    let mut step = 0;
    for faults in faults {
        fake.http.fail(faults);
        loss(&mut logger, step..step + 20);
        logger.log_text("note", &Text::new(step.to_string()), Some(step)).unwrap();
        step += 20;
        logger.deliver().unwrap();
    }
    fake.http.down();
    loss(&mut logger, step..step + 20);
    std::thread::sleep(Duration::from_millis(50));
    fake.http.up();
    step += 20;
    fake.http.fail([Fault::CutAnswer, Fault::Status(502, None)]);
    logger.finalize(Status::Success).unwrap();
    let delivery = logger.delivery().unwrap();
    assert_eq!((delivery.spooled, delivery.refused), (0, 0));
    assert_eq!(fake.with(|state| state.experiments.len()), 1);
    let run = fake.run();
    assert_eq!(run.steps("loss"), (0..step).collect::<Vec<_>>());
    assert!(run.metrics.iter().all(|(_, value, step)| value.as_f64() == Some(*step as f64 / 3.0)));
    assert_eq!((run.artifacts.len(), run.status.as_str()), (7, "FINISHED"));
}

#[test]
fn a_login_that_is_refused_for_a_while_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    fake.with(|state| state.authorization = Some("Bearer new".to_owned()));
    let mut logger = logger(&fake, folder.path()).bearer_token("old").patience(Duration::from_millis(200));
    loss(&mut logger, 0..3);
    assert_eq!(logger.deliver().unwrap().spooled, 3);
    fake.with(|state| state.authorization = Some("Bearer old".to_owned()));
    loss(&mut logger, 3..5);
    logger.deliver().unwrap();
    // It expires in the middle of the run.
    fake.with(|state| state.authorization = Some("Bearer new".to_owned()));
    loss(&mut logger, 5..7);
    assert_eq!(logger.deliver().unwrap().spooled, 2);
    fake.with(|state| state.authorization = None);
    logger.finalize(Status::Success).unwrap();
    assert_eq!(fake.run().steps("loss"), (0..7).collect::<Vec<_>>());
}

#[test]
fn a_run_that_was_removed_is_given_up_and_nothing_else_happens() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut logger = logger(&fake, folder.path());
    loss(&mut logger, 0..2);
    logger.deliver().unwrap();
    fake.with(|state| state.runs.clear());
    let mut params = Hyperparams::new();
    params.insert("a", json!(1)).unwrap();
    logger.log_hyperparams(&params, &Metrics::new()).unwrap();
    loss(&mut logger, 2..9);
    let delivery = logger.deliver().unwrap();
    assert_eq!((delivery.delivered, delivery.refused, delivery.spooled), (2, 8, 0));
}
