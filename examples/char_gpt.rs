//! Trains a small transformer to write like Shakespeare: `cargo run --release --example char_gpt`.
//!
//! The model reads eight plays, one character at a time. On the CPU, `--devices auto` (its default) lets one thread per
//! core share each batch. With the cargo feature `mpi`, processes share the batches: `mpirun -n 2 char_gpt`.

use std::{path::PathBuf, sync::Arc};

use burn::{
    data::dataset::{Dataset, DatasetError},
    nn::{
        Dropout, DropoutConfig, Embedding, EmbeddingConfig, LayerNorm, LayerNormConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig,
    },
    optim::AdamWConfig,
    prelude::*,
    tensor::activation::{gelu, softmax},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{cli::Cli, prelude::*};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The options of the model. They are also in `hparams.yaml` and in checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct GptConfig {
    /// Width of a layer, a multiple of `heads`.
    width: usize,
    /// Number of attention heads.
    heads: usize,
    /// Number of layers.
    layers: usize,
    /// The probability with which an activation is dropped.
    dropout: f64,
    /// The learning rate.
    lr: f64,
}

impl Default for GptConfig {
    fn default() -> Self {
        Self { width: 128, heads: 4, layers: 4, dropout: 0.0, lr: 1e-3 }
    }
}

/// A transformer layer: attention, then two linear layers, each added to its input.
#[derive(Module, Debug)]
struct Block {
    norms: [LayerNorm; 2],
    qkv: Linear,
    project: Linear,
    up: Linear,
    down: Linear,
    dropout: Dropout,
    heads: usize,
}

impl Block {
    fn new(config: &GptConfig, device: &Device) -> Self {
        let width = config.width;
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Self {
            norms: [(); 2].map(|()| LayerNormConfig::new(width).init(device)),
            qkv: linear(width, 3 * width),
            project: linear(width, width),
            up: linear(width, 4 * width),
            down: linear(4 * width, width),
            dropout: DropoutConfig::new(config.dropout).init(),
            heads: config.heads,
        }
    }

    /// `x` has shape `[batch, time, width]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, time, width] = x.dims();
        let qkv = self.qkv.forward(self.norms[0].forward(x.clone()));
        let head = |part: usize| {
            let part = qkv.clone().narrow(2, part * width, width);
            part.reshape([batch, time, self.heads, width / self.heads]).swap_dims(1, 2)
        };
        let scores = head(0).matmul(head(1).transpose()) / ((width / self.heads) as f64).sqrt();
        let later = Tensor::<2, Bool>::tril_mask([time, time], 0, &x.device()).unsqueeze::<4>();
        let attended = softmax(scores.mask_fill(later, f32::NEG_INFINITY), 3).matmul(head(2));
        let attended = self.project.forward(attended.swap_dims(1, 2).reshape([batch, time, width]));
        let x = x + self.dropout.forward(attended);
        let thought = self.down.forward(gelu(self.up.forward(self.norms[1].forward(x.clone()))));
        x + self.dropout.forward(thought)
    }
}

#[derive(Module, Debug)]
struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
    context: usize,
    #[module(skip)]
    config: GptConfig,
}

impl Gpt {
    fn new(config: GptConfig, data: &TextData, device: &Device) -> Self {
        let (vocabulary, context) = (data.text.symbols.len(), data.config.context);
        Self {
            tokens: EmbeddingConfig::new(vocabulary, config.width).init(device),
            positions: EmbeddingConfig::new(context, config.width).init(device),
            blocks: (0..config.layers).map(|_| Block::new(&config, device)).collect(),
            norm: LayerNormConfig::new(config.width).init(device),
            head: LinearConfig::new(config.width, vocabulary).with_bias(false).init(device),
            context,
            config,
        }
    }

    /// The logits `[batch, time, vocabulary]` of the next token, for tokens `[batch, time]`.
    fn forward(&self, tokens: Tensor<2, Int>) -> Tensor<3> {
        let [_, time] = tokens.dims();
        let positions = Tensor::<2, Int>::ones([1, time], &tokens.device()).cumsum(1) - 1;
        let x = self.tokens.forward(tokens) + self.positions.forward(positions);
        let x = self.blocks.iter().fold(x, |x, block| block.forward(x));
        self.head.forward(self.norm.forward(x))
    }

    fn loss(&self, batch: Batch) -> Tensor<1> {
        let targets: Tensor<1, Int> = batch.targets.flatten(0, 1);
        let logits: Tensor<2> = self.forward(batch.tokens).flatten(0, 1);
        CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, targets)
    }

    /// Continues a text by its most probable characters.
    fn write(&self, text: &Text, begin: &str, count: usize, device: &Device) -> String {
        let mut tokens: Vec<i32> = begin.chars().filter_map(|symbol| text.token(symbol)).collect();
        for _ in 0..count {
            let context = &tokens[tokens.len().saturating_sub(self.context)..];
            let logits = self.forward(Tensor::<1, Int>::from_ints(context, device).unsqueeze::<2>());
            let last = logits.slice([0..1, context.len() - 1..context.len()]).argmax(2);
            tokens.extend(last.into_data().iter::<i32>());
        }
        tokens.into_iter().filter_map(|token| text.symbols.get(usize::try_from(token).ok()?)).collect()
    }
}

