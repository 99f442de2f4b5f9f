use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::network::test_server::{Received, TestServer};
use crate::trackers::tracker_tests::Tracker;

/// The behaviour of trackio's own server, as far as the logger needs it.
#[derive(Clone, Default)]
struct Trackio {
    known: Arc<Mutex<HashSet<String>>>,
    /// Step and values of each row.
    rows: Arc<Mutex<Vec<(u64, Value)>>>,
    config: Arc<Mutex<Value>>,
    /// The paths of media, as in the rows.
    media: Arc<Mutex<Vec<String>>>,
    /// Number of requests that discard uploads, as a restart does.
    forgets: Arc<Mutex<u32>>,
}

const TOKEN: &str = "token-Zq81";

impl Trackio {
    fn start(&self) -> TestServer {
        let this = self.clone();
        TestServer::start(move |request| this.answer(request))
    }

    fn answer(&self, request: &Received) -> (u16, Value) {
        if request.header("x-trackio-write-token") != Some(TOKEN) {
            return (400, json!({"error": format!("no: {:?}", request.headers)}));
        }
        match request.path.as_str() {
            "/api/upload" => {
                let files = String::from_utf8_lossy(&request.body).matches("filename=").count();
                (200, json!({"paths": (0..files).map(|file| format!("upload-{file}")).collect::<Vec<_>>()}))
            }
            "/api/bulk_upload_media" => self.place(&request.json()["uploads"]),
            "/api/bulk_log" => self.log(&request.json()["logs"]),
            _ => (404, json!({"error": "no such function"})),
        }
    }

    fn place(&self, uploads: &Value) -> (u16, Value) {
        let mut forgets = self.forgets.lock().unwrap();
        if *forgets > 0 {
            *forgets -= 1;
            return (400, json!({"error": "Uploaded file was not created by this Trackio server."}));
        }
        for upload in uploads.as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let place =
                [text(&upload["project"]), text(&upload["run"]), upload["step"].to_string(), text(&upload["uploaded_file"]["orig_name"])];
            self.media.lock().unwrap().push(place.join("/"));
        }
        (200, json!({"data": null}))
    }

    fn log(&self, logs: &Value) -> (u16, Value) {
        let logs = logs.as_array().unwrap();
        if let Some(log) = logs.iter().find(|log| !log["config"].is_null()) {
            *self.config.lock().unwrap() = log["config"].clone();
        }
        for log in logs {
            if self.known.lock().unwrap().insert(log["log_id"].as_str().unwrap().to_owned()) {
                self.rows.lock().unwrap().push((log["step"].as_u64().unwrap(), log["metrics"].clone()));
            }
        }
        (200, json!({"data": null}))
    }

    fn rows(&self) -> Vec<(u64, Value)> {
        self.rows.lock().unwrap().clone()
    }
}

pub(crate) struct Server(Trackio, TestServer);

impl Tracker for Server {
    const NAME: &'static str = "trackio";
    const KEY: (&'static str, &'static str) = ("TRACKIO_WRITE_TOKEN", TOKEN);

    fn start() -> Self {
        let trackio = Trackio::default();
        let server = trackio.start();
        Self(trackio, server)
    }

    fn http(&self) -> &TestServer {
        &self.1
    }

    fn logger_at(&self, address: &str, folder: &Path, patience: Duration) -> Box<dyn Logger> {
        Box::new(logger(&self.1, folder).server_url(address).patience(patience))
    }

    fn steps(&self) -> Vec<u64> {
        self.0.rows().into_iter().filter(|(_, values)| values.get("loss").is_some()).map(|(step, _)| step).collect()
    }

    fn images(&self) -> usize {
        self.0.media.lock().unwrap().iter().collect::<HashSet<_>>().len()
    }
}

fn logger(server: &TestServer, folder: &Path) -> TrackioLogger {
    TrackioLogger::new().server_url(&server.address).token(TOKEN).project("p").run("r").save_dir(folder)
}

fn params(key: &str, value: f64) -> Hyperparams {
    let mut params = Hyperparams::new();
    params.insert(key, value).unwrap();
    params
}

