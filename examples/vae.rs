//! A variational autoencoder that draws digits: `cargo run --release --example vae`.
//!
//! The encoder describes a digit by 16 numbers with a little noise, and the decoder draws it from them. The loss is
//! the negative evidence lower bound: a bound of the nats that a digit needs, here 118. `digits.png` in the folder of
//! the run has a row of test digits, below them their reconstructions, and two rows that the decoder has drawn from
//! noise.

use burn::{
    nn::{Linear, LinearConfig, Relu},
    optim::AdamConfig,
    prelude::*,
    tensor::{
        Distribution,
        activation::{sigmoid, softplus},
    },
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{cli::Cli, loggers::Image, module::media::Layout, prelude::*};
use stormfire_examples::{MnistBatch, MnistConfig, MnistData, save_image};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const PIXELS: usize = 28 * 28;

/// The options of the network.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct VaeConfig {
    /// Numbers that describe a digit.
    #[schemars(range(min = 1))]
    latent: usize,
    /// Units of the hidden layers.
    #[schemars(range(min = 1))]
    hidden: usize,
    /// The learning rate of Adam.
    lr: f64,
}

impl Default for VaeConfig {
    fn default() -> Self {
        Self { latent: 16, hidden: 256, lr: 2e-3 }
    }
}

#[derive(Module, Debug)]
struct Vae {
    encode: [Linear; 2],
    decode: [Linear; 2],
    relu: Relu,
    #[module(skip)]
    config: VaeConfig,
}

impl Vae {
    fn new(config: VaeConfig, device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        let VaeConfig { latent, hidden, .. } = config;
        Self {
            encode: [linear(PIXELS, hidden), linear(hidden, 2 * latent)],
            decode: [linear(latent, hidden), linear(hidden, PIXELS)],
            relu: Relu::new(),
            config,
        }
    }

    /// The mean and the logarithm of the variance of each code, both `[digits, latent]`.
    fn encode(&self, grey: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let both = self.encode[1].forward(self.relu.forward(self.encode[0].forward(grey)));
        (both.clone().narrow(1, 0, self.config.latent), both.narrow(1, self.config.latent, self.config.latent))
    }

    /// The logits of the pixels, `[digits, 784]`.
    fn decode(&self, codes: Tensor<2>) -> Tensor<2> {
        self.decode[1].forward(self.relu.forward(self.decode[0].forward(codes)))
    }

    /// The negative evidence lower bound, and its two parts. All are means of the digits, in nats.
    fn loss(&self, batch: &MnistBatch) -> [(&'static str, Tensor<1>); 3] {
        let grey = batch.grey().flatten(1, 3);
        let (mean, log_variance) = self.encode(grey.clone());
        let noise = mean.random_like(Distribution::Normal(0.0, 1.0));
        let logits = self.decode(mean.clone() + noise * (log_variance.clone() / 2.0).exp());
        // The cross-entropy of the pixels, and the distance of the codes from noise.
        let reconstruction = (softplus(logits.clone(), 1.0) - grey * logits).sum_dim(1).mean();
        let distance = (mean.square() + log_variance.clone().exp() - log_variance - 1.0).sum_dim(1).mean() / 2.0;
        [("loss", reconstruction.clone() + distance.clone()), ("reconstruction", reconstruction), ("kl", distance)]
    }

    /// Eight digits, their reconstructions, and 16 digits from noise.
    fn draw(&self, batch: &MnistBatch) -> Result<Vec<Image>> {
        let digits: Tensor<2> = batch.grey().narrow(0, 0, batch.targets.dims()[0].min(8)).flatten(1, 3);
        let (codes, _) = self.encode(digits.clone());
        let noise = Tensor::random([16, self.config.latent], Distribution::Normal(0.0, 1.0), &digits.device());
        let drawn = sigmoid(self.decode(Tensor::cat(vec![codes, noise], 0)));
        media::images(Tensor::cat(vec![digits, drawn], 0).reshape([-1, 1, 28, 28]), Layout::ChannelsFirst)
    }
}

impl LightningModule for Vae {
    type Batch = MnistBatch;

    fn training_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let parts = self.loss(&batch);
        self.log_dict(parts.each_ref().map(|(name, loss)| (format!("train_{name}"), loss))).prog_bar(true);
        let [(_, loss), ..] = parts;
        Ok(loss.into())
    }

    fn validation_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        self.log_dict(self.loss(&batch).map(|(name, loss)| (format!("val_{name}"), loss)));
        Ok(StepOutput::none())
    }

    fn test_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        self.log_dict(self.loss(&batch).map(|(name, loss)| (format!("test_{name}"), loss)));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), self.config.lr).into())
    }

    fn hparams(&self) -> Result<Value> {
        state::save(&self.config)
    }
}

fn main() -> Result<Stop> {
    Cli::new(|model: VaeConfig, device: &Device| Ok(Vae::new(model, device)), |data: MnistConfig| Ok(MnistData::new(data)))
        .about("Trains a variational autoencoder that draws digits.")
        .alias("epochs", "trainer.max_epochs")
        .alias("data", "data.folder")
        .trainer_defaults(TrainerConfig { max_epochs: Some(15), seed: Some(42), log_every_n_steps: 10, ..TrainerConfig::default() })
        .trainer(|trainer| trainer.callback(ImageGridMonitor::new("digits", Vae::draw)))
        .after_fit(|trainer, fit, mut data| {
            trainer.test(&fit.module, &mut data)?;
            let module = fit.module.valid();
            let images = module.draw(&data.first_of_test(8, &module.decode[1].weight.device())?)?;
            save_image(trainer.log_dir(), "digits", &Image::grid(&images, 8, 2, 0)?)
        })
        .run()
}
