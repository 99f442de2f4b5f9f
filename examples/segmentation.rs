//! Finds discs, squares and triangles in noisy pictures, pixel by pixel: `cargo run --release --example segmentation`.
//!
//! The network is a small U-Net. `shapes.png` in the folder of the run has a row of test pictures that the program has
//! drawn, a row of what is in them, and a row of what the network has found.

use burn::{
    data::dataset::InMemDataset,
    nn::{
        PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        interpolate::{Interpolate2d, Interpolate2dConfig},
        loss::CrossEntropyLossConfig,
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    optim::AdamConfig,
    prelude::*,
    tensor::activation::relu,
};
use stormfire::{cli::Cli, data::Random, loggers::Image, metrics::image::segmentation, module::media::Layout, prelude::*};
use stormfire_examples::save_image;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIDE: usize = 32;
/// The classes of pixels: background, disc, square, triangle.
const COLORS: [[f32; 3]; 4] = [[0.0, 0.0, 0.0], [0.9, 0.2, 0.2], [0.2, 0.7, 0.3], [0.3, 0.4, 1.0]];

/// Brightness and class of each pixel, row by row.
type Picture = Vec<(f32, i32)>;

fn draw(number: usize) -> Picture {
    let mut random = Random::new(number as u64);
    let mut picture: Picture = (0..SIDE * SIDE).map(|_| (0.2 + 0.2 * random.unit() as f32, 0)).collect();
    for _ in 0..3 {
        let class = 1 + random.below(COLORS.len() - 1) as i32;
        let [x, y, radius, grey] = [(4.0, 24.0), (4.0, 24.0), (4.0, 4.0), (0.4, 0.5)].map(|(low, span)| low + span * random.unit());
        for (place, pixel) in picture.iter_mut().enumerate() {
            let (dx, dy) = ((place % SIDE) as f64 - x, (place / SIDE) as f64 - y);
            match class {
                1 if dx.hypot(dy) > radius => {}
                2 if dx.abs().max(dy.abs()) > 0.85 * radius => {}
                3 if dy.abs() > radius || dx.abs() > (dy + radius) / 2.0 => {}
                _ => *pixel = ((grey + 0.1 * random.unit()) as f32, class),
            }
        }
    }
    picture
}

/// Pictures `[pictures, 1, 32, 32]`, and the classes of their pixels `[pictures, 32, 32]`.
type Batch = (Tensor<4>, Tensor<3, Int>);

fn collate(pictures: Vec<Picture>, device: &Device) -> Batch {
    let count = pictures.len();
    let (pixels, classes): (Vec<f32>, Vec<i32>) = pictures.into_iter().flatten().unzip();
    let pixels = Tensor::from_data(TensorData::new(pixels, [count, 1, SIDE, SIDE]), device);
    (pixels, Tensor::from_data(TensorData::new(classes, [count, SIDE, SIDE]), device))
}

/// Loaders for training, validation and test.
fn pictures() -> (Loader<Batch>, Loader<Batch>, Loader<Batch>) {
    let [train, val, test] = [0..2000, 2000..2200, 2200..2700]
        .map(|numbers| Loader::collate(InMemDataset::new(numbers.map(draw).collect()), collate).batch_size(32));
    (train.shuffle(true), val, test)
}

#[derive(Module, Debug)]
struct UNet {
    down: [Conv2d; 3],
    up: [Conv2d; 2],
    output: Conv2d,
    halve: MaxPool2d,
    double: Interpolate2d,
}

impl UNet {
    fn new(device: &Device) -> Self {
        let conv = |[from, to]: [usize; 2]| Conv2dConfig::new([from, to], [3, 3]).with_padding(PaddingConfig2d::Same).init(device);
        Self {
            down: [[1, 8], [8, 16], [16, 32]].map(conv),
            up: [[48, 16], [24, 8]].map(conv),
            output: conv([8, COLORS.len()]),
            halve: MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init(),
            double: Interpolate2dConfig::new().with_scale_factor(Some([2.0, 2.0])).init(),
        }
    }

    /// The logits `[pictures, classes, 32, 32]`.
    fn forward(&self, pictures: Tensor<4>) -> Tensor<4> {
        let fine = relu(self.down[0].forward(pictures));
        let middle = relu(self.down[1].forward(self.halve.forward(fine.clone())));
        let coarse = relu(self.down[2].forward(self.halve.forward(middle.clone())));
        let middle = relu(self.up[0].forward(Tensor::cat(vec![self.double.forward(coarse), middle], 1)));
        let fine = relu(self.up[1].forward(Tensor::cat(vec![self.double.forward(middle), fine], 1)));
        self.output.forward(fine)
    }

    fn most_probable(&self, pictures: Tensor<4>) -> Tensor<3, Int> {
        self.forward(pictures).argmax(1).squeeze_dim(1)
    }

    fn draw(&self, (pictures, classes): &Batch) -> Result<Vec<Image>> {
        let (pictures, classes) = (pictures.clone().slice([0..8]), classes.clone().slice([0..8]));
        let colored = |classes: Tensor<3, Int>| {
            Tensor::<2>::from_floats(COLORS, &classes.device()).select(0, classes.flatten(0, 2)).reshape([8, SIDE, SIDE, 3])
        };
        let grey = pictures.clone().permute([0, 2, 3, 1]).repeat_dim(3, 3);
        media::images(Tensor::cat(vec![grey, colored(classes), colored(self.most_probable(pictures))], 0), Layout::ChannelsLast)
    }
}

impl LightningModule for UNet {
    type Batch = Batch;

    fn training_step(&self, (pictures, classes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits: Tensor<2> = self.forward(pictures).permute([0, 2, 3, 1]).flatten(0, 2);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, classes.flatten(0, 2));
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, (pictures, classes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_iou", segmentation(&self.most_probable(pictures), &classes, COLORS.len())?.mean_iou()).prog_bar(true);
        Ok(StepOutput::none())
    }

    fn test_step(&self, (pictures, classes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("test_iou", segmentation(&self.most_probable(pictures), &classes, COLORS.len())?.mean_iou().per_class());
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 3e-3).into())
    }
}

fn main() -> Result<Stop> {
    Cli::new(|(): (), device: &Device| Ok(UNet::new(device)), |(): ()| Ok(pictures()))
        .about("Finds discs, squares and triangles in noisy pictures.")
        .trainer_defaults(TrainerConfig { max_epochs: Some(5), seed: Some(42), log_every_n_steps: 10, ..TrainerConfig::default() })
        .trainer(|trainer| trainer.callback(ImageGridMonitor::new("shapes", UNet::draw)))
        .after_fit(|trainer, fit, data| {
            trainer.test(&fit.module, data)?;
            let module = fit.module.valid();
            let batch = collate((2200..2208).map(draw).collect(), &module.output.weight.device());
            save_image(trainer.log_dir(), "shapes", &Image::grid(&module.draw(&batch)?, 8, 2, 0)?)
        })
        .run()
}
