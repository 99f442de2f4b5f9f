//! Fine-tunes an image classifier for new classes with few images: `cargo run --release --example finetune_image`.
//!
//! The network first learns the digits 0 to 4 from 2,500 images. Then it gets a new head, and learns 5 to 9 from 50
//! images: 20 epochs with a frozen body, then all of it, with a lower rate in the body. A network that starts from
//! scratch learns from the same images. The tests of both, in `version_1` and `version_2`, show what it gained: 0.76
//! and 0.67.

use std::path::Path;

use burn::{
    data::dataset::InMemDataset,
    nn::{
        Linear, LinearConfig, PaddingConfig2d,
        conv::{Conv2d, Conv2dConfig},
        loss::CrossEntropyLossConfig,
        pool::{MaxPool2d, MaxPool2dConfig},
    },
    optim::AdamConfig,
    prelude::*,
    tensor::activation::relu,
};
use stormfire::{cli::Cli, prelude::*};
use stormfire_examples::{Digit, MnistBatch, MnistBatcher, read_digits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Module, Debug)]
struct Body {
    convs: [Conv2d; 2],
    pool: MaxPool2d,
    hidden: Linear,
}

impl Body {
    /// Features `[images, 64]`.
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        let x = self.convs.iter().fold(images, |x, conv| self.pool.forward(relu(conv.forward(x))));
        relu(self.hidden.forward(x.flatten(1, 3)))
    }
}

#[derive(Module, Debug)]
struct Classifier {
    body: Body,
    head: Linear,
    /// The factor of the learning rate of the body.
    #[module(skip)]
    body_rate: f64,
}

impl Classifier {
    fn new(body_rate: f64, device: &Device) -> Self {
        let conv = |[from, to]: [usize; 2]| Conv2dConfig::new([from, to], [3, 3]).with_padding(PaddingConfig2d::Same).init(device);
        let pool = MaxPool2dConfig::new([2, 2]).with_strides([2, 2]).init();
        let body = Body { convs: [[1, 8], [8, 16]].map(conv), pool, hidden: LinearConfig::new(16 * 7 * 7, 64).init(device) };
        Self { body, head: LinearConfig::new(64, 5).init(device), body_rate }
    }

    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.forward(self.body.forward(images))
    }
}

impl LightningModule for Classifier {
    type Batch = MnistBatch;

    fn training_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(batch.images);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, batch.targets);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn test_step(&self, batch: MnistBatch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("test_acc", accuracy(&self.forward(batch.images), &batch.targets));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 3e-3).group("body", |group| group.lr_factor(self.body_rate)).into())
    }
}

/// Some digits of a file, as classes from 0 on: at most `count` of each.
fn digits(file: &str, of: std::ops::Range<u8>, count: usize) -> Result<Loader<MnistBatch>> {
    let (mut taken, first) = ([0; 10], of.start);
    let mut digits = read_digits(Path::new("data/mnist-mini"), file)?;
    digits.retain(|digit| {
        let taken = &mut taken[usize::from(digit.label)];
        *taken += 1;
        of.contains(&digit.label) && *taken <= count
    });
    let digits = digits.into_iter().map(|digit| Digit { label: digit.label - first, ..digit }).collect();
    Ok(Loader::new(InMemDataset::new(digits), MnistBatcher).batch_size(10))
}

fn main() -> Result<Stop> {
    Cli::new(
        |(): (), device: &Device| Ok(Classifier::new(1.0, device)),
        |(): ()| Ok(digits("train", 0..5, 500)?.batch_size(64).shuffle(true)),
    )
    .about("Fine-tunes an image classifier for new classes with few images.")
    .trainer_defaults(TrainerConfig { max_epochs: Some(5), seed: Some(1), log_every_n_steps: 5, ..TrainerConfig::default() })
    .after_fit(|trainer, known, _| {
        let config = TrainerConfig { max_epochs: Some(40), ..trainer.config().clone() };
        let device = config.accelerator.unwrap_or_default().device()?;
        let (few, test) = (digits("train", 5..10, 10)?.shuffle(true), digits("t10k", 5..10, 1000)?.batch_size(100));
        let weights = config.default_root_dir.join("known.safetensors");
        known.module.export_weights(&weights, &ExportOptions::new().only("^body"))?;

        let (module, report) = Classifier::new(0.1, &device).load_weights(&weights, &LoadOptions::new().only("^body"))?;
        println!("{report}");
        let finetuning = Finetuning::new("body").unfreeze_at(20, "body");
        let mut second = Trainer::from_config(config.clone()).callback(finetuning);
        let tuned = second.fit(module, few.clone())?;
        second.test(&tuned.module, test.clone())?;

        let mut third = Trainer::from_config(config);
        let scratch = third.fit(Classifier::new(1.0, &device), few)?;
        third.test(&scratch.module, test).map(drop)
    })
    .run()
}
