//! Points in a space of many dimensions, as files for the projector dashboard.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stormfire_store::names;
use stormfire_store::replacement::Replacement;

use crate::{Error, Image, Result};

/// The file that the dashboard reads in the folder of a run.
const CONFIG: &str = "projector_config.pbtxt";

/// Points for the projector dashboard, with their coordinates and properties.
///
/// ```
/// use stormfire_loggers::tensorboard::Embedding;
/// let embedding = Embedding::new(2, vec![0.5, 1.0, -1.0, 0.0])?
///     .columns(["label", "index"], [["seven", "0"], ["eight", "1"]])?;
/// assert_eq!(embedding.points(), 2);
/// # Ok::<(), stormfire_loggers::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    dimensions: usize,
    values: Vec<f32>,
    metadata: Option<String>,
    sprites: Option<(u32, u32, Image)>,
}

impl Embedding {
    /// Points with `dimensions` coordinates each. `values` has the shape `[points, dimensions]`.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] if `values` is empty or has an incomplete row.
    pub fn new(dimensions: usize, values: Vec<f32>) -> Result<Self> {
        if dimensions == 0 || values.is_empty() || !values.len().is_multiple_of(dimensions) {
            return Err(invalid(format!("{} values cannot be divided into points of {dimensions} dimensions", values.len())));
        }
        Ok(Self { dimensions, values, metadata: None, sprites: None })
    }

    /// Sets a label for each point.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] if the number of labels differs from the number of points.
    pub fn labels(mut self, labels: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self> {
        let mut lines = String::new();
        let mut count = 0;
        for label in labels {
            // The dashboard reads the first line as column names only if there are several columns.
            let _ = writeln!(lines, "{}", cell(label.as_ref()));
            count += 1;
        }
        self.check(count, "labels")?;
        self.metadata = Some(lines);
        Ok(self)
    }

    /// Sets several named properties for each point. The dashboard shows the first one next to the point.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] unless there is one row per point, with a value for each column.
    pub fn columns<const COLUMNS: usize>(
        mut self,
        names: [&str; COLUMNS],
        rows: impl IntoIterator<Item = [impl AsRef<str>; COLUMNS]>,
    ) -> Result<Self> {
        if COLUMNS < 2 {
            return Err(invalid("one column has no name; use `labels`".to_owned()));
        }
        let mut lines = names.map(cell).join("\t");
        lines.push('\n');
        let mut count = 0;
        for row in rows {
            lines += &row.each_ref().map(|value| cell(value.as_ref())).join("\t");
            lines.push('\n');
            count += 1;
        }
        self.check(count, "rows")?;
        self.metadata = Some(lines);
        Ok(self)
    }

    /// Sets an image for each point. All images have the same size.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`] if the number of images differs from the number of points, or their sizes differ.
    pub fn images(mut self, images: &[Image]) -> Result<Self> {
        self.check(images.len(), "images")?;
        let columns = (1..=images.len()).find(|columns| columns * columns >= images.len()).unwrap_or(1);
        let Some(first) = images.first() else { return Ok(self) };
        // The dashboard expects a sheet with equal numbers of rows and columns.
        let mut tiles = images.to_vec();
        let empty = vec![0; first.pixels().len()];
        tiles.resize(columns * columns, Image::new(first.width(), first.height(), first.channels(), empty)?);
        self.sprites = Some((first.width(), first.height(), Image::grid(&tiles, columns, 0, 0)?));
        Ok(self)
    }

    /// Number of points.
    pub fn points(&self) -> usize {
        self.values.len() / self.dimensions
    }

    fn check(&self, count: usize, what: &str) -> Result<()> {
        if count == self.points() { Ok(()) } else { Err(invalid(format!("{count} {what} for {} points", self.points()))) }
    }

    /// Writes the files below `folder`. The caller adds the returned entry to the configuration.
    pub(super) fn write(&self, folder: &Path, tag: &str, step: i64) -> Result<Entry> {
        let name = tag.replace('%', "%25").replace('/', "%2f").replace('\\', "%5c");
        let place = format!("{step:05}/{}", names::part(&name));
        let into = folder.join(&place);
        fs_err::create_dir_all(&into)?;
        let mut tensors = Replacement::new(&into.join("tensors.tsv"))?;
        for point in self.values.chunks(self.dimensions) {
            let mut line = String::new();
            for (index, value) in point.iter().enumerate() {
                let _ = write!(line, "{}{value}", if index > 0 { "\t" } else { "" });
            }
            writeln!(tensors, "{line}")?;
        }
        tensors.commit()?;
        if let Some(metadata) = &self.metadata {
            replace(&into.join("metadata.tsv"), metadata.as_bytes())?;
        }
        let mut sprite = None;
        if let Some((width, height, sheet)) = &self.sprites {
            replace(&into.join("sprite.png"), &sheet.to_png()?)?;
            sprite = Some((*width, *height));
        }
        Ok(Entry { name: format!("{tag}:{step:05}"), folder: place, has_metadata: self.metadata.is_some(), sprite })
    }
}

/// An embedding in the configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    name: String,
    folder: String,
    has_metadata: bool,
    sprite: Option<(u32, u32)>,
}

impl Entry {
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

/// Writes the configuration, which names all embeddings of the run.
pub(super) fn write_config(folder: &Path, entries: &[Entry]) -> Result<()> {
    let mut text = String::new();
    for Entry { name, folder, has_metadata, sprite } in entries {
        // The text format escapes strings in the same way as JSON.
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let _ = writeln!(text, "embeddings {{\n  tensor_name: {}", quoted(name));
        let _ = writeln!(text, "  tensor_path: {}", quoted(&format!("{folder}/tensors.tsv")));
        if *has_metadata {
            let _ = writeln!(text, "  metadata_path: {}", quoted(&format!("{folder}/metadata.tsv")));
        }
        if let Some((width, height)) = sprite {
            let path = quoted(&format!("{folder}/sprite.png"));
            let size = format!("    single_image_dim: {width}\n    single_image_dim: {height}");
            let _ = writeln!(text, "  sprite {{\n    image_path: {path}\n{size}\n  }}");
        }
        text += "}\n";
    }
    replace(&folder.join(CONFIG), text.as_bytes())
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(Replacement::new(path)?.commit_bytes(bytes)?)
}

/// A value for a table without quotes.
fn cell(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}

fn invalid(reason: String) -> Error {
    Error::InvalidMedia { what: "embedding", reason }
}
