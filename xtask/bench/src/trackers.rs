//! Measures whether a tracking server can slow down a training. Compares a fit without a logger with fits with each
//! tracker, whose server is healthy, slow, down, answers with errors, or truncates its answers.

use std::{path::Path, thread, time::Duration, time::Instant};

use burn::{
    nn::{
        Linear, LinearConfig,
        loss::{MseLoss, Reduction},
    },
    optim::SgdConfig,
    tensor::{Device, Distribution, Tensor, activation::relu},
};
use stormfire::{
    loggers::{CometLogger, Logger, MlflowLogger, TensorBoardLogger, TrackioLogger, WandbLogger},
    prelude::*,
};

use crate::server::{Health, Server};

type Outcome<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A key in the format of W&B.
const KEY: &str = "0123456789012345678901234567890123456789";

/// Creates a logger that sends to an address and stores waiting records in a folder.
type Make = fn(&str, &Path, Duration) -> Box<dyn FnOnce(Trainer<Digits>) -> Trainer<Digits>>;

/// The trackers by name.
const TRACKERS: [(&str, Make); 4] = [
    ("MLflow", |address, folder, patience| with(MlflowLogger::new().tracking_uri(address).save_dir(folder).patience(patience))),
    ("W&B", |address, folder, patience| {
        let logger = WandbLogger::new().offline(false).base_url(address).api_key(KEY).save_dir(folder).patience(patience);
        with(logger.send_every(Duration::from_millis(500)))
    }),
    ("Comet", |address, folder, patience| {
        with(CometLogger::new().offline(false).server(address).api_key(KEY).save_dir(folder).patience(patience))
    }),
    ("trackio", |address, folder, patience| with(TrackioLogger::new().server_url(address).save_dir(folder).patience(patience))),
];

fn with(logger: impl Logger) -> Box<dyn FnOnce(Trainer<Digits>) -> Trainer<Digits>> {
    Box::new(move |trainer| trainer.logger(logger))
}

/// Inputs `[64, 784]` and targets `[64, 10]`.
type Batch = (Tensor<2>, Tensor<2>);

/// A network for small images that logs ten values at every step.
#[derive(burn::module::Module, Debug)]
struct Digits {
    hidden: Linear,
    output: Linear,
}

impl LightningModule for Digits {
    type Batch = Batch;

    fn training_step(&self, (x, y): Batch, _batch_idx: usize) -> Result<StepOutput> {
        let output = self.output.forward(relu(self.hidden.forward(x)));
        let loss = MseLoss::new().forward(output, y, Reduction::Mean);
        for name in ["m0", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "m9"] {
            self.log(name, &loss);
        }
        Ok(loss.into())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        Ok(Optimizer::new(SgdConfig::new(), 1e-3).into())
    }
}

/// The cost of a training from its first batch to its last.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall: f64,
    /// Processor time of the training thread.
    cpu: f64,
    /// The time in which the training thread was ready to run but had no core.
    queued: f64,
    /// The number of times that the training thread waited.
    waits: f64,
    /// Processor time of the threads of the loggers.
    loggers: f64,
}

impl Cost {
    fn now(began: Instant) -> Self {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/thread-self/{file}")).unwrap_or_default();
        let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<f64>().ok()).unwrap_or(f64::NAN);
        let schedule = read("schedstat");
        let mut schedule = schedule.split_whitespace().map(|nanoseconds| number(Some(nanoseconds)) / 1e9);
        let (cpu, queued) = (schedule.next().unwrap_or(f64::NAN), schedule.next().unwrap_or(f64::NAN));
        let waits = number(read("status").lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")));
        Self { wall: began.elapsed().as_secs_f64(), cpu, queued, waits, loggers: logger_seconds() }
    }

    fn since(self, first: Self) -> Self {
        Self {
            wall: self.wall - first.wall,
            cpu: self.cpu - first.cpu,
            queued: self.queued - first.queued,
            waits: self.waits - first.waits,
            loggers: self.loggers - first.loggers,
        }
    }
}

/// Processor time of the threads that write and send records. Unlike wall time it hardly depends on other load.
fn logger_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let seconds = tasks.filter_map(|task| {
        let read = |file: &str| std::fs::read_to_string(task.path().join(file)).ok();
        let name = read("comm")?;
        let is_logger = ["log ", "send "].iter().any(|prefix| name.starts_with(prefix));
        let nanoseconds: f64 = read("schedstat")?.split_whitespace().next()?.parse().ok()?;
        is_logger.then_some(nanoseconds / 1e9)
    });
    seconds.sum()
}

struct Clock {
    began: Instant,
    first: Cost,
    cost: Cost,
}

impl<M: LightningModule> Callback<M> for Clock {
    fn on_train_start(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.first = Cost::now(self.began);
        Ok(())
    }

    fn on_train_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        self.cost = Cost::now(self.began).since(self.first);
        Ok(())
    }
}

