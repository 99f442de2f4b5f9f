//! The time of the ten commonest metrics for a batch and for a result, compared with torchmetrics on the same data.

use std::{process::Command, time::Instant};

use burn::tensor::{Device, Int, Tensor};
use stormfire::metrics::{
    Metric,
    classification::{Average, Binary, Multiclass},
    regression::{mae, mse, r2},
};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

const ITEMS: usize = 256;
const CLASSES: usize = 10;
/// Batches that are merged before a result.
const BATCHES: usize = 100;

/// Numbers in 0..1 that the script for torchmetrics makes, too.
fn numbers(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let draw = || {
        state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
        state as f32 / 2_147_483_648.0
    };
    std::iter::repeat_with(draw).take(count).collect()
}

/// Seconds for a batch and for the result, and the result.
struct Time {
    update: f64,
    compute: f64,
    value: f64,
}

fn time<M: Metric>(make: impl Fn() -> Outcome<M>, number: impl Fn(M::Value) -> f64) -> Outcome<Time> {
    let mut all = make()?;
    let began = Instant::now();
    for _ in 1..BATCHES {
        all.merge(&make()?)?;
    }
    let update = began.elapsed().as_secs_f64() / (BATCHES - 1) as f64;
    let began = Instant::now();
    let value = number(all.read()?);
    Ok(Time { update, compute: began.elapsed().as_secs_f64(), value })
}

fn measure() -> Outcome<Vec<(&'static str, Time)>> {
    let device = Device::flex();
    let floats = |count, seed| Tensor::<1>::from_floats(numbers(count, seed).as_slice(), &device);
    let logits = floats(ITEMS * CLASSES, 1).reshape([ITEMS, CLASSES]);
    let classes: Vec<i64> = numbers(ITEMS, 2).iter().map(|number| (number * CLASSES as f32) as i64).collect();
    let classes = Tensor::<1, Int>::from_ints(classes.as_slice(), &device);
    let (scores, labels) = (floats(ITEMS, 3), floats(ITEMS, 4).greater_elem(0.5).int());
    let (predictions, targets) = (floats(ITEMS, 5), floats(ITEMS, 6));
    let multiclass = || -> Outcome<Multiclass> { Ok(Multiclass::from_logits(&logits, &classes)?) };
    let binary = || -> Outcome<Binary> { Ok(Binary::from_probabilities(&scores, &labels)?) };
    let same = |value: f64| value;
    Ok(vec![
        ("accuracy", time(|| Ok(multiclass()?.counts().accuracy()), same)?),
        ("precision", time(|| Ok(multiclass()?.counts().precision().average(Average::Macro)), same)?),
        ("recall", time(|| Ok(multiclass()?.counts().recall().average(Average::Macro)), same)?),
        ("f1", time(|| Ok(multiclass()?.counts().f1().average(Average::Macro)), same)?),
        ("confusion", time(|| Ok(multiclass()?.confusion()), |matrix| matrix.values[0][0])?),
        ("auroc", time(|| Ok(binary()?.curves(200)?.auroc()), same)?),
        ("average_precision", time(|| Ok(binary()?.curves(200)?.average_precision()), same)?),
        ("mse", time(|| Ok(mse(&predictions, &targets)?), same)?),
        ("mae", time(|| Ok(mae(&predictions, &targets)?), same)?),
        ("r2", time(|| Ok(r2(&predictions, &targets)?), same)?),
    ])
}

/// Measures rounds in turns. `torch` is a Python with torchmetrics, and the script.
pub fn run(rounds: usize, torch: Option<(&str, &str)>) -> Outcome<()> {
    let mut rows: Vec<(String, [f64; 5])> = Vec::new();
    for _ in 0..rounds.max(1) {
        let theirs = match torch {
            Some((python, script)) => String::from_utf8(Command::new(python).arg(script).output()?.stdout)?,
            None => String::new(),
        };
        for (name, time) in measure()? {
            let of = |line: &&str| line.split(' ').next() == Some(name);
            let their = theirs.lines().find(of).map(|line| line.split(' ').skip(1).map(str::parse).collect::<Result<Vec<f64>, _>>());
            let their = their.transpose()?.unwrap_or_else(|| vec![f64::NAN; 3]);
            let now = [time.update, time.compute, their[0], their[1], (time.value - their[2]).abs()];
            match rows.iter_mut().find(|(known, _)| known == name) {
                Some((_, least)) => least.iter_mut().zip(now).for_each(|(least, now)| *least = least.min(now)),
                None => rows.push((name.to_owned(), now)),
            }
        }
    }
    println!("Batches of {ITEMS} items, {CLASSES} classes; the least of {rounds} rounds, in microseconds\n");
    println!("| metric | update | torchmetrics | ratio | compute | torchmetrics | ratio | difference |\n|---|---|---|---|---|---|---|---|");
    for (name, [update, compute, their_update, their_compute, difference]) in rows {
        let (micro, ratio) = (|seconds: f64| seconds * 1e6, |theirs: f64, ours: f64| theirs / ours);
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {difference:.0e} |",
            micro(update),
            micro(their_update),
            ratio(their_update, update),
            micro(compute),
            micro(their_compute),
            ratio(their_compute, compute),
        );
    }
    Ok(())
}
