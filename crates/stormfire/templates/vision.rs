//! Classifies images of shapes. `// Yours:` marks what to change for your own images. `stormfire::data::ImageFolder`
//! reads folders of PNG and JPEG files, with the cargo feature `images`.
//!
//! `cargo run --release` trains, and `cargo run --release -- test --ckpt-path best` tests the best checkpoint.

use std::ops::Range;

use burn::{
    data::dataset::InMemDataset,
    nn::{
        Linear, LinearConfig, PaddingConfig2d, Relu,
        conv::{Conv2d, Conv2dConfig},
        loss::CrossEntropyLossConfig,
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    optim::AdamConfig,
    prelude::*,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{cli::Cli, prelude::*};

// A small model spends half of its time in the system's allocator, which returns memory and requests it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

// Yours: the width and height of the gray images, and the number of classes.
const SIZE: usize = 16;
const CLASSES: usize = 3;

/// Images as `[images, 1, SIZE, SIZE]`, and classes.
type Batch = (Tensor<4>, Tensor<1, Int>);

/// Loaders for training, validation and test.
type Data = (Loader<Batch>, Loader<Batch>, Loader<Batch>);

/// The options of the network. They are also in `hparams.yaml` and in checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct NetConfig {
    /// The learning rate.
    #[schemars(range(min = 0))]
    lr: f64,
    /// Channels of the first convolution. The second has twice as many.
    #[schemars(range(min = 1))]
    channels: usize,
}

impl Default for NetConfig {
    fn default() -> Self {
        Self { lr: 0.002, channels: 8 }
    }
}

/// The options of the data.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct DataConfig {
    /// Number of items in a batch.
    #[schemars(range(min = 1))]
    batch_size: usize,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self { batch_size: 32 }
    }
}

#[derive(Module, Debug)]
struct Net {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    relu: Relu,
    output: Linear,
    #[module(skip)]
    config: NetConfig,
}

impl Net {
    fn new(config: NetConfig, device: &Device) -> Self {
        let channels = config.channels;
        let conv = |channels: [usize; 2]| Conv2dConfig::new(channels, [3, 3]).with_padding(PaddingConfig2d::Same).init(device);
        let pool = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
        let output = LinearConfig::new(2 * channels * SIZE / 4 * SIZE / 4, CLASSES).init(device);
        Self { conv1: conv([1, channels]), conv2: conv([channels, 2 * channels]), pool, relu: Relu::new(), output, config }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(self.relu.forward(self.conv1.forward(images)));
        let x = self.pool.forward(self.relu.forward(self.conv2.forward(x)));
        self.output.forward(x.flatten(1, 3))
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, (images, classes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(images);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, classes);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, (images, classes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(images);
        self.log("val_acc", accuracy(&logits, &classes)).prog_bar(true);
        self.log("val_loss", CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, classes));
        Ok(StepOutput::none())
    }

    fn test_step(&self, (images, classes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("test_acc", accuracy(&self.forward(images), &classes));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), self.config.lr).into())
    }
}

// Yours: the pixels of an image, and its class. This draws a square, a circle or a cross.
fn draw(image: usize) -> (Vec<f32>, u8) {
    let shape = image % CLASSES;
    let (radius, left, top) = (3.0 + 2.5 * noise(image * 3), 6.0 + 4.0 * noise(image * 3 + 1), 6.0 + 4.0 * noise(image * 3 + 2));
    let pixel = |at: usize| {
        let (x, y) = ((at % SIZE) as f32 - left, (at / SIZE) as f32 - top);
        let is_inside = match shape {
            0 => x.abs().max(y.abs()) <= radius,
            1 => x.hypot(y) <= radius,
            _ => x.abs().min(y.abs()) <= 1.0 && x.abs().max(y.abs()) <= radius,
        };
        f32::from(u8::from(is_inside)) + 0.6 * (noise(image * SIZE * SIZE + at) - 0.5)
    };
    ((0..SIZE * SIZE).map(pixel).collect(), shape as u8)
}

/// Pseudo-random numbers in 0..1, for `draw`.
fn noise(seed: usize) -> f32 {
    let mixed = (seed as u32).wrapping_add(1).wrapping_mul(2_654_435_761);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(2_246_822_519);
    (mixed ^ mixed >> 13) as f32 / u32::MAX as f32
}

fn loader(images: Range<usize>, batch_size: usize) -> Loader<Batch> {
    let collate = |items: Vec<(Vec<f32>, u8)>, device: &Device| {
        let (count, classes): (usize, Vec<i32>) = (items.len(), items.iter().map(|(_, class)| i32::from(*class)).collect());
        let pixels: Vec<f32> = items.into_iter().flat_map(|(pixels, _)| pixels).collect();
        let images = Tensor::<1>::from_floats(pixels.as_slice(), device).reshape([count, 1, SIZE, SIZE]);
        (images, Tensor::<1, Int>::from_ints(classes.as_slice(), device))
    };
    Loader::collate(InMemDataset::new(images.map(draw).collect()), collate).batch_size(batch_size)
}

fn data(config: &DataConfig) -> Data {
    // Yours: the images for each purpose.
    let [train, val, test] = [0..600, 600..720, 720..840].map(|images| loader(images, config.batch_size));
    (train.shuffle(true), val, test)
}

/// The program: its options are those of the two structs, and those of the Trainer.
fn program() -> Cli<Net, Data, NetConfig, DataConfig> {
    Cli::new(|config: NetConfig, device: &Device| Ok(Net::new(config, device)), |config: DataConfig| Ok(data(&config)))
        .about("Trains a classifier of images.")
        .version(env!("CARGO_PKG_VERSION"))
        .alias("epochs", "trainer.max_epochs")
        .alias("lr", "model.lr")
        .alias("root", "trainer.default_root_dir")
        .trainer_defaults(TrainerConfig { max_epochs: Some(5), seed: Some(42), log_every_n_steps: 5, ..TrainerConfig::default() })
        .trainer(|trainer| trainer.callback(ModelCheckpoint::new().monitor("val_loss")).callback(LearningRateMonitor::new()))
}

fn main() -> Result<Stop> {
    stormfire::console::Builder::new().file().init()?;
    program().run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_falls() {
        let root = std::env::temp_dir().join(format!("{}-{}", env!("CARGO_CRATE_NAME"), std::process::id()));
        let loss = |epochs: &str| {
            let found = std::rc::Rc::new(std::cell::Cell::new(f64::NAN));
            let noted = found.clone();
            let program = program().after_fit(move |_, fit, _| {
                noted.set(fit.metrics.get("val_loss").unwrap_or(f64::NAN));
                Ok(())
            });
            program.try_run(&["--epochs", epochs, "trainer.accelerator=cpu", "--root", root.to_str().unwrap()], &[]).unwrap();
            found.get()
        };
        assert!(loss("8") < 0.8 * loss("1"));
        std::fs::remove_dir_all(root).unwrap();
    }
}