impl LightningModule for Gpt {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = self.loss(batch);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch)).prog_bar(true);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamWConfig::new().with_weight_decay(0.1), self.config.lr).into())
    }

    fn hparams(&self) -> Result<serde_json::Value> {
        state::save(&self.config)
    }
}

/// Pieces of text, and the same pieces one character later. Both have shape `[batch, time]`.
#[derive(Clone, Debug, CastBatch, SplitBatch)]
struct Batch {
    tokens: Tensor<2, Int>,
    targets: Tensor<2, Int>,
}

/// A text as numbers.
#[derive(Debug)]
struct Text {
    symbols: Vec<char>,
    tokens: Vec<i32>,
}

impl Text {
    fn read(path: &PathBuf) -> Result<Self> {
        let text = fs_err::read_to_string(path)?;
        let mut symbols: Vec<char> = text.chars().collect();
        symbols.sort_unstable();
        symbols.dedup();
        let mut read = Self { symbols, tokens: Vec::new() };
        read.tokens = text.chars().filter_map(|symbol| read.token(symbol)).collect();
        Ok(read)
    }

    fn token(&self, symbol: char) -> Option<i32> {
        self.symbols.binary_search(&symbol).ok().and_then(|index| i32::try_from(index).ok())
    }
}

/// A part of a text, in pieces of `context + 1` characters.
struct Pieces {
    text: Arc<Text>,
    first: usize,
    count: usize,
    context: usize,
}

impl Dataset<Vec<i32>> for Pieces {
    fn get(&self, index: usize) -> Result<Vec<i32>, DatasetError> {
        let start = (self.first + index) * self.context;
        let piece = self.text.tokens.get(start..=start + self.context);
        piece.map(<[i32]>::to_vec).ok_or_else(|| DatasetError::new(std::io::Error::other("the text is shorter")))
    }

    fn len(&self) -> usize {
        self.count
    }
}

fn batch(pieces: &[Vec<i32>], device: &Device) -> Batch {
    let [count, length] = [pieces.len(), pieces.first().map_or(0, Vec::len)];
    let all = Tensor::<2, Int>::from_data(TensorData::new(pieces.concat(), [count, length]), device);
    Batch { tokens: all.clone().narrow(1, 0, length - 1), targets: all.narrow(1, 1, length - 1) }
}

/// The options of the text.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct TextConfig {
    /// The text to learn.
    file: PathBuf,
    /// Number of characters that the model sees.
    context: usize,
    /// Number of pieces of text in a batch.
    batch_size: usize,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self { file: "data/shakespeare/shakespeare.txt".into(), context: 64, batch_size: 32 }
    }
}

struct TextData {
    text: Arc<Text>,
    config: TextConfig,
}

impl TextData {
    fn new(config: TextConfig) -> Result<Self> {
        Ok(Self { text: Arc::new(Text::read(&config.file)?), config })
    }

    fn loader(&self, first: usize, count: usize) -> Loader<Batch> {
        let pieces = Pieces { text: Arc::clone(&self.text), first, count, context: self.config.context };
        Loader::collate(pieces, |pieces: Vec<Vec<i32>>, device: &Device| batch(&pieces, device)).batch_size(self.config.batch_size)
    }

    fn pieces(&self) -> usize {
        self.text.tokens.len().saturating_sub(1) / self.config.context
    }

    /// The last tenth of the text is for validation.
    fn train_pieces(&self) -> usize {
        self.pieces() * 9 / 10
    }
}

impl DataModule for TextData {
    type Batch = Batch;

    fn train_dataloader(&mut self) -> Result<Loader<Batch>, DataError> {
        Ok(self.loader(0, self.train_pieces()).shuffle(true))
    }

    fn val_dataloader(&mut self) -> Result<Loaders<Batch>, DataError> {
        Ok(self.loader(self.train_pieces(), self.pieces() - self.train_pieces()).into())
    }
}

fn main() -> Result<Stop> {
    Cli::linked(|model: GptConfig, data: &TextData, device: &Device| Ok(Gpt::new(model, data, device)), |data, _| TextData::new(data))
        .about("Trains a small transformer to write like Shakespeare.")
        .alias("epochs", "trainer.max_epochs")
        .alias("lr", "model.lr")
        .alias("devices", "trainer.devices")
        .trainer_defaults(TrainerConfig {
            max_epochs: Some(2),
            devices: Devices::Auto,
            seed: Some(42),
            log_every_n_steps: 10,
            val_check_interval: Every::Steps(200),
            gradient_clip_val: Some(1.0),
            ..TrainerConfig::default()
        })
        .with_devices()
        .with_precision()
        .trainer(|trainer| trainer.callback(ModelCheckpoint::new().save_on_train_epoch_end(true)))
        .after_fit(|_, fit, data| {
            if stormfire::ranks::here()?.is_global_zero() {
                let module = fit.module.valid();
                println!("\n{}", module.write(&data.text, "MENENIUS.\n", 300, &module.norm.gamma.device()));
            }
            Ok(())
        })
        .run()
}
