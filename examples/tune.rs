//! Finds hyperparameters for a small table, and checks them: `cargo run --release --example tune`.
//!
//! The task is to distinguish male and female penguins by four measures. A finder suggests a rate (`lr_find.svg`), a
//! sweep tries 12 rates and sizes around it (`sweep/trials.csv`), and five folds show how good the best ones are on
//! other penguins (`folds/version_0/folds.csv`): 0.90. A sweep or folds that were killed continue where they were.

use std::{path::PathBuf, sync::Arc};

use burn::{
    data::dataset::{Dataset, InMemDataset},
    nn::{Linear, LinearConfig, Relu, loss::CrossEntropyLossConfig},
    optim::AdamWConfig,
    prelude::*,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stormfire::{
    cli,
    data::{Fold, KFold, Shards},
    prelude::*,
    tuner::{LrFind, Pruner, Space, Sweep, Tuner, cross_validate},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A row of the table. Eleven rows have empty fields.
#[derive(Clone, Debug, Deserialize)]
struct Penguin {
    bill_length_mm: Option<f32>,
    bill_depth_mm: Option<f32>,
    flipper_length_mm: Option<f32>,
    body_mass_g: Option<f32>,
    sex: Option<String>,
}

/// The inputs, and 1 for a male penguin.
type Item = ([f32; 4], i32);
type Batch = (Tensor<2>, Tensor<1, Int>);

impl Penguin {
    /// The measures, by the means of the table. `None` if something is missing.
    fn item(&self) -> Option<Item> {
        let shares = [self.bill_length_mm? / 44.0, self.bill_depth_mm? / 17.0, self.flipper_length_mm? / 201.0, self.body_mass_g? / 4200.0];
        Some((shares.map(|share| 5.0 * (share - 1.0)), i32::from(self.sex.as_deref()? == "male")))
    }
}

fn loader(penguins: impl Dataset<Item> + 'static) -> Loader<Batch> {
    let collate = |penguins: Vec<Item>, device: &Device| {
        let (inputs, classes): (Vec<_>, Vec<_>) = penguins.into_iter().unzip();
        let inputs = Tensor::<1>::from_floats(inputs.as_flattened(), device).reshape([-1, 4]);
        (inputs, Tensor::<1, Int>::from_ints(classes.as_slice(), device))
    };
    Loader::collate(penguins, collate).batch_size(16)
}

/// Loaders for training and validation.
fn parts(fold: &Fold, penguins: &Arc<dyn Dataset<Item>>) -> Result<(Loader<Batch>, Loader<Batch>)> {
    Ok(fold.of(penguins).map(|(train, val)| (loader(train).shuffle(true), loader(val)))?)
}

/// The hyperparameters, by their names in the space of the sweep.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct SexConfig {
    lr: f64,
    hidden: usize,
}

#[derive(Module, Debug)]
struct Sex {
    hidden: Linear,
    output: Linear,
    relu: Relu,
    #[module(skip)]
    config: SexConfig,
}

impl Sex {
    fn new(config: SexConfig, device: &Device) -> Self {
        let (hidden, output) = (LinearConfig::new(4, config.hidden).init(device), LinearConfig::new(config.hidden, 2).init(device));
        Self { hidden, output, relu: Relu::new(), config }
    }

    fn forward(&self, inputs: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.relu.forward(self.hidden.forward(inputs)))
    }
}

impl LightningModule for Sex {
    type Batch = Batch;

    fn training_step(&self, (inputs, classes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(inputs);
        Ok(CrossEntropyLossConfig::new().init(&logits.device()).forward(logits, classes).into())
    }

    fn validation_step(&self, (inputs, classes): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.forward(inputs);
        self.log("val_loss", CrossEntropyLossConfig::new().init(&logits.device()).forward(logits.clone(), classes.clone()));
        self.log("val_acc", accuracy(&logits, &classes));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamWConfig::new(), self.config.lr).into())
    }

    fn hparams(&self) -> Result<Value> {
        state::save(&self.config)
    }
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Options {
    /// The folder for all files, by default `lightning_logs/tune`.
    root: Option<PathBuf>,
}

fn main() -> Result<()> {
    let options: Options = cli::parse("Finds hyperparameters for a small table, and checks them.");
    let root = options.root.unwrap_or_else(|| "lightning_logs/tune".into());
    let device = Accelerator::Auto.device()?;
    let trainer = || Trainer::new().accelerator(device.clone()).max_epochs(20).seed(1).enable_progress_bar(false);
    let rows = Shards::<Penguin>::csv(["data/penguins/penguins.csv"]).read()?.iter().collect::<Result<Vec<_>, _>>()?;
    let items: Vec<Item> = rows.iter().filter_map(Penguin::item).collect();
    // Both sexes are in each fold in the proportion of the table.
    let folds = KFold::stratified(5, items.iter().map(|(_, class)| class)).seed(1).folds()?;
    let penguins: Arc<dyn Dataset<Item>> = Arc::new(InMemDataset::new(items));

    let module = Sex::new(SexConfig { lr: 1e-3, hidden: 16 }, &device);
    let curve = Tuner::new(&mut trainer()).lr_find(&module, parts(&folds[0], &penguins)?, &LrFind::new())?;
    curve.write(&root)?;
    let lr = curve.suggestion()?;

    let space = Space::new().log_uniform("lr", lr / 10.0, lr * 10.0).int("hidden", 4, 64);
    let sweep = Sweep::tpe(space, 12).monitor("val_loss").pruner(Pruner::median()).folder(root.join("sweep")).run(|trial| {
        let config = SexConfig { lr: trial.get("lr")?, hidden: trial.get("hidden")? };
        trial.fit(trainer(), Sex::new(config, &device), parts(&folds[0], &penguins)?)
    })?;
    let best = sweep.best().ok_or_else(|| Error::other("no trial is complete"))?;
    let config: SexConfig = serde_json::from_value(best.params.clone().into()).map_err(Error::other)?;
    let scores = cross_validate(root.join("folds"), folds, |_number, fold| {
        Ok((trainer(), Sex::new(config.clone(), &device), parts(&fold, &penguins)?))
    })?;
    println!("{config:?}: accuracy {:.3}", scores.mean("val_acc").unwrap_or(f64::NAN));
    Ok(())
}
