//! The same seed gives the same weights, logs and file names.
//!
//! burn's random generator is global, so each seeded fit here runs in a separate process.

use std::path::Path;

use burn::{
    data::dataset::{Dataset, DatasetError, InMemDataset},
    lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig,
    module::{ModuleVisitor, Param},
    nn::{
        Dropout, DropoutConfig, Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::AdamConfig,
    prelude::*,
    tensor::{Distribution, activation::relu},
};
use serde::{Deserialize, Serialize};
use stormfire::{data::random, prelude::*, seed_everything};

use crate::{
    child::{folder, part, play},
    files::{Events, names, read_csv, read_events, steps_of},
    kept_state::SaveAt,
    rig::run_of,
    support::{Batch, quiet},
    told::told,
};

/// A net with every use of randomness: parameters, dropout, and noise in the step.
#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    dropout: Dropout,
    output: Linear,
}

impl Net {
    fn new() -> Self {
        let device = Device::flex();
        Self {
            hidden: LinearConfig::new(2, 8).init(&device),
            dropout: DropoutConfig::new(0.3).init(),
            output: LinearConfig::new(8, 1).init(&device),
        }
    }

    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        let hidden = self.dropout.forward(relu(self.hidden.forward(x)));
        MseLoss::new().forward(self.output.forward(hidden), y, Reduction::Mean)
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let noise = x.random_like(Distribution::Normal(0.0, 0.01));
        let loss = self.loss((x + noise, y));
        self.log("train_loss", &loss).on_step(true).on_epoch(true);
        Ok(loss.into())
    }

    fn validation_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.log("val_loss", self.loss(batch));
        // Randomness in a validation must not change the training.
        self.log("noise", Tensor::<1>::random([1], Distribution::Default, &Device::flex()));
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let schedule = Schedule::new(CosineAnnealingLrSchedulerConfig::new(0.01, 40)).every(Every::Steps(1));
        Ok(Optimizer::new(AdamConfig::new(), 0.01).schedule(schedule).into())
    }
}

fn data(items: u16, workers: usize) -> Loader<Batch> {
    let collate = |points: Vec<f32>, device: &Device| {
        let x = Tensor::<1>::from_floats(points.as_slice(), device).unsqueeze_dim::<2>(1);
        (Tensor::cat(vec![x.clone(), x.clone().square()], 1), x.sin())
    };
    let points = (0..items).map(|i| f32::from(i) / 20.0).collect();
    Loader::collate(InMemDataset::new(points), collate).batch_size(4).workers(workers)
}

/// The options of one fit.
#[expect(clippy::struct_excessive_bools, reason = "each is one thing that a fit may do or meet")]
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Plan {
    seed: u64,
    epochs: usize,
    workers: usize,
    /// Resume from this checkpoint.
    ckpt_path: Option<String>,
    /// Draw random numbers before the fit.
    #[serde(default)]
    draws_before: bool,
    /// Read the module's parameters before the fit.
    #[serde(default)]
    touches: bool,
    /// Validate before the fit.
    #[serde(default)]
    validates_before: bool,
    /// Fit a clone of the module without a seed before the fit.
    #[serde(default)]
    fits_before: bool,
    /// Start with `seed_everything`.
    #[serde(default)]
    seeds_everything: bool,
    /// Validation batches in the sanity check.
    sanity_steps: usize,
}

/// Every parameter by its path, as bits.
pub(crate) type Weights = Vec<(String, Vec<u32>)>;

/// The parameters of a module.
pub(crate) fn weights<M: Module>(module: &M) -> Weights {
    #[derive(Default)]
    struct Bits(Vec<String>, Weights);
    impl ModuleVisitor for Bits {
        fn enter_module(&mut self, name: &str, _container_type: &str) {
            self.0.push(name.into());
        }
        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.0.pop();
        }
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let bits = param.val().into_data().iter::<f32>().map(f32::to_bits).collect();
            self.1.push((self.0.join("."), bits));
        }
    }
    let mut bits = Bits::default();
    module.visit(&mut bits);
    bits.1
}

