//! The precision and recall of a binary classifier, for `TensorBoard`'s page of them.

use prost::Message;

use super::event::{Data, Metadata, Tensor};
use crate::PrCurve;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PluginData {
    #[prost(int32, tag = "1")]
    pub(crate) version: i32,
    #[prost(uint32, tag = "2")]
    pub(crate) num_thresholds: u32,
}

/// The curve in `TensorBoard`'s format. Its rows are true and false positives, true and false negatives, precision and
/// recall.
pub(super) fn encode(curve: &PrCurve) -> (Metadata, Data) {
    let (precision, recall) = (curve.precision(), curve.recall());
    let rows = curve.counts().iter().chain([&precision, &recall]);
    let values = rows.flatten().map(|value| *value as f32).collect();
    let plugin_data = PluginData { version: 0, num_thresholds: u32::try_from(curve.thresholds()).unwrap_or(u32::MAX) };
    let metadata = Metadata::tensor("pr_curves", plugin_data.encode_to_vec());
    (metadata, Data::Tensor(Tensor::floats(&[6, curve.thresholds()], values)))
}