#[test]
fn a_continued_run_is_the_same_run_and_has_nothing_twice() {
    let log = |logger: &mut TrackioLogger, steps: std::ops::Range<u64>| {
        for step in steps {
            logger.log_metrics(&[("loss", step as f64)].into(), Some(step / 2)).unwrap();
            if step % 4 == 1 {
                logger.log_image("img", &Image::new(1, 1, 1, vec![7]).unwrap(), Some(step / 2)).unwrap();
            }
        }
    };
    let uninterrupted = Trackio::default();
    {
        let (server, folder) = (uninterrupted.start(), tempfile::tempdir().unwrap());
        let mut logger = logger(&server, folder.path());
        logger.log_hyperparams(&params("lr", 0.1), &Metrics::new()).unwrap();
        log(&mut logger, 0..30);
        logger.finalize(Status::Success).unwrap();
    }
    // Three cases of what came after the checkpoint: the server has it or not, and the spool exists or not (a new
    // machine).
    for (reached, is_spool_missing) in [(true, false), (false, false), (true, true)] {
        let trackio = Trackio::default();
        let (server, folder) = (trackio.start(), tempfile::tempdir().unwrap());
        let mut killed = logger(&server, folder.path());
        killed.log_hyperparams(&params("lr", 0.1), &Metrics::new()).unwrap();
        log(&mut killed, 0..11);
        let position = killed.position().unwrap().to_string();
        if reached {
            log(&mut killed, 11..20);
            killed.outbox().unwrap().settle().unwrap();
        } else {
            killed.outbox().unwrap().settle().unwrap();
            server.down();
            log(&mut killed, 11..20);
            killed.save().unwrap();
        }
        drop(killed);
        server.up();
        if is_spool_missing {
            fs_err::remove_dir_all(folder.path().join(".stormfire")).unwrap();
        }

        let mut continued = TrackioLogger::new().server_url(&server.address).token(TOKEN).project("p").save_dir(folder.path());
        continued.open().unwrap();
        continued.resume(serde_json::from_str(&position).unwrap()).unwrap();
        assert_eq!(continued.version(), "r");
        continued.log_hyperparams(&params("lr", 0.1), &Metrics::new()).unwrap();
        log(&mut continued, 11..30);
        continued.finalize(Status::Success).unwrap();
        assert_eq!(trackio.rows(), uninterrupted.rows(), "reached: {reached}, spool is missing: {is_spool_missing}");
        let ids: HashSet<String> = server.received().iter().flat_map(|request| run_ids(&request.json())).collect();
        assert_eq!(ids.len(), 1);
    }
}

