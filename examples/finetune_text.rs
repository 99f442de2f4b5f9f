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
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{
    cli::Cli,
    metrics::classification::Binary,
    optim::{freeze, unfreeze},
    prelude::*,
};
use stormfire_examples::{MiniLm, SmsBatch, SmsConfig, SmsData, minilm::WIDTH};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The trained part of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Head,
    Adapters,
    Whole,
}

#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct ClassifierConfig {
    /// The folder with `model.safetensors` of `MiniLM`.
    weights: PathBuf,
    /// Compare the vectors of some sentences with those in a table.
    compare: Option<PathBuf>,
}

impl Default for ClassifierConfig {
    fn default() -> Self {
        Self { weights: "data/minilm".into(), compare: None }
    }
}

#[derive(Module, Debug)]
struct Classifier {
    encoder: MiniLm,
    head: Linear,
    #[module(skip)]
    part: Part,
}

impl Classifier {
    fn new(config: ClassifierConfig, data: &SmsData, device: &Device) -> Result<Self> {
        stormfire::seed_everything(1, device);
        let head = LinearConfig::new(WIDTH, 1).init(device);
        let fresh = Self { encoder: MiniLm::new(device), head, part: Part::Head };
        let (module, report) = fresh.load_weights(&config.weights, &MiniLm::names())?;
        println!("{report}");
        if let Some(table) = config.compare {
            println!("largest difference of a vector: {:.1e}", module.encoder.compare(&data.pieces, &table, device)?);
        }
        module.trains(Part::Head)
    }

    fn logits(&self, batch: &SmsBatch) -> Tensor<1> {
        self.head.forward(self.encoder.forward(&batch.texts)).squeeze_dim(1)
    }

    /// This module with another part to be trained.
    fn trains(self, part: Part) -> Result<Self> {
        stormfire::seed_everything(1, &self.head.weight.device());
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

fn main() -> Result<Stop> {
    Cli::linked(Classifier::new, |config: SmsConfig, _: &Device| Ok(SmsData::new(&config)?))
        .about("Fine-tunes a pretrained text encoder to find spam.")
        .alias("epochs", "trainer.max_epochs")
        .trainer_defaults(TrainerConfig { max_epochs: Some(1), seed: Some(1), log_every_n_steps: 5, ..TrainerConfig::default() })
        .after_fit(|trainer, fit, data| {
            let root = trainer.config().default_root_dir.clone();
            let mut module = fit.module.clone();
            trainer.test(&module, data.clone())?;
            for part in [Part::Adapters, Part::Whole] {
                let fit = trainer.fit(module.trains(part)?, data.clone())?;
                if fit.stop.is_interrupted() {
                    return Ok(());
                }
                module = fit.module;
                trainer.test(&module, data.clone())?;
                if part == Part::Adapters {
                    let options = ExportOptions::new().layout(WeightLayout::Burn).only(r"\.lora\.|^head");
                    module.export_weights(root.join("adapters.safetensors"), &options)?;
                }
            }
            module.export_weights(root.join("model.safetensors"), &ExportOptions::new()).map(drop)
        })
        .run()
}
