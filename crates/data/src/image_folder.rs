//! Folders of images, one for each class.

use std::{
    io::{Cursor, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use burn::{
    data::dataset::{Dataset, DatasetError},
    tensor::{Device, Int, Tensor, TensorData},
};
use stormfire_store::files;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

use crate::{
    BoxError, Error, Loader, Result,
    ints::ints,
    stream::{SPLITS, names_of_split},
};

/// Images in a folder for each class (`train/cat/1.png`), as Hugging Face's `imagefolder` and torchvision's
/// `ImageFolder`. Reads PNG and JPEG.
///
/// Classes and images are ordered by name. An image has three channels, unless [`grayscale`](Self::grayscale) is set.
/// It is decoded when it is used, on the workers of the loader. Transparency is dropped.
///
/// ```no_run
/// use stormfire_data::ImageFolder;
///
/// let pets = ImageFolder::open("data/pets", "train")?;
/// println!("{:?}", pets.classes());
/// // Batches of images, from 0 to 1, and the indices of their classes.
/// let loader = pets.loader().batch_size(32).shuffle(true).workers(2);
/// # Ok::<(), stormfire_data::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ImageFolder {
    images: Arc<[(PathBuf, usize)]>,
    classes: Arc<[String]>,
    channels: usize,
}

/// An image of an [`ImageFolder`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabeledImage {
    /// The file.
    pub path: PathBuf,
    /// The index of its class.
    pub label: usize,
    /// Height and width.
    pub size: [usize; 2],
    /// The channels of each pixel, row by row.
    pub pixels: Vec<u8>,
}

impl ImageFolder {
    /// The images of a split: those below `folder/train` for `train`, with Hugging Face's other names of splits as in
    /// [`split_files`](crate::split_files).
    ///
    /// The classes are those of all splits together, so that a class has one index in all of them.
    ///
    /// # Errors
    /// [`Error::Empty`] if the folder does not exist or contains no image.
    pub fn open(folder: impl AsRef<Path>, split: &str) -> Result<Self> {
        let folder = folder.as_ref();
        let of = |split: &str| names_of_split(split).into_iter().map(|name| folder.join(name)).find(|folder| folder.is_dir());
        let Some(own) = of(split) else {
            return Err(Error::Empty { reason: format!("there is no folder of the split `{split}` in `{}`", folder.display()) });
        };
        let mut classes = classes_in(&own)?;
        for other in SPLITS.iter().filter_map(|split| of(split)) {
            classes.extend(classes_in(&other)?);
        }
        classes.sort();
        classes.dedup();
        Self::of_classes(&own, classes)
    }

    /// The images below `folder`, without splits.
    ///
    /// Another folder may lack a class, and then the classes after it have other indices there. Use
    /// [`open`](Self::open) for the splits of one dataset.
    ///
    /// # Errors
    /// [`Error::Empty`] without an image.
    pub fn new(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        Self::of_classes(folder, classes_in(folder)?)
    }

    fn of_classes(folder: &Path, classes: Vec<String>) -> Result<Self> {
        let mut images = Vec::new();
        for path in sorted(folder, true)? {
            let class = name(&path);
            if let Some(label) = classes.iter().position(|known| *known == class) {
                images.extend(images_in(&path)?.map(|path| (path, label)));
            }
        }
        if images.is_empty() {
            return Err(Error::Empty { reason: format!("there are no folders with PNG or JPEG files in `{}`", folder.display()) });
        }
        Ok(Self { images: images.into(), classes: classes.into(), channels: 3 })
    }

    /// Makes images with one channel.
    #[must_use]
    pub fn grayscale(mut self) -> Self {
        self.channels = 1;
        self
    }

    /// The names of the classes, by index.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The index of the class of each image, for samplers and folds.
    pub fn labels(&self) -> Vec<usize> {
        self.images.iter().map(|(_, label)| *label).collect()
    }

    /// Batches of images `[items, channels, height, width]` with values from 0 to 1, and of their classes. All images
    /// of a batch must have the same size.
    pub fn loader(self) -> Loader<(Tensor<4>, Tensor<1, Int>)> {
        let channels = self.channels;
        Loader::try_collate(self, move |images: Vec<LabeledImage>, device| tensors(&images, channels, device))
    }
}

impl Dataset<LabeledImage> for ImageFolder {
    fn get(&self, index: usize) -> Result<LabeledImage, DatasetError> {
        let (path, label) = &self.images[index];
        let (size, pixels) =
            decode(path, self.channels).map_err(|cause| DatasetError::new(Error::DataFile { path: path.clone(), at: None, cause }))?;
        Ok(LabeledImage { path: path.clone(), label: *label, size, pixels })
    }

