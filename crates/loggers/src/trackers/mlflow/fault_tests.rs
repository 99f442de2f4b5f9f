use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::MlflowLogger;
use super::fake::Fake;
use super::tests::{deliver, logger, loss};
use crate::{Artifact, Hyperparams, Logger, Metrics, Status};

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

fn artifact(logger: &mut MlflowLogger, folder: &Path, name: &str, text: &str) {
    let file = folder.join(name);
    std::fs::write(&file, text).unwrap();
    logger.log_artifact(&Artifact::new(&file)).unwrap();
    logger.save().unwrap();
}

/// Waits until the server has answered to several requests that began after this, or everything counts as delivered.
fn answered_again(fake: &Fake, logger: &MlflowLogger) {
    let before = fake.http.received().len();
    while fake.http.received().len() < before + 3 && logger.delivery().unwrap().spooled > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_file_accepted_without_an_answer_is_searched_for_on_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    fake.with(|state| (state.is_silent, state.swallows) = (true, true));
    let mut logger = logger(&fake, folder.path()).patience(Duration::from_hours(1));
    logger.open().unwrap();
    artifact(&mut logger, folder.path(), "a.txt", "first");
    answered_again(&fake, &logger);
    let delivery = logger.delivery().unwrap();
    assert_eq!((delivery.delivered, delivery.spooled), (0, 1));
    fake.with(|state| state.swallows = false);
    artifact(&mut logger, folder.path(), "b.txt", "second");
    artifact(&mut logger, folder.path(), "c.txt", "");
    assert_eq!(deliver(&mut logger).spooled, 0);
    let kept = fake.run().artifacts;
    assert_eq!(
        kept.iter().map(|(name, bytes)| (name.as_str(), bytes.len())).collect::<Vec<_>>(),
        [("a.txt", 5), ("b.txt", 6), ("c.txt", 0)]
    );
    // The list gets long, so it is requested only until it has the first file.
    let asked = |what: &str| fake.http.received().iter().filter(|request| request.path.contains(what)).count();
    let (lists, experiments) = (asked("?path="), asked("experiments/get?"));
    artifact(&mut logger, folder.path(), "d.txt", "last");
    deliver(&mut logger);
    assert_eq!((asked("?path="), asked("experiments/get?")), (lists, experiments + 1));
}

#[test]
fn a_batch_is_delivered_when_mlflow_says_so() {
    for answer in [json!(null), json!([]), json!({"status": "ok"})] {
        let folder = tempfile::tempdir().unwrap();
        let fake = Fake::start();
        let mut logger = logger(&fake, folder.path()).patience(Duration::from_hours(1));
        loss(&mut logger, 0..1);
        deliver(&mut logger);
        fake.with(|state| state.instead = Some(answer));
        loss(&mut logger, 1..2);
        answered_again(&fake, &logger);
        let delivery = logger.delivery().unwrap();
        assert_eq!((delivery.delivered, delivery.spooled), (1, 1));
        fake.with(|state| state.instead = None);
        deliver(&mut logger);
        assert_eq!(fake.run().steps("loss"), [0, 1]);
    }
}
