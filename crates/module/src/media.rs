//! Converts tensors to the values of loggers: images, histograms, sounds. Each conversion needs one device read.
//! [`drawn`] and [`figure`] draw what a metric has computed.

mod edges;
mod picture;

use burn::tensor::{DType, Tensor, TensorData, kind};
use stormfire_loggers::{Audio, Error as LoggerError, Histogram, Image};

pub use edges::histogram_with_edges;
pub use picture::{Drawn, drawn, figure};

use stormfire_values::{ReadError, read::Tensors};

use crate::error::Result;

/// The position of the channels in an image tensor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `[channels, height, width]`, as in convolutions.
    #[default]
    ChannelsFirst,
    /// `[height, width, channels]`, as in image files.
    ChannelsLast,
}

/// An image from a tensor of three dimensions, with 1 (grey), 3 (RGB) or 4 (RGBA) channels.
///
/// Floats are in 0..=1, integers in 0..=255, booleans are black and white. Values outside are clamped, NaN becomes 0.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use stormfire_module::media::{self, Layout};
///
/// let red = Tensor::<3>::from_floats([[[1.0, 1.0]], [[0.0, 0.0]], [[0.0, 0.0]]], &Device::flex());
/// let image = media::image(red, Layout::ChannelsFirst)?;
/// assert_eq!((image.width(), image.height(), image.pixels()), (2, 1, &[255, 0, 0, 255, 0, 0][..]));
/// # Ok::<(), stormfire_module::Error>(())
/// ```
///
/// # Errors
/// [`LoggerError::InvalidMedia`] with the invalid shape, or [`ReadError`].
pub fn image<K: kind::Transaction + kind::Autodiff>(tensor: Tensor<3, K>, layout: Layout) -> Result<Image> {
    let shape = tensor.dims();
    let values = unit_values(&read(tensor)?);
    image_of(&shape, &values, shape, layout)
}

/// The images of a batch `[images, channels, height, width]` or `[images, height, width, channels]`, in order. As
/// [`image`] for each, with one device read for all.
///
/// # Errors
/// As [`image`]. The result for a batch without images is empty.
pub fn images<K: kind::Transaction + kind::Autodiff>(tensor: Tensor<4, K>, layout: Layout) -> Result<Vec<Image>> {
    let shape = tensor.dims();
    let [count, one @ ..] = shape;
    let length = one.iter().product::<usize>();
    let values = unit_values(&read(tensor)?);
    (0..count).map(|n| image_of(&shape, values.get(n * length..(n + 1) * length).unwrap_or_default(), one, layout)).collect()
}

/// The images of a batch as one image, in rows of 8 with 2 black pixels around each, as `torchvision.utils.make_grid`.
/// For another arrangement, use [`Image::grid`] with [`images`].
///
/// # Errors
/// As [`image`], and for a batch without images.
pub fn grid<K: kind::Transaction + kind::Autodiff>(tensor: Tensor<4, K>, layout: Layout) -> Result<Image> {
    let shape = tensor.dims();
    Image::grid(&images(tensor, layout)?, 8, 2, 0).map_err(|error| named("image", &shape, error).into())
}

/// A histogram of all elements, in the default buckets of `torch.utils.tensorboard`.
///
/// Reads all elements. [`histogram_with_edges`] counts on the device, in custom buckets.
///
/// # Errors
/// [`LoggerError::InvalidMedia`] if no element is finite, or [`ReadError`].
pub fn histogram<const D: usize, K: kind::Transaction + kind::Autodiff>(tensor: Tensor<D, K>) -> Result<Histogram> {
    Ok(histogram_of(&read(tensor)?)?)
}

/// As [`histogram`], from values on the host.
///
/// # Errors
/// [`LoggerError::InvalidMedia`] if no element is finite.
pub fn histogram_of(data: &TensorData) -> Result<Histogram, LoggerError> {
    Histogram::from_samples(data.iter::<f64>())
}

/// A sound from a tensor `[channels, samples]` of floats in -1..=1, with `sample_rate` samples per second in each
/// channel.
///
/// # Errors
/// [`LoggerError::InvalidMedia`] with the invalid shape or rate, or [`ReadError`].
pub fn audio(tensor: Tensor<2>, sample_rate: u32) -> Result<Audio> {
    let shape @ [channels, samples] = tensor.dims();
    let count =
        u16::try_from(channels).map_err(|_| no_media("audio", &shape, "there are too many channels; is it `[samples, channels]`?"))?;
    if samples == 0 {
        return Err(no_media("audio", &shape, "there are no samples").into());
    }
    let values: Vec<f32> = read(tensor)?.iter::<f32>().collect();
    let frames = (0..samples).flat_map(|frame| values.iter().skip(frame).step_by(samples).copied()).collect();
    Audio::new(sample_rate, count, frames).map_err(|error| named("audio", &shape, error).into())
}

fn read<const D: usize, K: kind::Transaction + kind::Autodiff>(tensor: Tensor<D, K>) -> Result<TensorData> {
    let mut tensors = Tensors::new();
    tensors.add(tensor);
    tensors.read()?.pop().ok_or_else(|| ReadError { count: 1, reason: "the device returned nothing".into() }.into())
}

/// Converts values of any type to image values in 0..=1.
fn unit_values(data: &TensorData) -> Vec<f32> {
    match data.dtype() {
        DType::F64 | DType::F32 | DType::Flex32 | DType::F16 | DType::BF16 | DType::Bool(_) => data.iter::<f32>().collect(),
        _ => data.iter::<i64>().map(|value| value.clamp(0, 255) as f32 / 255.0).collect(),
    }
}

fn image_of(shape: &[usize], values: &[f32], one: [usize; 3], layout: Layout) -> Result<Image> {
    let [channels, height, width] = match layout {
        Layout::ChannelsFirst => one,
        Layout::ChannelsLast => [one[2], one[0], one[1]],
    };
    let too_large = |_| no_media("image", shape, "it is too large");
    let (width, height) = (u32::try_from(width).map_err(too_large)?, u32::try_from(height).map_err(too_large)?);
    let expected = match layout {
        Layout::ChannelsFirst => "1, 3 or 4 channels in `[channels, height, width]`; for channels last use `Layout::ChannelsLast`",
        Layout::ChannelsLast => "1, 3 or 4 channels in `[height, width, channels]`; for channels first use `Layout::ChannelsFirst`",
    };
    let Some(count) = u8::try_from(channels).ok().filter(|count| matches!(count, 1 | 3 | 4)) else {
        return Err(no_media("image", shape, &format!("found {channels} channels, expected {expected}")).into());
    };
    let made = match layout {
        Layout::ChannelsFirst => Image::from_planes_f32(width, height, count, values),
        Layout::ChannelsLast => Image::from_f32(width, height, count, values),
    };
    made.map_err(|error| named("image", shape, error).into())
}

fn no_media(what: &'static str, shape: &[usize], reason: &str) -> LoggerError {
    LoggerError::InvalidMedia { what, reason: format!("a tensor of shape {shape:?}: {reason}") }
}

/// Adds the shape of the tensor to the error of a constructor.
fn named(what: &'static str, shape: &[usize], error: LoggerError) -> LoggerError {
    match error {
        LoggerError::InvalidMedia { reason, .. } => no_media(what, shape, &reason),
        other => other,
    }
}

#[cfg(test)]
mod tests;