    fn len(&self) -> usize {
        self.images.len()
    }
}

/// The names of the folders with images, in order.
fn classes_in(folder: &Path) -> Result<Vec<String>> {
    let mut classes = Vec::new();
    for path in sorted(folder, true)? {
        if images_in(&path)?.next().is_some() {
            classes.push(name(&path));
        }
    }
    Ok(classes)
}

fn images_in(folder: &Path) -> Result<impl Iterator<Item = PathBuf>> {
    Ok(sorted(folder, false)?.into_iter().filter(|path| is_image(path)))
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn is_image(path: &Path) -> bool {
    path.extension().is_some_and(|extension| ["png", "jpg", "jpeg"].iter().any(|known| extension.eq_ignore_ascii_case(known)))
}

fn sorted(folder: &Path, is_folder: bool) -> Result<Vec<PathBuf>> {
    let entries = files::list(folder).map_err(Error::other)?;
    let mut paths: Vec<_> = entries
        .into_iter()
        .filter(|entry| entry.is_folder == is_folder && !name(&entry.path).starts_with('.'))
        .map(|entry| entry.path)
        .collect();
    paths.sort();
    Ok(paths)
}

fn tensors(images: &[LabeledImage], channels: usize, device: &Device) -> Result<(Tensor<4>, Tensor<1, Int>), BoxError> {
    let [height, width] = images.first().map_or([0, 0], |image| image.size);
    if let Some(other) = images.iter().find(|image| image.size != [height, width]) {
        let first = images[0].path.display();
        return Err(format!(
            "`{first}` has {height} x {width} pixels, and `{}` has {} x {}: images of a batch must have one size",
            other.path.display(),
            other.size[0],
            other.size[1]
        )
        .into());
    }
    let planes = images.iter().flat_map(|image| (0..channels).flat_map(move |channel| image.pixels.iter().skip(channel).step_by(channels)));
    let values: Vec<f32> = planes.map(|&value| f32::from(value) / 255.0).collect();
    Ok((
        Tensor::from_data(TensorData::new(values, [images.len(), channels, height, width]), device),
        ints(images.iter().map(|image| image.label), device),
    ))
}

/// The size and the pixels of an image.
fn decode(path: &Path, channels: usize) -> Result<([usize; 2], Vec<u8>), BoxError> {
    let (mut reader, length) = files::open(path)?;
    let mut bytes = Vec::with_capacity(length as usize);
    reader.read_to_end(&mut bytes)?;
    if bytes.starts_with(b"\x89PNG") { png(&bytes, channels) } else { jpeg(&bytes, channels) }
}

fn png(bytes: &[u8], channels: usize) -> Result<([usize; 2], Vec<u8>), BoxError> {
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info()?;
    let mut pixels = vec![0; reader.output_buffer_size().ok_or("the image is too large")?];
    let info = reader.next_frame(&mut pixels)?;
    pixels.truncate(info.buffer_size());
    Ok(([info.height as usize, info.width as usize], with_channels(&pixels, info.color_type.samples(), channels)))
}

fn jpeg(bytes: &[u8], channels: usize) -> Result<([usize; 2], Vec<u8>), BoxError> {
    let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let pixels = decoder.decode()?;
    // The decoder fills what is missing with grey.
    if !has_end(bytes) {
        return Err("the image is truncated: its end is missing".into());
    }
    let info = decoder.info().ok_or("the image has no size")?;
    Ok(([info.height.into(), info.width.into()], with_channels(&pixels, 3, channels)))
}

/// Whether the end marker of a JPEG file comes after the start of its last scan. A preview in the header has its own
/// markers. Within a scan, the byte after 0xff is neither of the two markers.
fn has_end(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|pair| pair == [0xff, marker]);
    last(0xd9) > last(0xda)
}

/// Converts pixels of 1 to 4 channels, of which the second or the fourth one is the transparency.
fn with_channels(pixels: &[u8], from: usize, to: usize) -> Vec<u8> {
    let is_gray = from < 3;
    let convert = |pixel: &[u8]| -> [u8; 3] {
        match (is_gray, to) {
            (true, _) => [pixel[0]; 3],
            (false, 1) => [luma(pixel); 3],
            (false, _) => [pixel[0], pixel[1], pixel[2]],
        }
    };
    pixels.chunks_exact(from).flat_map(|pixel| convert(pixel).into_iter().take(to)).collect()
}

/// ITU-R 601-2, rounded as Pillow does.
fn luma(pixel: &[u8]) -> u8 {
    let [red, green, blue] = [pixel[0], pixel[1], pixel[2]].map(u32::from);
    ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests;
