//! How fast the device trains: the Trainer, a hand-written loop of burn, PyTorch and Lightning on the same work.

use std::{fmt::Write as _, time::Instant};

use accelerator_tests::{
    Outcome,
    models::{Cnn, Gpt, Mlp, Workload},
    saving,
    torch::Torch,
};
use burn::{
    optim::{AdamConfig, GradientsParams},
    prelude::*,
};
use stormfire::prelude::*;

/// The time of each contestant in seconds, after a warm-up.
const SECONDS: f64 = 3.0;

/// The steps that a training may need until its kernels are compiled and tuned.
const WARM_UP: usize = 20;

/// A row of the table.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// The name that the script for PyTorch knows, and a precision.
    torch: Option<(&'static str, &'static str)>,
}

const fn row(name: &'static str, title: &'static str, model: &'static str, precision: &'static str) -> Row {
    Row { name, title, torch: Some((model, precision)) }
}

pub(crate) const ROWS: &[Row] = &[
    row("speed-mlp", "MLP, batch 512, `32-true`", "mlp512", "32-true"),
    row("speed-cnn", "MNIST CNN, batch 64, `32-true`", "cnn64", "32-true"),
    row("speed-gpt", "char-GPT, batch 32, `32-true`", "gpt32", "32-true"),
    Row { name: "save", title: "a save of 100 M parameters", torch: None },
    row("speed-bf16-gpt", "char-GPT, batch 32, `bf16-mixed`", "gpt32", "bf16-mixed"),
    row("speed-bf16-cnn", "MNIST CNN, batch 64, `bf16-mixed`", "cnn64", "bf16-mixed"),
    row("speed-bf16-mlp", "MLP, batch 512, `bf16-mixed`", "mlp512", "bf16-mixed"),
];

pub(crate) const HEADER: &str = "| steps/s | Stormfire | burn loop | PyTorch | Lightning | Stormfire's loop over burn's | \
                                 memory, MiB: Stormfire | PyTorch | Lightning |";
pub(crate) const RULE: &str = "|---|---|---|---|---|---|---|---|---|";

