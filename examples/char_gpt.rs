//! Trains a small transformer to write like Shakespeare: `cargo run --release --example char_gpt`.
//!
//! The model reads eight plays, one character at a time. On the CPU, `--devices auto` (the default) lets one thread per
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
use clap::Parser;
use serde::Serialize;
use stormfire::prelude::*;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The hyperparameters in `hparams.yaml` and in checkpoints.
#[derive(Clone, Debug, Serialize)]
struct Hyperparameters {
    vocabulary: usize,
    context: usize,
    width: usize,
    heads: usize,
    layers: usize,
    dropout: f64,
    learning_rate: f64,
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
    fn new(hparams: &Hyperparameters, device: &Device) -> Self {
        let width = hparams.width;
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Self {
            norms: [(); 2].map(|()| LayerNormConfig::new(width).init(device)),
            qkv: linear(width, 3 * width),
            project: linear(width, width),
            up: linear(width, 4 * width),
            down: linear(4 * width, width),
            dropout: DropoutConfig::new(hparams.dropout).init(),
            heads: hparams.heads,
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
    #[module(skip)]
    hparams: Hyperparameters,
}

impl Gpt {
    fn new(hparams: Hyperparameters, device: &Device) -> Self {
        Self {
            tokens: EmbeddingConfig::new(hparams.vocabulary, hparams.width).init(device),
            positions: EmbeddingConfig::new(hparams.context, hparams.width).init(device),
            blocks: (0..hparams.layers).map(|_| Block::new(&hparams, device)).collect(),
            norm: LayerNormConfig::new(hparams.width).init(device),
            head: LinearConfig::new(hparams.width, hparams.vocabulary).with_bias(false).init(device),
            hparams,
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
            let context = &tokens[tokens.len().saturating_sub(self.hparams.context)..];
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
        Ok(Optimizer::new(AdamWConfig::new().with_weight_decay(0.1), self.hparams.learning_rate).into())
    }

    fn hparams(&self) -> Result<serde_json::Value> {
        state::save(&self.hparams)
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

#[derive(Parser)]
#[command(about = "Trains a small transformer to write like Shakespeare.")]
struct Args {
    /// The text to learn.
    #[arg(long, default_value = "data/shakespeare/shakespeare.txt")]
    text: PathBuf,
    /// Number of characters that the model sees.
    #[arg(long, default_value_t = 64)]
    context: usize,
    /// Number of layers.
    #[arg(long, default_value_t = 4)]
    layers: usize,
    /// Width of a layer, a multiple of four.
    #[arg(long, default_value_t = 128)]
    width: usize,
    /// The probability with which an activation is dropped.
    #[arg(long, default_value_t = 0.0)]
    dropout: f64,
    /// The learning rate.
    #[arg(long, default_value_t = 1e-3)]
    lr: f64,
    /// Number of pieces of text in a batch.
    #[arg(long, default_value_t = 32)]
    batch_size: usize,
    /// Number of passes over the text.
    #[arg(long, default_value_t = 2)]
    epochs: usize,
    /// Maximum number of optimizer steps.
    #[arg(long)]
    max_steps: Option<u64>,
    /// The device to train on: auto, cpu, cuda, cuda:1, wgpu, vulkan, metal.
    #[arg(long, default_value = "auto")]
    accelerator: Accelerator,
    /// Number of threads that share each batch on the CPU: a number, or `auto` for one per core.
    #[arg(long, default_value = "auto")]
    devices: String,
    /// The float types: 32-true, bf16-mixed, 16-mixed, bf16-true, 64-true.
    #[arg(long, default_value = "32-true")]
    precision: Precision,
    /// Compute cheap results again in the backward pass instead of keeping them.
    #[arg(long)]
    gradient_checkpointing: bool,
    /// The random seed. It makes the run repeatable.
    #[arg(long, default_value_t = 42)]
    seed: u64,
    /// Resume from a checkpoint: a file, `last` or `best`.
    #[arg(long)]
    ckpt_path: Option<String>,
    /// The folder for logs and checkpoints.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Hide the progress bar.
    #[arg(long)]
    no_progress_bar: bool,
}

fn main() -> Result<Stop> {
    // A driver that crashes then ends a child process, not the training.
    Accelerator::serve_probe();
    stormfire::console::init();
    let args = Args::parse();
    let device = args.accelerator.device()?;
    // Before the first tensor.
    args.precision.prepare(&device)?;
    let text = Arc::new(Text::read(&args.text)?);
    // The last tenth of the text is for validation.
    let pieces = text.tokens.len().saturating_sub(1) / args.context;
    let part = |first: usize, count: usize| Pieces { text: Arc::clone(&text), first, count, context: args.context };
    let loader = |pieces: Pieces| {
        Loader::collate(pieces, |pieces: Vec<Vec<i32>>, device: &Device| batch(&pieces, device)).batch_size(args.batch_size)
    };
    let train = loader(part(0, pieces * 9 / 10)).shuffle(true);
    let val = loader(part(pieces * 9 / 10, pieces - pieces * 9 / 10));

    let mut trainer = Trainer::new()
        .accelerator(device.clone())
        .devices(args.devices.as_str())
        .precision(args.precision)
        .gradient_checkpointing(args.gradient_checkpointing)
        .max_epochs(args.epochs)
        .seed(args.seed)
        .log_every_n_steps(10)
        .val_check_interval(Every::Steps(200))
        .gradient_clip_val(1.0)
        .default_root_dir(args.root)
        .enable_progress_bar(!args.no_progress_bar)
        .callback(ModelCheckpoint::new().save_on_train_epoch_end(true));
    if let Some(steps) = args.max_steps {
        trainer = trainer.max_steps(steps);
    }
    if let Some(path) = args.ckpt_path {
        trainer = trainer.ckpt_path(path);
    }
    let hparams = Hyperparameters {
        vocabulary: text.symbols.len(),
        context: args.context,
        width: args.width,
        heads: 4,
        layers: args.layers,
        dropout: args.dropout,
        learning_rate: args.lr,
    };
    let fit = trainer.fit(Gpt::new(hparams, &device), (train, val))?;
    if !fit.stop.is_interrupted() && stormfire::ranks::here()?.is_global_zero() {
        println!("\n{}", fit.module.valid().write(&text, "MENENIUS.\n", 300, &device));
    }
    Ok(fit.stop)
}
