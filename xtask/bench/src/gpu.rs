//! The suite for a machine with a GPU: first whether the results are right, then how fast they come. Each check reports
//! its own failure, and none keeps the next one from running.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use burn::{
    module::{Module, ModuleVisitor, Param},
    optim::{AdamConfig, GradientsParams},
    prelude::*,
};
use stormfire::{loggers::MemoryLogger, prelude::*, values::read::device_reads};

use crate::{
    checkpoint,
    devices::Torch,
    models::{Cnn, Gpt, Mlp, Workload},
};

type Outcome<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// The time of each contestant in seconds, after a warm-up.
const SECONDS: f64 = 4.0;

/// The lines of the table at the end.
#[derive(Default)]
struct Report {
    lines: Vec<String>,
    has_failed: bool,
}

impl Report {
    /// Runs a check, and reports what it returns, its error, or its panic.
    fn check(&mut self, what: &str, code: impl FnOnce() -> Outcome<String>) {
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(code)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panicked: {}", text.unwrap_or("no message")).into())
        });
        let line = match result {
            Ok(text) => format!("| {what} | {text} |"),
            Err(error) => {
                self.has_failed = true;
                format!("| {what} | FAILED: {} |", error.to_string().replace('\n', " "))
            }
        };
        println!("{line}  ({:.0} s)", began.elapsed().as_secs_f64());
        self.lines.push(line);
    }
}

/// Runs everything on an accelerator. `torch` is a Python and the script that trains the same models. Ends early enough
/// for a limit of eight minutes: what is left then is named.
pub fn run(accelerator: &str, torch: Option<(&str, &str)>) -> Outcome {
    let device = accelerator.parse::<Accelerator>()?.device()?;
    let (began, limit) = (Instant::now(), Duration::from_secs(7 * 60));
    let mut report = Report::default();
    report.check("a step", || first_step(&device));
    report.check("losses as on the CPU", || losses_of::<Mlp>(&device, 64, 1e-3));
    report.check("losses as on the CPU, CNN", || losses_of::<Cnn>(&device, 16, 1e-2));
    report.check("losses as on the CPU, GPT", || losses_of::<Gpt>(&device, 4, 1e-2));
    report.check("a resumed fit equals an uninterrupted one", || resumes(&device));
    report.check("device reads in 100 steps, logged every 50", || reads(&device));
    let mut torch = torch
        .and_then(|(python, script)| Torch::start(python, script).inspect_err(|error| println!("`{python}` does not start: {error}")).ok());
    speed::<Mlp>(&mut report, "MLP, batch 512", "mlp512", 512, &device, torch.as_mut());
    speed::<Cnn>(&mut report, "MNIST CNN, batch 64", "cnn64", 64, &device, torch.as_mut());
    speed::<Gpt>(&mut report, "char-GPT, batch 32", "gpt32", 32, &device, torch.as_mut());
    if began.elapsed() < limit {
        report.check("a save of 100 M parameters stops training, ms", || {
            let folder = tempfile::tempdir()?;
            Ok(format!("{:.2}", checkpoint::stops(&folder.path().join("large.ckpt"), &device)? * 1e3))
        });
    } else {
        report.lines.push("| a save of 100 M parameters | left out: no time |".into());
    }
    println!("\n| on `{accelerator}` | |\n|---|---|");
    report.lines.iter().for_each(|line| println!("{line}"));
    if report.has_failed { Err("some checks failed: see the table".into()) } else { Ok(()) }
}

fn first_step(device: &Device) -> Outcome<String> {
    let began = Instant::now();
    let losses = losses::<Mlp>(&Mlp::new(&Device::flex()), device, 8, 1)?;
    Ok(format!("loss {:.4}, {:.1} s with the compilation of its kernels", losses[0], began.elapsed().as_secs_f64()))
}

/// Collects the losses.
#[derive(Clone, Default)]
struct Losses(Arc<Mutex<Vec<f64>>>);

impl<M: LightningModule> Callback<M> for Losses {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M, output: &StepOutput, _batch_idx: usize) -> Result<()> {
        if let (Some(loss), Ok(mut losses)) = (output.loss(), self.0.lock()) {
            losses.extend(stormfire::values::read::read(&[loss.clone().into()])?);
        }
        Ok(())
    }
}

/// The batches of the CPU, on another device.
fn losses<M: Workload>(module: &M, device: &Device, items: usize, steps: usize) -> Outcome<Vec<f64>> {
    Device::flex().seed(7);
    let batches = M::batches(4, items, &Device::flex());
    let moved: Vec<_> = batches.iter().map(|batch| M::moved(batch, &device.clone().autodiff())).collect();
    let losses = Losses::default();
    let loader = Loader::from_batches((0..steps).map(|index| moved[index % moved.len()].clone()).collect());
    let mut trainer = Trainer::new().barebones(true).max_epochs(1).accelerator(device.clone()).callback(losses.clone());
    let _ = trainer.fit(module.clone(), loader)?;
    let losses = losses.0.lock().map_err(|_| "poisoned")?.clone();
    Ok(losses)
}

