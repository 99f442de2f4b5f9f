//! Predicts the next character of a text. Replace `TEXT` by your own, for example with `include_str!`.

use burn::{
    data::dataset::InMemDataset,
    nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, Relu, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
};
use clap::Parser;
use stormfire::prelude::*;

// A small model spends half of its time in the system's allocator, which returns memory and requests it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const TEXT: &str = "\
    the storm came in the night and the fire went out. the fire came back in the morning and the storm went out to sea. \
    in the morning the sea was calm, and in the night the fire was warm. the calm came before the storm, and the fire \
    came after the night. out at sea the storm was loud, and at the fire the night was long and calm and warm.";

/// Number of characters from which the next one is predicted.
const CONTEXT: usize = 6;
/// Number of different bytes.
const BYTES: usize = 128;
/// Size of the vector of a character.
const WIDTH: usize = 16;

/// Characters as `[batch, CONTEXT]`, and the next ones.
type Batch = (Tensor<2, Int>, Tensor<1, Int>);

#[derive(Module, Debug)]
struct Net {
    embedding: Embedding,
    hidden: Linear,
    output: Linear,
    relu: Relu,
    #[module(skip)]
    learning_rate: f64,
}

impl Net {
    fn new(learning_rate: f64, device: &Device) -> Self {
        let embedding = EmbeddingConfig::new(BYTES, WIDTH).init(device);
        let hidden = LinearConfig::new(CONTEXT * WIDTH, 64).init(device);
        Self { embedding, hidden, output: LinearConfig::new(64, BYTES).init(device), relu: Relu::new(), learning_rate }
    }

    fn forward(&self, context: Tensor<2, Int>) -> Tensor<2> {
        let vectors: Tensor<2> = self.embedding.forward(context).flatten(1, 2);
        self.output.forward(self.relu.forward(self.hidden.forward(vectors)))
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, (context, next): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(context);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, next);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, (context, next): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(context);
        self.log("val_acc", accuracy(&logits, &next)).prog_bar(true);
        self.log("val_loss", CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, next));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), self.learning_rate).into())
    }
}

/// The windows of a part of the text.
fn data(text: &str) -> Loader<Batch> {
    let items: Vec<[i32; CONTEXT + 1]> =
        text.as_bytes().windows(CONTEXT + 1).map(|window| std::array::from_fn(|at| i32::from(window[at]))).collect();
    let collate = |items: Vec<[i32; CONTEXT + 1]>, device: &Device| {
        let context: Vec<i32> = items.iter().flat_map(|item| item[..CONTEXT].to_vec()).collect();
        let next: Vec<i32> = items.iter().map(|item| item[CONTEXT]).collect();
        let context = Tensor::<1, Int>::from_ints(context.as_slice(), device).reshape([items.len(), CONTEXT]);
        (context, Tensor::<1, Int>::from_ints(next.as_slice(), device))
    };
    Loader::collate(InMemDataset::new(items), collate).batch_size(32)
}

/// Trains a model of characters.
#[derive(Parser)]
struct Args {
    /// Number of epochs.
    #[arg(long, default_value_t = 20)]
    epochs: usize,
    /// The learning rate.
    #[arg(long, default_value_t = 0.003)]
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
    let (seen, unseen) = TEXT.split_at(TEXT.len() * 4 / 5);
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
    trainer.fit(net, (data(seen).shuffle(true), data(unseen)))
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
