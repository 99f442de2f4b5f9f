use std::io::Read;
use std::time::Duration;

use serde_json::json;

use super::carrier::CometCarrier;
use super::*;
use crate::Node;
use crate::network::outbox::{Carrier as _, Failure};
use crate::network::test_server::{Received, TestServer};
use crate::trackers::tracker_tests::Tracker;

const KEY: &str = "0123456789abcdef0123456789abcdef";
const API_KEY: &str = "SecretKeyOfTheAccount1234";

fn offline(folder: &Path) -> CometLogger {
    CometLogger::new().offline(true).save_dir(folder).experiment_key(KEY).project("p").workspace("w")
}

fn online(folder: &Path, server: &str) -> CometLogger {
    CometLogger::new().api_key(API_KEY).server(format!("{server}/clientlib/")).save_dir(folder).project("p").experiment_key(KEY)
}

pub(crate) struct Comet(TestServer);

impl Tracker for Comet {
    const NAME: &'static str = "comet";
    const KEY: (&'static str, &'static str) = ("COMET_API_KEY", API_KEY);
    const DOUBLES: bool = true;

    fn start() -> Self {
        Self(server())
    }

    fn http(&self) -> &TestServer {
        &self.0
    }

    fn logger_at(&self, address: &str, folder: &Path, patience: Duration) -> Box<dyn Logger> {
        let mut logger = online(folder, &self.0.address).server(address);
        logger.patience = patience.into();
        Box::new(logger)
    }

    fn steps(&self) -> Vec<u64> {
        got(&self.0).into_iter().filter(|(name, _)| name == "loss").map(|(_, step)| step).collect()
    }

    fn images(&self) -> usize {
        let received = self.0.received();
        let uploads = received.iter().filter(|request| request.path.contains("/visualizations/upload"));
        uploads.map(|request| &request.path).collect::<std::collections::BTreeSet<_>>().len()
    }
}

fn server() -> TestServer {
    TestServer::start(|request| match request.path.as_str() {
        _ if request.header("authorization") != Some(API_KEY) => (401, json!({"msg": "who is it?"})),
        "/clientlib/logger/add/run" => (200, json!({"runId": "r1", "project_id": "p1"})),
        _ => (200, json!({"msg": "ok"})),
    })
}

fn read_zip(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(fs_err::File::open(path).unwrap()).unwrap();
    let mut found = Vec::new();
    for index in 0..zip.len() {
        let mut entry = zip.by_index(index).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        found.push((entry.name().unwrap().into_owned(), bytes));
    }
    found
}

/// Type and payload of each message in an archive.
fn messages(path: &Path) -> Vec<(String, Value)> {
    let (_, text) = read_zip(path).into_iter().find(|(name, _)| name == "messages.json").unwrap();
    let line = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["type"].as_str().unwrap().to_owned(), line["payload"].clone())
    };
    String::from_utf8(text).unwrap().lines().map(line).collect()
}

/// Name, value, step and epoch of each metric in an archive.
fn metrics_in(path: &Path) -> Vec<(String, Value, Value)> {
    let metrics = messages(path).into_iter().filter(|(kind, _)| kind == "metric_msg").map(|(_, payload)| payload["metric"].clone());
    metrics
        .map(|metric| (metric["metricName"].as_str().unwrap().to_owned(), metric["metricValue"].clone(), metric["step"].clone()))
        .collect()
}

fn log_everything(logger: &mut CometLogger, file: &Path) {
    let params = Hyperparams::from_serialize(&json!({"lr": 0.1, "net": {"width": 32, "none": null}})).unwrap();
    logger.log_hyperparams(&params, &Metrics::new()).unwrap();
    logger.log_metrics(&[("loss", f64::from(0.1_f32)), ("epoch", 2.0), ("bad", f64::NAN)].into(), Some(3)).unwrap();
    logger.log_image("img", &Image::new(1, 1, 3, vec![1, 2, 3]).unwrap(), Some(4)).unwrap();
    logger.log_histogram("h", &Histogram::from_samples([1.0]).unwrap(), Some(5)).unwrap();
    logger.log_text("note", &Text::new("# hi"), Some(6)).unwrap();
    logger.log_audio("tone", &Audio::new(8000, 1, vec![0.0, 0.5]).unwrap(), Some(7)).unwrap();
    logger.log_figure("plot", &Figure::svg("<svg/>"), Some(8)).unwrap();
    logger.log_table("t", &Table::new(["a"]).row([json!(1)]).unwrap(), Some(9)).unwrap();
    logger.log_graph(&Graph::new([Node::new("net", "Linear")])).unwrap();
    logger.log_artifact(&Artifact::new(file).named("best model").kind("model").alias("best").metadata("score", 0.5)).unwrap();
    logger.log_artifact(&Artifact::new(file).in_folder("data")).unwrap();
    logger.log_other("k", 7).unwrap();
    logger.log_console(ConsoleStream::Stderr, "a line").unwrap();
}

