//! A small diffusion model that draws digits from noise: `cargo run --release --example diffusion`.
//!
//! The kind is a rectified flow: the network learns the direction from noise to a digit, at any point between the two.
//! To draw a digit of a class, it goes that way in 20 steps. The digits have 14 × 14 pixels. `digits.png` in the
//! folder of the run has a row of eight for each class. `test_class` is the share of drawn digits whose nearest test
//! digit is of the requested class: 0.78.

use burn::{
    nn::{
        Embedding, EmbeddingConfig, Linear, LinearConfig,
        loss::{MseLoss, Reduction},
        pool::AvgPool2dConfig,
    },
    optim::AdamConfig,
    prelude::*,
    tensor::{Distribution, activation::silu},
};
use stormfire::{cli::Cli, metrics::aggregation::Mean, module::media::Layout, prelude::*};
use stormfire_examples::{MnistBatch, MnistConfig, MnistData, save_image};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PIXELS: usize = 14 * 14;
const WIDTH: usize = 512;
/// Waves by which the network sees the time.
const WAVES: i64 = 16;

/// The digits `[digits, 196]`, from -1 to 1.
fn small(batch: &MnistBatch) -> Tensor<2> {
    let half = AvgPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
    half.forward(batch.grey()).flatten::<2>(1, 3) * 2.0 - 1.0
}

#[derive(Module, Debug)]
struct Flow {
    classes: Embedding,
    time: Linear,
    input: Linear,
    blocks: Vec<[Linear; 2]>,
    output: Linear,
}

impl Flow {
    fn new(device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Self {
            classes: EmbeddingConfig::new(10, WIDTH).init(device),
            time: linear(2 * WAVES as usize, WIDTH),
            input: linear(PIXELS, WIDTH),
            blocks: (0..3).map(|_| [linear(WIDTH, WIDTH), linear(WIDTH, WIDTH)]).collect(),
            output: linear(WIDTH, PIXELS),
        }
    }

    /// The direction to the digits, from points `[digits, 196]` at times `[digits, 1]` from 0 (noise) to 1 (digit).
    fn forward(&self, x: Tensor<2>, time: Tensor<2>, classes: Tensor<1, Int>) -> Tensor<2> {
        let waves = Tensor::<1, Int>::arange(1..WAVES + 1, &x.device()).float().unsqueeze::<2>() * time * std::f64::consts::PI;
        let about = self.time.forward(Tensor::cat(vec![waves.clone().sin(), waves.cos()], 1))
            + self.classes.forward(classes.unsqueeze_dim(1)).squeeze_dim::<2>(1);
        let x = self.input.forward(x);
        let x = self.blocks.iter().fold(x, |x, [first, second]| {
            let inner = silu(first.forward(x.clone() + about.clone()));
            x + second.forward(inner)
        });
        self.output.forward(silu(x))
    }

    fn loss(&self, batch: &MnistBatch) -> Tensor<1> {
        let digits = small(batch);
        let noise = digits.random_like(Distribution::Normal(0.0, 1.0));
        let time = Tensor::<2>::random([digits.dims()[0], 1], Distribution::Uniform(0.0, 1.0), &digits.device());
        let between = noise.clone() + (digits.clone() - noise.clone()) * time.clone();
        MseLoss::new().forward(self.forward(between, time, batch.targets.clone()), digits - noise, Reduction::Mean)
    }

    /// Draws a digit `[digits, 196]` for each class that is given.
    fn draw(&self, classes: &Tensor<1, Int>) -> Tensor<2> {
        const STEPS: usize = 20;
        let count = classes.dims()[0];
        let noise = Tensor::random([count, PIXELS], Distribution::Normal(0.0, 1.0), &classes.device());
        (0..STEPS).fold(noise, |x, step| {
            let time = Tensor::full([count, 1], step as f64 / STEPS as f64, &x.device());
            x.clone() + self.forward(x, time, classes.clone()) / STEPS as f64
        })
    }
}

impl LightningModule for Flow {
    type Batch = MnistBatch;

    fn training_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.loss(&batch);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(&batch)).prog_bar(true);
        Ok(StepOutput::none())
    }

    /// Draws the digits of a batch of test digits, and compares them with those.
    fn test_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let (drawn, real) = (self.draw(&batch.targets), small(&batch));
        // |a - b|² without |a|², which is the same for all b.
        let distances = real.clone().square().sum_dim(1).transpose() - drawn.matmul(real.transpose()) * 2.0;
        let nearest = batch.targets.clone().select(0, distances.argmin(1).squeeze_dim(1));
        self.log("test_class", Mean::from_sum(nearest.equal(batch.targets.clone()).int().sum(), batch.targets.dims()[0]));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let steps = self.estimated_stepping_batches().unwrap_or(1000);
        Ok(Optimizer::new(AdamConfig::new(), 1e-3).schedule(Schedule::new(OneCycle::new(2e-3, steps)).every(Every::Steps(1))).into())
    }
}

fn main() -> Result<Stop> {
    Cli::new(|(): (), device: &Device| Ok(Flow::new(device)), |data: MnistConfig| Ok(MnistData::new(data)))
        .about("Trains a small diffusion model that draws digits.")
        .alias("epochs", "trainer.max_epochs")
        .alias("data", "data.folder")
        .trainer_defaults(TrainerConfig {
            max_epochs: Some(15),
            seed: Some(42),
            val_check_interval: Every::Epochs(5),
            ..TrainerConfig::default()
        })
        .after_fit(|trainer, fit, data| {
            // All test digits are one batch.
            trainer.test(&fit.module, data.batch_size(1000))?;
            let module = fit.module.valid();
            let classes = Tensor::<1, Int>::arange(0..80, &module.output.weight.device()) / 8;
            let digits = (module.draw(&classes) + 1.0) / 2.0;
            save_image(trainer.log_dir(), "digits", &media::grid(digits.reshape([80, 1, 14, 14]), Layout::ChannelsFirst)?)
        })
        .run()
}
