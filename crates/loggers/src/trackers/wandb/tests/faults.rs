use std::time::Duration;

use serde_json::{Value, json};

use super::super::carrier::Carrier;
use super::super::entry::Posted;
use super::server::Wandb;
use super::{KEY, logger};
use crate::network::outbox::{Carrier as _, Failure};
use crate::network::test_server::{Fault, TestServer};
use crate::{Artifact, Logger, SpooledRun, Status};

fn row(line: u64) -> Posted {
    let entry = json!({"row": {"line": line, "items": {"loss": "1"}}});
    serde_json::from_value(json!({"session": "s", "entry": entry})).unwrap()
}

#[test]
fn an_unreachable_server_gets_all_rows_when_it_is_back() {
    let (folder, wandb) = (tempfile::tempdir().unwrap(), Wandb::start());
    wandb.server.down();
    let mut first = logger(folder.path()).base_url(&wandb.server.address).api_key(KEY);
    for step in 0..10 {
        first.log_metrics(&[("loss", f64::from(step))].into(), Some(step as u64)).unwrap();
        first.save().unwrap();
    }
    // The process ends while the server is unreachable, and leaves the last row open.
    drop(first);
    wandb.server.up();
    let mut second = logger(folder.path()).base_url(&wandb.server.address).api_key(KEY).strict(true);
    second.log_metrics(&[("loss", 10.0)].into(), Some(10)).unwrap();
    second.finalize(Status::Success).unwrap();
    assert_eq!(wandb.column("loss"), (0..11).map(f64::from).collect::<Vec<_>>());
}

#[test]
fn the_row_that_a_kill_left_open_waits_like_the_others() {
    let (folder, wandb) = (tempfile::tempdir().unwrap(), Wandb::start());
    wandb.server.down();
    let mut killed = logger(folder.path()).base_url(&wandb.server.address).api_key(KEY);
    for step in 1..4 {
        killed.log_metrics(&[("loss", 0.5)].into(), Some(step)).unwrap();
        killed.save().unwrap();
    }
    std::mem::forget(killed);
    let [run] = &SpooledRun::find(folder.path()).unwrap()[..] else { panic!("one run waits") };
    assert_eq!((run.tracker(), run.name(), run.server(), run.records()), ("wandb", "a project/run1", wandb.server.address.as_str(), 3));
    let spool = [run.folder()];
    assert_eq!(SpooledRun::find(spool[0]).unwrap().iter().map(SpooledRun::folder).collect::<Vec<_>>(), spool);
}

#[test]
fn a_refused_key_loses_nothing_and_a_refused_file_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let refusing = TestServer::start(|request| (401, json!({"error": format!("who is {}", request.header("authorization").unwrap())})));
    let mut refused = logger(folder.path()).base_url(&refusing.address).api_key(KEY).strict(true);
    refused.settings.patience = Duration::ZERO.into();
    refused.log_metrics(&[("loss", 0.0)].into(), Some(0)).unwrap();
    let error = refused.finalize(Status::Failed).unwrap_err();
    let failure = Carrier::new(&refused.settings, folder.path()).unwrap().deliver(&[row(0)]).unwrap_err();
    assert!(matches!(failure, Failure::Retry { .. }), "{failure:?}");
    insta::assert_snapshot!(failure.reason().replace(&refusing.address, "[server]"), @r#"
    POST [server]/graphql: status 401: {"error":"who is Basic [secret]"}: is the key, token or login right?
    "#);
    assert_secret(&format!("{error} {error:?} {failure:?} {refused:?}"));
    drop(refused);

    let wandb = Wandb::start();
    let mut again = logger(folder.path()).base_url(&wandb.server.address).api_key(KEY);
    let model = folder.path().join("gone.ckpt");
    fs_err::write(&model, "x").unwrap();
    again.log_artifact(&Artifact::new(&model)).unwrap();
    again.log_file(&model, "gone").unwrap();
    fs_err::remove_file(&model).unwrap();
    again.log_metrics(&[("loss", 1.0)].into(), Some(1)).unwrap();
    again.finalize(Status::Success).unwrap();
    assert_eq!(
        (wandb.column("loss"), again.delivery().map(|delivery| (delivery.spooled, delivery.refused))),
        (vec![0.0, 1.0], Some((0, 2)))
    );
    assert_eq!(wandb.kept().exit, Some(0));
}

