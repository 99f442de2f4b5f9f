//! Callbacks that observe a fit, disturb it, and interrupt it.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Serialize};
use stormfire::{
    Event,
    module::{Hook, Order, RunningStage, requests::SaveRequest},
    prelude::*,
};

use super::net::{Net, draw};

/// The bits of a number. A checkpoint knows one NaN only, without a sign.
pub(crate) fn bits(value: f64) -> u64 {
    if value.is_nan() { f64::NAN } else { value }.to_bits()
}

/// An event of a fit: its number, its hook, and the visible state.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) number: u64,
    pub(crate) hook: Hook,
    /// A stop or a skip was requested.
    pub(crate) is_asked: bool,
    pub(crate) what: String,
}

/// Records every event, and requests checkpoints or raises a signal at some of them.
///
/// Its state is the number of the next event, so a resumed fit continues the numbering.
#[derive(Default)]
pub(crate) struct Observer {
    pub(crate) seen: Arc<Mutex<Vec<Seen>>>,
    pub(crate) reads: bool,
    pub(crate) asks: Vec<(u64, PathBuf)>,
    /// The number of the event at which a signal arrives, and the checkpoint that is requested when the signal ends the
    /// fit.
    pub(crate) interrupt: Option<(u64, PathBuf)>,
    pub(crate) next: u64,
}

/// Hooks that a resumed fit repeats, or that do not belong to the training.
fn is_frame(hook: Hook) -> bool {
    use Hook::{Exception, FitStart, LoadCheckpoint, PrepareData, SaveCheckpoint, Setup, Teardown, TrainStart};
    matches!(hook, PrepareData | Setup | Teardown | FitStart | TrainStart | SaveCheckpoint | LoadCheckpoint | Exception)
}

/// Whether `ThroughputMonitor` measured a metric.
pub(crate) fn is_measured(name: &str) -> bool {
    name.starts_with("train/") || name.starts_with("validate/")
}

fn save(ctx: &mut Context<'_>, path: &Path) {
    ctx.save_checkpoint(SaveRequest { path: path.into(), ..SaveRequest::default() });
}

impl Observer {
    fn describe(&self, ctx: &mut Context<'_>, event: &Event<'_, crate::support::Batch>) -> Result<String> {
        let run = ctx.run();
        let mut text = format!(
            "{:?} {:?} step {} logs {} validates {} last {} window {} lr {:?} stop {:?} skip {}",
            run.moment,
            run.place.progress,
            run.place.logger_step,
            run.place.logs_this_step,
            run.place.validation_is_due,
            run.place.is_last_batch,
            run.place.accumulate_grad_batches,
            run.place.learning_rates,
            run.place.requests.stop(),
            run.place.requests.skip_epoch
        );
        match event {
            Event::BeforeZeroGrad { optimizer } | Event::BeforeOptimizerStep { optimizer, .. } => {
                let _ = write!(text, " {optimizer}");
            }
            Event::TrainBatchStart { batch: (x, _), .. } | Event::ValidationBatchStart { batch: (x, _), .. } if self.reads => {
                let _ = write!(text, " {:?}", x.clone().into_data().iter::<f32>().collect::<Vec<_>>());
            }
            Event::TrainBatchEnd { .. } | Event::TrainEpochStart | Event::TrainEpochEnd | Event::ValidationStart | Event::ValidationEnd
                if self.reads =>
            {
                // Measured times differ between runs.
                for name in ctx.metric_names().into_iter().filter(|name| !is_measured(name)) {
                    let bits = bits(ctx.metric(&name)?);
                    let _ = write!(text, " {name} {bits:x}");
                }
            }
            _ => {}
        }
        Ok(text)
    }
}

impl Callback<Net> for Observer {
    /// It runs last, so it sees the requests of the others.
    fn order(&self) -> Order {
        Order::Save
    }

