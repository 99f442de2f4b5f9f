//! The settings and state of a run on the server.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Result;
use crate::network::http::{Client, percent};
use crate::network::outbox::{Failure, Route as _};

/// A tag to find a run whose creation was interrupted.
const ID_TAG: &str = "stormfire.id";

pub(super) const API: &str = "api/2.0/mlflow";

/// A run that exists on the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) run_id: String,
    pub(super) experiment_id: String,
    pub(super) artifact_uri: String,
}

/// The settings and state of a run. It is stored next to the waiting records, so that another process can continue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Chosen by this process, before the server assigns an id to the run.
    pub(super) id: String,
    pub(super) server: String,
    /// Whether the run has credentials. Another process needs them in its environment.
    pub(super) has_login: bool,
    pub(super) experiment: String,
    pub(super) artifact_location: Option<String>,
    pub(super) run_name: Option<String>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) user: String,
    /// Milliseconds since 1970.
    pub(super) start: u64,
    /// The id of an existing run to log to.
    pub(super) existing: Option<String>,
    /// Whether the run is resumed. Then the state of the server is requested, because an answer may have been lost in a
    /// kill.
    pub(super) catches_up: bool,
    /// The last step of each metric that the server had at that time. Values up to it are not sent again.
    pub(super) sent: BTreeMap<String, u64>,
    /// Whether the creation of the run was requested.
    pub(super) asked: bool,
    pub(super) known: Option<Known>,
}

impl Note {
    /// Ensures that the run exists on the server.
    pub(super) fn ensure(&mut self, client: &Client, folder: &Path) -> Result<Known, Failure> {
        if let Some(known) = &self.known
            && !self.catches_up
        {
            return Ok(known.clone());
        }
        let there = self.known.as_ref().map(|known| &known.run_id).or(self.existing.as_ref());
        let mut run = match there {
            Some(id) => client.get(&format!("{API}/runs/get?run_id={}", percent(id)))?["run"].take(),
            None => self.make(client, folder)?,
        };
        let known = known(&run)?;
        if std::mem::take(&mut self.catches_up) {
            self.sent = last_steps(&run["data"]["metrics"].take());
        }
        self.known = Some(known.clone());
        self.save(folder).map_err(|error| Failure::retry(error.to_string()))?;
        Ok(known)
    }

    fn make(&mut self, client: &Client, folder: &Path) -> Result<Value, Failure> {
        let experiment = self.experiment_id(client)?;
        // A lost answer may have confirmed the creation of a run.
        if self.asked
            && let Some(run) = self.search(client, &experiment)?
        {
            return Ok(run);
        }
        self.asked = true;
        self.save(folder).map_err(|error| Failure::retry(error.to_string()))?;
        let tags = self.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).chain([(ID_TAG, self.id.as_str())]);
        let tags: Vec<Value> = tags.map(|(key, value)| json!({"key": key, "value": value})).collect();
        let mut body = json!({"experiment_id": experiment, "user_id": self.user, "start_time": self.start, "tags": tags});
        if let Some(name) = &self.run_name {
            body["run_name"] = name.as_str().into();
        }
        Ok(client.post_json(&format!("{API}/runs/create"), &body)?["run"].take())
    }

    fn search(&self, client: &Client, experiment: &str) -> Result<Option<Value>, Failure> {
        let filter = format!("tags.`{ID_TAG}` = '{}'", self.id);
        let body = json!({"experiment_ids": [experiment], "filter": filter, "max_results": 1});
        let mut answer = client.post_json(&format!("{API}/runs/search"), &body)?;
        Ok(answer["runs"].get_mut(0).map(Value::take))
    }

    fn experiment_id(&self, client: &Client) -> Result<String, Failure> {
        if let Some(id) = self.find_experiment(client)? {
            return Ok(id);
        }
        let mut body = json!({"name": self.experiment});
        if let Some(location) = &self.artifact_location {
            body["artifact_location"] = location.as_str().into();
        }
        match client.post_json(&format!("{API}/experiments/create"), &body) {
            Ok(answer) => text(&answer, "experiment_id"),
            // Another process was faster.
            Err(failure) if failure.status() == Some(400) => self.find_experiment(client)?.ok_or(failure),
            Err(failure) => Err(failure),
        }
    }

    fn find_experiment(&self, client: &Client) -> Result<Option<String>, Failure> {
        match client.get(&format!("{API}/experiments/get-by-name?experiment_name={}", percent(&self.experiment))) {
            Ok(answer) => {
                let experiment = &answer["experiment"];
                if experiment["lifecycle_stage"] == "deleted" {
                    let name = &self.experiment;
                    return Err(Failure::retry(format!("the experiment `{name}` is deleted; restore it or remove it for good")));
                }
                text(experiment, "experiment_id").map(Some)
            }
            // An unknown path has the same status, but not this error code.
            Err(failure) if failure.status() == Some(404) && failure.code() == Some("RESOURCE_DOES_NOT_EXIST") => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// The last step of each metric.
fn last_steps(metrics: &Value) -> BTreeMap<String, u64> {
    let metrics = metrics.as_array().into_iter().flatten();
    metrics.filter_map(|metric| Some((metric["key"].as_str()?.to_owned(), metric["step"].as_u64()?))).collect()
}

fn known(run: &Value) -> Result<Known, Failure> {
    let info = &run["info"];
    Ok(Known {
        run_id: text(info, "run_id")?,
        experiment_id: text(info, "experiment_id")?,
        artifact_uri: text(info, "artifact_uri").unwrap_or_default(),
    })
}

fn text(object: &Value, key: &str) -> Result<String, Failure> {
    object[key].as_str().map(str::to_owned).ok_or_else(|| Failure::retry(format!("the answer has no `{key}`; is this an MLflow server?")))
}
