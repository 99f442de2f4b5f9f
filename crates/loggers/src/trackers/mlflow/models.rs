//! Models in the format of MLflow's pages and its Python client.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{Error, Result};

/// The tag of a run that lists its models.
pub(super) const TAG: &str = "mlflow.log-model.history";
/// The file that identifies a folder as a model.
pub(super) const FILE: &str = "MLmodel";

/// The description of a model, for the file and the tag. `data` is the name of the model's file in the folder.
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

/// Adds a model to the models of the run. It replaces one in the same folder.
pub(super) fn add(all: &mut Vec<Value>, model: Value) {
    all.retain(|known| known["artifact_path"] != model["artifact_path"]);
    all.push(model);
}
