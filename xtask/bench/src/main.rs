//! What the loop costs: a fit of a tiny model beside a hand-written burn loop and burn-train's Learner, in one run.
//!
//! `overhead [ROUNDS] [STEPS]` prints the table; `startup` and `startup-raw` make one step and print the peak memory;
//! `checkpoint FOLDER ROUNDS [PYTHON SCRIPT]` prints what saving and loading a large module costs; `trackers [ROUNDS] [STEPS]`
//! what a training loses to a tracking server; `names [ROUNDS] [STEPS]` what a logged name costs when there are many.

mod checkpoint;
mod contestants;
mod memory;
mod names;
mod rival;
mod server;
mod tiny;
mod trackers;

use std::time::Instant;

use contestants::{CONTESTANTS, Contestant};

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
        Some("checkpoint") => {
            let folder = args.get(1).ok_or("`checkpoint` needs a folder")?;
            let torch = args.get(3).zip(args.get(4)).map(|(python, script)| (python.as_str(), script.as_str()));
            checkpoint::run(folder.as_ref(), number(2, 3), torch)
        }
        Some("trackers") => trackers::run(number(1, 3), number(2, 10_000)),
        Some("names") => names::run(number(1, 3), number(2, 20)),
        _ => overhead(number(1, 7), number(2, 5000)),
    }
}

/// Microseconds of wall and of processor time (all threads) per step.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

/// Interleaved: every round runs each contestant once, so that a busy machine is busy for all of them.
fn overhead(rounds: usize, steps: usize) -> Result<(), Box<dyn std::error::Error>> {
    let mut costs: Vec<Vec<Cost>> = vec![Vec::new(); CONTESTANTS.len()];
    for round in 0..=rounds {
        for (index, contestant) in CONTESTANTS.iter().enumerate() {
            let cost = measure(contestant, steps)?;
            // The first round warms up caches and the allocator.
            if round > 0 {
                costs[index].push(cost);
            }
        }
    }
    println!("{rounds} rounds of {steps} steps each, medians; model: Linear 32 -> 2, batch 32\n");
    println!("| what | wall us/step | over raw | ratio | cpu us/step | over raw |");
    println!("|---|---|---|---|---|---|");
    let raw = Cost { wall: median(&costs[0], |c| c.wall), cpu: median(&costs[0], |c| c.cpu) };
    for (contestant, costs) in CONTESTANTS.iter().zip(&costs) {
        let (wall, cpu) = (median(costs, |c| c.wall), median(costs, |c| c.cpu));
        println!(
            "| {} | {wall:.2} | {:+.2} | {:.3} | {cpu:.2} | {:+.2} |",
            contestant.name,
            wall - raw.wall,
            wall / raw.wall,
            cpu - raw.cpu
        );
    }
    Ok(())
}

fn measure(contestant: &Contestant, steps: usize) -> Result<Cost, Box<dyn std::error::Error>> {
    let (began, cpu) = (Instant::now(), cpu_seconds());
    (contestant.run)(steps)?;
    let per_step = 1e6 / steps as f64;
    Ok(Cost { wall: began.elapsed().as_secs_f64() * per_step, cpu: (cpu_seconds() - cpu) * per_step })
}

fn median(costs: &[Cost], of: impl Fn(&Cost) -> f64) -> f64 {
    let mut values: Vec<f64> = costs.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// User and system time of all threads; the kernel counts it in hundredths of a second.
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
