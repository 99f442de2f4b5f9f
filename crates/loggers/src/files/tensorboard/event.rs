//! The messages of `TensorBoard` that this crate writes. The field numbers are those of its `.proto` files.

use prost::{Message, Oneof};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub(crate) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(crate) step: i64,
    #[prost(oneof = "What", tags = "3, 4, 5, 7")]
    pub(crate) what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// A serialized [`super::graph::GraphDef`].
    #[prost(bytes = "vec", tag = "4")]
    GraphDef(Vec<u8>),
    #[prost(message, tag = "5")]
    Summary(Summary),
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SessionLog {
    /// 1 is START: values of this and later steps that were read before are discarded.
    #[prost(int32, tag = "1")]
    pub(crate) status: i32,
    #[prost(string, tag = "3")]
    pub(crate) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(crate) values: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Value {
    #[prost(string, tag = "1")]
    pub(crate) tag: String,
    #[prost(message, optional, tag = "9")]
    pub(crate) metadata: Option<Metadata>,
    #[prost(oneof = "Data", tags = "2, 4, 5, 6, 8")]
    pub(crate) data: Option<Data>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Data {
    #[prost(float, tag = "2")]
    Scalar(f32),
    #[prost(message, tag = "4")]
    Image(Image),
    #[prost(message, tag = "5")]
    Histogram(Histogram),
    #[prost(message, tag = "6")]
    Audio(Audio),
    #[prost(message, tag = "8")]
    Tensor(Tensor),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub(crate) plugin: Option<Plugin>,
    /// 2 is a tensor. `TensorBoard` fills the field in only for plugins that are older than the field.
    #[prost(int32, tag = "4")]
    pub(crate) data_class: i32,
}

impl Metadata {
    /// The metadata for a plugin whose values are tensors.
    pub(crate) fn tensor(plugin: &str, content: Vec<u8>) -> Self {
        Self { plugin: Some(Plugin { name: plugin.to_owned(), content }), data_class: 2 }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Plugin {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) content: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Image {
    #[prost(int32, tag = "1")]
    pub(crate) height: i32,
    #[prost(int32, tag = "2")]
    pub(crate) width: i32,
    /// 1 grey, 3 RGB, 4 RGBA.
    #[prost(int32, tag = "3")]
    pub(crate) colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) png: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Histogram {
    #[prost(double, tag = "1")]
    pub(crate) min: f64,
    #[prost(double, tag = "2")]
    pub(crate) max: f64,
    #[prost(double, tag = "3")]
    pub(crate) num: f64,
    #[prost(double, tag = "4")]
    pub(crate) sum: f64,
    #[prost(double, tag = "5")]
    pub(crate) sum_squares: f64,
    /// The upper bounds.
    #[prost(double, repeated, tag = "6")]
    pub(crate) limits: Vec<f64>,
    #[prost(double, repeated, tag = "7")]
    pub(crate) counts: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Audio {
    /// Frames per second.
    #[prost(float, tag = "1")]
    pub(crate) sample_rate: f32,
    #[prost(int64, tag = "2")]
    pub(crate) channels: i64,
    #[prost(int64, tag = "3")]
    pub(crate) frames: i64,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) encoded: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(crate) content_type: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Tensor {
    /// 1 is float, 7 is string.
    #[prost(int32, tag = "1")]
    pub(crate) dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub(crate) shape: Option<Shape>,
    #[prost(float, repeated, tag = "5")]
    pub(crate) floats: Vec<f32>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(crate) strings: Vec<Vec<u8>>,
}

impl Tensor {
    /// Floats of this shape, in row-major order.
    pub(crate) fn floats(shape: &[usize], floats: Vec<f32>) -> Self {
        Self { dtype: 1, shape: Some(Shape::new(shape)), floats, strings: Vec::new() }
    }

    /// One string, as a tensor without dimensions.
    pub(crate) fn string(bytes: Vec<u8>) -> Self {
        Self { dtype: 7, shape: Some(Shape::new(&[])), floats: Vec::new(), strings: vec![bytes] }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Shape {
    #[prost(message, repeated, tag = "2")]
    pub(crate) dims: Vec<Dim>,
}

impl Shape {
    fn new(sizes: &[usize]) -> Self {
        Self { dims: sizes.iter().map(|size| Dim { size: i64::try_from(*size).unwrap_or(i64::MAX) }).collect() }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Dim {
    #[prost(int64, tag = "1")]
    pub(crate) size: i64,
}
