//! Fits a line. Replace the module, the data and the loss by your own.

use burn::{
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::AdamConfig,
    prelude::*,
};
use clap::Parser;
use stormfire::prelude::*;

// A small model spends half of its time in the system's allocator, which returns memory and requests it again.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Inputs and targets.
type Batch = (Tensor<2>, Tensor<2>);

#[derive(Module, Debug)]
struct Net {
    layer: Linear,
    #[module(skip)]
    learning_rate: f64,
}

impl Net {
    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        MseLoss::new().forward(self.layer.forward(x), y, Reduction::Mean)
    }
}

impl LightningModule for Net {
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
        Ok(Optimizer::new(AdamConfig::new(), self.learning_rate).into())
    }
}

/// Items `from..to` of the data, in batches.
fn data(from: usize, to: usize) -> Loader<Batch> {
    let items: Vec<[f32; 2]> = (from..to).map(|item| item as f32 / 100.0).map(|x| [x, 3.0 * x + 1.0]).collect();
    let collate = |items: Vec<[f32; 2]>, device: &Device| {
        let column = |at: usize| Tensor::<1>::from_floats(items.iter().map(|item| item[at]).collect::<Vec<_>>().as_slice(), device);
        (column(0).unsqueeze_dim(1), column(1).unsqueeze_dim(1))
    };
    Loader::collate(burn::data::dataset::InMemDataset::new(items), collate).batch_size(20)
}

/// Trains the network.
#[derive(Parser)]
struct Args {
    /// Number of epochs.
    #[arg(long, default_value_t = 20)]
    epochs: usize,
    /// The learning rate.
    #[arg(long, default_value_t = 0.1)]
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
    let net = Net { layer: LinearConfig::new(1, 1).init(&device), learning_rate: args.lr };
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
    trainer.fit(net, (data(0, 100).shuffle(true), data(100, 120)))
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
