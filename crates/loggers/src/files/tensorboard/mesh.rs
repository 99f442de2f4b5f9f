//! Point clouds and meshes.

use prost::Message;

use super::event::{Data, Metadata, Tensor};
use crate::{Error, Result};

#[derive(Clone, PartialEq, Message)]
pub(crate) struct PluginData {
    #[prost(int32, tag = "1")]
    pub(crate) version: i32,
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    /// 1: vertices, 2: faces, 3: colors.
    #[prost(int32, tag = "3")]
    pub(crate) content_type: i32,
    #[prost(string, tag = "5")]
    pub(crate) json_config: String,
    #[prost(int32, repeated, tag = "6")]
    pub(crate) shape: Vec<i32>,
    /// The existing parts: the sum of 2^type over them.
    #[prost(uint32, tag = "7")]
    pub(crate) components: u32,
}

/// The scene configuration. `TensorBoard`'s default camera is so close that only flat objects fit. Its default points
/// have a fixed size that is too small for most clouds.
fn config(vertices: &[[f32; 3]], has_faces: bool) -> String {
    let camera = r#""camera": {"cls": "PerspectiveCamera", "fov": 20}"#;
    if has_faces {
        return format!("{{{camera}}}");
    }
    let extent = |axis: usize| {
        let values = vertices.iter().map(|vertex| vertex[axis]).filter(|value| value.is_finite());
        let (low, high) = values.fold((f32::MAX, f32::MIN), |(low, high), value| (low.min(value), high.max(value)));
        high - low
    };
    let size = [0, 1, 2].map(extent).into_iter().fold(0.0, f32::max) / 25.0;
    if size > 0.0 && size.is_finite() {
        format!(r#"{{{camera}, "material": {{"cls": "PointsMaterial", "size": {size}}}}}"#)
    } else {
        format!("{{{camera}}}")
    }
}

/// A part of a mesh: the suffix of its tag, its metadata, and its numbers.
pub(super) type Part = (&'static str, Metadata, Data);

/// The parts of a mesh. Each part gets a separate tag.
pub(super) fn encode(name: &str, vertices: &[[f32; 3]], colors: Option<&[[u8; 3]]>, faces: Option<&[[u32; 3]]>) -> Result<Vec<Part>> {
    /// Above this limit, neighbouring indices map to the same `f32`.
    const LARGEST: usize = 1 << 24;
    if vertices.is_empty() || vertices.len() > LARGEST {
        return Err(invalid(format!("{} vertices, expected 1 to {LARGEST}", vertices.len())));
    }
    if let Some(colors) = colors.filter(|colors| colors.len() != vertices.len()) {
        return Err(invalid(format!("{} colors for {} vertices", colors.len(), vertices.len())));
    }
    if let Some(index) = faces.into_iter().flatten().flatten().find(|index| **index as usize >= vertices.len()) {
        return Err(invalid(format!("a face refers to vertex {index} of {}", vertices.len())));
    }
    let config = config(vertices, faces.is_some());
    let vertices = Some((1, "VERTEX", vertices.as_flattened().to_vec()));
    let faces = faces.map(|faces| (2, "FACE", faces.as_flattened().iter().map(|index| *index as f32).collect::<Vec<_>>()));
    let colors = colors.map(|colors| (3, "COLOR", colors.as_flattened().iter().copied().map(f32::from).collect::<Vec<_>>()));
    let parts: Vec<_> = [vertices, faces, colors].into_iter().flatten().collect();
    let components = parts.iter().map(|(content_type, ..)| 1 << content_type).sum();
    let part = |(content_type, end, numbers): (i32, &'static str, Vec<f32>)| {
        let shape = [1, numbers.len() / 3, 3];
        let plugin_data = PluginData {
            version: 0,
            name: name.to_owned(),
            content_type,
            json_config: config.clone(),
            shape: shape.iter().map(|size| i32::try_from(*size).unwrap_or(i32::MAX)).collect(),
            components,
        };
        (end, Metadata::tensor("mesh", plugin_data.encode_to_vec()), Data::Tensor(Tensor::floats(&shape, numbers)))
    };
    Ok(parts.into_iter().map(part).collect())
}

fn invalid(reason: String) -> Error {
    Error::InvalidMedia { what: "mesh", reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_do_not_fit_together_are_refused() {
        let text = |vertices: &[[f32; 3]], colors: Option<&[[u8; 3]]>, faces: Option<&[[u32; 3]]>| {
            encode("", vertices, colors, faces).unwrap_err().to_string()
        };
        assert_eq!(text(&[], None, None), "invalid mesh: 0 vertices, expected 1 to 16777216");
        assert_eq!(text(&[[0.0; 3]], Some(&[]), None), "invalid mesh: 0 colors for 1 vertices");
        assert_eq!(text(&[[0.0; 3]], None, Some(&[[0, 0, 1]])), "invalid mesh: a face refers to vertex 1 of 1");
    }

    #[test]
    fn points_are_as_large_as_the_cloud_wants_them() {
        let config = config(&[[0.0, f32::NAN, 1.0], [150.0, 0.0, 2.0]], false);
        assert_eq!(serde_json::from_str::<serde_json::Value>(&config).unwrap()["material"]["size"], 6);
        assert!(!self::config(&[[1.0; 3]], false).contains("size"));
        assert!(!self::config(&[[0.0; 3], [1.0; 3]], true).contains("size"));
    }

    #[test]
    fn every_part_names_all_parts() {
        let vertices = [[0.0, 0.5, 1.0], [2.0; 3], [3.0; 3]];
        let parts = encode("m", &vertices, Some(&[[255, 0, 7]; 3]), Some(&[[0, 1, 2]])).unwrap();
        let about = |(end, metadata, data): &Part| {
            let plugin = metadata.plugin.clone().unwrap();
            let about = PluginData::decode(&plugin.content[..]).unwrap();
            let Data::Tensor(tensor) = data else { panic!("{data:?}") };
            (*end, about.content_type, about.components, about.shape, tensor.floats[..3].to_vec())
        };
        let expected = [
            ("VERTEX", 1, 14, vec![1, 3, 3], vec![0.0, 0.5, 1.0]),
            ("FACE", 2, 14, vec![1, 1, 3], vec![0.0, 1.0, 2.0]),
            ("COLOR", 3, 14, vec![1, 3, 3], vec![255.0, 0.0, 7.0]),
        ];
        assert_eq!(parts.iter().map(about).collect::<Vec<_>>(), expected);
    }
}
