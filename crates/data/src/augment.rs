//! Random changes of training batches.
//!
//! Each function takes the generator of the batch, [`random`](crate::random()). The result then depends on the seed,
//! the epoch and the batch only: not on the number of workers or ranks, and a resume repeats it. Use them in
//! [`Loader::try_map`](crate::Loader::try_map), or in the batcher, where they run on the workers. No function reads
//! from the device.
//!
//! | function | labels |
//! |---|---|
//! | [`random_crop`], [`random_flip`], [`gaussian_noise`] | stay |
//! | [`mixup`], [`cutmix`] | become shares of classes ([`soft_labels`]), for a cross-entropy with probabilities |
//!
//! ```
//! use burn::prelude::*;
//! use stormfire_data::{Loader, augment, random};
//!
//! let device = Device::flex();
//! let batch = (Tensor::<4>::zeros([8, 3, 32, 32], &device), Tensor::<1, Int>::zeros([8], &device));
//! let train = Loader::from_batches(vec![batch]).try_map(|(images, labels)| {
//!     let mut random = random();
//!     let images = augment::random_crop(images, [32, 32], 4, &mut random)?;
//!     let images = augment::random_flip(images, 0.5, &mut random);
//!     let targets = augment::soft_labels(labels, 10);
//!     Ok(augment::mixup(images, targets, 0.2, &mut random)?)
//! });
//! let (images, targets) = train.batches(Default::default(), &device)?.next().unwrap()?.value;
//! assert_eq!((images.dims(), targets.dims()), ([8, 3, 32, 32], [8, 10]));
//! # Ok::<(), stormfire_data::Error>(())
//! ```

use std::ops::Range;

use burn::tensor::{Distribution, Int, Tensor, TensorData};
use rand_distr::{Beta, Distribution as _};

use crate::{Error, Random, Result, ints::ints};

/// Cuts a part of `size` (height, width) out of each image of `[items, channels, height, width]`, each at its own
/// random place, after `padding` zeros on all four sides: torchvision's `RandomCrop`.
///
/// # Errors
/// [`Error::Augment`] if the padded image is smaller than the part.
pub fn random_crop(images: Tensor<4>, size: [usize; 2], padding: usize, random: &mut Random) -> Result<Tensor<4>> {
    let [items, _, height, width] = images.dims();
    let padded = [height + 2 * padding, width + 2 * padding];
    if size[0] > padded[0] || size[1] > padded[1] || size.contains(&0) {
        return Err(Error::augment(format!("a part of {size:?} cannot be cut out of images of {padded:?}, padding included")));
    }
    let starts = |random: &mut Random, axis: usize| (0..items).map(|_| random.below(padded[axis] - size[axis] + 1)).collect();
    let (rows, columns): (Vec<usize>, Vec<usize>) = (starts(random, 0), starts(random, 1));
    Ok(crop(images, size, padding, rows, columns))
}

fn crop(images: Tensor<4>, [height, width]: [usize; 2], padding: usize, rows: Vec<usize>, columns: Vec<usize>) -> Tensor<4> {
    let device = images.device();
    let [items, channels, ..] = images.dims();
    let images = if padding == 0 { images } else { images.pad((padding, padding, padding, padding), 0.0) };
    let [.., padded_height, padded_width] = images.dims();
    let places = |starts: Vec<usize>, length: usize| {
        let along = ints(0..length, &device).reshape([1, length]);
        ints(starts, &device).reshape([items, 1]) + along
    };
    // The places of the pixels of a part in a padded image.
    let rows = places(rows, height).mul_scalar(padded_width as u64).reshape([items, height, 1]);
    let index = (rows + places(columns, width).reshape([items, 1, width])).reshape([items, 1, height * width]);
    let pixels = images.reshape([items, channels, padded_height * padded_width]);
    pixels.gather(2, index.expand([items, channels, height * width])).reshape([items, channels, height, width])
}

/// Mirrors each image left to right with this probability: torchvision's `RandomHorizontalFlip`.
pub fn random_flip(images: Tensor<4>, probability: f64, random: &mut Random) -> Tensor<4> {
    let flags = (0..images.dims()[0]).map(|_| random.chance(probability)).collect();
    flip(images, flags)
}

/// Mirrors the images with a flag.
fn flip(images: Tensor<4>, flags: Vec<bool>) -> Tensor<4> {
    let shape = images.dims();
    let flags = Tensor::<1, burn::tensor::Bool>::from_data(TensorData::new(flags, [shape[0]]), &images.device());
    images.clone().mask_where(flags.reshape([shape[0], 1, 1, 1]).expand(shape), images.flip([3]))
}

/// Adds independent numbers of a normal distribution with this standard deviation.
pub fn gaussian_noise<const D: usize>(values: Tensor<D>, deviation: f64, random: &mut Random) -> Tensor<D> {
    let noise = random.tensor(values.shape(), Distribution::Normal(0.0, deviation), &values.device()).cast(values.dtype());
    values + noise
}

