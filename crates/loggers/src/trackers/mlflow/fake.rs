//! A test server with the answers and limits of MLflow.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::Logger;
use crate::network::test_server::{Received, TestServer};
use crate::trackers::tracker_tests::Tracker;

#[derive(Debug, Clone, Default)]
pub(super) struct Run {
    pub(super) experiment: String,
    pub(super) status: String,
    pub(super) end: Option<u64>,
    /// Key, value and step, in the order of arrival.
    pub(super) metrics: Vec<(String, Value, u64)>,
    pub(super) params: BTreeMap<String, String>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) artifacts: BTreeMap<String, Vec<u8>>,
    /// Maximum number of characters in a parameter.
    pub(super) longest: Option<usize>,
    times: Vec<(String, u64, u64, String)>,
}

impl Run {
    pub(super) fn steps(&self, key: &str) -> Vec<u64> {
        self.metrics.iter().filter(|(known, _, _)| known == key).map(|(_, _, step)| *step).collect()
    }
}

#[derive(Default)]
pub(super) struct State {
    pub(super) experiments: Vec<String>,
    pub(super) runs: Vec<Run>,
    /// The required authorization, if any.
    pub(super) authorization: Option<String>,
    /// Accepts files with an empty answer, as MLflow 3 does.
    pub(super) is_silent: bool,
    /// Files that are answered and not kept, as by a proxy.
    pub(super) swallows: bool,
    /// The answer to every request, in place of the server's.
    pub(super) instead: Option<Value>,
}

pub(crate) struct Fake {
    pub(super) http: TestServer,
    state: Arc<Mutex<State>>,
}

impl Fake {
    pub(super) fn start() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let http = TestServer::start(move |request| {
            let mut state = shared.lock().unwrap();
            if state.authorization.is_some() && request.header("authorization") != state.authorization.as_deref() {
                return (401, json!({"message": format!("who is {:?}?", request.header("authorization"))}));
            }
            state.instead.clone().map_or_else(|| state.answer(request), |answer| (200, answer))
        });
        Self { http, state }
    }

    pub(super) fn with<R>(&self, look: impl FnOnce(&mut State) -> R) -> R {
        look(&mut self.state.lock().unwrap())
    }

    /// Returns the only run.
    pub(super) fn run(&self) -> Run {
        self.with(|state| {
            assert_eq!(state.runs.len(), 1);
            state.runs[0].clone()
        })
    }
}

impl Tracker for Fake {
    const NAME: &'static str = "mlflow";
    const KEY: (&'static str, &'static str) = ("MLFLOW_TRACKING_TOKEN", "token-7");

    fn start() -> Self {
        let fake = Self::start();
        fake.with(|state| state.authorization = Some("Bearer token-7".to_owned()));
        fake
    }

    fn http(&self) -> &TestServer {
        &self.http
    }

    fn logger_at(&self, address: &str, folder: &Path, patience: Duration) -> Box<dyn Logger> {
        let logger = super::tests::logger(self, folder).tracking_uri(address);
        Box::new(logger.bearer_token("token-7").patience(patience))
    }

    fn steps(&self) -> Vec<u64> {
        assert_eq!(self.with(|state| state.experiments.len()), 1);
        let run = self.run();
        assert_eq!(run.status, "FINISHED");
        run.steps("loss")
    }

    fn images(&self) -> usize {
        self.run().artifacts.keys().filter(|name| name.starts_with("images/") && !name.contains("compressed")).count()
    }
}

fn error(status: u16, code: &str, message: &str) -> (u16, Value) {
    (status, json!({"error_code": code, "message": message}))
}

fn invalid(message: &str) -> (u16, Value) {
    error(400, "INVALID_PARAMETER_VALUE", message)
}

impl State {
    fn answer(&mut self, request: &Received) -> (u16, Value) {
        let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
        let body = request.json();
        if let Some(path) = path.strip_prefix("/api/2.0/mlflow-artifacts/artifacts") {
            return if request.method == "GET" { self.list(query) } else { self.put(&path[1..], request) };
        }
        match (request.method.as_str(), path.strip_prefix("/api/2.0/mlflow/").unwrap_or(path)) {
            ("GET", "experiments/get-by-name") => self.experiment(query.strip_prefix("experiment_name=").unwrap()),
            ("GET", "experiments/get") => (200, json!({"experiment": {"experiment_id": query.strip_prefix("experiment_id=").unwrap()}})),
            ("POST", "experiments/create") => {
                self.experiments.push(body["name"].as_str().unwrap().to_owned());
                (200, json!({"experiment_id": self.experiments.len().to_string()}))
            }
            ("POST", "runs/create") => self.create(&body),
            ("POST", "runs/search") => {
                let filter = body["filter"].as_str().unwrap();
                let id = filter.strip_prefix("tags.`stormfire.id` = '").unwrap().trim_end_matches('\'');
                let found = self.runs.iter().position(|run| run.tags.get("stormfire.id").is_some_and(|known| known == id));
                (200, found.map_or_else(|| json!({}), |at| json!({"runs": [self.shown(at)]})))
            }
            ("GET", "runs/get") => match self.at(query.strip_prefix("run_id=").unwrap()) {
                Some(at) => (200, json!({"run": self.shown(at)})),
                None => error(404, "RESOURCE_DOES_NOT_EXIST", "Run not found"),
            },
            ("POST", method @ ("runs/log-batch" | "runs/update")) => match self.at(body["run_id"].as_str().unwrap()) {
                None => error(404, "RESOURCE_DOES_NOT_EXIST", "Run not found"),
                Some(at) if method == "runs/update" => {
                    self.runs[at].status = body["status"].as_str().unwrap().to_owned();
                    self.runs[at].end = body["end_time"].as_u64();
                    (200, json!({"run_info": {"status": body["status"]}}))
                }
                Some(_) if request.body.len() > 1_000_000 => invalid("too long"),
                Some(at) => self.runs[at].log(&body),
            },
            _ => (404, json!({})),
        }
    }

