use super::MlflowLogger;
use super::fake::Fake;
use super::server_run::Note;
use super::tests::{deliver, logger, loss};
use crate::network::outbox::Route as _;
use crate::{Image, Logger, Status, Text};

fn media(logger: &mut MlflowLogger, step: u64) {
    logger.log_image("dogs", &Image::new(1, 1, 1, vec![step as u8]).unwrap(), Some(step)).unwrap();
    logger.log_text("note", &Text::new(format!("{step}")), Some(step)).unwrap();
}

#[test]
fn a_continued_run_is_the_same_run_with_every_value_once() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut killed = logger(&fake, folder.path());
    loss(&mut killed, 0..3);
    media(&mut killed, 2);
    let position = killed.position().unwrap();
    loss(&mut killed, 3..6);
    media(&mut killed, 5);
    deliver(&mut killed);
    // These records never left the machine.
    fake.http.down();
    loss(&mut killed, 6..8);
    drop(killed);
    fake.http.up();

    let mut continued = logger(&fake, folder.path());
    continued.open().unwrap();
    continued.resume(position).unwrap();
    loss(&mut continued, 3..10);
    media(&mut continued, 5);
    media(&mut continued, 9);
    continued.finalize(Status::Success).unwrap();
    let run = fake.run();
    assert_eq!(run.steps("loss"), (0..10).collect::<Vec<_>>());
    assert_eq!(run.artifacts.keys().filter(|name| name.starts_with("images/")).count(), 6);
    assert_eq!((run.status.as_str(), continued.version()), ("FINISHED", "run-0".to_owned()));
}

#[test]
fn a_kill_before_an_answer_was_noted_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut killed = logger(&fake, folder.path());
    let position = killed.position().unwrap();
    loss(&mut killed, 0..5);
    deliver(&mut killed);
    drop(killed);
    let spool = fs_err::read_dir(folder.path().join(".stormfire/mlflow")).unwrap().next().unwrap().unwrap().path();
    fs_err::write(spool.join("delivered"), format!("{:020}\n", 0)).unwrap();
    // The answer with the id of the run is also lost.
    let mut note = Note::load(&spool).unwrap();
    note.known = None;
    note.save(&spool).unwrap();

    let mut continued = logger(&fake, folder.path());
    continued.resume(position).unwrap();
    loss(&mut continued, 1..8);
    continued.finalize(Status::Success).unwrap();
    assert_eq!(fake.run().steps("loss"), (0..8).collect::<Vec<_>>());
    assert_eq!(continued.delivery().unwrap().refused, 0);
}

#[test]
fn a_run_is_continued_on_a_machine_that_knows_only_the_checkpoint() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fake = Fake::start();
    let mut killed = logger(&fake, folder.path());
    loss(&mut killed, 0..3);
    deliver(&mut killed);
    let position = killed.position().unwrap();
    loss(&mut killed, 3..5);
    killed.finalize(Status::Failed).unwrap();

    let mut continued = logger(&fake, other.path());
    continued.resume(position).unwrap();
    loss(&mut continued, 3..9);
    deliver(&mut continued);
    assert_eq!(fake.run().status, "RUNNING");
    continued.finalize(Status::Success).unwrap();
    assert_eq!((fake.run().steps("loss"), fake.run().status), ((0..9).collect(), "FINISHED".to_owned()));
}

#[test]
fn positions_of_others_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let fake = Fake::start();
    let mut files = MlflowLogger::new().tracking_uri(folder.path().join("mlruns").to_string_lossy());
    loss(&mut files, 0..1);
    for position in [files.position().unwrap(), serde_json::json!({"table": 3}), serde_json::Value::Null] {
        let mut logger = logger(&fake, folder.path());
        logger.resume(position).unwrap();
        loss(&mut logger, 0..1);
        logger.finalize(Status::Success).unwrap();
    }
    assert_eq!(fake.with(|state| state.runs.len()), 3);
}