/// Helper test for a child process: one fit.
#[test]
#[ignore = "a part of the other tests"]
fn fits_by_plan() {
    let Some(folder) = folder() else { return };
    let plan: Plan = serde_json::from_slice(&std::fs::read(folder.join("plan.json")).unwrap()).unwrap();
    let device = Device::flex();
    if plan.seeds_everything {
        seed_everything(plan.seed, &device);
    }
    if plan.draws_before {
        let _ = Tensor::<1>::random([100], Distribution::Default, &Device::flex()).into_data();
    }
    let mut trainer = Trainer::new()
        .default_root_dir(&folder)
        .seed(plan.seed)
        .max_epochs(plan.epochs)
        .log_every_n_steps(1)
        .num_sanity_val_steps(plan.sanity_steps)
        .enable_progress_bar(false)
        .enable_model_summary(false)
        .callback(LearningRateMonitor::new())
        .callback(ModelCheckpoint::new().monitor("val_loss").save_top_k(3).filename("{epoch}-{val_loss:.6f}"));
    if let Some(path) = &plan.ckpt_path {
        trainer = trainer.ckpt_path(path);
    }
    let net = Net::new();
    if plan.touches {
        assert!(net.to_string().contains("Linear"));
        let _ = net.loss((Tensor::zeros([1, 2], &device), Tensor::zeros([1, 1], &device)));
    }
    if plan.validates_before {
        trainer.validate(&net, Loaders::from(data(10, 0))).unwrap();
    }
    if plan.fits_before {
        let _ = quiet().max_epochs(1).fit(net.clone(), data(10, 0)).unwrap();
    }
    let mut fit = None;
    let told = told(|| fit = Some(trainer.fit(net, (data(62, plan.workers).shuffle(true), data(10, plan.workers))).unwrap()));
    let late: Vec<_> = told.into_iter().filter(|line| line.starts_with("WARN `seed` does not reach")).collect();
    if (plan.touches || plan.fits_before) && !plan.seeds_everything && plan.ckpt_path.is_none() {
        assert_eq!(late.len(), 1);
        assert!(late[0].contains("reach `hidden.weight`, `hidden.bias`, `output.weight`: they"), "{late:?}");
    } else {
        assert!(late.is_empty(), "{late:?}");
    }
    let fit = fit.unwrap();
    assert_eq!(fit.progress.global_step, 16 * plan.epochs as u64);
    std::fs::write(folder.join("weights.json"), serde_json::to_vec(&weights(&fit.module)).unwrap()).unwrap();
}

/// The results of a fit.
#[derive(Debug, PartialEq)]
struct Left {
    weights: Weights,
    csv: String,
    events: Events,
    files: Vec<String>,
    checkpoints: Vec<String>,
}

fn fit_in(folder: &Path, plan: &Plan) -> Left {
    std::fs::write(folder.join("plan.json"), serde_json::to_vec(plan).unwrap()).unwrap();
    play(part("repeatability::fits_by_plan", folder));
    let run = run_of(folder);
    let left = Left {
        weights: serde_json::from_slice(&std::fs::read(folder.join("weights.json")).unwrap()).unwrap(),
        csv: std::fs::read_to_string(run.join("metrics.csv")).unwrap(),
        events: read_events(&run),
        // The name of an event file contains the time and the process id, like TensorFlow's.
        files: names(&run).into_iter().filter(|name| !name.contains("tfevents")).collect(),
        checkpoints: names(&run.join("checkpoints")),
    };
    assert_eq!(left.files, ["checkpoints", "hparams.yaml", "metrics.csv", "trainer.yaml"]);
    assert_eq!(
        left.weights.iter().map(|(path, bits)| (path.as_str(), bits.len())).collect::<Vec<_>>(),
        [("hidden.weight", 16), ("hidden.bias", 8), ("output.weight", 8), ("output.bias", 1)]
    );
    left
}

fn fit(plan: &Plan) -> Left {
    fit_in(tempfile::tempdir().unwrap().path(), plan)
}

const PLAN: Plan = Plan {
    seed: 7,
    epochs: 2,
    workers: 0,
    ckpt_path: None,
    draws_before: false,
    touches: false,
    validates_before: false,
    fits_before: false,
    seeds_everything: false,
    sanity_steps: 2,
};