#[test]
fn rows_of_a_deleted_run_are_given_up_at_once_and_a_revoked_key_is_waited_for() {
    let (folder, wandb) = (tempfile::tempdir().unwrap(), Wandb::start());
    let logger = logger(folder.path()).base_url(&wandb.server.address).api_key(KEY);
    let mut carrier = Carrier::new(&logger.settings, folder.path()).unwrap();
    assert_eq!(carrier.deliver(&[row(0)]).unwrap(), 1);
    wandb.server.fail([Fault::Status(404, None), Fault::Status(401, None)]);
    let deleted = carrier.deliver(&[row(1), row(2), row(3)]).unwrap_err();
    assert!(matches!(deleted, Failure::Refused { count: 3, .. }), "{deleted:?}");
    let revoked = carrier.deliver(&[row(4)]).unwrap_err();
    assert!(matches!(revoked, Failure::Retry { .. }), "{revoked:?}");
}

#[test]
fn an_error_of_graphql_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(|_| (200, json!({"data": null, "errors": [{"message": "permission denied"}]})));
    let logger = logger(folder.path()).base_url(&server.address).api_key(KEY);
    let failure = Carrier::new(&logger.settings, folder.path()).unwrap().deliver(&[row(0)]).unwrap_err();
    insta::assert_snapshot!(failure.reason().replace(&server.address, "[server]"), @"UpsertBucket: permission denied");
}

#[test]
fn a_quiet_run_gives_signs_of_life_until_it_has_ended() {
    let (folder, wandb) = (tempfile::tempdir().unwrap(), Wandb::start());
    let mut logger = logger(folder.path()).base_url(&wandb.server.address).api_key(KEY);
    let mut carrier = Carrier::new(&logger.settings, folder.path()).unwrap();
    carrier.idle().unwrap();
    assert_eq!(wandb.server.received().len(), 0);
    let posted = |entry: Value| serde_json::from_value(json!({"session": "s", "entry": entry})).unwrap();
    carrier.deliver(&[posted(json!({"summary": {"a": "1"}}))]).unwrap();
    carrier.idle().unwrap();
    carrier.idle().unwrap();
    assert_eq!(wandb.kept().heartbeats, 2);
    carrier.deliver(&[posted(json!({"exit": {"code": 0, "runtime": 1.5}}))]).unwrap();
    carrier.idle().unwrap();
    assert_eq!(wandb.kept().heartbeats, 2);
    logger.open().unwrap();
}

#[test]
fn the_key_is_in_no_file_and_no_text() {
    let (folder, wandb) = (tempfile::tempdir().unwrap(), Wandb::start());
    wandb.server.down();
    let mut logger = logger(folder.path()).base_url(&wandb.server.address).api_key(KEY);
    logger.log_metrics(&[("loss", 0.0)].into(), Some(0)).unwrap();
    let position = logger.position().unwrap();
    assert_secret(&format!("{logger:?} {position}"));
    wandb.server.up();
    logger.finalize(Status::Success).unwrap();
    let mut folders = vec![folder.path().to_owned()];
    let mut seen = 0;
    while let Some(next) = folders.pop() {
        for entry in fs_err::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                assert_secret(&String::from_utf8_lossy(&fs_err::read(path).unwrap()));
                seen += 1;
            }
        }
    }
    assert!(seen >= 2, "{seen} files");
    // But the server receives it.
    assert!(wandb.server.received()[0].header("authorization").unwrap().starts_with("Basic "));
}

fn assert_secret(text: &str) {
    use base64::Engine;
    let sent = base64::prelude::BASE64_STANDARD.encode(format!("api:{KEY}"));
    assert!(!text.contains(KEY) && !text.contains(&sent), "{text}");
}
