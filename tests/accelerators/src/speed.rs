//! How fast the device trains: the Trainer, a hand-written loop of burn, PyTorch and Lightning on the same work.

use accelerator_tests::{
    Outcome,
    models::{Cnn, Gpt, Mlp, Workload},
    saving,
    torch::Torch,
    training::{by_hand, trained},
};
use burn::tensor::Device;
use stormfire::prelude::*;

use crate::suite;

/// The time of each contestant in seconds, after a warm-up.
const SECONDS: f64 = 3.0;

/// The steps that a training may need until its kernels are compiled and tuned.
const WARM_UP: usize = 20;

/// The steps before a measurement.
const BEFORE: usize = 5;

/// A row of the table. Its body returns the numbers of [`speed`], or what the row says.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) body: fn(&Device) -> Outcome<String>,
    /// The name that the script for PyTorch knows, and the precision.
    torch: Option<(&'static str, Precision)>,
}

const F32: Precision = Precision::F32True;
const BF16: Precision = Precision::Bf16Mixed;

pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "speed-mlp",
        title: "MLP, batch 512, `32-true`",
        body: |device| speed::<Mlp>(512, device, F32),
        torch: Some(("mlp512", F32)),
    },
    Row {
        name: "speed-cnn",
        title: "MNIST CNN, batch 64, `32-true`",
        body: |device| speed::<Cnn>(64, device, F32),
        torch: Some(("cnn64", F32)),
    },
    Row {
        name: "speed-gpt",
        title: "char-GPT, batch 32, `32-true`",
        body: |device| speed::<Gpt>(32, device, F32),
        torch: Some(("gpt32", F32)),
    },
    Row { name: "save", title: "a save of 100 M parameters", body: save, torch: None },
    Row {
        name: "speed-bf16-gpt",
        title: "char-GPT, batch 32, `bf16-mixed`",
        body: |device| speed::<Gpt>(32, device, BF16),
        torch: Some(("gpt32", BF16)),
    },
    Row {
        name: "speed-bf16-cnn",
        title: "MNIST CNN, batch 64, `bf16-mixed`",
        body: |device| speed::<Cnn>(64, device, BF16),
        torch: Some(("cnn64", BF16)),
    },
    Row {
        name: "speed-bf16-mlp",
        title: "MLP, batch 512, `bf16-mixed`",
        body: |device| speed::<Mlp>(512, device, BF16),
        torch: Some(("mlp512", BF16)),
    },
];

pub(crate) const HEADER: &str = "| steps/s | Stormfire | burn loop | PyTorch | Lightning | Stormfire's loop over burn's | \
                                 memory, MiB: Stormfire | PyTorch | Lightning |";
pub(crate) const RULE: &str = "|---|---|---|---|---|---|---|---|---|";

/// The line of a row: what the child process has measured, and what PyTorch takes now.
pub(crate) fn line(row: &Row, measured: &Outcome<String>, torch: Option<&mut Torch>) -> String {
    let Some((model, precision)) = row.torch else {
        return suite::line(row.title, measured);
    };
    let mut numbers = [f64::NAN; 3];
    let mut title = row.title.to_owned();
    match measured {
        Ok(text) => text.split_whitespace().zip(&mut numbers).for_each(|(word, number)| *number = word.parse().unwrap_or(f64::NAN)),
        Err(error) => title = format!("{title} {}", suite::failed(error.as_ref())),
    }
    let [ours, burns, mebibytes] = numbers;
    let mut theirs = [[f64::NAN; 2]; 2];
    if let Some(torch) = torch {
        for (mode, theirs) in ["raw", "lightning"].into_iter().zip(&mut theirs) {
            match torch.train(model, mode, &precision.to_string(), SECONDS) {
                Ok(measured) => *theirs = [measured.seconds, measured.mebibytes],
                Err(error) => println!("{mode}: {error}"),
            }
        }
    }
    let shown = |number: f64, digits: usize| if number.is_finite() { format!("{number:.digits$}") } else { "–".to_owned() };
    let cells = [
        shown(1.0 / ours, 0),
        shown(1.0 / burns, 0),
        shown(1.0 / theirs[0][0], 0),
        shown(1.0 / theirs[1][0], 0),
        shown(ours / burns, 3),
        shown(mebibytes, 0),
        shown(theirs[0][1], 0),
        shown(theirs[1][1], 0),
    ];
    format!("| {title} | {} |", cells.join(" | "))
}

/// How long a save stops the training.
fn save(device: &Device) -> Outcome<String> {
    let folder = tempfile::tempdir()?;
    Ok(format!("stops training for {:.2} ms", saving::stops(&folder.path().join("large.ckpt"), device)? * 1e3))
}

/// The seconds of a step of the Trainer and of the hand-written loop, and the memory of the Trainer in MiB.
fn speed<M: Workload>(items: usize, device: &Device, precision: Precision) -> Outcome<String> {
    let batches = M::batches(16, items, &device.clone().autodiff());
    let ours = |steps| trained::<M>(&batches, steps, BEFORE, device, |trainer| trainer.accelerator(device.clone()).precision(precision));
    let _ = ours(WARM_UP)?;
    let warm = ours(WARM_UP)?;
    let mebibytes = device.memory_pool_usage().map_or(f64::NAN, |usage| usage.bytes_reserved as f64 / f64::from(1 << 20));
    let steps = ((SECONDS / warm) as usize / 2).clamp(WARM_UP, 20_000);
    let is_mixed = precision == BF16;
    if !is_mixed {
        let _ = by_hand::<M>(&batches, WARM_UP, BEFORE, device)?;
    }
    // Interleaved, since other load on the machine comes and goes.
    let mut least = [f64::INFINITY; 2];
    for _ in 0..3 {
        least[0] = least[0].min(ours(steps)?);
        // burn has no loop for a mixed precision.
        if !is_mixed {
            least[1] = least[1].min(by_hand::<M>(&batches, steps, BEFORE, device)?);
        }
    }
    let [ours, burns] = least.map(|seconds| if seconds.is_finite() { seconds } else { f64::NAN });
    Ok(format!("{ours} {burns} {mebibytes}"))
}
