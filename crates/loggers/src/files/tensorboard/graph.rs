//! The structure of the model as a `GraphDef` of `TensorFlow`, for the graph dashboard.

use std::collections::BTreeMap;

use prost::{Message, Oneof};

use crate::Graph;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GraphDef {
    #[prost(message, repeated, tag = "1")]
    pub(crate) nodes: Vec<NodeDef>,
    #[prost(message, optional, tag = "4")]
    pub(crate) versions: Option<Versions>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Versions {
    #[prost(int32, tag = "1")]
    pub(crate) producer: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct NodeDef {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) op: String,
    #[prost(string, repeated, tag = "3")]
    pub(crate) inputs: Vec<String>,
    #[prost(btree_map = "string, message", tag = "5")]
    pub(crate) attributes: BTreeMap<String, Attribute>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Attribute {
    #[prost(oneof = "AttributeValue", tags = "2")]
    pub(crate) value: Option<AttributeValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum AttributeValue {
    #[prost(bytes = "vec", tag = "2")]
    Bytes(Vec<u8>),
}

/// Encodes the graph. The dashboard draws nodes with a common prefix up to a `/` as one expandable node.
pub(super) fn encode(graph: &Graph) -> Vec<u8> {
    let node = |node: &crate::Node| NodeDef {
        name: node.name.clone(),
        op: node.op.clone(),
        inputs: node.inputs.clone(),
        attributes: node.attributes.iter().map(|(key, value)| (key.clone(), attribute(value))).collect(),
    };
    // The version of the format since 2017. Torch writes the same.
    let graph = GraphDef { nodes: graph.nodes().iter().map(node).collect(), versions: Some(Versions { producer: 22 }) };
    graph.encode_to_vec()
}

fn attribute(value: &str) -> Attribute {
    Attribute { value: Some(AttributeValue::Bytes(value.as_bytes().to_vec())) }
}
