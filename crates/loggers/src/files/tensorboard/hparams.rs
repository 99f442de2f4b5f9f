//! The messages of `TensorBoard`'s hparams tab.

use std::collections::BTreeMap;

use prost::{Enumeration, Message, Oneof};

use super::event::{Data, Metadata, Plugin, Tensor, Value};
use crate::{Hyperparams, Scalar, Status};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PluginData {
    #[prost(int32, tag = "1")]
    pub(crate) version: i32,
    #[prost(oneof = "Content", tags = "2, 3, 4")]
    pub(crate) content: Option<Content>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Content {
    #[prost(message, tag = "2")]
    Experiment(Experiment),
    #[prost(message, tag = "3")]
    Start(SessionStart),
    #[prost(message, tag = "4")]
    End(SessionEnd),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Experiment {
    #[prost(message, repeated, tag = "4")]
    pub(crate) params: Vec<ParamInfo>,
    #[prost(message, repeated, tag = "5")]
    pub(crate) metrics: Vec<MetricInfo>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ParamInfo {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(enumeration = "DataType", tag = "4")]
    pub(crate) data_type: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(crate) enum DataType {
    Unset = 0,
    String = 1,
    Bool = 2,
    Float64 = 3,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MetricInfo {
    #[prost(message, optional, tag = "1")]
    pub(crate) name: Option<MetricName>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MetricName {
    #[prost(string, tag = "2")]
    pub(crate) tag: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SessionStart {
    #[prost(btree_map = "string, message", tag = "1")]
    pub(crate) params: BTreeMap<String, ParamValue>,
    #[prost(double, tag = "5")]
    pub(crate) start_time: f64,
}

/// `google.protobuf.Value`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ParamValue {
    #[prost(oneof = "Kind", tags = "2, 3, 4")]
    pub(crate) kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Kind {
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    Text(String),
    #[prost(bool, tag = "4")]
    Bool(bool),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SessionEnd {
    #[prost(enumeration = "EndStatus", tag = "1")]
    pub(crate) status: i32,
    #[prost(double, tag = "2")]
    pub(crate) end_time: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(crate) enum EndStatus {
    Unknown = 0,
    Success = 1,
    Failure = 2,
}

/// The values that declare an experiment with these columns and start a session in it.
pub(super) fn start<'a>(params: &Hyperparams, metrics: impl Iterator<Item = &'a str>, now: f64) -> Vec<Value> {
    let mut infos = Vec::new();
    let mut values = BTreeMap::new();
    for (name, scalar) in params.flatten("/") {
        let (data_type, kind) = match scalar {
            Scalar::Bool(value) => (DataType::Bool, Kind::Bool(value)),
            Scalar::Int(value) => (DataType::Float64, Kind::Number(value as f64)),
            Scalar::Float(value) => (DataType::Float64, Kind::Number(value)),
            Scalar::Null | Scalar::Text(_) => (DataType::String, Kind::Text(scalar.to_string())),
        };
        infos.push(ParamInfo { name: name.clone(), data_type: data_type.into() });
        values.insert(name, ParamValue { kind: Some(kind) });
    }
    let metrics = metrics.map(|tag| MetricInfo { name: Some(MetricName { tag: tag.to_owned() }) }).collect();
    vec![
        value("_hparams_/experiment", Content::Experiment(Experiment { params: infos, metrics })),
        value("_hparams_/session_start_info", Content::Start(SessionStart { params: values, start_time: now })),
    ]
}

/// The value that ends the session.
pub(super) fn end(status: Status, now: f64) -> Value {
    let status = match status {
        Status::Success => EndStatus::Success,
        Status::Failed | Status::Interrupted => EndStatus::Failure,
    };
    value("_hparams_/session_end_info", Content::End(SessionEnd { status: status.into(), end_time: now }))
}

fn value(tag: &str, content: Content) -> Value {
    let content = PluginData { version: 0, content: Some(content) }.encode_to_vec();
    Value {
        tag: tag.to_owned(),
        metadata: Some(Metadata { plugin: Some(Plugin { name: "hparams".to_owned(), content }), data_class: 0 }),
        // Both of TensorBoard's loaders require a value. TensorBoard itself writes this one.
        data: Some(Data::Tensor(Tensor::floats(&[0], Vec::new()))),
    }
}