    fn on_event(&mut self, ctx: &mut Context<'_>, _module: &mut Net, event: &mut Event<'_, crate::support::Batch>) -> Result<()> {
        let hook = event.hook();
        if let (Hook::Exception, Some((_, path))) = (hook, &self.interrupt) {
            save(ctx, path);
        }
        let in_sanity_check = ctx.running() == RunningStage::SanityCheck;
        if is_frame(hook) || in_sanity_check {
            return Ok(());
        }
        let number = self.next;
        self.next += 1;
        let is_asked = ctx.run().place.requests.skip_epoch || ctx.stop_request().is_some();
        let what = self.describe(ctx, event)?;
        self.seen.lock().unwrap().push(Seen { number, hook, is_asked, what });
        for (_, path) in self.asks.iter().filter(|(at, _)| *at == number) {
            save(ctx, path);
        }
        if self.interrupt.as_ref().is_some_and(|(at, _)| *at == number) {
            signal_hook::low_level::raise(signal_hook::consts::SIGTERM)?;
        }
        Ok(())
    }

    fn state(&self) -> Result<Saved> {
        state::save(&self.next)
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        state::load(&mut self.next, state)
    }
}

/// Logs, draws random numbers, and may skip the rest of an epoch or request a stop.
#[derive(Default)]
pub(crate) struct Busy {
    /// Epoch, batch, and whether the skip is requested before that batch.
    pub(crate) skip: Option<(usize, usize, bool)>,
    /// The epoch and the batch after which a stop is requested.
    pub(crate) stop: Option<(usize, usize)>,
    /// The epoch from which the hidden layer is trained.
    pub(crate) unfreeze: Option<usize>,
    /// The number of batches that the data module has counted. It is also part of the state.
    pub(crate) given: Arc<AtomicU64>,
    pub(crate) kept: Kept,
}

/// The state of the callback. JSON has no number for some of its values.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Kept {
    batches: u64,
    best: f64,
    worst: f32,
    /// One entry per epoch: the best value before it.
    by_best: Vec<(f64, Option<f32>)>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { batches: 0, best: f64::INFINITY, worst: f32::NEG_INFINITY, by_best: vec![(f64::NAN, None)] }
    }
}

impl Busy {
    fn skip(&self, ctx: &mut Context<'_>, batch_idx: usize, before: bool) {
        if self.skip == Some((ctx.current_epoch(), batch_idx, before)) {
            ctx.skip_epoch();
        }
    }
}

impl Callback<Net> for Busy {
    fn on_event(&mut self, ctx: &mut Context<'_>, module: &mut Net, event: &mut Event<'_, crate::support::Batch>) -> Result<()> {
        match event {
            Event::TrainEpochStart => {
                if self.unfreeze == Some(ctx.current_epoch()) {
                    module.unfreeze();
                }
                self.kept.by_best.push((self.kept.best, Some(self.kept.worst)));
                drop(ctx.log("start_noise", draw()));
            }
            Event::TrainBatchStart { batch_idx, .. } => self.skip(ctx, *batch_idx, true),
            Event::TrainBatchEnd { batch_idx, .. } => {
                self.kept.batches += 1;
                let given = self.given.fetch_add(1, Ordering::Relaxed);
                drop(ctx.log("given", given).on_epoch(true).reduce_fx(ReduceFx::Max));
                drop(ctx.log("batches", self.kept.batches).on_epoch(true).reduce_fx(ReduceFx::Max));
                drop(ctx.log("batch_noise", draw()).on_step(true).on_epoch(true));
                self.skip(ctx, *batch_idx, false);
                if self.stop == Some((ctx.current_epoch(), *batch_idx)) {
                    ctx.stop("enough");
                }
            }
            Event::ValidationStart | Event::ValidationBatchEnd { .. } => drop(ctx.log("val_batch_noise", draw())),
            Event::ValidationEpochEnd => drop(ctx.log("val_epoch_noise", draw())),
            Event::ValidationEnd if ctx.running() != RunningStage::SanityCheck => {
                let drawn = draw().into_scalar::<f32>();
                self.kept.best = self.kept.best.min(drawn.into());
                self.kept.worst = self.kept.worst.max(drawn);
                ctx.log_metrics(&[("val_end_noise", f64::from(drawn))].into())?;
            }
            Event::TrainEpochEnd => drop(ctx.log("end_noise", draw())),
            _ => {}
        }
        Ok(())
    }

    fn state(&self) -> Result<Saved> {
        state::save(&self.kept)
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        state::load(&mut self.kept, state)
    }
}