#[test]
fn an_archive_holds_everything_and_its_folder_goes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.bin");
    fs_err::write(&file, b"weights").unwrap();
    let mut logger = offline(folder.path()).experiment_name("first").tag("a").prefix("pre");
    log_everything(&mut logger, &file);
    fs_err::remove_file(&file).unwrap();
    logger.finalize(Status::Success).unwrap();
    let archive = logger.archive().unwrap();
    drop(logger);
    assert_eq!(archive, folder.path().join(format!("{KEY}.zip")));
    assert!(!folder.path().join(KEY).exists());

    let found = read_zip(&archive);
    let experiment: Value = serde_json::from_slice(&found[0].1).unwrap();
    assert_eq!((&experiment["offline_id"], &experiment["tags"], &experiment["project_name"]), (&json!(KEY), &json!(["a"]), &json!("p")));
    let kinds: Vec<String> = messages(&archive).into_iter().map(|(kind, _)| kind).collect();
    let uploads = ["file_upload"; 6];
    let mut expected =
        vec!["log_other", "log_other", "log_other", "parameter_msg", "parameter_msg", "parameter_msg", "metric_msg", "metric_msg"];
    expected.extend(uploads);
    expected.extend(["graph", "file_upload", "file_upload", "log_other", "standard_output"]);
    assert_eq!(kinds, expected);
    assert_eq!(metrics_in(&archive), [("pre_loss".into(), json!(0.1), json!(3)), ("pre_bad".into(), json!("NaN"), json!(3))]);
    for (_, payload) in messages(&archive).iter().filter(|(kind, _)| kind == "file_upload") {
        let name = payload["file_path"].as_str().unwrap();
        let (_, bytes) = found.iter().find(|(found, _)| found == name).unwrap();
        let kind = payload["upload_type"].as_str().unwrap();
        if kind == "model-element" {
            assert_eq!(payload["additional_params"]["groupingName"], "best model");
            assert_eq!(payload["metadata"], json!({"score": 0.5, "aliases": ["best"]}));
            assert_eq!(bytes, b"weights");
        }
    }
}

#[test]
fn a_killed_run_can_be_packed_and_continued_as_if_it_never_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut killed = offline(folder.path());
    killed.log_metrics(&[("loss", 1.0)].into(), Some(0)).unwrap();
    let position = killed.position().unwrap();
    killed.log_metrics(&[("loss", 0.5)].into(), Some(1)).unwrap();
    killed.save().unwrap();
    // A kill runs no destructor.
    std::mem::forget(killed);
    let messages = folder.path().join(KEY).join("messages.json");
    let mut torn = fs_err::read(&messages).unwrap();
    torn.extend(b"{\"type\":\"metric_msg\",\"pay");
    fs_err::write(&messages, torn).unwrap();
    let archive = CometLogger::pack(folder.path().join(KEY)).unwrap();
    assert_eq!(metrics_in(&archive), [("loss".into(), json!(1.0), json!(0)), ("loss".into(), json!(0.5), json!(1))]);
    fs_err::remove_file(&archive).unwrap();

    let mut continued = CometLogger::new().offline(true).save_dir(folder.path());
    continued.open().unwrap();
    let drawn = folder.path().join(continued.key());
    continued.resume(position.clone()).unwrap();
    assert!(!drawn.exists());
    assert_eq!(continued.version(), KEY);
    continued.log_metrics(&[("loss", 0.25)].into(), Some(1)).unwrap();
    continued.finalize(Status::Success).unwrap();
    // A test after the fit.
    continued.log_metrics(&[("test_loss", 2.0)].into(), Some(2)).unwrap();
    continued.finalize(Status::Failed).unwrap();
    drop(continued);
    let expected =
        [("loss".into(), json!(1.0), json!(0)), ("loss".into(), json!(0.25), json!(1)), ("test_loss".into(), json!(2.0), json!(2))];
    assert_eq!(metrics_in(&archive), expected);
    let names = messages_named(&archive, "Created from");
    assert_eq!(names, 1);

    // Only the archive is left, and the run continues from it.
    let mut again = CometLogger::new().offline(true).save_dir(folder.path());
    again.resume(position).unwrap();
    again.log_metrics(&[("loss", 0.125)].into(), Some(1)).unwrap();
    again.finalize(Status::Success).unwrap();
    assert_eq!(metrics_in(&archive), [("loss".into(), json!(1.0), json!(0)), ("loss".into(), json!(0.125), json!(1))]);
}

