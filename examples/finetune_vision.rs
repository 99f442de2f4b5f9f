//! Fine-tunes a pretrained network for photos: `cargo run --release --example finetune_vision --features vision`.
//!
//! `cargo xtask data` downloads the weights of `EfficientNet`-Lite0, a file of PyTorch, and some photos. The network
//! first names what is on four photos. Then it learns to distinguish brick, grass and gravel from 96 small parts of one
//! photo each: the head, then its last layers, too. The test is on the other halves of the photos.

use std::path::{Path, PathBuf};

use burn::{
    nn::{Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{
    cli::Cli,
    data::{ImageFolder, LabeledImage, WeightedSampler, augment, random},
    prelude::*,
};
use stormfire_examples::efficientnet::{EfficientNet, FEATURES, compare, imagenet_head, pixels};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The sides of a part, and of a photo.
const PART: usize = 96;
const PHOTO: usize = 512;

#[derive(Module, Debug)]
struct Classifier {
    body: EfficientNet,
    head: Linear,
}

impl Classifier {
    fn forward(&self, images: Tensor<4>) -> Tensor<2> {
        self.head.forward(self.body.forward(images))
    }

    /// The same body, and a new head for three classes.
    fn for_textures(self, device: &Device) -> Self {
        Self { head: LinearConfig::new(FEATURES, 3).init(device), ..self }
    }
}

#[derive(Clone, Debug, CastBatch, SplitBatch)]
struct Parts {
    images: Tensor<4>,
    classes: Tensor<1, Int>,
}

impl LightningModule for Classifier {
    type Batch = Parts;

    fn training_step(&self, batch: Parts, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(batch.images);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, batch.classes);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn test_step(&self, batch: Parts, _batch_idx: usize) -> Result<StepOutput> {
        self.log("test_acc", accuracy(&self.forward(batch.images), &batch.classes));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-3).group("body", |group| group.lr_factor(0.1)).into())
    }
}

fn batch(parts: Vec<(Tensor<4>, usize)>, device: &Device) -> Parts {
    let (images, classes): (Vec<_>, Vec<_>) = parts.into_iter().map(|(image, class)| (image, class as u8)).unzip();
    Parts { images: Tensor::cat(images, 0), classes: Tensor::from_data(classes.as_slice(), device) }
}

/// Random parts of the left halves.
fn train(photos: ImageFolder) -> Loader<Parts> {
    let sampler = WeightedSampler::new(vec![1.0; photos.labels().len()]).samples(96);
    let make = |photos: Vec<LabeledImage>, device: &Device| {
        let mut random = random();
        let mut part = |photo: LabeledImage| {
            let half = pixels(&photo, device).narrow(3, 0, PHOTO / 2);
            Ok((augment::random_flip(augment::random_crop(half, [PART, PART], 0, &mut random)?, 0.5, &mut random), photo.label))
        };
        Ok(batch(photos.into_iter().map(&mut part).collect::<Result<_, DataError>>()?, device))
    };
    Loader::try_collate(photos, make).batch_size(12).sampler(sampler).workers(1)
}

/// The ten parts of each right half that do not overlap.
fn test(photos: ImageFolder) -> Loader<Parts> {
    let make = |photos: Vec<LabeledImage>, device: &Device| {
        let parts = photos.iter().flat_map(|photo| {
            let half = pixels(photo, device).narrow(3, PHOTO / 2, PHOTO / 2);
            let at = |row: usize, column: usize| half.clone().narrow(2, row * PART, PART).narrow(3, column * PART, PART);
            (0..10).map(|part| (at(part / 2, part % 2), photo.label)).collect::<Vec<_>>()
        });
        batch(parts.collect(), device)
    };
    Loader::collate(photos, make)
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct PhotosConfig {
    /// The folder with the weights and the photos.
    folder: PathBuf,
}

impl Default for PhotosConfig {
    fn default() -> Self {
        Self { folder: "data/efficientnet".into() }
    }
}

/// The pretrained network, which first names what is on four photos.
fn pretrained(folder: &Path, device: &Device) -> Result<Classifier> {
    let fresh = Classifier { body: EfficientNet::new(device), head: imagenet_head(device) };
    let (known, report) = fresh.load_weights(folder.join("efficientnet-lite0.pth"), &EfficientNet::names())?;
    println!("{report}");
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/efficientnet.json");
    let network = known.valid();
    let largest = compare(|photo| network.forward(photo), &folder.join("known"), table.as_ref(), &network.devices()[0])?;
    println!("largest difference from PyTorch: {largest:.1e}");
    Ok(known)
}

fn main() -> Result<Stop> {
    let last = ["body.blocks.15", "body.conv_head", "body.bn1"];
    Cli::new(
        |config: PhotosConfig, device: &Device| Ok(pretrained(&config.folder, device)?.for_textures(device)),
        |config: PhotosConfig| {
            let textures = ImageFolder::new(config.folder.join("textures"))?;
            Ok((train(textures.clone()), Loaders::none(), test(textures)))
        },
    )
    .about("Fine-tunes a pretrained network for photos.")
    .trainer_defaults(TrainerConfig { max_epochs: Some(2), seed: Some(1), log_every_n_steps: 2, ..TrainerConfig::default() })
    .trainer(move |trainer| trainer.callback(Finetuning::new("body").train_bn(false).unfreeze_at(1, last)))
    .after_fit(|trainer, fit, data| trainer.test(&fit.module, data).map(drop))
    .run()
}
