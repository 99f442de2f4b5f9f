//! The messages for Comet: the lines of `messages.json`, and also the records of the outbox.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::network::outbox::Record;
use crate::parts::identity::now_ms;
use crate::parts::random::random_hex;
use crate::value::number;
use crate::{Scalar, Status};

/// A message in the format of Comet's own client. The last two variants are only for a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "payload", rename_all = "snake_case")]
pub(super) enum Message {
    MetricMsg { local_timestamp: u64, metric: Metric, message_id: u64 },
    ParameterMsg { local_timestamp: u64, param: Param, message_id: u64 },
    LogOther { key: String, value: Value, message_id: u64 },
    StandardOutput { local_timestamp: u64, output: String, stderr: bool, message_id: u64 },
    Graph { graph: String, message_id: u64 },
    FileUpload(Box<Upload>),
    Tags { tags: Vec<String> },
    Ended { error: Option<String>, crashed: bool },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Metric {
    #[serde(rename = "metricName")]
    pub(super) name: String,
    #[serde(rename = "metricValue")]
    pub(super) value: Value,
    pub(super) step: Option<u64>,
    pub(super) epoch: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Param {
    #[serde(rename = "paramName")]
    pub(super) name: String,
    #[serde(rename = "paramValue")]
    pub(super) value: Value,
    pub(super) source: String,
    pub(super) step: Option<u64>,
}

/// The kind of a file, with the names of Comet's own client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum FileKind {
    Asset,
    Audio,
    Histogram3d,
    /// A file of a model.
    ModelElement,
    TextSample,
    /// An image or a figure.
    Visualization,
}

/// A file of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Upload {
    /// In an archive, the name of an entry. Otherwise the path of the file: see [`Record::files`].
    pub(super) file_path: PathBuf,
    #[serde(rename = "upload_type")]
    pub(super) kind: FileKind,
    pub(super) local_timestamp: u64,
    pub(super) metadata: Map<String, Value>,
    /// Whether the file was created only for this message.
    pub(super) clean: bool,
    pub(super) additional_params: Map<String, Value>,
    pub(super) message_id: u64,
}

impl Record for Message {
    fn files(&mut self) -> Vec<&mut PathBuf> {
        match self {
            Self::FileUpload(upload) => vec![&mut upload.file_path],
            _ => Vec::new(),
        }
    }

    fn is_last(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

/// Name and step of a message that would be duplicated if it were sent again. All other messages replace their
/// predecessors.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    Metric(String, Option<u64>),
    File(FileKind, String, Option<u64>),
    Output(String),
}

impl Message {
    pub(super) fn metric(name: String, value: f64, step: Option<u64>, epoch: Option<i64>, message_id: u64) -> Self {
        let value = match value {
            _ if value.is_nan() => "NaN".into(),
            f64::INFINITY => "Infinity".into(),
            f64::NEG_INFINITY => "-Infinity".into(),
            _ => number::shortest(value).into(),
        };
        let metric = Metric { name, value, step, epoch };
        Self::MetricMsg { local_timestamp: now_ms(), metric, message_id }
    }

    pub(super) fn param(name: String, value: &Scalar, message_id: u64) -> Self {
        let value = match value {
            Scalar::Null => Value::Null,
            Scalar::Bool(value) => (*value).into(),
            Scalar::Int(value) => (*value).into(),
            Scalar::Float(value) => (*value).into(),
            Scalar::Text(value) => value.as_str().into(),
        };
        let param = Param { name, value, source: "manual".to_owned(), step: None };
        Self::ParameterMsg { local_timestamp: now_ms(), param, message_id }
    }

    pub(super) fn ended(status: Status) -> Self {
        match status {
            Status::Success => Self::Ended { error: None, crashed: false },
            Status::Failed => Self::Ended { error: Some("the run failed".to_owned()), crashed: true },
            Status::Interrupted => Self::Ended { error: Some("the run was interrupted".to_owned()), crashed: false },
        }
    }

    pub(super) fn identity(&self) -> Option<Identity> {
        match self {
            Self::MetricMsg { metric, .. } => Some(Identity::Metric(metric.name.clone(), metric.step)),
            Self::FileUpload(upload) => {
                let name = ["figName", "fileName"].iter().find_map(|key| upload.additional_params.get(*key)?.as_str());
                let step = upload.additional_params.get("step").and_then(Value::as_u64);
                Some(Identity::File(upload.kind, name.unwrap_or_default().to_owned(), step))
            }
            Self::StandardOutput { output, .. } => Some(Identity::Output(output.clone())),
            _ => None,
        }
    }
}

/// The properties of a file before it is stored.
#[derive(Debug, Clone)]
pub(super) struct FileNote {
    pub(super) kind: FileKind,
    pub(super) name: String,
    /// The model to which the file belongs.
    pub(super) group: Option<String>,
    pub(super) step: Option<u64>,
    pub(super) epoch: Option<i64>,
    pub(super) metadata: Map<String, Value>,
    /// Properties that only this kind has.
    pub(super) more: Map<String, Value>,
}

impl FileNote {
    pub(super) fn new(kind: FileKind, name: impl Into<String>, step: Option<u64>) -> Self {
        let (metadata, more) = (Map::new(), Map::new());
        Self { kind, name: name.into(), group: None, step, epoch: None, metadata, more }
    }

    pub(super) fn about(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.more.insert(key.to_owned(), value.into());
        self
    }

    pub(super) fn upload(self, file_path: PathBuf, clean: bool, message_id: u64) -> Message {
        let Self { kind, name, group, step, epoch, metadata, more } = self;
        let (id, title) = if kind == FileKind::Visualization { ("imageId", "figName") } else { ("assetId", "fileName") };
        let mut about = Map::new();
        about.insert(id.to_owned(), random_hex(32).into());
        about.insert("context".to_owned(), Value::Null);
        if let Some(epoch) = epoch.filter(|_| matches!(kind, FileKind::TextSample | FileKind::Histogram3d)) {
            about.insert("epoch".to_owned(), epoch.into());
        }
        if let Some(extension) = Path::new(&name).extension().and_then(|extension| extension.to_str()) {
            about.entry("extension").or_insert_with(|| extension.into());
        }
        about.insert(title.to_owned(), name.into());
        if let Some(group) = group {
            about.insert("groupingName".to_owned(), group.into());
        }
        about.insert("overwrite".to_owned(), false.into());
        about.insert("runId".to_owned(), Value::Null);
        about.insert("step".to_owned(), json!(step));
        if !matches!(kind, FileKind::Visualization | FileKind::Asset) {
            about.insert("type".to_owned(), json!(kind));
        }
        about.extend(more);
        Message::FileUpload(Box::new(Upload {
            file_path,
            kind,
            local_timestamp: now_ms(),
            metadata,
            clean,
            additional_params: about,
            message_id,
        }))
    }
}