fn messages_named(archive: &Path, key: &str) -> usize {
    messages(archive).iter().filter(|(_, payload)| payload["key"] == key).count()
}

fn body(request: &Received) -> Value {
    if request.header("content-encoding") == Some("gzip") {
        let mut text = String::new();
        flate2::read::GzDecoder::new(request.body.as_slice()).read_to_string(&mut text).unwrap();
        return serde_json::from_str(&text).unwrap();
    }
    request.json()
}

/// Name and step of every metric on the server.
fn got(server: &TestServer) -> Vec<(String, u64)> {
    let mut metrics = Vec::new();
    for request in server.received().iter().filter(|request| request.path.ends_with("experiment/metric")) {
        for value in body(request)["values"].as_array().unwrap() {
            metrics.push((value["metricName"].as_str().unwrap().to_owned(), value["step"].as_u64().unwrap()));
        }
    }
    metrics
}

#[test]
fn a_server_gets_the_requests_of_comets_own_client() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.bin");
    fs_err::write(&file, b"weights").unwrap();
    let server = server();
    let mut logger = online(folder.path(), &server.address).tag("a").experiment_name("first");
    logger.open().unwrap();
    assert!(server.received().is_empty(), "nothing is sent before there is something to say");
    log_everything(&mut logger, &file);
    logger.finalize(Status::Failed).unwrap();
    let delivery = logger.delivery().unwrap();
    assert_eq!((delivery.spooled, delivery.refused), (0, 0));

    let received = server.received();
    assert!(received.iter().all(|request| request.header("authorization") == Some(API_KEY)));
    let paths: Vec<&str> = received.iter().map(|request| request.path.split('?').next().unwrap()).collect();
    insta::assert_snapshot!(paths.join("\n"), @"
    /clientlib/logger/add/run
    /clientlib/status-report/update
    /clientlib/tags/add-tags-to-experiment
    /api/rest/v2/write/experiment/log-other
    /api/rest/v2/write/experiment/log-other
    /api/rest/v2/write/experiment/log-other
    /clientlib/batch/logger/experiment/parameter
    /clientlib/batch/logger/experiment/metric
    /clientlib/visualizations/upload
    /clientlib/asset/upload
    /clientlib/asset/upload
    /clientlib/asset/upload
    /clientlib/visualizations/upload
    /clientlib/asset/upload
    /api/rest/v2/write/experiment/graph
    /clientlib/asset/upload
    /clientlib/asset/upload
    /api/rest/v2/write/experiment/log-other
    /clientlib/rest/v2/write/experiment/output
    /api/rest/v2/write/experiment/update-status
    /clientlib/status-report/update
    ");
    let metrics = body(&received[7]);
    assert_eq!(metrics["experimentKey"], KEY);
    let mut first = metrics["values"][0].clone();
    first["timestamp"] = json!(0);
    assert_eq!(first, json!({"metricName": "loss", "metricValue": 0.1, "step": 3, "epoch": 2, "context": null, "timestamp": 0}));
    let model = &received[15];
    assert!(model.path.contains(&format!("?experimentId={KEY}&projectId=p1&apiKey={API_KEY}&assetId=")), "{}", model.path);
    assert!(
        model.path.contains("&fileName=model.bin&groupingName=best%20model&overwrite=False&runId=r1&type=model-element"),
        "{}",
        model.path
    );
    let form = String::from_utf8(model.body.clone()).unwrap();
    let boundary = model.header("content-type").unwrap().split_once("boundary=").unwrap().1;
    let part = |name: &str, text: &str| format!("--{boundary}\r\nContent-Disposition: form-data; name={name}\r\n\r\n{text}\r\n");
    let metadata = part("\"metadata\"", r#"{"score":0.5,"aliases":["best"]}"#);
    assert_eq!(form, format!("{}{metadata}--{boundary}--\r\n", part("\"file\"; filename=\"file\"", "weights")));
    assert_eq!(body(received.last().unwrap())["is_alive"], false);
    drop(logger);
    assert!(!folder.path().join(".stormfire/comet").join(KEY).exists());
}

#[test]
fn a_continued_run_sends_nothing_twice_and_what_was_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = server();
    let mut killed = online(folder.path(), &server.address);
    killed.log_metrics(&[("loss", 0.0), ("epoch", 4.0)].into(), Some(0)).unwrap();
    let position = killed.position().unwrap();
    killed.log_metrics(&[("loss", 1.0), ("acc", 1.0)].into(), Some(1)).unwrap();
    killed.log_text("t", &Text::new("x"), Some(1)).unwrap();
    killed.finalize(Status::Interrupted).unwrap();
    server.down();
    killed.log_metrics(&[("loss", 2.0)].into(), Some(2)).unwrap();
    killed.save().unwrap();
    drop(killed);
    server.up();

    let mut continued = CometLogger::new().api_key(API_KEY).server(&server.address).project("p").save_dir(folder.path());
    continued.open().unwrap();
    continued.resume(position).unwrap();
    assert_eq!(continued.version(), KEY);
    for step in 1..4 {
        continued.log_metrics(&[("loss", step as f64), ("acc", 1.0)].into(), Some(step)).unwrap();
    }
    continued.log_text("t", &Text::new("x"), Some(1)).unwrap();
    continued.finalize(Status::Success).unwrap();
    let expected = [("loss", 0), ("loss", 1), ("acc", 1), ("loss", 2), ("acc", 2), ("loss", 3), ("acc", 3)];
    assert_eq!(got(&server), expected.map(|(name, step)| (name.to_owned(), step)));
    let uploads = server.received().iter().filter(|request| request.path.contains("text-sample")).count();
    assert_eq!(uploads, 1);
}

