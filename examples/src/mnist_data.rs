//! MNIST: digits of 28 × 28 pixels, from the idx files of Y. `LeCun`, C. Cortes and C. Burges.

use std::{
    fmt::Display,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use burn::{
    data::{dataloader::batcher::Batcher, dataset::InMemDataset},
    prelude::*,
};
use flate2::read::GzDecoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{
    data::Result,
    prelude::{CastBatch, DataError, DataModule, Loader, Loaders, SplitBatch, Stage},
};

const SIDE: usize = 28;

/// Mean and standard deviation of the grey values of the 60,000 training digits.
const MEAN: f32 = 0.1307;
const DEVIATION: f32 = 0.3081;

/// One digit.
#[derive(Clone, Debug)]
pub struct Digit {
    /// Grey values, 0 (background) to 255, row by row.
    pub pixels: Vec<u8>,
    /// The digit, 0 to 9.
    pub label: u8,
}

/// A batch of digits on a device.
#[derive(Clone, Debug, CastBatch, SplitBatch)]
pub struct MnistBatch {
    /// Shape `[batch, 1, 28, 28]`, standardised to mean 0 and deviation 1.
    pub images: Tensor<4>,
    /// Shape `[batch]`, 0 to 9.
    pub targets: Tensor<1, Int>,
}

impl MnistBatch {
    /// The grey values from 0 (background) to 1.
    pub fn grey(&self) -> Tensor<4> {
        (self.images.clone() * DEVIATION + MEAN).clamp(0.0, 1.0)
    }
}

/// Makes batches of digits.
#[derive(Clone, Debug)]
pub struct MnistBatcher;

impl Batcher<Digit, MnistBatch> for MnistBatcher {
    fn batch(&self, digits: Vec<Digit>, device: &Device) -> MnistBatch {
        let pixels: Vec<f32> = digits.iter().flat_map(|d| &d.pixels).map(|&p| (f32::from(p) / 255.0 - MEAN) / DEVIATION).collect();
        let labels: Vec<i32> = digits.iter().map(|d| i32::from(d.label)).collect();
        let n = digits.len();
        MnistBatch {
            images: Tensor::from_data(TensorData::new(pixels, [n, 1, SIDE, SIDE]), device),
            targets: Tensor::from_data(TensorData::new(labels, [n]), device),
        }
    }
}

/// The options of [`MnistData`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MnistConfig {
    /// The folder with the idx files, gzipped or not.
    pub folder: PathBuf,
    /// Number of digits in a batch.
    #[schemars(range(min = 1))]
    pub batch_size: usize,
}

impl Default for MnistConfig {
    fn default() -> Self {
        Self { folder: "data/mnist-mini".into(), batch_size: 64 }
    }
}

/// The MNIST files of a folder, gzipped or not. The last tenth of the training digits is the validation set.
#[derive(Debug)]
pub struct MnistData {
    config: MnistConfig,
    train: Vec<Digit>,
    val: Vec<Digit>,
    test: Vec<Digit>,
}

impl MnistData {
    /// Nothing is read before `setup`.
    pub fn new(config: MnistConfig) -> Self {
        Self { config, train: Vec::new(), val: Vec::new(), test: Vec::new() }
    }

    /// The digits of this folder, in batches of 64.
    pub fn of(folder: impl Into<PathBuf>) -> Self {
        Self::new(MnistConfig { folder: folder.into(), ..MnistConfig::default() })
    }

    /// Changes the number of digits in a batch.
    #[must_use]
    pub fn batch_size(mut self, digits: usize) -> Self {
        self.config.batch_size = digits;
        self
    }

    /// The first test digits, for a picture.
    ///
    /// # Errors
    /// For files that cannot be read.
    pub fn first_of_test(&self, count: usize, device: &Device) -> Result<MnistBatch> {
        let digits = read_digits(&self.config.folder, "t10k")?.into_iter().take(count).collect();
        Ok(MnistBatcher.batch(digits, device))
    }

    fn loader(&self, digits: &[Digit]) -> Loader<MnistBatch> {
        Loader::new(InMemDataset::new(digits.to_vec()), MnistBatcher).batch_size(self.config.batch_size)
    }
}