#[test]
fn one_seed_gives_one_result() {
    let first = fit(&PLAN);
    assert_eq!(first.checkpoints.len(), 2);
    assert_eq!(steps_of(&first.events, "train_loss_step"), (0..32).collect::<Vec<_>>());
    for plan in [PLAN, Plan { draws_before: true, ..PLAN }] {
        assert_eq!(fit(&plan), first, "{plan:?}");
    }
}

/// burn initializes a parameter when it is first read, with the current state of its generator.
#[test]
fn parameters_that_were_read_before_a_seeded_fit_are_reported_or_seeded() {
    let touched = Plan { touches: true, ..PLAN };
    assert_ne!(fit(&touched).weights, fit(&touched).weights, "what the fit has warned of");
    let seeded = Plan { seeds_everything: true, ..touched };
    assert_eq!(fit(&seeded), fit(&seeded));
}

/// Clones share parameters that burn has not initialized yet. So a run of one clone draws the parameters of the other.
#[test]
fn a_run_before_the_fit_keeps_the_seed_or_the_warning() {
    assert_eq!(fit(&Plan { validates_before: true, ..PLAN }).weights, fit(&PLAN).weights);
    // The child process of this fit checks the warning.
    fit(&Plan { fits_before: true, ..PLAN });
}

#[test]
fn workers_do_not_change_the_result() {
    let first = fit(&PLAN);
    for workers in 1..=3 {
        assert_eq!(fit(&Plan { workers, ..PLAN }), first, "{workers} workers");
    }
}

#[test]
fn random_numbers_of_a_validation_do_not_change_the_training() {
    let (first, without) = (fit(&PLAN), fit(&Plan { sanity_steps: 0, ..PLAN }));
    assert_eq!((first.weights, first.checkpoints), (without.weights, without.checkpoints));
}

#[test]
fn another_seed_gives_another_result() {
    let (first, other) = (fit(&PLAN), fit(&Plan { seed: 8, ..PLAN }));
    for ((path, first), (_, other)) in first.weights.iter().zip(&other.weights) {
        assert_ne!(first, other, "{path}");
    }
    assert_ne!(first.csv, other.csv);
    assert_ne!(first.checkpoints, other.checkpoints);
}

#[test]
fn a_fit_resumed_at_the_end_of_an_epoch_equals_an_uninterrupted_one() {
    let whole = tempfile::tempdir().unwrap();
    let uninterrupted = fit_in(whole.path(), &PLAN);
    let half = tempfile::tempdir().unwrap();
    let first = fit_in(half.path(), &Plan { epochs: 1, ..PLAN });
    let saved = run_of(half.path()).join("checkpoints").join(&first.checkpoints[0]);
    for plan in [PLAN, Plan { draws_before: true, workers: 2, ..PLAN }] {
        let rest = tempfile::tempdir().unwrap();
        let ckpt_path = Some(saved.to_str().unwrap().to_string());
        let second = fit_in(rest.path(), &Plan { ckpt_path, ..plan });
        assert_eq!(second.weights, uninterrupted.weights);
        assert_eq!(second.checkpoints[..], uninterrupted.checkpoints[1..], "the new folder contains the second epoch");

        let (all, first, second) = (read_csv(&run_of(whole.path())), read_csv(&run_of(half.path())), read_csv(&run_of(rest.path())));
        assert_eq!(all.columns, second.columns);
        assert_eq!(all.steps(), [first.steps(), second.steps()].concat());
        for column in ["epoch", "train_loss_step", "train_loss_epoch", "val_loss", "lr-Adam"] {
            assert_eq!(all.column(column), [first.column(column), second.column(column)].concat(), "{column}");
        }
    }
}

/// The source of the random numbers in a fit's batches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Draws {
    /// [`random`], in the dataset and in the batcher.
    Loader,
    /// burn's generator.
    Burn,
}

#[derive(Serialize, Deserialize)]
struct Augmented {
    draws: Draws,
    workers: usize,
    /// Without a seed, the run draws one.
    seed: Option<u64>,
    /// The step of a checkpoint. The fit resumes from it if it exists.
    cut: Option<u64>,
}

/// Points with random noise from their loading.
struct Points;