#[test]
fn the_server_hears_of_the_run_until_it_has_ended() {
    let server = server();
    let to = online(Path::new(""), &server.address).facts().unwrap().destination();
    let mut carrier = CometCarrier::new(to, API_KEY.into());
    carrier.idle().unwrap();
    assert!(server.received().is_empty(), "no run was requested yet");
    let said = |server: &TestServer| {
        let received = server.received();
        let status = received.iter().filter(|request| request.path.ends_with("status-report/update"));
        status.map(|request| request.json()["is_alive"] == true).collect::<Vec<_>>()
    };
    let metric = [Message::metric("loss".to_owned(), 1.0, Some(1), None, 1)];
    carrier.deliver(&metric).unwrap();
    carrier.idle().unwrap();
    assert_eq!(said(&server), [true, true]);
    carrier.deliver(&[Message::ended(Status::Success)]).unwrap();
    carrier.idle().unwrap();
    assert_eq!(said(&server), [true, true, false]);
    // A test after the fit.
    carrier.deliver(&metric).unwrap();
    assert_eq!(said(&server), [true, true, false, true]);
}

#[test]
fn a_wrong_key_loses_nothing_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(|request| (401, json!({"msg": format!("no account has {}", request.json()["apiKey"])})));
    let mut logger = online(folder.path(), &server.address).strict(true);
    logger.patience = Duration::ZERO.into();
    logger.log_metrics(&[("loss", 0.0)].into(), Some(0)).unwrap();
    logger.log_image("img", &Image::new(1, 1, 1, vec![1]).unwrap(), Some(4)).unwrap();
    let error = logger.finalize(Status::Success).unwrap_err();
    let mut carrier = CometCarrier::new(logger.facts().unwrap().destination(), API_KEY.into());
    let failure = carrier.deliver(&[Message::ended(Status::Success)]).unwrap_err();
    assert!(matches!(failure, Failure::Retry { .. }), "{failure:?}");
    let text = format!("{error} {error:?} {failure:?} {logger:?} {}", logger.position().unwrap());
    assert!(text.contains("status 401") && text.contains("COMET_API_KEY"), "{text}");
    assert!(!text.contains(API_KEY), "{text}");
    assert_eq!(logger.delivery().unwrap().delivered, 0);
    drop(logger);
    let mut open = vec![folder.path().to_owned()];
    let mut files = 0;
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(fs_err::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        files += 1;
        let bytes = fs_err::read(&path).unwrap();
        assert!(!bytes.windows(API_KEY.len()).any(|window| window == API_KEY.as_bytes()), "{}", path.display());
    }
    assert!(files >= 3, "records, a note and an image");
}

