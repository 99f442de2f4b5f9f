//! A net that logs in every possible way, and its data.

use std::{
    cell::Cell,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use burn::{
    data::dataset::InMemDataset,
    nn::{
        BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    prelude::*,
    tensor::{Distribution, activation::relu},
};
use stormfire::{
    data::{CombinedLoader, Position, Result as DataResult, Shards, random},
    module::Hook,
    prelude::*,
    values::Scalar,
};

use super::plan::{Algorithm, DataKind, DataPlan, Learning, Weighs};
use crate::support::Batch;

#[derive(Module, Debug)]
pub(crate) struct Net {
    hidden: Linear,
    norm: Option<BatchNorm>,
    dropout: Dropout,
    output: Linear,
    #[module(skip)]
    learning: Learning,
}

/// The root mean squared error.
#[derive(Clone, Debug, Merge)]
struct Rmse {
    #[merge(sum)]
    squares: Scalar,
    #[merge(sum)]
    count: f64,
}

impl Metric for Rmse {
    type Value = f64;

    fn compute(&self) -> f64 {
        (self.squares.value() / self.count).sqrt()
    }
}

/// A random number.
pub(crate) fn draw() -> Tensor<1> {
    Tensor::random([1], Distribution::Default, &Device::flex())
}

thread_local! {
    /// The step that fails at its end, and the number of calls before the failure.
    static FAILS_IN: Cell<Option<(Hook, usize)>> = const { Cell::new(None) };
}

/// Makes a step panic in its `call`-th call, counted from 0.
pub(crate) fn fails_in(step: Option<(Hook, usize)>) {
    FAILS_IN.set(step);
}

fn trip(step: Hook) {
    match FAILS_IN.get() {
        Some((of, 0)) if of == step => {
            FAILS_IN.set(None);
            panic!("on purpose");
        }
        Some((of, calls)) if of == step => FAILS_IN.set(Some((of, calls - 1))),
        _ => {}
    }
}

fn range(all: Tensor<1>) -> Tensor<1> {
    all.clone().max() - all.min()
}

impl Net {
    pub(crate) fn new(learning: Learning, is_frozen: bool) -> Self {
        let device = Device::flex();
        let hidden = LinearConfig::new(1, 16).init(&device);
        Self {
            hidden: if is_frozen { hidden.freeze() } else { hidden },
            norm: learning.is_regularised.then(|| BatchNormConfig::new(16).init(&device)),
            dropout: DropoutConfig::new(if learning.is_regularised { 0.3 } else { 0.0 }).init(),
            output: LinearConfig::new(16, 1).init(&device),
            learning,
        }
    }

    pub(crate) fn unfreeze(&mut self) {
        self.hidden = self.hidden.clone().unfreeze();
    }

    fn loss(&self, (x, y): Batch) -> Tensor<1> {
        let hidden = relu(self.hidden.forward(x));
        let hidden = match &self.norm {
            Some(norm) => norm.forward(hidden),
            None => hidden,
        };
        MseLoss::new().forward(self.output.forward(self.dropout.forward(hidden)), y, Reduction::Mean)
    }
}

impl LightningModule for Net {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let items = batch.0.dims()[0] as f64;
        let loss = self.loss(batch);
        self.log("train_loss", &loss).on_step(true).on_epoch(true).prog_bar(true);
        self.log("host", batch_idx as f64 / 3.0).on_epoch(true);
        self.log("rmse", Rmse { squares: Scalar::from(loss.clone()).times(items), count: items }).on_step(true).on_epoch(true);
        for (name, reduce_fx) in [
            ("loss_sum", ReduceFx::Sum),
            ("loss_min", ReduceFx::Min),
            ("loss_max", ReduceFx::Max),
            ("loss_range", ReduceFx::Custom { name: "range", reduce: range }),
        ] {
            self.log(name, &loss).on_step(false).on_epoch(true).reduce_fx(reduce_fx);
        }
        if batch_idx % 3 == 1 {
            self.log("sometimes", self.global_step()).on_epoch(true);
        }
        self.log("noise", draw()).on_epoch(true);
        trip(Hook::TrainingStep);
        let on_host = match self.learning.weighs {
            Weighs::Nothing => return Ok(loss.into()),
            Weighs::OnBoth => batch_idx.is_multiple_of(2),
            Weighs::OnHost => true,
            Weighs::OnDevice => false,
        };
        let sum = StepOutput::from(loss * items);
        Ok(if on_host { sum.weight(items) } else { sum.weight(Tensor::<1>::full([1], items, &Device::flex())) })
    }

    fn training_batch(&mut self, batch: Batch, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        if !self.learning.is_manual {
            return opt.automatic(self, batch, move |module, batch| module.training_step(batch, batch_idx));
        }
        let again = batch.clone();
        let output = self.training_step(batch, batch_idx)?;
        if let Some(loss) = output.loss() {
            opt.step("hidden", self, loss)?;
        }
        if batch_idx % 3 != 2 {
            let loss = self.loss(again);
            opt.step("output", self, &loss)?;
        }
        Ok(output)
    }

    fn validation_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        let loss = self.loss(batch);
        self.log("val_loss", &loss).prog_bar(true);
        self.log("val_max", &loss).reduce_fx(ReduceFx::Max);
        self.log("val_range", &loss).reduce_fx(ReduceFx::Custom { name: "range", reduce: range });
        self.log("val_rmse", Rmse { squares: loss.clone().into(), count: 1.0 });
        self.log("val_noise", draw()).on_step(true).on_epoch(true);
        if batch_idx == 1 {
            self.log("val_sometimes", self.global_step()).on_step(true).on_epoch(false);
        }
        trip(Hook::ValidationStep);
        Ok(StepOutput::none())
    }

    fn batch_size(&self, (x, _): &Batch) -> Option<usize> {
        self.learning.tells_batch_size.then(|| x.dims()[0])
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        let [first, second] = self.learning.algorithms;
        let of = |algorithm| self.learning.optimizer(algorithm);
        if !self.learning.is_manual {
            let only = match first {
                Algorithm::Muon => of(first).params_of(&self.hidden.weight).params_of(&self.output.weight),
                _ => of(first),
            };
            return Ok(only.into());
        }
        let hidden = match (first, &self.norm) {
            (Algorithm::Muon, _) => of(first).params_of(&self.hidden.weight),
            (_, Some(norm)) => of(first).params_of(&self.hidden).params_of(norm),
            (_, None) => of(first).params_of(&self.hidden),
        };
        let output = match second {
            Algorithm::Muon => of(second).params_of(&self.output.weight),
            _ => of(second).params_of(&self.output),
        };
        Ok([hidden.named("hidden"), output.named("output")].into())
    }

    fn on_train_epoch_end(&mut self, _ctx: &mut Context<'_>) -> Result<()> {
        self.log("epoch_noise", draw());
        Ok(())
    }
}

