//! Recognises a speaker from sounds of different lengths: `cargo run --release --example vowels`.
//!
//! Nine men say two vowels. A recording has 7 to 29 frames of 12 numbers. `LengthSampler` makes batches of recordings
//! of similar lengths, `Pad` makes a tensor and a mask of them, and the mask keeps the padding out of the mean.
//! `confusion.svg` in the folder of the run shows who is taken for whom. The accuracy is 0.94.

use burn::{
    data::dataset::Dataset,
    nn::{Dropout, DropoutConfig, Gru, GruConfig, Linear, LinearConfig, loss::CrossEntropyLossConfig},
    optim::AdamConfig,
    prelude::*,
};
use serde::Deserialize;
use stormfire::{
    cli::Cli,
    data::{LengthSampler, Pad, Padded, Shards, augment::gaussian_noise, random, random_split, split_files},
    metrics::{Metric as _, classification::Multiclass},
    prelude::*,
};
use stormfire_examples::save_drawing;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FEATURES: usize = 12;
const SPEAKERS: usize = 9;

/// A line of the files.
#[derive(Clone, Debug, Deserialize)]
struct Recording {
    speaker: i32,
    frames: Vec<[f32; FEATURES]>,
}

#[derive(Clone, Debug, SplitBatch)]
struct Batch {
    /// `[recordings, time, 12]`
    frames: Padded<Tensor<3>>,
    speakers: Tensor<1, Int>,
}

fn collate(recordings: &[Recording], device: &Device) -> Batch {
    let frames: Vec<&[[f32; FEATURES]]> = recordings.iter().map(|recording| recording.frames.as_slice()).collect();
    let speakers: Vec<i32> = recordings.iter().map(|recording| recording.speaker).collect();
    Batch { frames: Pad::right().moments(&frames, 0.0, device), speakers: Tensor::from_ints(speakers.as_slice(), device) }
}

fn loader(recordings: impl Dataset<Recording> + 'static) -> Result<Loader<Batch>> {
    let sampler = LengthSampler::of(&recordings, |recording| recording.frames.len())?.batch_size(16).multiple_of(1);
    Ok(Loader::collate(recordings, |recordings: Vec<Recording>, device: &Device| collate(&recordings, device)).batch_sampler(sampler))
}

fn read(split: &str) -> Result<impl Dataset<Recording> + 'static> {
    Ok(Shards::<Recording>::json_lines(split_files("data/japanese-vowels", split)?).read()?)
}

/// Loaders for training, validation and test.
fn recordings() -> Result<(Loader<Batch>, Loader<Batch>, Loader<Batch>)> {
    let [train, val] = random_split(read("train")?, [0.9, 0.1], 1)?;
    // There are 27 recordings of each speaker. With other noise in each epoch, they are harder to learn by heart.
    let train = loader(train)?.map(|mut batch| {
        batch.frames.values = gaussian_noise(batch.frames.values, 0.1, &mut random());
        batch
    });
    Ok((train, loader(val)?, loader(read("test")?)?))
}

#[derive(Module, Debug)]
struct Speaker {
    gru: Gru,
    dropout: Dropout,
    output: Linear,
}

impl Speaker {
    fn new(device: &Device) -> Self {
        Self {
            gru: GruConfig::new(FEATURES, 64, true).init(device),
            dropout: DropoutConfig::new(0.3).init(),
            output: LinearConfig::new(64, SPEAKERS).init(device),
        }
    }

    /// The logits `[recordings, 9]`.
    fn forward(&self, frames: &Padded<Tensor<3>>) -> Tensor<2> {
        let states = self.gru.forward(frames.values.clone(), None);
        self.output.forward(self.dropout.forward(frames.mean_of(states)))
    }
}

impl LightningModule for Speaker {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(&batch.frames);
        let loss = CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, batch.speakers);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_acc", accuracy(&self.forward(&batch.frames), &batch.speakers)).prog_bar(true);
        Ok(StepOutput::none())
    }

    fn test_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("test_acc", accuracy(&self.forward(&batch.frames), &batch.speakers));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 5e-3).into())
    }
}

fn main() -> Result<Stop> {
    Cli::new(|(): (), device: &Device| Ok(Speaker::new(device)), |(): ()| recordings())
        .about("Recognises a speaker from sounds of different lengths.")
        .alias("epochs", "trainer.max_epochs")
        .trainer_defaults(TrainerConfig {
            max_epochs: Some(30),
            seed: Some(42),
            gradient_clip_val: Some(1.0),
            log_every_n_steps: 5,
            ..TrainerConfig::default()
        })
        .after_fit(|trainer, fit, data| {
            trainer.test(&fit.module, data)?;
            // All 370 recordings as one batch.
            let module = fit.module.valid();
            let test = read("test")?.iter().collect::<Result<Vec<_>, _>>()?;
            let batch = collate(&test, &module.output.weight.device());
            let scores = Multiclass::from_logits(&module.forward(&batch.frames), &batch.speakers)?;
            let names = (1..=SPEAKERS).map(|speaker| format!("speaker {speaker}"));
            save_drawing(trainer.log_dir(), "confusion", scores.names(names)?.confusion().read()?)
        })
        .run()
}
