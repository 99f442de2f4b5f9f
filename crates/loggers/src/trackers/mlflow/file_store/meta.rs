//! The `meta.yaml` of experiments and runs.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use stormfire_store::replacement::Replacement;

use crate::names::inside;
use crate::trackers::mlflow::tracking_uri::file_uri;
use crate::{Error, Result};

pub(super) const META: &str = "meta.yaml";
/// The experiment that MLflow requires.
const DEFAULT: (&str, &str) = ("0", "Default");

/// Writes keys and values. A value is JSON, which is valid YAML, so that no string is parsed as a number.
pub(super) fn write(folder: &Path, meta: &Value) -> Result<()> {
    let mut file = Replacement::new(&folder.join(META))?;
    for (key, value) in meta.as_object().into_iter().flatten() {
        writeln!(file, "{key}: {value}")?;
    }
    file.commit()?;
    Ok(())
}

/// Returns `None` if the file is missing or invalid.
pub(super) fn read(folder: &Path) -> Option<Value> {
    serde_saphyr::from_str(&fs_err::read_to_string(folder.join(META)).ok()?).ok()
}

/// A string. It may have been written without quotes and look like a number.
pub(super) fn text(meta: &Value, key: &str) -> Option<String> {
    match &meta[key] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The id and artifact location of an experiment. It is created if it does not exist.
pub(super) fn experiment(root: &Path, name: &str, location: Option<&str>, now: u64) -> Result<(String, String)> {
    fs_err::create_dir_all(root)?;
    ensure(root, DEFAULT.0, DEFAULT.1, None, now)?;
    let mut known = Vec::new();
    for entry in fs_err::read_dir(root)? {
        let folder = entry?.path();
        if let Some(meta) = read(&folder)
            && let Some(id) = folder.file_name().and_then(|id| id.to_str())
        {
            if text(&meta, "name").as_deref() == Some(name) && meta["lifecycle_stage"] != "deleted" {
                return Ok((id.to_owned(), location_of(&meta, &folder)));
            }
            known.push(id.to_owned());
        }
    }
    // The number depends only on the name, so that two processes that create the experiment at the same time choose the
    // same number.
    let mut id = number_of(name);
    while known.contains(&id.to_string()) {
        id += 1;
    }
    let id = id.to_string();
    let meta = ensure(root, &id, name, location, now)?;
    Ok((id.clone(), location_of(&meta, &root.join(id))))
}

fn ensure(root: &Path, id: &str, name: &str, location: Option<&str>, now: u64) -> Result<Value> {
    let folder = root.join(id);
    if let Some(meta) = read(&folder) {
        return Ok(meta);
    }
    fs_err::create_dir_all(&folder)?;
    let meta = json!({
        "artifact_location": location.map_or_else(|| file_uri(&folder), str::to_owned),
        "creation_time": now,
        "experiment_id": id,
        "last_update_time": now,
        "lifecycle_stage": "active",
        "name": name,
    });
    write(&folder, &meta)?;
    Ok(meta)
}

fn location_of(meta: &Value, folder: &Path) -> String {
    text(meta, "artifact_location").unwrap_or_else(|| file_uri(folder))
}

/// A number with eighteen digits, as MLflow's own ids.
fn number_of(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    100_000_000_000_000_000 + hash % 900_000_000_000_000_000
}

/// The experiment that contains a run.
pub(super) fn experiment_of(root: &Path, run: &str) -> Result<String> {
    inside("run", run)?;
    for entry in fs_err::read_dir(root)? {
        let folder = entry?.path();
        if folder.join(run).join(META).is_file()
            && let Some(id) = folder.file_name().and_then(|id| id.to_str())
        {
            return Ok(id.to_owned());
        }
    }
    Err(Error::RunGone { folder: root.join("*").join(run) })
}