fn batch(points: &[f32], device: &Device) -> Batch {
    let x = Tensor::<1>::from_floats(points, device).unsqueeze_dim::<2>(1);
    (x.clone(), (x * 3.0).sin())
}

/// Adds noise on the thread that creates the batch. Noise of burn is only repeatable on the thread that iterates.
fn noisy((x, y): Batch, with_burns: bool) -> Batch {
    let mut random = random();
    let drawn = random.tensor::<2>(x.dims(), Distribution::Normal(0.0, 0.01), &x.device());
    let x = if random.chance(0.5) { x + drawn } else { x - drawn };
    if with_burns { (x.clone() + x.random_like(Distribution::Normal(0.0, 0.01)), y) } else { (x, y) }
}

fn dataset(items: usize, from: f32, plan: &DataPlan, is_iterated_in_a_fit: bool) -> Loader<Batch> {
    let points: Vec<f32> = (0..items).map(|i| from + i as f32 / 10.0).collect();
    let (draws, with_burns) = (plan.draws, plan.workers == 0 && is_iterated_in_a_fit);
    let collate = move |points: Vec<f32>, device: &Device| {
        let made = batch(&points, device);
        if draws { noisy(made, with_burns) } else { made }
    };
    let loader = Loader::collate(InMemDataset::new(points), collate);
    loader.batch_size(plan.batch_size).workers(plan.workers)
}

fn joined(batches: Vec<Batch>) -> Batch {
    let (x, y) = batches.into_iter().unzip();
    (Tensor::cat(x, 0), Tensor::cat(y, 0))
}

/// The same iterator, without a length.
fn unsized_iter<T>(mut iter: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    std::iter::from_fn(move || iter.next())
}