    fn experiment(&self, name: &str) -> (u16, Value) {
        let name = name.replace("%20", " ");
        match self.experiments.iter().position(|known| *known == name) {
            Some(at) => (200, json!({"experiment": {"experiment_id": (at + 1).to_string(), "lifecycle_stage": "active"}})),
            None => error(404, "RESOURCE_DOES_NOT_EXIST", "Could not find experiment"),
        }
    }

    fn create(&mut self, body: &Value) -> (u16, Value) {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let tags = body["tags"].as_array().unwrap().iter().map(|tag| (text(&tag["key"]), text(&tag["value"]))).collect();
        self.runs.push(Run { experiment: text(&body["experiment_id"]), status: "RUNNING".to_owned(), tags, ..Run::default() });
        (200, json!({"run": self.shown(self.runs.len() - 1)}))
    }

    fn at(&self, id: &str) -> Option<usize> {
        id.strip_prefix("run-")?.parse().ok().filter(|at| *at < self.runs.len())
    }

    fn shown(&self, at: usize) -> Value {
        let experiment = &self.runs[at].experiment;
        let uri = format!("mlflow-artifacts:/{experiment}/run-{at}/artifacts");
        let last: BTreeMap<&String, u64> = self.runs[at].metrics.iter().map(|(key, _, step)| (key, *step)).collect();
        let metrics: Vec<Value> = last.iter().map(|(key, step)| json!({"key": key, "value": 0.0, "timestamp": 1, "step": step})).collect();
        let info = json!({"run_id": format!("run-{at}"), "experiment_id": experiment, "artifact_uri": uri});
        json!({"info": info, "data": {"metrics": metrics}})
    }

    fn put(&mut self, path: &str, request: &Received) -> (u16, Value) {
        assert_eq!(request.method, "PUT");
        let (_, path) = path.split_once('/').unwrap();
        let (run, path) = path.split_once("/artifacts/").unwrap();
        let at = self.at(run).unwrap();
        if !self.swallows {
            self.runs[at].artifacts.insert(path.to_owned(), request.body.clone());
        }
        (200, if self.is_silent { Value::Null } else { json!({}) })
    }

    /// The files of a folder, whose names and sizes are as in MLflow 3.17. The names of the tests need no decoding.
    fn list(&self, query: &str) -> (u16, Value) {
        let (_, path) = query.strip_prefix("path=").unwrap().split_once('/').unwrap();
        let (run, folder) = path.split_once("/artifacts").unwrap();
        let folder = folder.trim_start_matches('/');
        let files = self.runs[self.at(run).unwrap()].artifacts.iter().filter_map(|(path, bytes)| {
            let (of, name) = path.rsplit_once('/').unwrap_or(("", path));
            (of == folder).then(|| json!({"path": name, "is_dir": false, "file_size": bytes.len()}))
        });
        (200, json!({"files": files.collect::<Vec<_>>()}))
    }
}

impl Run {
    fn log(&mut self, body: &Value) -> (u16, Value) {
        let list = |name: &str| body[name].as_array().cloned().unwrap_or_default();
        let (metrics, params, tags) = (list("metrics"), list("params"), list("tags"));
        if metrics.len() + params.len() + tags.len() > 1000 || params.len() > 100 || tags.len() > 100 {
            return invalid("A batch logging request can contain at most 1000 values");
        }
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        for param in &params {
            if self.longest.is_some_and(|longest| text(&param["value"]).chars().count() > longest) {
                return invalid("Param value exceeds the maximum length");
            }
            if self.params.get(&text(&param["key"])).is_some_and(|known| *known != text(&param["value"])) {
                return invalid(&format!("Changing param values is not allowed. Param with key='{}'", text(&param["key"])));
            }
        }
        self.params.extend(params.iter().map(|param| (text(&param["key"]), text(&param["value"]))));
        self.tags.extend(tags.iter().map(|tag| (text(&tag["key"]), text(&tag["value"]))));
        for metric in metrics {
            let (key, step) = (text(&metric["key"]), metric["step"].as_u64().unwrap());
            // The database stores each of these only once.
            let same = (key.clone(), metric["timestamp"].as_u64().unwrap(), step, metric["value"].to_string());
            if !self.times.contains(&same) {
                self.times.push(same);
                self.metrics.push((key, metric["value"].clone(), step));
            }
        }
        (200, json!({}))
    }
}
