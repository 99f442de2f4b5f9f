//! Several ranks: the time of a step, the share of it that is communication, and a simulation of larger clusters from
//! the measured parts.

use std::{hint::black_box, time::Instant};

use accelerator_tests::{
    Outcome,
    models::{Cnn, Gpt, Mlp, Workload},
};
use burn::tensor::Device;
use stormfire::{
    Error,
    prelude::*,
    ranks::{here, threads},
};

/// The seconds of a training with one rank.
const SECONDS: f64 = 1.5;

/// The steps before the measurement.
const WARM_UP: usize = 2;

/// Trains one model on the ranks of this process, and prints the seconds of a step and of its communication on rank 0.
/// `ranks` are threads. 0: the ranks that a launcher has started.
pub fn rank(model: &str, items: usize, steps: usize, ranks: usize) -> Outcome<()> {
    let measured = match model {
        "mlp" => on_ranks::<Mlp>(items, steps, ranks)?,
        "cnn" => on_ranks::<Cnn>(items, steps, ranks)?,
        "gpt" => on_ranks::<Gpt>(items, steps, ranks)?,
        other => return Err(format!("there is no model `{other}`: write `mlp`, `cnn` or `gpt`").into()),
    };
    if here()?.is_global_zero() {
        println!("{} {}", measured[0], measured[1]);
    }
    Ok(())
}

fn on_ranks<M: Workload>(items: usize, steps: usize, ranks: usize) -> Outcome<[f64; 2]> {
    if ranks <= 1 {
        return Ok(trained::<M>(items, steps)?);
    }
    let ended = threads::run(ranks, |_| trained::<M>(items, steps));
    Ok(ended.into_iter().next().ok_or("no rank")??)
}

/// When the measurement began, how long the rank had waited then, and both at the newest step.
#[derive(Default)]
struct Timed {
    steps: usize,
    began: Option<(Instant, f64)>,
    measured: [f64; 2],
}

impl<M: LightningModule> Callback<M> for Timed {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        self.steps += 1;
        if self.steps < WARM_UP {
            return Ok(());
        }
        let waited = here()?.waited().as_secs_f64();
        let (began, before) = *self.began.get_or_insert_with(|| (Instant::now(), waited));
        self.measured = [began.elapsed().as_secs_f64(), waited - before];
        Ok(())
    }
}

/// The seconds of a step and of its communication.
fn trained<M: Workload>(items: usize, steps: usize) -> std::result::Result<[f64; 2], Error> {
    let world = here()?.world();
    let few = M::batches(4, items, &Device::flex().autodiff());
    let count = (steps + WARM_UP) * world;
    let batches: Vec<_> = (0..count).map(|index| few[index % few.len()].clone()).collect();
    let mut trainer = Trainer::new().barebones(true).max_epochs(1).callback(Timed::default());
    let _ = black_box(trainer.fit(M::new(&Device::flex()), Loader::from_batches(batches))?);
    let measured = trainer.get::<Timed>().map_or([f64::NAN; 2], |timed| timed.measured);
    Ok(measured.map(|seconds| seconds / steps as f64))
}

/// A network between machines.
struct Network {
    name: &'static str,
    /// The time of a message, in seconds.
    latency: f64,
    /// Bytes per second.
    bandwidth: f64,
}

const NETWORKS: [Network; 3] = [
    Network { name: "10 Gbit/s Ethernet", latency: 30e-6, bandwidth: 1.1e9 },
    Network { name: "100 Gbit/s Ethernet", latency: 10e-6, bandwidth: 11e9 },
    Network { name: "200 Gbit/s InfiniBand", latency: 2e-6, bandwidth: 23e9 },
];

const RANKS: [usize; 6] = [2, 4, 16, 64, 256, 1024];

/// Prints what larger clusters would gain, from the time of a step on this machine.
pub fn simulate() -> Outcome<()> {
    println!(
        "A step is measured on one core. A larger cluster is computed: compute + pack + 2 (W - 1) latency + 2 (W - 1) / W bytes / bandwidth.\n"
    );
    simulated::<Mlp>("MLP", 512)?;
    simulated::<Cnn>("MNIST CNN", 64)?;
    simulated::<Gpt>("char-GPT", 32)
}

fn simulated<M: Workload>(title: &str, items: usize) -> Outcome<()> {
    let steps = ((SECONDS / trained::<M>(items, 2)?[0]) as usize).max(2);
    let (whole, half) = (trained::<M>(items, steps)?[0], trained::<M>(items / 2, steps)?[0]);
    // The time of a step is that of its items, and a part that does not depend on them.
    let of_item = ((whole - half) / (items - items / 2) as f64).max(0.0);
    let fixed = (whole - of_item * items as f64).max(0.0);
    let numbers = M::new(&Device::flex()).num_params();
    let packing = packing(numbers);
    println!(
        "{title}, {items} items: {:.2} ms, of which {:.2} ms do not depend on the items; {numbers} parameters, packed in {:.2} ms\n",
        whole * 1e3,
        fixed * 1e3,
        packing * 1e3
    );
    println!("| {title} | {} |", RANKS.map(|ranks| format!("{ranks} ranks")).join(" | "));
    println!("|---|{}", "---|".repeat(RANKS.len()));
    for Network { name, latency, bandwidth } in NETWORKS {
        let communication = |ranks: usize| {
            let others = (ranks - 1) as f64;
            packing + 2.0 * others * latency + 2.0 * others / ranks as f64 * numbers as f64 * 4.0 / bandwidth
        };
        let weak = RANKS.map(|ranks| format!("{:.0} %", 100.0 * whole / (whole + communication(ranks))));
        println!("| weak scaling, {name}: share of the ideal | {} |", weak.join(" | "));
        let strong = RANKS.map(|ranks| {
            if ranks > items {
                return "–".to_owned();
            }
            let share = items.div_ceil(ranks) as f64;
            format!("{:.1}", whole / (fixed + of_item * share + communication(ranks)))
        });
        println!("| strong scaling, {name}: times as fast | {} |", strong.join(" | "));
    }
    println!();
    Ok(())
}

/// The time to copy the gradients into a bucket, to add one bucket to another, and to copy it back.
fn packing(numbers: usize) -> f64 {
    let (from, mut sum) = (vec![1.0_f32; numbers], vec![0.0_f32; numbers]);
    let began = Instant::now();
    const TIMES: u32 = 5;
    for _ in 0..TIMES {
        let bucket = black_box(from.clone());
        sum.iter_mut().zip(&bucket).for_each(|(sum, value)| *sum += value);
        black_box(sum.clone());
    }
    began.elapsed().as_secs_f64() / f64::from(TIMES)
}
