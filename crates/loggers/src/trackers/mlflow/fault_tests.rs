use std::time::Duration;

use serde_json::json;

use super::fake::Fake;
use super::tests::{deliver, logger, loss};
use crate::{Hyperparams, Logger, Metrics, Status};

#[test]
fn a_login_that_is_refused_for_a_while_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    fake.with(|state| state.authorization = Some("Bearer new".to_owned()));
    let mut logger = logger(&fake, folder.path()).bearer_token("old").patience(Duration::from_hours(1));
    let is_refused = |fake: &Fake| {
        // The previous request was answered.
        let before = fake.http.received().len();
        while fake.http.received().len() < before + 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    loss(&mut logger, 0..3);
    is_refused(&fake);
    assert_eq!(logger.delivery().unwrap().spooled, 3);
    fake.with(|state| state.authorization = Some("Bearer old".to_owned()));
    deliver(&mut logger);
    // The token expires during the run.
    fake.with(|state| state.authorization = Some("Bearer new".to_owned()));
    loss(&mut logger, 3..5);
    is_refused(&fake);
    assert_eq!(logger.delivery().unwrap().spooled, 2);
    fake.with(|state| state.authorization = None);
    logger.finalize(Status::Success).unwrap();
    assert_eq!(fake.run().steps("loss"), (0..5).collect::<Vec<_>>());
}

#[test]
fn a_run_that_was_removed_is_given_up_and_nothing_else_happens() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut logger = logger(&fake, folder.path());
    loss(&mut logger, 0..2);
    deliver(&mut logger);
    fake.with(|state| state.runs.clear());
    let mut params = Hyperparams::new();
    params.insert("a", json!(1)).unwrap();
    logger.log_hyperparams(&params, &Metrics::new()).unwrap();
    loss(&mut logger, 2..9);
    let delivery = deliver(&mut logger);
    assert_eq!((delivery.delivered, delivery.refused, delivery.spooled), (2, 8, 0));
}
