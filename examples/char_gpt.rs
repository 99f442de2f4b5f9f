//! Trains a small transformer to write like Shakespeare: `cargo run --release --example char_gpt`.
//!
//! The model reads eight plays, one character at a time. On the CPU, `--devices auto` (its default) lets one thread per
//! core share each batch. With the cargo feature `mpi`, processes share the batches: `mpirun -n 2 char_gpt`.
//! `examples/src/transformer.rs` has a layer of the network, `examples/src/text_data.rs` the data.

use burn::{
    nn::{Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::AdamWConfig,
    prelude::*,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{cli::Cli, prelude::*};
use stormfire_examples::{Alphabet, TextBatch, TextData, TransformerLayer};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The options of the model. They are also in `hparams.yaml` and in checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct GptConfig {
    /// Width of a layer, a multiple of `heads`.
    #[schemars(range(min = 1))]
    width: usize,
    /// Number of attention heads.
    #[schemars(range(min = 1))]
    heads: usize,
    /// Number of layers.
    layers: usize,
    /// The probability with which an activation is dropped.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    dropout: f64,
    /// The learning rate.
    lr: f64,
}

impl Default for GptConfig {
    fn default() -> Self {
        Self { width: 128, heads: 4, layers: 4, dropout: 0.0, lr: 3e-3 }
    }
}

#[derive(Module, Debug)]
struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    layers: Vec<TransformerLayer>,
    norm: LayerNorm,
    head: Linear,
    #[module(skip)]
    config: GptConfig,
}

impl Gpt {
    fn new(config: GptConfig, data: &TextData, device: &Device) -> Result<Self> {
        let (vocabulary, context) = (data.alphabet.size(), data.config.context);
        let layer = |_| TransformerLayer::new(config.width, config.heads, config.dropout, device);
        Ok(Self {
            tokens: EmbeddingConfig::new(vocabulary, config.width).init(device),
            positions: EmbeddingConfig::new(context, config.width).init(device),
            layers: (0..config.layers).map(layer).collect::<Result<_>>()?,
            norm: LayerNormConfig::new(config.width).init(device),
            head: LinearConfig::new(config.width, vocabulary).with_bias(false).init(device),
            config,
        })
    }

    /// The logits `[batch, time, vocabulary]` of the next token, for tokens `[batch, time]`.
    fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [_, time] = tokens.dims();
        let positions = Tensor::<2, Int>::ones([1, time], &tokens.device()).cumsum(1) - 1;
        let x = self.tokens.forward(tokens) + self.positions.forward(positions);
        let x = self.layers.iter().fold(x, |x, layer| layer.forward(x));
        self.head.forward(self.norm.forward(x))
    }

    fn loss(&self, batch: TextBatch) -> Tensor<1> {
        let logits: Tensor<2> = self.forward(batch.tokens).flatten(0, 1);
        CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, batch.targets.flatten(0, 1))
    }

    /// Continues a text by characters that it draws. The temperature of 0.5 prefers the probable ones.
    fn write(&self, alphabet: &Alphabet, begin: &str, count: usize) -> String {
        let (mut tokens, device, [most, _]) = (alphabet.tokens(begin), self.norm.gamma.device(), self.positions.weight.dims());
        for _ in 0..count {
            let context = &tokens[tokens.len().saturating_sub(most)..];
            let logits = self.forward(Tensor::<1, Int>::from_ints(context, &device).unsqueeze::<2>());
            let last = logits.slice([0..1, context.len() - 1..context.len()]) / 0.5;
            let gumbel = -(-last.random_like(burn::tensor::Distribution::Default).log()).log();
            tokens.extend((last + gumbel).argmax(2).into_data().iter::<i32>());
        }
        alphabet.text(&tokens)
    }
}

impl LightningModule for Gpt {
    type Batch = TextBatch;

    fn training_step(&self, batch: TextBatch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.loss(batch);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: TextBatch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.loss(batch);
        self.log("val_bits", loss.clone() / std::f64::consts::LN_2).prog_bar(true); // of a character
        self.log("val_loss", loss);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamWConfig::new().with_weight_decay(0.1), self.config.lr).into())
    }

    fn hparams(&self) -> Result<serde_json::Value> {
        state::save(&self.config)
    }
}

fn main() -> Result<Stop> {
    Cli::linked(Gpt::new, |data, _| Ok(TextData::new(data)?))
        .about("Trains a small transformer to write like Shakespeare.")
        .alias("steps", "trainer.max_steps")
        .alias("lr", "model.lr")
        .alias("devices", "trainer.devices")
        .trainer_defaults(TrainerConfig {
            max_steps: Some(150),
            limit_val_batches: 20.into(),
            devices: Devices::Auto,
            seed: Some(42),
            log_every_n_steps: 10,
            val_check_interval: Every::Steps(50),
            gradient_clip_val: Some(1.0),
            ..TrainerConfig::default()
        })
        .with_devices()
        .with_precision()
        .trainer(|trainer| trainer.callback(ModelCheckpoint::new().save_on_train_epoch_end(true)))
        .after_fit(|_, fit, data| {
            if stormfire::ranks::here()?.is_global_zero() {
                println!("\n{}", fit.module.valid().write(&data.alphabet, "MENENIUS.\n", 300));
            }
            Ok(())
        })
        .run()
}