impl DataModule for MnistData {
    type Batch = MnistBatch;

    fn setup(&mut self, stage: Stage) -> Result<()> {
        if stage == Stage::Test {
            self.test = read_digits(&self.config.folder, "t10k")?;
        } else {
            self.train = read_digits(&self.config.folder, "train")?;
            self.val = self.train.split_off(self.train.len() * 9 / 10);
        }
        Ok(())
    }

    fn train_dataloader(&mut self) -> Result<Loader<MnistBatch>> {
        Ok(self.loader(&self.train).shuffle(true).workers(1))
    }

    fn val_dataloader(&mut self) -> Result<Loaders<MnistBatch>> {
        Ok(self.loader(&self.val).into())
    }

    fn test_dataloader(&mut self) -> Result<Loaders<MnistBatch>> {
        Ok(self.loader(&self.test).into())
    }
}

/// Far more than the 47 MB of the largest MNIST file. This limits the unpacked size of an archive.
const MOST: u64 = 256 << 20;

/// The digits of the files whose names start with `part`: `train` or `t10k`.
///
/// # Errors
/// For files that are missing or damaged.
pub fn read_digits(folder: &Path, part: &str) -> Result<Vec<Digit>> {
    if !folder.is_dir() {
        let what = if folder.exists() { "is a file" } else { "does not exist" };
        return Err(DataError::other(format!(
            "`{}` {what}: name the folder with `{part}-images-idx3-ubyte.gz` and `{part}-labels-idx1-ubyte.gz`, such as `data/mnist-mini`, or fetch \
             all 60,000 digits with `cargo xtask data`",
            folder.display()
        )));
    }
    let (_, images) = read_idx(folder, &format!("{part}-images-idx3-ubyte"), 3)?;
    let (file, labels) = read_idx(folder, &format!("{part}-labels-idx1-ubyte"), 1)?;
    if images.len() != labels.len() * SIDE * SIDE {
        return Err(DataError::other(format!("`{}`: {} labels do not fit {} pixels", folder.display(), labels.len(), images.len())));
    }
    if let Some((place, label)) = labels.iter().enumerate().find(|(_, label)| **label > 9) {
        return Err(DataError::other(format!("`{}`: label {place} is {label}, and a digit is 0 to 9", file.display())));
    }
    let digits = images.chunks_exact(SIDE * SIDE).zip(labels);
    Ok(digits.map(|(pixels, label)| Digit { pixels: pixels.to_vec(), label }).collect())
}

/// An idx file, gzipped or not, and its bytes after the header: `0 0 8 dimensions`, then the size of each dimension.
fn read_idx(folder: &Path, name: &str, dimensions: u8) -> Result<(PathBuf, Vec<u8>)> {
    let (raw, zipped) = (folder.join(name), folder.join(format!("{name}.gz")));
    let is_zipped = !raw.exists();
    let path = if is_zipped { zipped } else { raw };
    let refused = |reason: &dyn Display| DataError::other(format!("`{}`: {reason}", path.display()));
    let file = File::open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => DataError::other(format!(
            "no `{name}` or `{name}.gz` in `{}`: give the folder with `--data.folder`, or fetch all 60,000 digits with `cargo xtask data`",
            folder.display()
        )),
        _ => refused(&error),
    })?;
    let reader: Box<dyn Read> = if is_zipped { Box::new(GzDecoder::new(file)) } else { Box::new(file) };
    let mut bytes = Vec::new();
    reader.take(MOST + 1).read_to_end(&mut bytes).map_err(|error| refused(&error))?;
    if bytes.len() as u64 > MOST {
        return Err(refused(&format!("it contains more than {MOST} bytes, and MNIST has 47 million")));
    }
    let header = 4 + 4 * usize::from(dimensions);
    if bytes.len() < header || bytes[..4] != [0, 0, 8, dimensions] {
        return Err(refused(&format!("it is not an idx file of {dimensions} dimensions")));
    }
    let values = bytes.split_off(header);
    Ok((path, values))
}

#[cfg(test)]
mod tests;
