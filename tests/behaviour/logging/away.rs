//! An unreachable tracking server does not slow down a fit.

use std::{net::TcpListener, path::Path, time::Duration};

use serde_json::Value;
use stormfire::{
    loggers::{MemoryLogger, MlflowLogger},
    prelude::*,
};

use crate::support::{Line, line_data, recording};

/// The waiting records below a folder, one per line.
pub(crate) fn spooled(folder: &Path) -> Vec<Value> {
    let mut records = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            records.extend(spooled(&path));
        } else if path.extension().is_some_and(|extension| extension == "jsonl") {
            let text = std::fs::read_to_string(&path).unwrap();
            records.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()));
        }
    }
    records
}

/// The server accepts connections and never answers, like one behind a broken proxy.
#[test]
fn an_unresponsive_server_does_not_slow_a_fit_and_its_records_wait() {
    let folder = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mlflow = MlflowLogger::new()
        .tracking_uri(format!("http://{}", silent.local_addr().unwrap()))
        .save_dir(folder.path())
        .patience(Duration::from_millis(100));
    let memory = MemoryLogger::new();
    let mut trainer = recording(&memory).max_epochs(3).logger(mlflow);
    let fit = trainer.fit(Line::new(), (line_data(80, 4), line_data(8, 4))).unwrap();
    assert_eq!((fit.stop, fit.progress.global_step), (Stop::MaxEpochs(3), 60));
    // Each value of the other logger also waits here.
    let records = spooled(&folder.path().join(".stormfire"));
    let mut waiting: Vec<(String, u64)> = Vec::new();
    for metrics in records.iter().filter_map(|record| record.get("metrics")) {
        let step = metrics["step"].as_u64().unwrap();
        waiting.extend(metrics["values"].as_array().unwrap().iter().map(|value| (value[0].as_str().unwrap().to_owned(), step)));
    }
    let logged: Vec<(String, u64)> = memory.rows().into_iter().map(|(name, _, step)| (name, step.unwrap())).collect();
    assert!(logged.len() > 3, "{logged:?}");
    assert_eq!(waiting, logged);
}
