//! Predicts who survived the Titanic, from a table with missing values: `cargo run --release --example titanic`.
//!
//! 557 of the 1,313 passengers have no age. The network gets 0 for such an age, and a second input says that it is
//! missing. It takes a few seconds to an AUROC of 0.86. `survival.svg` in the folder of the run shows what it has
//! learned.

use burn::{
    nn::{Dropout, DropoutConfig, Linear, LinearConfig, Relu, loss::BinaryCrossEntropyLossConfig},
    optim::AdamWConfig,
    prelude::*,
    tensor::activation::sigmoid,
};
use serde::Deserialize;
use stormfire::{
    cli::Cli,
    data::{Shards, random_split},
    metrics::{
        classification::Binary,
        picture::{Curves, Line},
    },
    prelude::*,
};
use stormfire_examples::save_drawing;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A row of the table. Other columns are ignored, and an empty field is `None`.
#[derive(Clone, Debug, Deserialize)]
struct Passenger {
    class: String,
    age: Option<f32>,
    sex: String,
    survived: i32,
}

const INPUTS: usize = 6;

impl Passenger {
    /// The row as numbers of similar size, which a network learns from best.
    fn inputs(&self) -> [f32; INPUTS] {
        let one_if = |yes: bool| if yes { 1.0 } else { 0.0 };
        let [first, second, third] = ["1st", "2nd", "3rd"].map(|class| one_if(self.class == class));
        // 30 is the mean age, so 0 is a good value for a missing one.
        let age = self.age.map_or(0.0, |age| age / 30.0 - 1.0);
        [age, one_if(self.age.is_none()), first, second, third, one_if(self.sex == "female")]
    }
}

/// Inputs `[passengers, 6]`, and 1 for those who survived.
type Batch = (Tensor<2>, Tensor<1, Int>);

fn collate(passengers: &[Passenger], device: &Device) -> Batch {
    let inputs: Vec<f32> = passengers.iter().flat_map(Passenger::inputs).collect();
    let survived: Vec<i32> = passengers.iter().map(|passenger| passenger.survived).collect();
    let inputs = TensorData::new(inputs, [passengers.len(), INPUTS]);
    (Tensor::from_data(inputs, device), Tensor::from_ints(survived.as_slice(), device))
}

/// Loaders for training, validation and test.
fn passengers() -> Result<(Loader<Batch>, Loader<Batch>, Loader<Batch>)> {
    let all = Shards::<Passenger>::csv(["data/titanic/passengers.csv"]).read()?;
    let [train, val, test] = random_split(all, [0.6, 0.2, 0.2], 1)?
        .map(|part| Loader::collate(part, |passengers: Vec<Passenger>, device: &Device| collate(&passengers, device)).batch_size(32));
    Ok((train.shuffle(true), val, test))
}

#[derive(Module, Debug)]
struct Survival {
    hidden: Linear,
    output: Linear,
    relu: Relu,
    dropout: Dropout,
}

impl Survival {
    fn new(device: &Device) -> Self {
        Self {
            hidden: LinearConfig::new(INPUTS, 32).init(device),
            output: LinearConfig::new(32, 1).init(device),
            relu: Relu::new(),
            dropout: DropoutConfig::new(0.2).init(),
        }
    }

    fn logits(&self, inputs: Tensor<2>) -> Tensor<1> {
        self.output.forward(self.dropout.forward(self.relu.forward(self.hidden.forward(inputs)))).squeeze_dim(1)
    }

    fn loss(logits: Tensor<1>, survived: Tensor<1, Int>) -> Tensor<1> {
        BinaryCrossEntropyLossConfig::new().with_logits(true).init(&logits.device()).forward(logits, survived)
    }

    /// The probability of survival at each age, for some groups of passengers.
    fn by_age(&self) -> Curves {
        let lines = [("female", "1st"), ("female", "3rd"), ("male", "1st"), ("male", "3rd")].map(|(sex, class)| {
            let of_age = |age: u8| Passenger { class: class.into(), age: Some(age.into()), sex: sex.into(), survived: 0 };
            let group: Vec<Passenger> = (0..=70).map(of_age).collect();
            let (inputs, _) = collate(&group, &self.output.weight.device());
            let probabilities = sigmoid(self.logits(inputs)).into_data();
            Line::new(format!("{sex}, {class} class"), (0..=70).map(f64::from).zip(probabilities.iter::<f64>()))
        });
        Curves::new("age", "probability of survival", lines)
    }
}

impl LightningModule for Survival {
    type Batch = Batch;

    fn training_step(&self, (inputs, survived): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let loss = Self::loss(self.logits(inputs), survived);
        self.log("train_loss", &loss).prog_bar(true);
        Ok(loss.into())
    }

    fn validation_step(&self, (inputs, survived): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let logits = self.logits(inputs);
        self.log("val_acc", Binary::from_logits(&logits, &survived)?.counts().accuracy()).prog_bar(true);
        self.log("val_loss", Self::loss(logits, survived));
        Ok(StepOutput::none())
    }

    fn test_step(&self, (inputs, survived): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let scores = Binary::from_logits(&self.logits(inputs), &survived)?;
        self.log("test_acc", scores.counts().accuracy());
        self.log("test_auroc", scores.exact_curves().auroc());
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(AdamWConfig::new().with_weight_decay(0.01), 3e-3).into())
    }
}

fn main() -> Result<Stop> {
    Cli::new(|(): (), device: &Device| Ok(Survival::new(device)), |(): ()| passengers())
        .about("Predicts who survived the Titanic, from a table with missing values.")
        .alias("epochs", "trainer.max_epochs")
        .trainer_defaults(TrainerConfig { max_epochs: Some(30), seed: Some(42), log_every_n_steps: 10, ..TrainerConfig::default() })
        .after_fit(|trainer, fit, data| {
            trainer.test(&fit.module, data)?;
            save_drawing(trainer.log_dir(), "survival", fit.module.valid().by_age())
        })
        .run()
}
