//! Classifies images of shapes. Replace `draw` by your images: `stormfire::data::ImageFolder` reads folders of PNG and
//! JPEG files with the cargo feature `images`.

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
use clap::Parser;
use stormfire::prelude::*;

// A small model spends half of its time in the system's allocator, which returns memory and requests it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Width and height of an image.
const SIZE: usize = 16;
/// A square, a circle, a cross.
const SHAPES: usize = 3;

/// Images as `[batch, 1, SIZE, SIZE]`, and shapes.
type Batch = (Tensor<4>, Tensor<1, Int>);

#[derive(Module, Debug)]
struct Net {
    conv1: Conv2d,
    conv2: Conv2d,
    pool: MaxPool2d,
    relu: Relu,
    output: Linear,
    #[module(skip)]
    learning_rate: f64,
}

impl Net {
    fn new(learning_rate: f64, device: &Device) -> Self {
        let conv = |channels: [usize; 2]| Conv2dConfig::new(channels, [3, 3]).with_padding(PaddingConfig2d::Same).init(device);
        let pool = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
        let output = LinearConfig::new(16 * SIZE / 4 * SIZE / 4, SHAPES).init(device);
        Self { conv1: conv([1, 8]), conv2: conv([8, 16]), pool, relu: Relu::new(), output, learning_rate }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.pool.forward(self.relu.forward(self.conv1.forward(images)));
        let x = self.pool.forward(self.relu.forward(self.conv2.forward(x)));
        self.output.forward(x.flatten(1, 3))
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, (images, shapes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(images);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, shapes);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, (images, shapes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(images);
        self.log("val_acc", accuracy(&logits, &shapes)).prog_bar(true);
        self.log("val_loss", CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, shapes));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), self.learning_rate).into())
    }
}

/// The pixels of an image, and its shape.
fn draw(image: usize) -> (Vec<f32>, u8) {
    let shape = image % SHAPES;
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

/// Pseudo-random numbers in 0..1.
fn noise(seed: usize) -> f32 {
    let mixed = (seed as u32).wrapping_add(1).wrapping_mul(2_654_435_761);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(2_246_822_519);
    (mixed ^ mixed >> 13) as f32 / u32::MAX as f32
}

fn data(from: usize, to: usize) -> Loader<Batch> {
    let collate = |items: Vec<(Vec<f32>, u8)>, device: &Device| {
        let (count, shapes): (usize, Vec<i32>) = (items.len(), items.iter().map(|(_, shape)| i32::from(*shape)).collect());
        let pixels: Vec<f32> = items.into_iter().flat_map(|(pixels, _)| pixels).collect();
        let images = Tensor::<1>::from_floats(pixels.as_slice(), device).reshape([count, 1, SIZE, SIZE]);
        (images, Tensor::<1, Int>::from_ints(shapes.as_slice(), device))
    };
    Loader::collate(InMemDataset::new((from..to).map(draw).collect()), collate).batch_size(32)
}

/// Trains a classifier of images.
#[derive(Parser)]
struct Args {
    /// Number of epochs.
    #[arg(long, default_value_t = 5)]
    epochs: usize,
    /// The learning rate.
    #[arg(long, default_value_t = 0.002)]
    lr: f64,
    /// The device: auto, cpu, cuda, wgpu, …
    #[arg(long, default_value = "auto")]
    accelerator: Accelerator,
    /// Resume from a checkpoint: a file, `last` or `best`.
    #[arg(long)]
    ckpt_path: Option<String>,
    /// The folder for logs and checkpoints.
    #[arg(long, default_value = ".")]
    root: std::path::PathBuf,
}

fn train(args: Args) -> Result<Fit<Net>> {
    let device = args.accelerator.device()?;
    let net = Net::new(args.lr, &device);
    let mut trainer = Trainer::new()
        .accelerator(device)
        .max_epochs(args.epochs)
        .seed(42)
        .log_every_n_steps(5)
        .default_root_dir(args.root)
        .callback(ModelCheckpoint::new().monitor("val_loss"))
        .callback(LearningRateMonitor::new());
    if let Some(path) = args.ckpt_path {
        trainer = trainer.ckpt_path(path);
    }
    trainer.fit(net, (data(0, 600).shuffle(true), data(600, 720)))
}

fn main() -> Result<Stop> {
    stormfire::console::Builder::new().file().init()?;
    Ok(train(Args::parse())?.stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_falls() {
        let root = std::env::temp_dir().join(format!("{}-{}", env!("CARGO_CRATE_NAME"), std::process::id()));
        let loss = |epochs: &str| {
            let args = ["", "--epochs", epochs, "--accelerator", "cpu", "--root"].map(Into::into);
            let args = Args::parse_from(args.into_iter().chain([root.clone().into_os_string()]));
            train(args).unwrap().metrics.get("val_loss").unwrap()
        };
        assert!(loss("8") < 0.8 * loss("1"));
        std::fs::remove_dir_all(root).unwrap();
    }
}
