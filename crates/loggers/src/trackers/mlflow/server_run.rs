//! The run on the server: how it is to be made, and what is known of it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Result;
use crate::network::http::{Client, percent};
use crate::network::outbox::{Failure, Route as _};

/// Finds a run whose making was cut off.
const ID_TAG: &str = "stormfire.id";

pub(super) const API: &str = "api/2.0/mlflow";

/// A run that the server has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) run_id: String,
    pub(super) experiment_id: String,
    pub(super) artifact_uri: String,
}

/// What a run is to be, and what has become of it. It lies beside the records that wait, so that another process can go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Chosen here, before the server has a name for the run.
    pub(super) id: String,
    pub(super) server: String,
    /// Whether the server was told who asks. Another process has to know it from its environment.
    pub(super) has_login: bool,
    pub(super) experiment: String,
    pub(super) artifact_location: Option<String>,
    pub(super) run_name: Option<String>,
    pub(super) tags: Vec<(String, String)>,
    pub(super) user: String,
    /// Milliseconds since 1970.
    pub(super) start: u64,
    /// A run that is there already.
    pub(super) existing: Option<String>,
    /// The run is continued: the server has to be asked what it has, since an answer may have been lost in a kill.
    pub(super) catches_up: bool,
    /// The last step of each metric that the server had then. Nothing up to there is sent again.
    pub(super) sent: BTreeMap<String, u64>,
    /// The server was asked to make the run.
    pub(super) asked: bool,
    pub(super) known: Option<Known>,
}

impl Note {
    /// Makes sure that the server has the run.
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
        // An answer that was lost may have told of a run.
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
            // A path that the server does not know has the same status, but no such text.
            Err(failure) if failure.status() == Some(404) && failure.reason().contains("RESOURCE_DOES_NOT_EXIST") => Ok(None),
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
