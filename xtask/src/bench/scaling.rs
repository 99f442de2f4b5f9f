//! One and two ranks on this machine, and a simulation of larger clusters.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};

use crate::system::{self, Workspace};

/// A model, the items of its batch on one rank, and the steps of a round.
const MODELS: [(&str, &str, usize, usize); 4] = [
    ("mlp", "MLP, batch 64", 64, 400),
    ("mlp", "MLP, batch 512", 512, 150),
    ("cnn", "MNIST CNN, batch 64", 64, 60),
    ("gpt", "char-GPT, batch 32", 32, 3),
];

/// Whether ranks can be processes here.
pub(super) fn has_mpi() -> bool {
    system::has_program("mpicc") && system::has_program("mpirun")
}

/// The seconds of a step, and of its communication.
type Measured = [f64; 2];

pub(super) fn run(workspace: &Workspace, rounds: usize, program: &Path) -> Result<()> {
    if !has_mpi() {
        println!("MPI is left out: `apt-get install libopenmpi-dev openmpi-bin libclang-dev` installs it");
    }
    println!("{rounds} rounds; the least time of a step with the same items in all, on one kernel thread for each rank\n");
    println!("| | 1 rank, ms | 2 ranks by threads | times as fast | communication | 2 ranks by MPI | times as fast | communication |");
    println!("|---|---|---|---|---|---|---|---|");
    for (model, title, items, steps) in MODELS {
        let mut least: [Option<Measured>; 3] = [None; 3];
        for _ in 0..rounds {
            let measured = [
                Some(measure(workspace, program, &[], model, items, steps, 1)?),
                Some(measure(workspace, program, &[], model, items / 2, steps, 2)?),
                if has_mpi() { Some(measure(workspace, program, &MPIRUN, model, items / 2, steps, 0)?) } else { None },
            ];
            for (least, measured) in least.iter_mut().zip(measured) {
                *least = [*least, measured].into_iter().flatten().min_by(|a, b| a[0].total_cmp(&b[0]));
            }
        }
        let [Some(one), two @ ..] = least else { bail!("nothing was measured") };
        let columns = two.map(|two| {
            two.map_or_else(
                || " – | – | – ".to_owned(),
                |[step, waited]| format!(" {:.2} | {:.2} | {:.0} % ", step * 1e3, one[0] / step, 100.0 * waited / step),
            )
        });
        println!("| {title} | {:.2} |{}|", one[0] * 1e3, columns.join("|"));
    }
    println!();
    system::run(workspace.command(program).arg("simulate").env("RAYON_NUM_THREADS", "1"))
}

const MPIRUN: [&str; 6] = ["mpirun", "--allow-run-as-root", "--bind-to", "none", "-n", "2"];

fn measure(
    workspace: &Workspace,
    program: &Path,
    launcher: &[&str],
    model: &str,
    items: usize,
    steps: usize,
    ranks: usize,
) -> Result<Measured> {
    let mut command = match launcher {
        [first, rest @ ..] => {
            let mut command: Command = workspace.command(first);
            command.args(rest).arg(program);
            command
        }
        [] => workspace.command(program),
    };
    command.args(["rank", model, &items.to_string(), &steps.to_string(), &ranks.to_string()]).env("RAYON_NUM_THREADS", "1");
    let output = command.output()?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("`{command:?}` ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let mut numbers = printed.split_whitespace().map(str::parse);
    let mut next = || numbers.next().context("too few numbers")?.context("not a number");
    Ok([next()?, next()?])
}
