//! Fine-tunes a pretrained text encoder to find spam: `cargo run --release --example finetune_text`.
//!
//! `cargo xtask data` downloads the weights of `MiniLM`. First only the head is trained, then adapters in the encoder
//! (`LoRA`), then everything, with a lower learning rate in the lower layers.

use std::path::PathBuf;

use burn::{
    module::{Lora, ParamGroup},
    nn::{Linear, LinearConfig, loss::BinaryCrossEntropyLossConfig},
    optim::AdamWConfig,
    prelude::*,
};
use clap::Parser;
use stormfire::{
    metrics::classification::Binary,
    optim::{freeze, unfreeze},
    prelude::*,
};
use stormfire_examples::{MiniLm, SmsBatch, WordPieces, minilm::WIDTH, sms_loaders};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq, clap::ValueEnum)]
enum Part {
    Head,
    Adapters,
    Whole,
}

#[derive(Module, Debug)]
struct Classifier {
    encoder: MiniLm,
    head: Linear,
    #[module(skip)]
    part: Part,
}

impl Classifier {
    fn logits(&self, batch: &SmsBatch) -> Tensor<1> {
        self.head.forward(self.encoder.forward(&batch.texts)).squeeze_dim(1)
    }

    /// This module with another part to be trained.
    fn trains(self, part: Part) -> Result<Self> {
        let module = Self { part, ..self };
        Ok(match part {
            Part::Head => freeze(module, "encoder")?,
            Part::Adapters => {
                let lora = Lora::new(8, 16.0).set_param_group(ParamGroup::from_any_predicates(vec!["query.weight", "value.weight"]));
                unfreeze(module.apply_lora(lora), "head")?
            }
            // The adapters are added to their weights.
            Part::Whole => unfreeze(module.materialize(), "*")?,
        })
    }
}

impl LightningModule for Classifier {
    type Batch = SmsBatch;

    fn training_step(&self, batch: SmsBatch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.logits(&batch);
        let loss = BinaryCrossEntropyLossConfig::new().with_logits(true).init(&logits.device()).forward(logits, batch.targets);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: SmsBatch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_f1", Binary::from_logits(&self.logits(&batch), &batch.targets)?.counts().f1()).prog_bar(true);
        Ok(StepOutput::none())
    }

    fn test_step(&self, batch: SmsBatch, _batch_idx: usize) -> Result<StepOutput> {
        let counts = Binary::from_logits(&self.logits(&batch), &batch.targets)?.counts();
        self.log_dict([("test_acc", counts.accuracy()), ("test_f1", counts.f1())]);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let adam = |lr| Optimizer::new(AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01), lr);
        Ok(match self.part {
            Part::Head => adam(1e-1),
            Part::Adapters => adam(2e-3).group("head", |g| g.lr_factor(0.5)),
            Part::Whole => adam(5e-5)
                .layer_wise_decay(0.8, ["encoder.*_embeddings", "encoder.layers.*", "head"])
                .group(["*.bias", "*.gamma", "*.beta"], |g| g.weight_decay(0.0)),
        }
        .into())
    }
}

/// Fine-tunes a pretrained text encoder to find spam.
#[derive(Parser)]
struct Args {
    /// The folder with `model.safetensors` and `vocab.txt` of `MiniLM`.
    #[arg(long, default_value = "data/minilm")]
    weights: PathBuf,
    /// Number of messages for training, validation and test together. Default: all.
    #[arg(long)]
    messages: Option<usize>,
    /// Number of epochs for each part.
    #[arg(long, default_value_t = 1)]
    epochs: usize,
    /// The folder for logs, checkpoints and weights.
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// Compare the vectors of some sentences with those in a table.
    #[arg(long)]
    compare: Option<PathBuf>,
    /// Hide the progress bar.
    #[arg(long)]
    no_progress_bar: bool,
}

fn main() -> Result<Stop> {
    stormfire::console::init();
    let args = Args::parse();
    let device = Accelerator::Auto.device()?;
    let pieces = WordPieces::read(&args.weights.join("vocab.txt"))?;
    let [train, val, test] = sms_loaders("data/sms-spam/messages.tsv.gz", &pieces, args.messages)?;
    stormfire::seed_everything(1, &device);
    let head = LinearConfig::new(WIDTH, 1).init(&device);
    let fresh = Classifier { encoder: MiniLm::new(&device), head, part: Part::Head };
    let (mut module, report) = fresh.load_weights(&args.weights, &MiniLm::names())?;
    println!("{report}");
    if let Some(table) = args.compare {
        println!("largest difference of a vector: {:.1e}", module.encoder.compare(&pieces, &table, &device)?);
    }
    let mut stop = Stop::MaxEpochs(0);
    for part in [Part::Head, Part::Adapters, Part::Whole] {
        let mut trainer = Trainer::new()
            .accelerator(device.clone())
            .max_epochs(args.epochs)
            .seed(1)
            .default_root_dir(&args.root)
            .enable_progress_bar(!args.no_progress_bar)
            .log_every_n_steps(5);
        stormfire::seed_everything(1, &device);
        let fit = trainer.fit(module.trains(part)?, (train.clone(), val.clone()))?;
        (module, stop) = (fit.module, fit.stop);
        if stop.is_interrupted() {
            return Ok(stop);
        }
        trainer.test(&module, test.clone())?;
        if part == Part::Adapters {
            let options = ExportOptions::new().layout(WeightLayout::Burn).only(r"\.lora\.|^head");
            module.export_weights(args.root.join("adapters.safetensors"), &options)?;
        }
    }
    module.export_weights(args.root.join("model.safetensors"), &ExportOptions::new())?;
    Ok(stop)
}