impl DataPlan {
    /// Three files with all points, the second one without any. The plan has the same files in each fit.
    fn shards(&self) -> [PathBuf; 3] {
        let folder = crate::child::folder().unwrap();
        let parts = [0..self.items / 3, 0..0, self.items / 3..self.items];
        let mut parts = parts.into_iter().enumerate();
        std::array::from_fn(|_| {
            let (number, part) = parts.next().unwrap();
            let path = folder.join(format!("{}-{number}.jsonl", self.items));
            if !path.exists() {
                let points: Vec<String> = part.map(|i| (i as f32 / 10.0 - 1.0).to_string()).collect();
                std::fs::write(&path, points.join("\n")).unwrap();
            }
            path
        })
    }

    /// Endless batches, different in each epoch.
    fn stream(size: usize, epoch: usize) -> impl Iterator<Item = Batch> + Send + 'static {
        (0..).map(move |index| {
            let points: Vec<f32> = (0..size).map(|i| ((97 * epoch + 31 * (index * size + i)) % 40) as f32 / 20.0 - 1.0).collect();
            batch(&points, &Device::flex())
        })
    }

    pub(crate) fn train(&self) -> Loader<Batch> {
        let made = self.made();
        if self.draws { made.map(|batch| noisy(batch, true)).map(|batch| noisy(batch, true)) } else { made }
    }

    fn made(&self) -> Loader<Batch> {
        let whole = || dataset(self.items, -1.0, self, true).shuffle(self.shuffle);
        let half = || dataset(self.items.div_ceil(2), 1.0, self, true).shuffle(self.shuffle);
        match self.kind {
            DataKind::Dataset => whole(),
            DataKind::Batches => {
                let points: Vec<f32> = (0..self.items).map(|i| i as f32 / 10.0).collect();
                Loader::from_batches(points.chunks(self.batch_size).map(|points| batch(points, &Device::flex())).collect())
            }
            DataKind::MinSize => CombinedLoader::min_size([whole(), half()]).map(joined),
            DataKind::MaxSizeCycle => CombinedLoader::max_size_cycle([whole(), half()]).map(joined),
            DataKind::Sequential => CombinedLoader::sequential([half(), whole()]),
            DataKind::Stream => {
                let (size, batches) = (self.batch_size, self.items.div_ceil(self.batch_size));
                Loader::from_fn(move |epoch| unsized_iter(Self::stream(size, epoch).take(batches)))
            }
            DataKind::EndlessStream => {
                let size = self.batch_size;
                Loader::from_fn(move |epoch| Self::stream(size, epoch))
            }
            DataKind::Shards { counted } => {
                let shards = Shards::<f32>::json_lines(self.shards()).shuffle_buffer(5);
                let shards = if counted { shards.counted().unwrap() } else { shards };
                let (draws, with_burns) = (self.draws, self.workers == 0);
                let loader = Loader::stream(shards, move |points: Vec<f32>, device| {
                    let made = batch(&points, device);
                    if draws { noisy(made, with_burns) } else { made }
                });
                loader.batch_size(self.batch_size).workers(self.workers).shuffle(self.shuffle)
            }
            DataKind::OnePass => Loader::from_iter(Self::stream(self.batch_size, 0)),
        }
    }

    pub(crate) fn val(&self) -> Loaders<Batch> {
        let val = |index: usize| dataset(7 - 2 * index, 2.0 + index as f32, self, !self.val_is_unsized);
        let unsized_val = |index: usize| {
            let batches = val(index).batches(Position::default(), &Device::flex());
            let batches: Vec<Batch> = batches.unwrap().map(|batch| batch.unwrap().value).collect();
            Loader::from_fn(move |_epoch| unsized_iter(batches.clone().into_iter()))
        };
        (0..self.val_loaders).map(|index| if self.val_is_unsized { unsized_val(index) } else { val(index) }).collect()
    }
}

/// The data of a plan, and the number of batches that the fit has received.
pub(crate) struct Data<'a> {
    pub(crate) plan: &'a DataPlan,
    pub(crate) given: Arc<AtomicU64>,
}

impl DataModule for Data<'_> {
    type Batch = Batch;

    fn train_dataloader(&mut self) -> DataResult<Loader<Batch>> {
        Ok(self.plan.train())
    }

    fn val_dataloader(&mut self) -> DataResult<Loaders<Batch>> {
        Ok(self.plan.val())
    }

    fn state(&self) -> DataResult<Saved> {
        Ok(Value::from(self.given.load(Ordering::Relaxed)).into())
    }

    fn load_state(&mut self, state: Saved) -> DataResult<()> {
        self.given.store(state.json().as_u64().unwrap(), Ordering::Relaxed);
        Ok(())
    }
}