fn run_ids(body: &Value) -> Vec<String> {
    let logs = body["logs"].as_array().cloned().unwrap_or_default();
    logs.iter().map(|log| log["run_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn another_project_than_the_checkpoints_is_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let server = Trackio::default().start();
    let position = logger(&server, folder.path()).position().unwrap();
    for (project, run) in [("q", "r"), ("p", "s")] {
        let mut other = logger(&server, folder.path()).project(project).run(run);
        let id = other.run.id.clone();
        other.resume(position.clone()).unwrap();
        assert_eq!((other.name(), other.version().as_str(), &other.run.id), (project, run, &id));
    }
}

#[test]
fn files_are_there_before_the_rows_that_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let trackio = Trackio::default();
    *trackio.forgets.lock().unwrap() = 1;
    let server = trackio.start();
    let mut logger = logger(&server, folder.path());
    logger.log_metrics(&[("loss", 1.0)].into(), None).unwrap();
    logger.log_image("val/img", &Image::new(1, 1, 1, vec![7]).unwrap(), Some(4)).unwrap();
    logger.log_audio("tone", &Audio::new(8000, 1, vec![0.5; 4]).unwrap(), None).unwrap();
    logger.log_figure("plot", &Figure::svg("<svg/>"), Some(5)).unwrap();
    logger.log_text("note", &Text::new("# hi"), Some(5)).unwrap();
    logger.finalize(Status::Success).unwrap();
    let media =
        [(4, "val/img", "image", "000000-val_img.png"), (5, "tone", "audio", "000001-tone.wav"), (5, "plot", "html", "000002-plot.html")];
    let media = media.map(|(step, tag, kind, name)| {
        let path = format!("p/r/{step}/{name}");
        assert!(trackio.media.lock().unwrap().contains(&path), "{path}");
        (step, json!({tag: {"_type": format!("trackio.{kind}"), "file_path": path, "caption": null}}))
    });
    let note = (5, json!({"note": {"_type": "trackio.markdown", "_value": "# hi"}}));
    let mut expected = media.to_vec();
    expected.extend([note, (0, json!({"loss": 1.0}))]);
    assert_eq!(trackio.rows(), expected);
    // The form, byte by byte except for the boundary.
    let request = server.received().into_iter().find(|request| request.path == "/api/upload").unwrap();
    let boundary = request.header("content-type").unwrap().strip_prefix("multipart/form-data; boundary=").unwrap();
    let body = String::from_utf8_lossy(&request.body).replace(boundary, "B");
    assert!(body.starts_with("--B\r\nContent-Disposition: form-data; name=\"files\"; filename=\"000000-val_img.png\"\r\n\r\n"), "{body}");
    assert!(body.ends_with("</html>\r\n--B--\r\n"), "{body}");
}

#[test]
fn the_last_configuration_counts_with_rows_and_without() {
    let folder = tempfile::tempdir().unwrap();
    let trackio = Trackio::default();
    let server = trackio.start();
    let mut logger = logger(&server, folder.path()).group("g");
    logger.log_hyperparams(&params("a", 1.0), &[("hp_metric", -1.0)].into()).unwrap();
    for step in 0..2 {
        logger.log_metrics(&[("x", 1.0)].into(), Some(step)).unwrap();
        logger.log_hyperparams(&params("b", step as f64), &Metrics::new()).unwrap();
    }
    logger.log_hyperparams(&params("c", 3.0), &Metrics::new()).unwrap();
    logger.finalize(Status::Success).unwrap();
    assert_eq!(*trackio.config.lock().unwrap(), json!({"a": 1.0, "b": 1.0, "c": 3.0, "_Group": "g"}));
    logger.log_hyperparams(&params("d", 4.0), &Metrics::new()).unwrap();
    logger.finalize(Status::Success).unwrap();
    assert_eq!(trackio.config.lock().unwrap()["d"], 4.0);
    assert_eq!(trackio.rows().len(), 2);

    let alone = Trackio::default();
    let server = alone.start();
    let mut logger = super::tests::logger(&server, folder.path());
    logger.log_hyperparams(&params("a", 1.0), &Metrics::new()).unwrap();
    logger.finalize(Status::Success).unwrap();
    assert_eq!((alone.config.lock().unwrap()["a"].clone(), alone.rows()), (json!(1.0), vec![(0, json!({}))]));
}

#[test]
fn a_token_is_nowhere_to_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let server = TestServer::start(|request| (400, json!({"error": format!("{:?}", request.headers)})));
    let url = format!("{}/?project=x&write_token={TOKEN}#a", server.address);
    let mut logger = TrackioLogger::new().server_url(url).save_dir(folder.path()).strict(true);
    let mut texts = vec![format!("{logger:?}")];
    logger.log_hyperparams(&params("lr", 0.1), &Metrics::new()).unwrap();
    logger.log_metrics(&[("loss", 1.0)].into(), Some(0)).unwrap();
    let position = logger.position().unwrap();
    let error = logger.finalize(Status::Success).unwrap_err();
    assert!(error.to_string().contains("bulk_log: status 400"), "{error}");
    assert_eq!(server.received()[0].header("x-trackio-write-token"), Some(TOKEN));
    texts.extend([error.to_string(), format!("{error:?}"), format!("{logger:?}"), position.to_string()]);
    let mut folders = vec![folder.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                texts.push(fs_err::read_to_string(path).unwrap());
            }
        }
    }
    assert!(texts.len() > 5);
    assert!(texts.iter().all(|text| !text.contains(TOKEN)), "{texts:?}");
    assert!(texts[0].contains("[secret]"), "{texts:?}");
}

#[test]
fn a_token_that_is_refused_in_words_is_waited_out() {
    let folder = tempfile::tempdir().unwrap();
    let text = "A write_token is required to log metrics or upload to this server. Use the write-access URL from trackio.show()";
    let server = TestServer::start(move |_| (400, json!({"error": text})));
    let mut logger = logger(&server, folder.path()).patience(Duration::ZERO);
    logger.log_metrics(&[("loss", 1.0)].into(), Some(0)).unwrap();
    logger.finalize(Status::Success).unwrap();
    while server.received().len() < 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(logger.delivery().unwrap().refused, 0);
}

#[test]
fn a_login_in_the_address_is_sent_with_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let server = Trackio::default().start();
    let host = server.address.strip_prefix("http://").unwrap();
    let mut logger = TrackioLogger::new().server_url(format!("http://me:pass@{host}/?write_token={TOKEN}")).save_dir(folder.path());
    assert!(!format!("{logger:?}").contains("pass"));
    logger.log_metrics(&[("loss", 1.0)].into(), Some(0)).unwrap();
    logger.finalize(Status::Success).unwrap();
    let received = server.received().pop().unwrap();
    assert_eq!((received.header("authorization"), received.header("x-trackio-write-token")), (Some("Basic bWU6cGFzcw=="), Some(TOKEN)));
}

#[test]
fn a_server_must_be_named() {
    let error = TrackioLogger::new().open().unwrap_err();
    assert_eq!(error.to_string(), "logger `trackio` needs the address of a server");
    insta::assert_snapshot!(error.hint().unwrap(), @"give a `server_url` or set `TRACKIO_SERVER_URL`; `trackio show` starts a server");
    let space = TrackioLogger::new().space("My.Team/a_space").destination().unwrap();
    assert_eq!(space.server(), "https://my-team-a-space.hf.space");
}