#[test]
fn a_missing_key_and_a_wrong_id_fail_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = CometLogger::new().offline(false).save_dir(folder.path()).project("p");
    logger.api_key = None;
    let error = logger.open().unwrap_err();
    assert_eq!(error.to_string(), "logger `p` needs an API key");
    insta::assert_snapshot!(error.hint().unwrap(), @"set `COMET_API_KEY`, or make an archive with `offline(true)`");
    let error = offline(folder.path()).experiment_key("short").open().unwrap_err();
    assert_eq!(error.to_string(), "`CometLogger::experiment_key`: the Comet experiment key `short` is not 32 to 50 letters and digits");
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
}

/// Comet's own client checks only the status of most answers. The answer with the identity of the run must be Comet's
/// in any case.
#[test]
fn a_server_that_only_has_a_status_gets_everything_and_a_proxy_nothing() {
    let known = |path: &str| ["/add/run", "/status-report/update"].iter().any(|end| path.ends_with(end));
    for body in [Value::Null, json!("ok"), json!([])] {
        let odd = body.clone();
        let server = TestServer::start(move |request| match request.path.as_str() {
            "/clientlib/logger/add/run" => (200, json!({"runId": "r1", "project_id": "p1"})),
            path if known(path) => (200, json!({})),
            _ => (200, odd.clone()),
        });
        let folder = tempfile::tempdir().unwrap();
        let mut logger = online(folder.path(), &server.address);
        logger.patience = Duration::from_mins(1).into();
        log_everything(&mut logger, &{
            let file = folder.path().join("model.bin");
            fs_err::write(&file, b"weights").unwrap();
            file
        });
        logger.finalize(Status::Success).unwrap();
        let delivery = logger.delivery().unwrap();
        assert_eq!((delivery.spooled, delivery.refused), (0, 0), "{body}");
        // Only the first request was repeated.
        let others: Vec<_> = server.received().into_iter().filter(|request| !known(&request.path)).collect();
        let same_as_first = |request: &&Received| request.path == others[0].path && request.body == others[0].body;
        assert_eq!(others.iter().filter(same_as_first).count(), 2, "{body}");
        assert_eq!(got(&server).into_iter().filter(|(name, _)| name == "loss").count(), 1, "{body}");
    }
    // A proxy that replaces the whole server, or some answers.
    for is_known in [true, false] {
        let proxy = TestServer::start(move |request| match request.path.as_str() {
            "/clientlib/logger/add/run" if is_known => (200, json!({"runId": "r1", "project_id": "p1"})),
            _ => (200, Value::Null),
        });
        let to = online(Path::new(""), &proxy.address).facts().unwrap().destination();
        let mut carrier = CometCarrier::new(to, API_KEY.into());
        for _ in 0..3 {
            let failure = carrier.deliver(&[Message::metric("loss".to_owned(), 1.0, Some(1), None, 1)]).unwrap_err();
            assert!(matches!(failure, Failure::Retry { .. }), "{failure:?}");
        }
    }
    // It is called during a run: the server is asked, and is unreachable.
    let server = server();
    let to = online(Path::new(""), &server.address).facts().unwrap().destination();
    let mut carrier = CometCarrier::new(to, API_KEY.into());
    let metric = [Message::metric("loss".to_owned(), 1.0, Some(1), None, 1)];
    carrier.deliver(&metric).unwrap();
    let strange = crate::network::test_server::Fault::Page("text/plain", "ok");
    server.fail(std::iter::repeat_n(strange, 6));
    for _ in 0..3 {
        assert!(matches!(carrier.deliver(&metric), Err(Failure::Retry { .. })));
    }
    carrier.deliver(&metric).unwrap();
    assert_eq!(got(&server).len(), 2);
}
