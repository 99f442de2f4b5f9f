//! The cost of the loop: a fit of a tiny model, compared with a hand-written burn loop and burn-train's Learner in one
//! run.
//!
//! | command | output |
//! |---|---|
//! | `overhead [ROUNDS] [STEPS] [--parts]` | the table of the contestants, or of the parts of the loop |
//! | `startup`, `startup-raw` | the peak memory of one step |
//! | `checkpoint FOLDER ROUNDS [PYTHON SCRIPT]` | the cost of saving and loading a large module |
//! | `trackers [ROUNDS] [STEPS] [PART OF A ROW]` | the slowdown of a training by a tracking server |
//! | `devices [ROUNDS] [PYTHON SCRIPT]` | the gain of threads that share each batch |
//! | `metrics [ROUNDS] [PYTHON SCRIPT]` | the time of metrics, next to torchmetrics |
//! | `rank MODEL ITEMS STEPS [THREADS]` | the time of a step on one rank, on threads, or under `mpirun` |
//! | `simulate` | what larger clusters would gain |
//! | `names [ROUNDS] [STEPS]` | the cost of a logged name when there are many |
//! | `one NUMBER STEPS [--parts]` | one row of a table, for a profiler |
//!
//! For a profile without the start, subtract the costs of `one` with 500 steps from those with 1,000.

mod checkpoint;
mod contestants;
mod devices;
mod metrics;
mod modules;
mod names;
mod parts;
#[cfg(feature = "rival")]
mod rival;
mod scaling;
#[cfg(feature = "trackers")]
mod server;
mod tiny;
#[cfg(feature = "trackers")]
mod trackers;

use std::time::Instant;

use accelerator_tests::memory;
use contestants::{CONTESTANTS, Contestant};
use parts::PARTS;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |i: usize, default: usize| args.get(i).and_then(|n| n.parse().ok()).unwrap_or(default);
    match args.first().map(String::as_str) {
        Some("startup") => {
            let began = Instant::now();
            contestants::defaults(1)?;
            report_startup(began)
        }
        Some("startup-raw") => {
            let began = Instant::now();
            contestants::raw(1)?;
            report_startup(began)
        }
        Some("one") => {
            let rows = if args.iter().any(|arg| arg == "--parts") { PARTS } else { CONTESTANTS };
            let row = rows.get(number(1, 0)).ok_or("there is no such row")?;
            (row.run)(number(2, 1000))
        }
        Some("checkpoint") => {
            let folder = args.get(1).ok_or("`checkpoint` needs a folder")?;
            let torch = args.get(3).zip(args.get(4)).map(|(python, script)| (python.as_str(), script.as_str()));
            checkpoint::run(folder.as_ref(), number(2, 3), torch)
        }
        Some("devices") => {
            let torch = args.get(2).zip(args.get(3)).map(|(python, script)| (python.as_str(), script.as_str()));
            devices::run(number(1, 5), torch)
        }
        Some("metrics") => {
            let torch = args.get(2).zip(args.get(3)).map(|(python, script)| (python.as_str(), script.as_str()));
            metrics::run(number(1, 5), torch)
        }
        #[cfg(feature = "trackers")]
        Some("trackers") => trackers::run(number(1, 3), number(2, 10_000), args.get(3).map(String::as_str)),
        Some("rank") => scaling::rank(args.get(1).map_or("", String::as_str), number(2, 32), number(3, 20), number(4, 0)),
        Some("simulate") => scaling::simulate(),
        Some("names") => names::run(number(1, 3), number(2, 20)),
        _ if args.iter().any(|arg| arg == "--parts") => overhead(PARTS, number(1, 7), number(2, 5000)),
        _ => overhead(CONTESTANTS, number(1, 7), number(2, 5000)),
    }
}

/// The cost of fits in seconds: wall time, processor time of the training thread, processor time of all threads.
#[derive(Clone, Copy)]
struct Cost {
    /// A fit of one step: files, threads and the last checkpoint.
    once: [f64; 3],
    all: [f64; 3],
}

/// Runs each contestant once per round, so that other load affects all of them.
///
/// The minimum of the wall times is the time on an idle machine, if it was idle in one of the rounds. The fits of one
/// step and of all steps have separate minima, which may come from two rounds.
fn overhead(contestants: &[Contestant], rounds: usize, steps: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); contestants.len()];
    for round in 0..=rounds {
        for (index, contestant) in contestants.iter().enumerate() {
            let cost = measure(contestant, steps)?;
            // The first round warms up caches and the allocator.
            if round > 0 {
                costs[index].push(cost);
            }
        }
    }
    println!("{rounds} rounds of {steps} steps each; microseconds per step; model: Linear 32 -> 2, batch 32\n");
    println!("The memory of a fit of one step is subtracted, and shown in the last column.\n");
    println!(
        "| what | least wall | over raw | ratio | median wall | over raw | median CPU of the thread | over raw | of all threads | over raw | once, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let further = (steps.max(2) - 1) as f64;
    let per_step = |of: usize| move |cost: &Cost| (cost.all[of] - cost.once[of]) * 1e6 / further;
    let columns = |costs: &[Cost]| {
        let least = (least(costs, |cost| cost.all[0]) - least(costs, |cost| cost.once[0])) * 1e6 / further;
        [least, median(costs, per_step(0)), median(costs, per_step(1)), median(costs, per_step(2))]
    };
    let raw = columns(&costs[0]);
    for (contestant, costs) in contestants.iter().zip(&costs) {
        let [least, wall, thread, cpu] = columns(costs);
        println!(
            "| {} | {least:.2} | {:+.2} | {:.3} | {wall:.2} | {:+.2} | {thread:.2} | {:+.2} | {cpu:.2} | {:+.2} | {:.1} |",
            contestant.name,
            least - raw[0],
            least / raw[0],
            wall - raw[1],
            thread - raw[2],
            cpu - raw[3],
            median(costs, |cost| cost.once[0] * 1e3),
        );
    }
    Ok(())
}

fn measure(contestant: &Contestant, steps: usize) -> Result<Cost, Box<dyn std::error::Error>> {
    Ok(Cost { once: seconds(contestant, 1)?, all: seconds(contestant, steps.max(2))? })
}

/// Wall time, processor time of this thread, and processor time of all threads.
fn seconds(contestant: &Contestant, steps: usize) -> Result<[f64; 3], Box<dyn std::error::Error>> {
    let (began, thread, cpu) = (Instant::now(), thread_seconds(), cpu_seconds());
    (contestant.run)(steps)?;
    Ok([began.elapsed().as_secs_f64(), thread_seconds() - thread, cpu_seconds() - cpu])
}

fn least(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> f64 {
    costs.iter().map(of).fold(f64::INFINITY, f64::min)
}

fn median(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<f64> = costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Processor time of this thread.
fn thread_seconds() -> f64 {
    let schedule = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    schedule.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e9
}

/// User and system time of all threads. The kernel counts it in hundredths of a second.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |i: usize| after_name.split_whitespace().nth(i).and_then(|n| n.parse::<f64>().ok()).unwrap_or(f64::NAN);
    (ticks(11) + ticks(12)) / 100.0
}

fn report_startup(began: Instant) -> Result<(), Box<dyn std::error::Error>> {
    let wall = began.elapsed().as_secs_f64() * 1e3;
    println!("one step: {wall:.1} ms, peak memory {:.0} MiB", memory::peak_gib() * 1024.0);
    Ok(())
}