/// The destination of the logs.
#[derive(Clone, Copy)]
enum To {
    Nowhere,
    Files,
    Tracker(Make, Health),
}

/// A row of the table.
struct Contestant {
    name: String,
    to: To,
    costs: Vec<Cost>,
    /// The costs of the training without a logger that ran before it.
    beside: Vec<Cost>,
    requests: usize,
}

impl Contestant {
    fn new(name: impl Into<String>, to: To) -> Self {
        Self { name: name.into(), to, costs: Vec::new(), beside: Vec::new(), requests: 0 }
    }

    fn measure(&mut self, steps: usize) -> Outcome<Cost> {
        let folder = tempfile::tempdir()?;
        let device = Device::flex();
        let trainer = Trainer::new()
            .default_root_dir(folder.path())
            .max_epochs(1)
            .log_every_n_steps(1)
            .enable_progress_bar(false)
            .enable_checkpointing(false)
            .enable_model_summary(false)
            .callback(Clock { began: Instant::now(), first: Cost::default(), cost: Cost::default() });
        let mut server = None;
        let mut trainer = match self.to {
            To::Nowhere => trainer.no_logger(),
            To::Files => trainer.logger(TensorBoardLogger::new(folder.path())),
            To::Tracker(make, health) => {
                // The end of the run does not wait for records that a broken server has not accepted.
                let patience = Duration::from_secs(if health == Health::Well { 30 } else { 0 });
                make(&server.insert(Server::start(health)?).address, folder.path(), patience)(trainer)
            }
        };
        let module = Digits { hidden: LinearConfig::new(784, 128).init(&device), output: LinearConfig::new(128, 10).init(&device) };
        let random = |width| Tensor::random([64, width], Distribution::Default, &device);
        let batch = (random(784), random(10));
        let batches = Loader::from_fn(move |_| {
            let batch = batch.clone();
            std::iter::repeat_with(move || batch.clone()).take(steps)
        });
        let _ = trainer.fit(module, batches.items_per_batch(64))?;
        let cost = trainer.get::<Clock>().ok_or("there is no clock")?.cost;
        drop(trainer);
        if let Some(server) = server {
            self.requests += server.requests();
            // A request in progress must not disturb the next training.
            thread::sleep(Duration::from_millis(600));
        }
        Ok(cost)
    }
}

/// `only` selects rows by a part of their names.
pub fn run(rounds: usize, steps: usize, only: Option<&str>) -> Outcome<()> {
    let mut all = vec![Contestant::new("no logger", To::Nowhere), Contestant::new("TensorBoard", To::Files)];
    for (name, make) in TRACKERS {
        all.push(Contestant::new("no logger", To::Nowhere));
        all.extend(Health::ALL.map(|health| Contestant::new(format!("{name}, server {health:?}"), To::Tracker(make, health))));
    }
    all.retain(|contestant| matches!(contestant.to, To::Nowhere) || only.is_none_or(|only| contestant.name.contains(only)));
    // Warms up caches and the allocator.
    let mut base = all[0].measure(steps)?;
    for _ in 0..rounds {
        for contestant in &mut all {
            let cost = contestant.measure(steps)?;
            contestant.costs.push(cost);
            contestant.beside.push(base);
            if matches!(contestant.to, To::Nowhere) {
                base = cost;
            }
        }
    }
    println!("{rounds} rounds of {steps} steps each, medians; ten scalars at every step; model: Linear 784 -> 128 -> 10, batch 64");
    println!("Ratios are those to the training without a logger before it in the same round. Costs of the training thread:\n");
    println!(
        "| logger | steps/s | ratio (least, most) | CPU us/step | ratio | us/step without a core | waits per 1000 steps | requests a round | CPU us/step of the logger | of all cores |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let cores = thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
    for contestant in &all {
        let per_step = |of: fn(&Cost) -> f64| median(&sorted(contestant.costs.iter().map(of))) / steps as f64;
        let ratios = |of: fn(&Cost) -> f64| sorted(contestant.costs.iter().zip(&contestant.beside).map(|(own, other)| of(own) / of(other)));
        let (speed, cpu) = (ratios(|cost| 1.0 / cost.wall), ratios(|cost| cost.cpu));
        println!(
            "| {} | {:.0} | {:.3} ({:.3}, {:.3}) | {:.1} | {:.3} | {:.1} | {:.1} | {} | {:.1} | {:.1} % |",
            contestant.name,
            1.0 / per_step(|cost| cost.wall),
            median(&speed),
            speed.first().copied().unwrap_or(f64::NAN),
            speed.last().copied().unwrap_or(f64::NAN),
            per_step(|cost| cost.cpu) * 1e6,
            median(&cpu),
            per_step(|cost| cost.queued) * 1e6,
            per_step(|cost| cost.waits) * 1e3,
            contestant.requests / rounds.max(1),
            per_step(|cost| cost.loggers) * 1e6,
            per_step(|cost| cost.loggers) / per_step(|cost| cost.wall) / cores * 100.0,
        );
    }
    Ok(())
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