impl Dataset<f32> for Points {
    fn get(&self, index: usize) -> Result<f32, DatasetError> {
        Ok(index as f32 / 20.0 + random().unit() as f32 / 40.0)
    }

    fn len(&self) -> usize {
        32
    }
}

/// Helper test for a child process: one fit with noise in its batches.
#[test]
#[ignore = "a part of the other tests"]
fn fits_with_augmentation() {
    let Some(folder) = folder() else { return };
    let Augmented { draws, workers, seed, cut } = serde_json::from_slice(&std::fs::read(folder.join("plan.json")).unwrap()).unwrap();
    let collate = move |points: Vec<f32>, device: &Device| {
        let shape = [points.len(), 2];
        let normal = Distribution::Normal(0.0, 0.1);
        let noise = match draws {
            Draws::Loader => random().tensor(shape, normal, device),
            Draws::Burn => Tensor::random(shape, normal, device),
        };
        let x = Tensor::<1>::from_floats(points.as_slice(), device).unsqueeze_dim::<2>(1);
        (Tensor::cat(vec![x.clone(), x.clone().square()], 1) + noise, x.sin())
    };
    let data = Loader::collate(Points, collate).batch_size(4).workers(workers).shuffle(true);
    let saved = folder.join("a.ckpt");
    let mut trainer = quiet().max_epochs(2);
    if let Some(seed) = seed {
        trainer = trainer.seed(seed);
    }
    if let Some(cut) = cut {
        trainer = if saved.exists() { trainer.ckpt_path(&saved) } else { trainer.callback(SaveAt(vec![cut], folder.clone())) };
    }
    let mut fit = None;
    let told = told(|| fit = Some(trainer.fit(Net::new(), data).unwrap()));
    let warns = told.iter().any(|line| line.starts_with("WARN random numbers of burn are drawn while the workers"));
    assert_eq!(warns, draws == Draws::Burn && workers > 0, "{told:?}");
    if let Some(cut) = cut
        && !saved.exists()
    {
        std::fs::rename(folder.join(format!("{cut}.ckpt")), saved).unwrap();
    }
    std::fs::write(folder.join("weights.json"), serde_json::to_vec(&weights(&fit.unwrap().module)).unwrap()).unwrap();
}

fn augment(folder: &Path, plan: &Augmented) -> Weights {
    std::fs::write(folder.join("plan.json"), serde_json::to_vec(plan).unwrap()).unwrap();
    play(part("repeatability::fits_with_augmentation", folder));
    serde_json::from_slice(&std::fs::read(folder.join("weights.json")).unwrap()).unwrap()
}

#[test]
fn random_numbers_of_a_batcher_follow_from_the_seed_with_any_number_of_workers() {
    let fit = |draws, workers, seed| augment(tempfile::tempdir().unwrap().path(), &Augmented { draws, workers, seed, cut: None });
    let first = fit(Draws::Loader, 0, Some(7));
    for workers in 0..=3 {
        assert_eq!(fit(Draws::Loader, workers, Some(7)), first, "{workers} workers");
    }
    assert_ne!(fit(Draws::Loader, 1, Some(8)), first);
    assert_eq!(fit(Draws::Burn, 0, Some(7)), fit(Draws::Burn, 0, Some(7)));
    // With workers, the fit logs one warning and nothing else.
    fit(Draws::Burn, 2, Some(7));
}

#[test]
fn random_numbers_of_a_batcher_are_the_same_in_a_resumed_fit() {
    for (draws, workers) in [(Draws::Loader, 0), (Draws::Loader, 2), (Draws::Burn, 0)] {
        for seed in [Some(7), None] {
            let folder = tempfile::tempdir().unwrap();
            let plan = |workers| Augmented { draws, workers, seed, cut: Some(11) };
            // The first fit runs to its end and leaves a checkpoint from the middle of its second epoch.
            let uninterrupted = augment(folder.path(), &plan(workers));
            let other = if draws == Draws::Burn { 0 } else { 3 - workers };
            assert_eq!(augment(folder.path(), &plan(other)), uninterrupted, "{draws:?}, {workers} workers, seed {seed:?}");
        }
    }
}
