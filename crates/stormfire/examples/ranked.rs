//! A training on several processes, for the tests with `mpirun` (`tests/under_mpirun.rs`).
//!
//! The arguments: a folder, the batches of a window on each rank, the number of epochs, the least time of a batch in
//! milliseconds, and words: `threads` (two threads on each rank), `fewer` (other data), `fills` (rank 0 fills its disk
//! in the second epoch).

use std::{env, fs::File, io, path::PathBuf, thread, time::Duration};

use burn::{
    data::dataset::InMemDataset,
    nn::{
        Dropout, DropoutConfig, Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::AdamConfig,
    prelude::*,
    tensor::TensorData,
};
use stormfire::{prelude::*, ranks};

#[derive(Module, Debug)]
struct Net {
    layers: [Linear; 2],
    dropout: Dropout,
    #[module(skip)]
    pause: u64,
}

impl Net {
    fn loss(&self, (x, y): (Tensor<2>, Tensor<2>)) -> Tensor<1> {
        let hidden = self.dropout.forward(self.layers[0].forward(x).tanh());
        MseLoss::new().forward(self.layers[1].forward(hidden), y, Reduction::Mean)
    }
}

impl LightningModule for Net {
    type Batch = (Tensor<2>, Tensor<2>);

    fn training_step(&self, batch: Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
        thread::sleep(Duration::from_millis(self.pause));
        let loss = self.loss(batch);
        self.log("train_loss", &loss).on_step(false).on_epoch(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: Self::Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch));
        Ok(StepOutput::none())
    }

    /// Signs of life for the tests.
    fn on_train_start(&mut self, _ctx: &mut Context<'_>) -> Result<()> {
        if self.is_global_zero() {
            println!("the training starts");
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>) -> Result<()> {
        if self.is_global_zero() {
            println!("epoch {} has ended", ctx.current_epoch());
        }
        Ok(())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-2).into())
    }
}

/// Fills the disk of rank 0 in the second epoch.
struct Fills(PathBuf);

impl Callback<Net> for Fills {
    fn on_train_epoch_start(&mut self, ctx: &mut Context<'_>, module: &mut Net) -> Result<()> {
        if ctx.current_epoch() == 1 && module.is_global_zero() {
            let full = File::create(self.0.join("fill")).and_then(|mut file| io::copy(&mut io::repeat(0), &mut file));
            println!("the disk is full: {full:?}");
        }
        Ok(())
    }
}

/// Points of a curve.
fn points(count: usize, batch_size: usize) -> Loader<(Tensor<2>, Tensor<2>)> {
    let items: Vec<f32> = (0..count).map(|item| (item * 37 % 101) as f32 / 50.0 - 1.0).collect();
    let collate = |items: Vec<f32>, device: &Device| {
        let column = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [items.len(), 1]), device);
        (column(items.clone()), column(items.iter().map(|x| (3.0 * x).sin()).collect()))
    };
    Loader::collate(InMemDataset::new(items), collate).batch_size(batch_size)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [root, window, epochs, pause, words @ ..] = &arguments[..] else { return Err("four arguments are missing".into()) };
    let is = |word: &str| words.iter().any(|given| given == word);
    let rank = ranks::here()?.rank();
    println!("rank {rank} is process {}", std::process::id());
    let device = Device::flex();
    let layers = [LinearConfig::new(1, 16).init(&device), LinearConfig::new(16, 1).init(&device)];
    let net = Net { layers, dropout: DropoutConfig::new(0.1).init(), pause: pause.parse()? };
    let mut trainer = Trainer::new()
        .max_epochs(epochs.parse()?)
        .accumulate_grad_batches(window.parse::<usize>()?)
        .default_root_dir(root)
        .seed(7)
        .ckpt_path("last")
        .enable_progress_bar(false)
        .enable_model_summary(false)
        .callback(ModelCheckpoint::new().every(Every::Steps(4)).save_top_k(1).save_last(true));
    if is("threads") {
        trainer = trainer.strategy("threads").devices(2);
    }
    if is("fills") {
        trainer = trainer.callback(Fills(root.into()));
    }
    let items = if is("fewer") { 90 } else { 98 };
    let data = (points(items, 4).shuffle(true).seed(3), points(30, 4));
    let fit = trainer.fit(net, data)?;
    trainer.save_checkpoint(&fit.module, format!("{root}/end.ckpt"))?;
    println!("rank {rank} ends after {} batches with {:?}", fit.progress.batches, fit.stop);
    Ok(())
}
