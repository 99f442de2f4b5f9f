//! Values that only `TensorBoard` supports. Steps and callbacks call these methods through the logger's typed handle.

use super::event::{Data, Metadata, Tensor, Value};
use super::layout::Layout;
use super::projector::{self, Embedding};
use super::{TensorBoardLogger, mesh, signed};
use crate::parts::prefix::prefixed;
use crate::{Image, Logger, PrCurve, Result};

/// Images per row of [`TensorBoardLogger::log_images`].
const COLUMNS: usize = 8;

/// ```
/// use stormfire_loggers::tensorboard::{Chart, Embedding, Layout};
/// use stormfire_loggers::{Image, Logger, Status, TensorBoardLogger};
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path();
/// let mut logger = TensorBoardLogger::new(folder);
/// logger.log_pr_curve("is_seven", &[true, false, true], &[0.9, 0.2, 0.6], 127, Some(9))?;
/// logger.log_embedding("digits", &Embedding::new(3, vec![0.0; 6])?.labels(["seven", "eight"])?, Some(9))?;
/// logger.log_mesh("triangle", &[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], None, Some(&[[0, 1, 2]]), None)?;
/// logger.log_custom_scalars(&Layout::new().category("losses", [Chart::lines("both", ["train_loss", "val_loss"])]))?;
/// logger.log_images("samples", &[Image::new(1, 1, 1, vec![0])?, Image::new(1, 1, 1, vec![255])?], Some(9))?;
/// logger.finalize(Status::Success)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl TensorBoardLogger {
    /// Records the precision and recall of a binary classifier at `num_thresholds` thresholds from 0 to 1 (`PyTorch`'s
    /// default is 127). `predictions` are the probabilities that the label is `true`.
    ///
    /// # Errors
    /// As [`PrCurve::of_predictions`].
    pub fn log_pr_curve(
        &mut self,
        tag: &str,
        labels: &[bool],
        predictions: &[f32],
        num_thresholds: usize,
        step: Option<u64>,
    ) -> Result<()> {
        self.log_precision_recall(tag, &PrCurve::of_predictions(labels, predictions, num_thresholds)?, step)
    }

    /// Records points for the projector. They are stored next to the event file, as `STEP/TAG/tensors.tsv`,
    /// `metadata.tsv` and `sprite.png`, and listed in `projector_config.pbtxt`. A second call with the same tag and
    /// step replaces them.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the files cannot be written.
    pub fn log_embedding(&mut self, tag: &str, embedding: &Embedding, step: Option<u64>) -> Result<()> {
        let mut name = String::new();
        prefixed(&self.prefix, tag, &mut name);
        let folder = self.folder()?;
        let entry = embedding.write(&folder, &name, signed(step))?;
        self.embeddings.retain(|known| !known.is_same_as(&entry));
        self.embeddings.push(entry);
        projector::write_config(&folder, &self.embeddings)
    }

    /// Sets the charts of the custom-scalars dashboard. `TensorBoard` reads one layout per run and merges the layouts
    /// of all runs by category title. The tags are those in the files, including the logger's prefix.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) if the event file cannot be written.
    pub fn log_custom_scalars(&mut self, layout: &Layout) -> Result<()> {
        let metadata = Some(Metadata::tensor("custom_scalars", Vec::new()));
        let data = Some(Data::Tensor(Tensor::string(layout.encode())));
        let value = Value { tag: "custom_scalars__config__".to_owned(), metadata, data };
        self.file()?.write(0, vec![value])
    }

    /// Records a point cloud, or a mesh if there are `faces`: triples of indices into `vertices`. `colors` contains
    /// red, green and blue for each vertex. The page shows the faces of the first 65,536 vertices.
    ///
    /// # Errors
    /// [`Error::InvalidMedia`](crate::Error::InvalidMedia) without a vertex, or if the numbers of colors and vertices
    /// differ, or a face has an index out of range.
    pub fn log_mesh(
        &mut self,
        tag: &str,
        vertices: &[[f32; 3]],
        colors: Option<&[[u8; 3]]>,
        faces: Option<&[[u32; 3]]>,
        step: Option<u64>,
    ) -> Result<()> {
        let mut name = String::new();
        prefixed(&self.prefix, tag, &mut name);
        for (end, metadata, data) in mesh::encode(&name, vertices, colors, faces)? {
            self.log_value(&format!("{tag}_{end}"), Some(metadata), data, step)?;
        }
        Ok(())
    }

    /// Records several images of one size as one image, eight per row and without gaps, as `add_images` of
    /// `torch.utils.tensorboard` does. For gaps and other row lengths, see [`Image::grid`].
    ///
    /// # Errors
    /// As [`Image::grid`].
    pub fn log_images(&mut self, tag: &str, images: &[Image], step: Option<u64>) -> Result<()> {
        self.log_image(tag, &Image::grid(images, COLUMNS, 0, 0)?, step)
    }
}