/// The classes of items as shares, `[items, classes]`: 1 for the class of the item, and 0 for the others. A label that
/// is not one of the classes has no share.
pub fn soft_labels(labels: Tensor<1, Int>, classes: usize) -> Tensor<2> {
    let (device, items) = (labels.device(), labels.dims()[0]);
    let classes_of_row = ints(0..classes, &device).reshape([1, classes]).expand([items, classes]);
    labels.reshape([items, 1]).expand([items, classes]).equal(classes_of_row).float()
}

/// Mixes each item with another one of the batch: `share * item + (1 - share) * other`, and its target alike. `share`
/// is drawn for the batch from Beta(`alpha`, `alpha`), and the others are a random order of the batch.
///
/// Zhang et al., "mixup: Beyond Empirical Risk Minimization" (2018), as in their program. The paper uses 0.2 for
/// `ImageNet` and 1 for CIFAR. With 0, nothing is mixed.
///
/// # Errors
/// [`Error::Augment`] for an invalid `alpha`, or a different number of targets.
pub fn mixup<const D: usize>(values: Tensor<D>, targets: Tensor<2>, alpha: f64, random: &mut Random) -> Result<(Tensor<D>, Tensor<2>)> {
    let items = same_items(values.dims()[0], &targets)?;
    let (share, others) = draw(items, alpha, random)?;
    let others = ints(others, &values.device());
    Ok((mix(values, share, others.clone()), mix(targets, share, others)))
}

fn mix<const D: usize>(values: Tensor<D>, share: f64, others: Tensor<1, Int>) -> Tensor<D> {
    let other = values.clone().select(0, others);
    values.mul_scalar(share) + other.mul_scalar(1.0 - share)
}

/// Replaces a random rectangle of each image by that of another one of the batch. The targets are mixed by area. The
/// area of the rectangle before it is clipped at the border is 1 - share, which is drawn for the batch from
/// Beta(`alpha`, `alpha`), as in [`mixup`]. The place is drawn for the batch, too.
///
/// Yun et al., "`CutMix`: Regularization Strategy to Train Strong Classifiers with Localizable Features" (2019), as in
/// their program. The paper uses 1. With 0, nothing is mixed.
///
/// # Errors
/// As [`mixup`].
pub fn cutmix(images: Tensor<4>, targets: Tensor<2>, alpha: f64, random: &mut Random) -> Result<(Tensor<4>, Tensor<2>)> {
    let [items, _, height, width] = images.dims();
    same_items(items, &targets)?;
    let (share, others) = draw(items, alpha, random)?;
    let center = [random.below(height), random.below(width)];
    Ok(paste(images, targets, share, center, others))
}

/// Puts the rectangle of the other images into these.
fn paste(images: Tensor<4>, targets: Tensor<2>, share: f64, center: [usize; 2], others: Vec<usize>) -> (Tensor<4>, Tensor<2>) {
    let [items, channels, height, width] = images.dims();
    let [rows, columns] = rectangle([height, width], share, center);
    let area = rows.len() * columns.len();
    if area == 0 {
        return (images, targets);
    }
    let others = ints(others, &images.device());
    let part = [0..items, 0..channels, rows, columns];
    let other = images.clone().slice(part.clone()).select(0, others.clone());
    let share = 1.0 - area as f64 / (height * width) as f64;
    (images.slice_assign(part, other), mix(targets, share, others))
}

/// `rand_bbox` of the authors' program, for one center.
fn rectangle(size: [usize; 2], share: f64, center: [usize; 2]) -> [Range<usize>; 2] {
    let ratio = (1.0 - share).max(0.0).sqrt();
    std::array::from_fn(|axis| {
        let half = (size[axis] as f64 * ratio) as usize / 2;
        center[axis].saturating_sub(half)..(center[axis] + half).min(size[axis])
    })
}

/// The share of an item, and the items it is mixed with.
fn draw(items: usize, alpha: f64, random: &mut Random) -> Result<(f64, Vec<usize>)> {
    let wrong = || Error::augment(format!("`alpha` cannot be {alpha}: it must be a finite number from 0 on"));
    let share = if alpha == 0.0 {
        1.0
    } else {
        // The generator overflows at huge numbers. The share is 0.5 there.
        let alpha = if alpha.is_finite() { alpha.min(1e9) } else { return Err(wrong()) };
        Beta::new(alpha, alpha).map_err(|_| wrong())?.sample(random)
    };
    let mut others: Vec<usize> = (0..items).collect();
    random.shuffle(&mut others);
    Ok((share, others))
}

fn same_items(items: usize, targets: &Tensor<2>) -> Result<usize> {
    match targets.dims()[0] {
        rows if rows == items => Ok(items),
        rows => Err(Error::augment(format!("there are {rows} rows of targets for {items} items"))),
    }
}

#[cfg(test)]
mod numpy;
#[cfg(test)]
mod tests;
