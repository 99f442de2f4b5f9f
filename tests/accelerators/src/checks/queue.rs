//! The queue of the device between two logging steps: how often the loop submits work to it, and that it never waits
//! for it. wgpu reports both to the `log` crate. Other devices do not.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use accelerator_tests::Outcome;
use burn::{
    optim::{AdamWConfig, GradientsParams},
    prelude::*,
};
use log::{LevelFilter, Log, Metadata, Record};
use stormfire::{loggers::MemoryLogger, prelude::*};

use super::net::{Batch, Net, batches};

const LOG_EVERY_N_STEPS: u64 = 80;

/// The window between two logging steps. The first steps compile kernels. Two waits of burn's cover about 24 steps: as
/// long may the read of the logging step before the window take.
const WINDOW: [usize; 2] = [106, 153];

static SUBMITTED: AtomicU64 = AtomicU64::new(0);
static WAITED: AtomicU64 = AtomicU64::new(0);

/// Counts what wgpu reports.
struct Counter;

impl Log for Counter {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("wgpu_core")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = record.args().to_string();
            if text.starts_with("Queue::submit returned") {
                SUBMITTED.fetch_add(1, SeqCst);
            } else if text.starts_with("Device::maintain: waiting") {
                WAITED.fetch_add(1, SeqCst);
            }
        }
    }

    fn flush(&self) {}
}

fn counts() -> [u64; 2] {
    [SUBMITTED.load(SeqCst), WAITED.load(SeqCst)]
}

/// The counts at both ends of the window.
#[derive(Default)]
struct Window(Vec<[u64; 2]>);

impl Window {
    fn note(&mut self, batch_idx: usize) {
        if WINDOW.contains(&batch_idx) {
            self.0.push(counts());
        }
    }

    /// The submissions and the waits in the window.
    fn between(&self) -> Outcome<[u64; 2]> {
        match self.0[..] {
            [before, after] => Ok([after[0] - before[0], after[1] - before[1]]),
            _ => Err("the training ended in the window".into()),
        }
    }
}

impl<M: LightningModule> Callback<M> for Window {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, batch_idx: usize) -> Result<()> {
        self.note(batch_idx);
        Ok(())
    }
}

pub(super) fn check(device: &Device) -> Outcome<String> {
    log::set_logger(&Counter)?;
    log::set_max_level(LevelFilter::Trace);
    let batches = batches(4, device);
    let [submitted, waited] = by_hand(&batches, device)?;
    if counts()[0] == 0 {
        let is_wgpu = format!("{device:?}").to_lowercase().contains("wgpu");
        return if is_wgpu { Err("wgpu has not reported any submission".into()) } else { Ok("only counted on `wgpu`".into()) };
    }
    let loader = Loader::from_batches((0..=WINDOW[1]).map(|index| batches[index % 4].clone()).collect());
    let trainer = Trainer::new().logger(MemoryLogger::new()).enable_checkpointing(false).enable_progress_bar(false);
    let trainer = trainer.enable_model_summary(false).accelerator(device.clone()).max_epochs(1).log_every_n_steps(LOG_EVERY_N_STEPS);
    let mut trainer = trainer.callback(Window::default());
    let _ = trainer.fit(Net::new(), loader)?;
    let [ours, waits] = trainer.get::<Window>().ok_or("the callback is missing")?.between()?;
    let text =
        format!("{ours} submissions and {waits} waits in {} steps; {submitted} and {waited} in a hand-written loop", WINDOW[1] - WINDOW[0]);
    // burn submits every few kernels and waits after 512, so the counts depend on where the window begins. The sum of
    // the loss over the epoch is one more kernel in each step. A loop that waited in every tenth step would wait four
    // times more.
    if waits > waited + 2 || ours * 4 > submitted * 5 { Err(text.into()) } else { Ok(text) }
}

/// The same training in a hand-written loop.
fn by_hand(batches: &[Batch], device: &Device) -> Outcome<[u64; 2]> {
    let mut window = Window::default();
    let (mut module, mut optimizer) = (Net::new().fork(device).train(), AdamWConfig::new().init());
    for index in 0..=WINDOW[1] {
        let gradients = GradientsParams::from_grads(module.loss(batches[index % 4].clone()).backward(), &module);
        module = optimizer.step(0.02, module, gradients);
        window.note(index);
    }
    window.between()
}
