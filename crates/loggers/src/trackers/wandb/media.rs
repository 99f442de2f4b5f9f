//! Media as files next to the rows that refer to them.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use stormfire_store::names;

use super::artifact::hex;
use crate::{Audio, Figure, FigureFormat, Graph, Histogram, Image, Result, Table, Text};

/// The limit of W&B.
const MAX_BINS: usize = 512;

/// A file that a row refers to.
#[derive(Debug)]
pub(super) struct Media {
    kind: &'static str,
    folder: &'static str,
    extension: &'static str,
    pub(super) bytes: Vec<u8>,
    known: Map<String, Value>,
    sha256: String,
}

impl Media {
    fn new(kind: &'static str, folder: &'static str, extension: &'static str, bytes: Vec<u8>) -> Self {
        let sha256 = hex(&Sha256::digest(&bytes));
        Self { kind, folder, extension, bytes, known: Map::new(), sha256 }
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.known.insert(key.to_owned(), value.into());
        self
    }

    fn png(bytes: Vec<u8>, width: u32, height: u32) -> Self {
        Self::new("image-file", "images", "png", bytes).with("format", "png").with("width", width).with("height", height)
    }

    pub(super) fn image(image: &Image) -> Result<Self> {
        Ok(Self::png(image.to_png()?, image.width(), image.height()))
    }

    /// W&B does not show SVG images, but a browser shows them as a page.
    pub(super) fn figure(figure: &Figure) -> Self {
        let bytes = figure.bytes().to_vec();
        match figure.format() {
            FigureFormat::Png => {
                // These are the first fields of the first chunk.
                let field = |at: usize| bytes.get(at..at + 4).and_then(|field| field.try_into().ok()).map_or(0, u32::from_be_bytes);
                let (width, height) = (field(16), field(20));
                Self::png(bytes, width, height)
            }
            FigureFormat::Svg => Self::new("html-file", "html", "html", bytes),
        }
    }

    /// The Markdown source on a page, because W&B has no text type.
    pub(super) fn text(text: &Text) -> Self {
        let escaped = text.markdown.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        let page = format!("<meta charset=\"utf-8\"><pre style=\"white-space: pre-wrap\">{escaped}</pre>");
        Self::new("html-file", "html", "html", page.into_bytes())
    }

    pub(super) fn audio(audio: &Audio) -> Result<Self> {
        Ok(Self::new("audio-file", "audio", "wav", audio.to_wav()?))
    }

    pub(super) fn table(table: &Table) -> Self {
        let content = json!({"columns": table.columns(), "data": table.rows()});
        Self::new("table-file", "table", "table.json", content.to_string().into_bytes())
            .with("ncols", table.columns().len())
            .with("nrows", table.rows().len())
            .with("log_mode", "IMMUTABLE")
    }

    pub(super) fn graph(graph: &Graph) -> Self {
        let nodes = graph.nodes().iter().map(|node| {
            let mut shown = json!({"name": node.name, "id": node.name, "class_name": node.op});
            for (key, value) in &node.attributes {
                shown[key] = value.as_str().into();
            }
            shown
        });
        let nodes: Vec<Value> = nodes.collect();
        let edges: Vec<Value> =
            graph.nodes().iter().flat_map(|node| node.inputs.iter().map(move |input| json!([input, node.name]))).collect();
        let content = json!({"format": "keras", "nodes": nodes, "edges": edges});
        Self::new("graph-file", "graph", "graph.json", content.to_string().into_bytes())
    }

    /// The name among the files of the run.
    pub(super) fn name(&self, key: &str, row: u64) -> String {
        format!("media/{}/{}_{row}_{}.{}", self.folder, safe(key), &self.sha256[..20], self.extension)
    }

    /// The value in the row for the file with this name.
    pub(super) fn value(&self, name: &str) -> Map<String, Value> {
        let mut value = self.known.clone();
        value.insert("_type".to_owned(), self.kind.into());
        value.insert("path".to_owned(), name.into());
        value.insert("sha256".to_owned(), self.sha256.as_str().into());
        value.insert("size".to_owned(), self.bytes.len().into());
        value
    }
}

/// A histogram needs no file. Neighbouring buckets are merged until their number is within W&B's limit.
pub(super) fn histogram(histogram: &Histogram) -> Value {
    let (limits, counts) = (histogram.limits(), histogram.counts());
    // The lower bound of the first bucket is unknown, but the smallest sample is a valid bound.
    let (mut bins, counts) = match counts.split_first() {
        Some((first, rest)) if *first == 0.0 && !rest.is_empty() => (vec![limits[0]], rest),
        _ => (vec![histogram.stats().min.min(limits[0])], counts),
    };
    let limits = &limits[limits.len() - counts.len()..];
    let width = counts.len().div_ceil(MAX_BINS).max(1);
    bins.extend(limits.chunks(width).filter_map(<[f64]>::last));
    let values: Vec<f64> = counts.chunks(width).map(|counts| counts.iter().sum()).collect();
    json!({"_type": "histogram", "values": values, "bins": bins})
}

/// A name that is a relative path on every system. Parts that lead out of the folder are removed.
pub(super) fn safe(name: &str) -> String {
    let allowed = |letter: char| if letter.is_alphanumeric() || " -_.()=+".contains(letter) { letter } else { '-' };
    let parts = name.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    let plain = |part: &str| part.chars().map(allowed).collect::<String>();
    // The file name has more parts before and after it.
    let parts: Vec<String> = parts.map(|part| names::fit(&plain(part), names::FILE, |_| true).into_owned()).collect();
    if parts.is_empty() { "media".to_owned() } else { parts.join("/") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HistogramStats;

    #[test]
    fn files_have_the_names_and_values_of_the_python_client() {
        let image = Image::new(6, 4, 3, vec![0; 72]).unwrap();
        let media = Media::image(&image).unwrap();
        let name = media.name("../val/a:b", 7);
        assert_eq!(name, format!("media/images/val/a-b_7_{}.png", &media.sha256[..20]));
        let value = Value::Object(media.value(&name));
        let expected = json!({
            "_type": "image-file", "path": name, "sha256": media.sha256, "size": media.bytes.len(),
            "format": "png", "width": 6, "height": 4,
        });
        assert_eq!(value, expected);
        let figure = Media::figure(&Figure::png(image.to_png().unwrap()).unwrap());
        assert_eq!((figure.known.get("width"), figure.known.get("height")), (Some(&6.into()), Some(&4.into())));
    }

    #[test]
    fn a_histogram_has_one_more_edge_than_counts_and_not_too_many() {
        let counted = Histogram::from_samples([0.5, 0.5, -1.0]).unwrap();
        let value = histogram(&counted);
        let (values, bins) = (value["values"].as_array().unwrap(), value["bins"].as_array().unwrap());
        assert!(bins.len() == values.len() + 1 && values.len() <= MAX_BINS, "{} and {}", bins.len(), values.len());
        assert!((values.iter().filter_map(Value::as_f64).sum::<f64>() - 3.0).abs() < 1e-9);
        assert_eq!((values.first(), values.last()), (Some(&1.0.into()), Some(&2.0.into())));
        let stats = HistogramStats { min: 0.0, max: 2.0, sum: 3.0, sum_squares: 4.0 };
        let given = Histogram::from_counts(vec![1.0, 2.0], vec![2.0, 3.0], stats).unwrap();
        assert_eq!(histogram(&given), json!({"_type": "histogram", "values": [2.0, 3.0], "bins": [0.0, 1.0, 2.0]}));
    }
}
