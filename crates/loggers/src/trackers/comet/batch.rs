//! Requests with many values, in the form of Comet's own client.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};
use serde_json::Value;

use super::message::Message;

/// A request with many values.
#[derive(Serialize)]
pub(super) struct Batch<'a> {
    #[serde(rename = "experimentKey")]
    pub(super) key: &'a str,
    #[serde(flatten)]
    pub(super) values: Values<'a>,
}

pub(super) enum Values<'a> {
    Metrics(Vec<MetricValue<'a>>),
    Parameters(Vec<ParameterValue<'a>>),
    Output(Vec<OutputLine<'a>>),
}

impl Values<'_> {
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Metrics(values) => values.len(),
            Self::Parameters(values) => values.len(),
            Self::Output(lines) => lines.len(),
        }
    }
}

impl Serialize for Values<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match self {
            Self::Metrics(values) => map.serialize_entry("values", values)?,
            Self::Parameters(values) => map.serialize_entry("values", values)?,
            Self::Output(lines) => {
                map.serialize_entry("outputLines", lines)?;
                map.serialize_entry("runContext", &())?;
            }
        }
        map.end()
    }
}

#[derive(Serialize)]
pub(super) struct MetricValue<'a> {
    #[serde(rename = "metricName")]
    name: &'a str,
    #[serde(rename = "metricValue")]
    value: &'a Value,
    step: Option<u64>,
    epoch: Option<i64>,
    context: (),
    timestamp: u64,
}

#[derive(Serialize)]
pub(super) struct ParameterValue<'a> {
    #[serde(rename = "parameterName")]
    name: &'a str,
    #[serde(rename = "parameterValue")]
    value: &'a Value,
    step: Option<u64>,
    source: &'a str,
    context: (),
    timestamp: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OutputLine<'a> {
    stderr: bool,
    output: &'a str,
    local_timestamp: u64,
    offset: u64,
}

pub(super) fn metrics(records: &[Message]) -> Vec<MetricValue<'_>> {
    fn value(record: &Message) -> Option<MetricValue<'_>> {
        match record {
            Message::MetricMsg { local_timestamp, metric, .. } => Some(MetricValue {
                name: &metric.name,
                value: &metric.value,
                step: metric.step,
                epoch: metric.epoch,
                context: (),
                timestamp: *local_timestamp,
            }),
            _ => None,
        }
    }
    records.iter().map_while(value).collect()
}

pub(super) fn parameters(records: &[Message]) -> Vec<ParameterValue<'_>> {
    fn value(record: &Message) -> Option<ParameterValue<'_>> {
        match record {
            Message::ParameterMsg { local_timestamp, param, .. } => Some(ParameterValue {
                name: &param.name,
                value: &param.value,
                step: param.step,
                source: &param.source,
                context: (),
                timestamp: *local_timestamp,
            }),
            _ => None,
        }
    }
    records.iter().map_while(value).collect()
}

pub(super) fn output(records: &[Message]) -> Vec<OutputLine<'_>> {
    fn line(record: &Message) -> Option<OutputLine<'_>> {
        match record {
            Message::StandardOutput { local_timestamp, output, stderr, message_id } => {
                Some(OutputLine { stderr: *stderr, output, local_timestamp: *local_timestamp, offset: *message_id })
            }
            _ => None,
        }
    }
    records.iter().map_while(line).collect()
}
