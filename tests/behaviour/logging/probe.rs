//! A module and a callback that run a test's script.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use burn::prelude::*;
use stormfire::{
    loggers::{MemoryLogger, Metrics},
    module::hooks,
    prelude::*,
};

use crate::{
    error_text::error_text,
    support::{Batch, Line, recording},
};

/// Runs in every hook and step of the module. The argument is the hook.
#[derive(Clone)]
struct Script(Arc<dyn Fn(Hook) + Send + Sync>);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Script")
    }
}

/// A [`Line`] that runs a script in every hook and step.
#[derive(Module, Debug)]
pub(super) struct Probe {
    line: Line,
    #[module(skip)]
    script: Script,
    #[module(skip)]
    lossless: Option<usize>,
    #[module(skip)]
    counts_items: bool,
}

impl Probe {
    pub(super) fn new(script: impl Fn(Hook) + Send + Sync + 'static) -> Self {
        Self { line: Line::new(), script: Script(Arc::new(script)), lossless: None, counts_items: false }
    }

    /// Runs the code in one hook only.
    pub(super) fn at(hook: Hook, code: impl Fn() + Send + Sync + 'static) -> Self {
        Self::new(move |at| {
            if at == hook {
                code();
            }
        })
    }

    /// Does nothing.
    pub(super) fn silent() -> Self {
        Self::new(|_| ())
    }

    /// Returns no loss in this batch of each epoch, so the optimizer does not step.
    pub(super) fn without_loss_in(mut self, batch_idx: usize) -> Self {
        self.lossless = Some(batch_idx);
        self
    }

    /// Reports the number of items of a batch itself.
    pub(super) fn counting_items(mut self) -> Self {
        self.counts_items = true;
        self
    }

    fn run(&self, hook: Hook) {
        (self.script.0)(hook);
    }
}

macro_rules! scripted_hooks {
    ($($(#[$doc:meta])* $hook:ident => $event:ident $({ $($arg:ident: $ty:ty),* })?;)*) => {$(
        fn $hook(&mut self, _: &mut Context<'_> $($(, _: $ty)*)?) -> Result<()> {
            self.run(Hook::$event);
            Ok(())
        }
    )*};
}

impl LightningModule for Probe {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.run(Hook::TrainingStep);
        Ok(if self.lossless == Some(batch_idx) { StepOutput::none() } else { self.line.loss(batch).into() })
    }

    fn validation_step(&self, _batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.run(Hook::ValidationStep);
        Ok(StepOutput::none())
    }

    fn test_step(&self, _batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        self.run(Hook::TestStep);
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.run(Hook::ConfigureOptimizers);
        self.line.configure_optimizers()
    }

    fn batch_size(&self, (x, _): &Batch) -> Option<usize> {
        self.counts_items.then(|| x.dims()[0])
    }

    hooks!(scripted_hooks<'_, Batch>);
}

impl PredictModule for Probe {
    type Prediction = ();

    fn predict_step(&self, _batch: Batch, _batch_idx: usize) -> Result<()> {
        self.run(Hook::PredictStep);
        Ok(())
    }
}

struct Watch<F>(F);

impl<F: FnMut(&mut Context<'_>, Hook) -> Result<()> + 'static> Callback<Probe> for Watch<F> {
    fn on_event(&mut self, ctx: &mut Context<'_>, _module: &mut Probe, event: &mut stormfire::Event<'_, Batch>) -> Result<()> {
        (self.0)(ctx, event.hook())
    }
}

/// A callback that runs in every event.
pub(super) fn watch(code: impl FnMut(&mut Context<'_>, Hook) -> Result<()> + 'static) -> impl Callback<Probe> {
    Watch(code)
}

/// Counts its calls from 1.
pub(super) fn counter() -> impl Fn() -> usize + Clone + Send + Sync + 'static {
    let calls = Arc::new(AtomicUsize::new(0));
    move || calls.fetch_add(1, Ordering::SeqCst) + 1
}

/// Yields these values one after another.
pub(super) fn each_of<const N: usize>(values: [f64; N]) -> impl Fn() -> f64 + Send + Sync + 'static {
    let next = counter();
    move || values[next() - 1]
}

/// A number as a tensor of one element.
pub(super) fn on_device(value: f64) -> Tensor<1> {
    Tensor::full([1], value, &Device::flex())
}

/// A Trainer that logs every step, without a sanity check.
pub(super) fn trainer(logger: &MemoryLogger) -> Trainer<Probe> {
    recording(logger).log_every_n_steps(1).num_sanity_val_steps(0)
}

/// `name=value` of each metric.
pub(super) fn text(metrics: &Metrics) -> String {
    metrics.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}

/// The calls of a logger, one per line. The step precedes the metrics.
pub(super) fn lines(logger: &MemoryLogger) -> Vec<String> {
    let line = |(metrics, step): &(Metrics, Option<u64>)| format!("{}: {}", step.map_or("-".into(), |s| s.to_string()), text(metrics));
    logger.metrics().iter().map(line).collect()
}

/// Fits a probe with the options of `set`, and checks that the logger receives exactly these lines.
#[track_caller]
pub(super) fn check<D: DataModule<Batch = Batch>>(
    probe: Probe,
    data: D,
    set: impl FnOnce(Trainer<Probe>) -> Trainer<Probe>,
    expected: &[&str],
) {
    let logger = MemoryLogger::new();
    let fit = set(trainer(&logger)).fit(probe, data);
    assert!(fit.is_ok(), "{:?}", fit.err());
    assert_eq!(lines(&logger), expected);
}

/// The error of a fit of one epoch.
#[track_caller]
pub(super) fn refused<D: DataModule<Batch = Batch>>(probe: Probe, data: D) -> String {
    error_text(trainer(&MemoryLogger::new()).max_epochs(1).fit(probe, data))
}
