//! Forecasts a time series: the carbon dioxide in the air, a year ahead: `cargo run --release --example co2`.
//!
//! An item is a window of three years of weekly measurements on Mauna Loa: two years are the input, the third one is
//! the target. Weeks without a measurement have no part in the loss. The error in the last nine years is compared with
//! that of a simple rule: 0.49 and 0.87 parts per million. `forecast.svg` in the folder of the run shows the forecasts
//! of some years.

use burn::{
    data::dataset::{Dataset, InMemDataset, transform::WindowsDataset},
    nn::{Linear, LinearConfig, Relu},
    optim::AdamConfig,
    prelude::*,
};
use serde::Deserialize;
use stormfire::{
    cli::Cli,
    data::Shards,
    metrics::{aggregation::Mean, picture},
    prelude::*,
};
use stormfire_examples::save_drawing;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const YEAR: usize = 52;
const PAST: usize = 2 * YEAR;

/// A row of the table: a week, and the carbon dioxide in parts per million.
#[derive(Clone, Debug, Deserialize)]
struct Week {
    co2: Option<f32>,
}

/// Two numbers for each week: the value, and 1 if it was measured. Otherwise, the value is the one before it.
fn weeks() -> Result<Vec<[f32; 2]>> {
    let mut newest = 0.0;
    let rows = Shards::<Week>::csv(["data/co2/mauna-loa.csv"]).read()?;
    let filled = |week: Result<Week, _>| {
        let measured = week?.co2;
        newest = measured.unwrap_or(newest);
        Ok([newest, if measured.is_some() { 1.0 } else { 0.0 }])
    };
    rows.iter().map(filled).collect()
}

/// Two years `[windows, 104]`, the next one `[windows, 52]`, and 1 where that one was measured.
type Batch = (Tensor<2>, Tensor<2>, Tensor<2>);

fn collate(windows: &[Vec<[f32; 2]>], device: &Device) -> Batch {
    let all = Tensor::<1>::from_floats(windows.concat().as_flattened(), device).reshape([windows.len(), PAST + YEAR, 2]);
    let part = |start, length, feature| all.clone().narrow(1, start, length).narrow(2, feature, 1).squeeze_dim(2);
    (part(0, PAST, 0), part(PAST, YEAR, 0), part(PAST, YEAR, 1))
}

fn loader(weeks: &[[f32; 2]]) -> Loader<Batch> {
    let windows = WindowsDataset::new(InMemDataset::new(weeks.to_vec()), PAST + YEAR);
    Loader::collate(windows, |windows: Vec<Vec<[f32; 2]>>, device: &Device| collate(&windows, device)).batch_size(32)
}

/// Loaders for training, validation and test, each for later years than those before.
fn data() -> Result<(Loader<Batch>, Loader<Batch>, Loader<Batch>)> {
    let weeks = weeks()?;
    let (val, test) = (weeks.len() - 12 * YEAR, weeks.len() - 9 * YEAR);
    Ok((loader(&weeks[..val]).shuffle(true), loader(&weeks[val - PAST..test]), loader(&weeks[test - PAST..])))
}

#[derive(Module, Debug)]
struct Forecast {
    linear: Linear,
    hidden: Linear,
    output: Linear,
    relu: Relu,
}

impl Forecast {
    fn new(device: &Device) -> Self {
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Self { linear: linear(PAST, YEAR), hidden: linear(PAST, 64), output: linear(64, YEAR), relu: Relu::new() }
    }

    fn forward(&self, past: Tensor<2>) -> Tensor<2> {
        // The layers see differences to the mean of a year: values of later years are not larger.
        let mean = past.clone().narrow(1, YEAR, YEAR).mean_dim(1);
        let x = (past - mean.clone()) / 5.0;
        let y = self.linear.forward(x.clone()) + self.output.forward(self.relu.forward(self.hidden.forward(x)));
        y * 5.0 + mean
    }

    /// Measurements, and forecasts that each begin where two years of measurements end.
    fn drawing(&self) -> Result<picture::Curves> {
        let weeks = weeks()?;
        let year_of = |week: usize| 1958.24 + week as f64 * 7.0 / 365.25;
        let shown = weeks.len() - 6 * YEAR..weeks.len();
        let windows: Vec<_> = shown.clone().step_by(YEAR).map(|start| weeks[start - PAST..start + YEAR].to_vec()).collect();
        let (past, ..) = collate(&windows, &self.output.weight.device());
        let forecast = self.forward(past).into_data();
        let measured = picture::Line::new("measured", shown.clone().map(|week| (year_of(week), f64::from(weeks[week][0]))));
        let forecast = picture::Line::new("forecast", shown.map(year_of).zip(forecast.iter::<f64>()));
        Ok(picture::Curves::new("year", "parts per million", [measured, forecast]))
    }
}

/// The mean absolute error of the measured weeks.
fn error(forecast: Tensor<2>, future: Tensor<2>, measured: Tensor<2>) -> Mean {
    Mean::from_sum(((forecast - future).abs() * measured.clone()).sum(), measured.sum())
}

impl LightningModule for Forecast {
    type Batch = Batch;

    fn training_step(&self, (past, future, measured): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let sum = ((self.forward(past) - future).square() * measured.clone()).sum();
        self.log("train_loss", Mean::from_sum(sum.clone(), measured.clone().sum())).prog_bar(true);
        // The Trainer divides by the weight. So each measured week counts the same.
        Ok(StepOutput::from(sum).weight(measured.sum()))
    }

    fn validation_step(&self, (past, future, measured): Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_error", error(self.forward(past), future, measured)).prog_bar(true);
        Ok(StepOutput::none())
    }

    fn test_step(&self, (past, future, measured): Batch, _batch_idx: usize) -> Result<StepOutput> {
        // As a year ago, plus the growth of a year.
        let [before, last] = [0, YEAR].map(|start| past.clone().narrow(1, start, YEAR));
        let simple = last.clone() + (last.mean_dim(1) - before.mean_dim(1));
        self.log("test_error_of_rule", error(simple, future.clone(), measured.clone()));
        self.log("test_error", error(self.forward(past), future, measured));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamConfig::new(), 1e-3).into())
    }
}

fn main() -> Result<Stop> {
    Cli::new(|(): (), device: &Device| Ok(Forecast::new(device)), |(): ()| data())
        .about("Forecasts the carbon dioxide in the air.")
        .trainer_defaults(TrainerConfig { max_epochs: Some(30), seed: Some(42), log_every_n_steps: 10, ..TrainerConfig::default() })
        .after_fit(|trainer, fit, data| {
            trainer.test(&fit.module, data)?;
            save_drawing(trainer.log_dir(), "forecast", fit.module.valid().drawing()?)
        })
        .run()
}