/// The line of a row: what the child process has measured, and what PyTorch takes now.
pub(crate) fn line(row: &Row, measured: &Outcome<String>, torch: Option<&mut Torch>) -> String {
    let Some((model, precision)) = row.torch else {
        return match measured {
            Ok(text) => format!("| {} | {text} |", row.title),
            Err(error) => format!("| {} | FAILED: {} |", row.title, error.to_string().replace('\n', " ")),
        };
    };
    let mut numbers = [f64::NAN; 3];
    let mut failure = String::new();
    match measured {
        Ok(text) => text.split_whitespace().zip(&mut numbers).for_each(|(word, number)| *number = word.parse().unwrap_or(f64::NAN)),
        Err(error) => write!(failure, " FAILED: {}", error.to_string().replace('\n', " ")).unwrap_or_default(),
    }
    let [ours, burns, mebibytes] = numbers;
    let mut theirs = [[f64::NAN; 2]; 2];
    if let Some(torch) = torch {
        for (mode, theirs) in ["raw", "lightning"].into_iter().zip(&mut theirs) {
            match torch.train(model, mode, precision, SECONDS) {
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
    format!("| {}{failure} | {} |", row.title, cells.join(" | "))
}

/// The numbers of a row, in this process.
pub(crate) fn measure(name: &str, device: &Device) -> Outcome<String> {
    match name {
        "speed-mlp" => speed::<Mlp>(512, device, Precision::F32True),
        "speed-cnn" => speed::<Cnn>(64, device, Precision::F32True),
        "speed-gpt" => speed::<Gpt>(32, device, Precision::F32True),
        "speed-bf16-mlp" => speed::<Mlp>(512, device, Precision::Bf16Mixed),
        "speed-bf16-cnn" => speed::<Cnn>(64, device, Precision::Bf16Mixed),
        "speed-bf16-gpt" => speed::<Gpt>(32, device, Precision::Bf16Mixed),
        "save" => {
            let folder = tempfile::tempdir()?;
            Ok(format!("stops training for {:.2} ms", saving::stops(&folder.path().join("large.ckpt"), device)? * 1e3))
        }
        other => Err(format!("there is no check `{other}`").into()),
    }
}

/// The seconds of a step of the Trainer and of the hand-written loop, and the memory of the Trainer in MiB.
fn speed<M: Workload>(items: usize, device: &Device, precision: Precision) -> Outcome<String> {
    let batches = M::batches(16, items, &device.clone().autodiff());
    let _ = trained::<M>(&batches, WARM_UP, device, precision)?;
    let warm = trained::<M>(&batches, WARM_UP, device, precision)?;
    let mebibytes = device.memory_pool_usage().map_or(f64::NAN, |usage| usage.bytes_reserved as f64 / f64::from(1 << 20));
    let steps = ((SECONDS / warm) as usize / 2).clamp(WARM_UP, 20_000);
    let is_mixed = precision == Precision::Bf16Mixed;
    if !is_mixed {
        let _ = raw::<M>(&batches, WARM_UP, device)?;
    }
    // Interleaved, since other load on the machine comes and goes.
    let mut least = [f64::INFINITY; 2];
    for _ in 0..3 {
        least[0] = least[0].min(trained::<M>(&batches, steps, device, precision)?);
        // burn has no loop for a mixed precision.
        if !is_mixed {
            least[1] = least[1].min(raw::<M>(&batches, steps, device)?);
        }
    }
    let [ours, burns] = least.map(|seconds| if seconds.is_finite() { seconds } else { f64::NAN });
    Ok(format!("{ours} {burns} {mebibytes}"))
}

/// The seconds of a step, with the device idle at both ends.
fn raw<M: Workload>(batches: &[M::Batch], steps: usize, device: &Device) -> Outcome<f64> {
    let mut module = M::new(&device.clone().autodiff());
    let mut optimizer = AdamConfig::new().init();
    let mut began = Instant::now();
    for (index, batch) in batches.iter().cycle().take(steps + 5).enumerate() {
        if index == 5 {
            device.sync()?;
            began = Instant::now();
        }
        let output = module.training_step(batch.clone(), index)?;
        let gradients = GradientsParams::from_grads(output.loss().ok_or("no loss")?.backward(), &module);
        module = optimizer.step(1e-3, module, gradients);
    }
    device.sync()?;
    Ok(began.elapsed().as_secs_f64() / steps as f64)
}

/// Measures from the fifth step to the last one, with the device idle at both ends.
struct Timed {
    device: Device,
    steps: usize,
    began: Option<Instant>,
    seconds: f64,
}

impl<M: LightningModule> Callback<M> for Timed {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        if batch_idx == 4 || batch_idx == self.steps + 4 {
            self.device.sync().map_err(stormfire::Error::other)?;
            self.seconds = self.began.get_or_insert_with(Instant::now).elapsed().as_secs_f64();
        }
        Ok(())
    }
}

fn trained<M: Workload>(batches: &[M::Batch], steps: usize, device: &Device, precision: Precision) -> Outcome<f64> {
    let batches = batches.to_vec();
    let loader = Loader::from_fn(move |_| {
        let batches = batches.clone();
        (0..steps + 5).map(move |index| batches[index % batches.len()].clone())
    });
    let timed = Timed { device: device.clone(), steps, began: None, seconds: f64::NAN };
    let trainer = Trainer::new().barebones(true).max_epochs(1).accelerator(device.clone()).precision(precision);
    let mut trainer = trainer.callback(timed);
    let _ = trainer.fit(M::new(device), loader)?;
    Ok(trainer.get::<Timed>().ok_or("the callback is missing")?.seconds / steps as f64)
}
