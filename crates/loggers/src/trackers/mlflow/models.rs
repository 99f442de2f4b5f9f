//! Models as MLflow's pages and its Python client know them.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Error, Result};

/// The tag of a run that lists its models.
pub(super) const TAG: &str = "mlflow.log-model.history";
/// The file that makes a folder a model.
pub(super) const FILE: &str = "MLmodel";

/// What is said of a model, in the file and in the tag. `data` is the file in the folder that holds it.
pub(super) fn describe(folder: &str, data: &str) -> Value {
    json!({
        "artifact_path": folder,
        "flavors": {"stormfire": {"data": data, "stormfire_version": env!("CARGO_PKG_VERSION")}},
        "utc_time_created": Timestamp::now().strftime("%Y-%m-%d %H:%M:%S.%6f").to_string(),
    })
}

/// The content of the file.
pub(super) fn file(model: &Value) -> Result<String> {
    serde_saphyr::to_string(model).map_err(Error::other)
}

/// Adds a model to the others of the run, in the place of one in the same folder.
pub(super) fn add(all: &mut Vec<Value>, model: Value) {
    all.retain(|known| known["artifact_path"] != model["artifact_path"]);
    all.push(model);
}
