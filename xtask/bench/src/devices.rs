//! The gain of threads that share each batch: `devices(n)`, compared with one device, a hand-written burn loop, PyTorch
//! and Lightning.

use accelerator_tests::{
    Outcome,
    models::{Cnn, Gpt, Mlp, Workload},
    torch::Torch,
    training::{by_hand, trained},
};
use burn::tensor::Device;

/// The training time of each contestant per round in seconds.
const SECONDS: f64 = 1.5;

/// The steps before the measurement.
const WARM_UP: usize = 1;

struct Row {
    name: &'static str,
    /// The time of a step in each round.
    seconds: Vec<f64>,
}

/// Measures interleaved rounds of each model. `torch` is a Python and the script that trains the same models.
pub fn run(rounds: usize, torch: Option<(&str, &str)>) -> Outcome<()> {
    let mut torch = torch.map(|(python, script)| Torch::start(python, script)).transpose()?;
    println!("{rounds} rounds of {SECONDS} s each; the least and the median time of a step in milliseconds\n");
    model::<Mlp>("mlp64", "MLP, batch 64", 64, rounds, torch.as_mut())?;
    model::<Mlp>("mlp512", "MLP, batch 512", 512, rounds, torch.as_mut())?;
    model::<Cnn>("cnn64", "MNIST CNN, batch 64", 64, rounds, torch.as_mut())?;
    model::<Gpt>("gpt32", "char-GPT, batch 32", 32, rounds, torch.as_mut())
}

fn model<M: Workload>(key: &str, title: &str, items: usize, rounds: usize, mut torch: Option<&mut Torch>) -> Outcome<()> {
    let device = Device::flex();
    let batches = M::batches(16, items, &device.clone().autodiff());
    let steps = {
        let took = by_hand::<M>(&batches, 3, WARM_UP, &device)?;
        ((SECONDS / took) as usize).max(3)
    };
    let names = ["stormfire, devices(1)", "stormfire, devices(2)", "hand-written burn loop", "PyTorch", "PyTorch Lightning"];
    let mut rows: Vec<_> = names.map(|name| Row { name, seconds: Vec::new() }).into();
    for _ in 0..rounds {
        rows[0].seconds.push(trained::<M>(&batches, steps, WARM_UP, &device, |trainer| trainer.devices(1))?);
        rows[1].seconds.push(trained::<M>(&batches, steps, WARM_UP, &device, |trainer| trainer.devices(2))?);
        rows[2].seconds.push(by_hand::<M>(&batches, steps, WARM_UP, &device)?);
        if let Some(torch) = &mut torch {
            rows[3].seconds.push(torch.train(key, "raw", "32-true", SECONDS)?.seconds);
            rows[4].seconds.push(torch.train(key, "lightning", "32-true", SECONDS)?.seconds);
        }
    }
    println!("| {title} | least | median | least over devices(1) |\n|---|---|---|---|");
    let least = |row: &Row| row.seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let first = least(&rows[0]);
    for row in rows.iter_mut().filter(|row| row.seconds.iter().any(|seconds| seconds.is_finite())) {
        let shortest = least(row);
        row.seconds.sort_by(f64::total_cmp);
        println!("| {} | {:.3} | {:.3} | {:.2} |", row.name, shortest * 1e3, row.seconds[row.seconds.len() / 2] * 1e3, shortest / first);
    }
    println!();
    Ok(())
}