fn losses_of<M: Workload>(device: &Device, items: usize, within: f64) -> Outcome<String> {
    const STEPS: usize = 12;
    let module = M::new(&Device::flex());
    let (cpu, gpu) = (losses(&module, &Device::flex(), items, STEPS)?, losses(&module, device, items, STEPS)?);
    let differences = cpu.iter().zip(&gpu).map(|(cpu, gpu)| (cpu - gpu).abs() / cpu.abs().max(1e-3));
    let largest = differences.fold(0.0, f64::max);
    if cpu.len() != STEPS || gpu.len() != STEPS || !(largest < within) {
        return Err(format!("the losses differ by up to {largest:.1e}: {cpu:?}, {gpu:?}").into());
    }
    Ok(format!("{STEPS} steps within {largest:.1e}"))
}

fn weights<M: Module>(module: &M) -> Vec<f32> {
    struct Collect(Vec<f32>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
    let mut collect = Collect(Vec::new());
    module.visit(&mut collect);
    collect.0
}

fn resumes(device: &Device) -> Outcome<String> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("after-three.ckpt");
    let batches = Mlp::batches(6, 32, &device.clone().autodiff());
    let module = Mlp::new(device);
    let quiet = |steps: u64| {
        let trainer = Trainer::new().no_logger().enable_checkpointing(false).enable_progress_bar(false).enable_model_summary(false);
        trainer.accelerator(device.clone()).max_epochs(1).max_steps(steps)
    };
    let whole = quiet(6).fit(module.clone(), Loader::from_batches(batches.clone()))?;
    let mut trainer = quiet(3);
    let begun = trainer.fit(module.clone(), Loader::from_batches(batches.clone()))?;
    trainer.save_checkpoint(&begun.module, &path)?;
    let resumed = quiet(6).ckpt_path(path.as_path()).fit(module, Loader::from_batches(batches))?;
    let (whole, resumed) = (weights(&whole.module), weights(&resumed.module));
    let largest = whole.iter().zip(&resumed).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    if whole.len() != resumed.len() || largest > 1e-6 {
        return Err(format!("the weights differ by up to {largest:.1e}").into());
    }
    Ok(format!("within {largest:.1e}"))
}

fn reads(device: &Device) -> Outcome<String> {
    let batches = Mlp::batches(4, 32, &device.clone().autodiff());
    let loader = Loader::from_batches((0..100).map(|index| batches[index % 4].clone()).collect());
    let trainer = Trainer::new().logger(MemoryLogger::new()).enable_checkpointing(false).enable_progress_bar(false);
    let mut trainer = trainer.enable_model_summary(false).accelerator(device.clone()).max_epochs(1).log_every_n_steps(50);
    let before = device_reads();
    let _ = trainer.fit(Mlp::new(device), loader)?;
    Ok((device_reads() - before).to_string())
}

/// The row of a model: steps per second of the Trainer, of a hand-written loop, of PyTorch and of Lightning.
fn speed<M: Workload>(report: &mut Report, title: &str, key: &str, items: usize, device: &Device, torch: Option<&mut Torch>) {
    report.check(&format!("{title}: steps/s of Stormfire, a burn loop, PyTorch, Lightning"), || {
        let batches = M::batches(16, items, &device.clone().autodiff());
        let warm = raw::<M>(&batches, 20, device)?;
        let steps = ((SECONDS / warm) as usize).clamp(20, 20_000);
        // Interleaved, since other load on the machine comes and goes.
        let mut least = [f64::INFINITY; 2];
        for _ in 0..2 {
            least[0] = least[0].min(trained::<M>(&batches, steps / 2, device)?);
            least[1] = least[1].min(raw::<M>(&batches, steps / 2, device)?);
        }
        let mut all: Vec<f64> = least.into();
        if let Some(torch) = torch {
            all.extend([torch.step(key, "raw")?, torch.step(key, "lightning")?]);
        }
        let rates = all.iter().map(|seconds| if seconds.is_finite() { format!("{:.0}", 1.0 / seconds) } else { "–".into() });
        Ok(format!("{}; Stormfire's loop over burn's: {:.3}", rates.collect::<Vec<_>>().join(", "), least[0] / least[1]))
    });
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

fn trained<M: Workload>(batches: &[M::Batch], steps: usize, device: &Device) -> Outcome<f64> {
    let batches = batches.to_vec();
    let loader = Loader::from_fn(move |_| {
        let batches = batches.clone();
        (0..steps + 5).map(move |index| batches[index % batches.len()].clone())
    });
    let timed = Timed { device: device.clone(), steps, began: None, seconds: f64::NAN };
    let mut trainer = Trainer::new().barebones(true).max_epochs(1).accelerator(device.clone()).callback(timed);
    let _ = trainer.fit(M::new(device), loader)?;
    Ok(trainer.get::<Timed>().ok_or("the callback is missing")?.seconds / steps as f64)
}
