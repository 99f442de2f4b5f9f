//! A minimal W&B server that records what arrives. It stores lines by number, as W&B does.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

use crate::Logger;
use crate::network::test_server::{Received, TestServer};
use crate::trackers::tracker_tests::Tracker;

#[derive(Default)]
pub(super) struct Kept {
    /// Lines of each streamed file.
    pub(super) lines: BTreeMap<String, BTreeMap<u64, String>>,
    /// Uploaded files, by the end of their address.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) operations: Vec<(String, Value)>,
    pub(super) exit: Option<i64>,
    pub(super) heartbeats: usize,
    /// The state of the run in the server's answers.
    pub(super) bucket: Value,
}

pub(crate) struct Wandb {
    pub(super) server: TestServer,
    kept: Arc<Mutex<Kept>>,
}

impl Wandb {
    pub(super) fn start() -> Self {
        let kept = Arc::new(Mutex::new(Kept::default()));
        let inner = Arc::clone(&kept);
        let server = TestServer::start(move |request| (200, inner.lock().unwrap().answer(request)));
        Self { server, kept }
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap()
    }

    /// The values of a column, in the order of their lines, which have no gaps.
    pub(super) fn column(&self, name: &str) -> Vec<f64> {
        let kept = self.kept();
        let lines = &kept.lines["wandb-history.jsonl"];
        assert!(lines.keys().copied().eq(0..lines.len() as u64), "{:?}", lines.keys());
        lines.values().filter_map(|line| serde_json::from_str::<Value>(&line.replace("NaN", "null")).unwrap()[name].as_f64()).collect()
    }
}

impl Tracker for Wandb {
    const NAME: &'static str = "wandb";
    const KEY: (&'static str, &'static str) = ("WANDB_API_KEY", super::KEY);
    const HAS_STORE: bool = true;

    fn start() -> Self {
        Self::start()
    }

    fn http(&self) -> &TestServer {
        &self.server
    }

    fn logger_at(&self, address: &str, folder: &Path, patience: Duration) -> Box<dyn Logger> {
        let mut logger = super::logger(folder).base_url(address).api_key(super::KEY);
        logger.settings.patience = patience.into();
        Box::new(logger)
    }

    fn steps(&self) -> Vec<u64> {
        assert_eq!(self.kept().exit, Some(0));
        self.column("loss").into_iter().map(|loss| loss as u64).collect()
    }

    fn images(&self) -> usize {
        self.kept().files.keys().filter(|name| name.contains("media/images/")).count()
    }
}

impl Kept {
    fn answer(&mut self, request: &Received) -> Value {
        let body = request.json();
        let base = format!("http://{}", request.header("host").unwrap_or_default());
        if request.path.ends_with("file_stream") {
            assert_eq!(request.path, "/files/me/a%20project/run1/file_stream");
            self.heartbeats += usize::from(body == json!({}));
            for (name, chunk) in body["files"].as_object().into_iter().flatten() {
                let file = self.lines.entry(name.clone()).or_default();
                for (line, text) in (chunk["offset"].as_u64().unwrap()..).zip(chunk["content"].as_array().unwrap()) {
                    file.insert(line, text.as_str().unwrap().to_owned());
                }
            }
            if body["complete"] == true {
                self.exit = body["exitcode"].as_i64();
            }
            return json!({"exitcode": null, "limits": {}});
        }
        if request.method == "PUT" {
            assert_eq!((request.header("authorization"), request.header("content-type")), (None, None));
            self.files.insert(request.path.clone(), request.body.clone());
            return json!({});
        }
        let name = body["operationName"].as_str().unwrap().to_owned();
        let variables = &body["variables"];
        let place = |name: &Value| format!("{base}/{}?signature=x", name.as_str().unwrap());
        let data = match name.as_str() {
            "RunResumeStatus" => json!({"model": {"bucket": self.bucket}}),
            "UpsertBucket" => {
                let project = json!({"name": variables["project"], "entity": {"name": "me"}});
                json!({"upsertBucket": {"bucket": {"id": "b", "name": variables["name"], "project": project}, "inserted": true}})
            }
            "CreateRunFiles" => {
                let files = variables["files"].as_array().unwrap().iter().map(|file| json!({"name": file, "uploadUrl": place(file)}));
                json!({"createRunFiles": {"uploadHeaders": ["x-test: 1"], "files": files.collect::<Vec<_>>()}})
            }
            "CreateArtifact" => json!({"createArtifact": {"artifact": {"id": "a1", "state": "PENDING"}}}),
            "CreateArtifactManifest" => {
                let file = json!({"id": "f", "uploadUrl": place(&variables["name"]), "uploadHeaders": []});
                json!({"createArtifactManifest": {"artifactManifest": {"id": "m1", "file": file}}})
            }
            "CreateArtifactFiles" => {
                let files = variables["input"]["artifactFiles"].as_array().unwrap();
                let edge = |file: &Value| json!({"node": {"uploadUrl": place(&file["name"]), "uploadHeaders": null}});
                json!({"createArtifactFiles": {"files": {"edges": files.iter().map(edge).collect::<Vec<_>>()}}})
            }
            "CommitArtifact" => json!({"commitArtifact": {"artifact": {"id": "a1"}}}),
            other => panic!("{other}"),
        };
        self.operations.push((name, variables.clone()));
        json!({"data": data})
    }
}
