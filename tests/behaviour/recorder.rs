//! Records all events of a run, and can make a hook fail.

#![expect(clippy::panic, reason = "a panic is what is tested, or fails the test")]

use std::sync::{Arc, Mutex, PoisonError};

use burn::{
    nn::{Initializer, Linear, LinearConfig},
    optim::SgdConfig,
    prelude::*,
};
use stormfire::{
    Event,
    module::{Order, hooks, requests::SaveRequest},
    prelude::*,
};
use stormfire_module::for_trainer::scope;

use crate::support::{Batch, Line};

/// The action of an observer when it records a line.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Stop,
    SkipEpoch,
    Fail,
    Panic,
    Save(SaveRequest),
}

/// The recorded lines, each with its observer: `C`allback, `M`odule, `S`aving callback.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    lines: Arc<Mutex<Vec<(char, String)>>>,
    acts: Arc<Vec<(char, String, Act)>>,
}

impl Record {
    /// A record in which `who` acts when it records `line`.
    pub(crate) fn acting(acts: impl IntoIterator<Item = (char, &'static str, Act)>) -> Self {
        let acts = acts.into_iter().map(|(who, line, act)| (who, line.to_string(), act)).collect();
        Self { acts: Arc::new(acts), ..Self::default() }
    }

    fn write(&self, who: char, line: String) -> Option<Act> {
        let act = self.acts.iter().find(|(actor, at, _)| *actor == who && *at == line).map(|(.., act)| act.clone());
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).push((who, line));
        act
    }

    fn hook<B>(&self, who: char, ctx: &mut Context<'_>, event: &Event<'_, B>) -> Result<()> {
        match self.write(who, describe(ctx, event)) {
            None => {}
            Some(Act::Stop) => ctx.stop("enough"),
            Some(Act::SkipEpoch) => ctx.skip_epoch(),
            Some(Act::Save(request)) => ctx.save_checkpoint(request),
            Some(Act::Fail) => return Err(Error::other("it went wrong")),
            Some(Act::Panic) => panic!("it went very wrong"),
        }
        Ok(())
    }

    /// Records a step of the module, with the position that the module sees.
    fn step(&self, batch_idx: usize) {
        let (Some(hook), moment) = (scope::hook(), scope::moment()) else { return };
        let place = if moment.stage == stormfire::module::RunningStage::Train {
            format!("e{} b{batch_idx}", moment.epoch)
        } else {
            format!("l{} b{batch_idx}", moment.dataloader_idx)
        };
        if let Some(Act::Panic) = self.write('M', format!("{hook} {place}")) {
            panic!("it went very wrong");
        }
    }

    /// All lines, one event per line. `CMS` means that callback, module and saving callback saw the event, in this
    /// order.
    pub(crate) fn text(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let mut merged: Vec<(String, &str)> = Vec::new();
        for (who, line) in lines.iter() {
            match merged.last_mut() {
                Some((all, last)) if last == line && !all.contains(*who) => all.push(*who),
                _ => merged.push((who.to_string(), line)),
            }
        }
        let lines = merged.iter().map(|(who, line)| format!("{who:3} {line}\n"));
        lines.collect::<Vec<_>>().concat()
    }

    /// The end of [`Record::text`], starting with `line`.
    pub(crate) fn from(&self, line: &str) -> String {
        let text = self.text();
        let lines: Vec<_> = text.lines().skip_while(|found| found[4..] != *line).map(|line| format!("{line}\n")).collect();
        lines.concat()
    }

    /// The part of [`Record::text`] between two lines, without them.
    pub(crate) fn between(&self, first: &str, last: &str) -> String {
        let text = self.text();
        let at = |line: &str| text.find(&format!(" {line}\n")).unwrap_or_else(|| panic!("`{line}` is missing in:\n{text}"));
        let (start, end) = (at(first) + first.len() + 2, at(last));
        text[start..end].rsplit_once('\n').map_or(String::new(), |(lines, _)| format!("{lines}\n"))
    }
}

fn describe<B>(ctx: &Context<'_>, event: &Event<'_, B>) -> String {
    let hook = event.hook();
    let epoch = ctx.current_epoch();
    match event {
        Event::Setup { stage } | Event::Teardown { stage } => format!("{hook} {stage}"),
        Event::TrainEpochStart | Event::TrainEpochEnd => format!("{hook} e{epoch}"),
        Event::TrainBatchStart { batch_idx, .. } | Event::TrainBatchEnd { batch_idx, .. } => format!("{hook} e{epoch} b{batch_idx}"),
        Event::BeforeZeroGrad { optimizer } | Event::BeforeOptimizerStep { optimizer, .. } => format!("{hook} {optimizer}"),
        Event::ValidationBatchStart { batch_idx, dataloader_idx, .. }
        | Event::ValidationBatchEnd { batch_idx, dataloader_idx, .. }
        | Event::TestBatchStart { batch_idx, dataloader_idx, .. }
        | Event::TestBatchEnd { batch_idx, dataloader_idx, .. }
        | Event::PredictBatchStart { batch_idx, dataloader_idx, .. }
        | Event::PredictBatchEnd { batch_idx, dataloader_idx, .. } => format!("{hook} l{dataloader_idx} b{batch_idx}"),
        Event::Exception { error } => format!("{hook} {error}"),
        _ => hook.to_string(),
    }
}

/// A callback that records every event, as `C`, or as `S` with the order `Save`.
#[derive(Debug)]
pub(crate) struct Recorder {
    record: Record,
    order: Order,
}

impl Recorder {
    pub(crate) fn ordinary(record: &Record) -> Self {
        Self { record: record.clone(), order: Order::Ordinary }
    }

    pub(crate) fn saving(record: &Record) -> Self {
        Self { record: record.clone(), order: Order::Save }
    }
}

impl<M: LightningModule> Callback<M> for Recorder {
    fn order(&self) -> Order {
        self.order
    }

    fn on_event(&mut self, ctx: &mut Context<'_>, _module: &mut M, event: &mut Event<'_, M::Batch>) -> Result<()> {
        self.record.hook(if self.order == Order::Save { 'S' } else { 'C' }, ctx, event)
    }
}

/// Records each hook of a module.
macro_rules! recording_hooks {
    ($($(#[$doc:meta])* $hook:ident => $event:ident $({ $($arg:ident: $ty:ty),* })?;)*) => {$(
        fn $hook(&mut self, ctx: &mut Context<'_> $($(, $arg: $ty)*)?) -> Result<()> {
            let event: Event<'_, Batch> = Event::$event $({ $($arg),* })?;
            self.record.hook('M', ctx, &event)
        }
    )*};
}

/// A [`Line`] that records its hooks and steps.
#[derive(Module, Debug)]
pub(crate) struct Recorded {
    line: Line,
    #[module(skip)]
    record: Record,
}

impl Recorded {
    pub(crate) fn new(record: &Record) -> Self {
        Self { line: Line::new(), record: record.clone() }
    }
}

impl LightningModule for Recorded {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.record.step(batch_idx);
        self.line.training_step(batch, batch_idx)
    }

    fn validation_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.record.step(batch_idx);
        self.line.validation_step(batch, batch_idx)
    }

    fn test_step(&self, batch: Batch, batch_idx: usize) -> Result<StepOutput> {
        self.record.step(batch_idx);
        self.line.test_step(batch, batch_idx)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.record.write('M', "configure_optimizers".into());
        self.line.configure_optimizers()
    }

    hooks!(recording_hooks<'_, Batch>);
}

impl PredictModule for Recorded {
    type Prediction = usize;

    fn predict_step(&self, _batch: Batch, batch_idx: usize) -> Result<usize> {
        self.record.step(batch_idx);
        Ok(10 * batch_idx)
    }
}

/// Two lines with one optimizer each and manual optimization. The first batch trains both, the others only the second.
#[derive(Module, Debug)]
pub(crate) struct Manual {
    first: Linear,
    second: Linear,
    #[module(skip)]
    record: Record,
}

impl Manual {
    pub(crate) fn new(record: &Record) -> Self {
        let linear = || LinearConfig::new(1, 1).with_initializer(Initializer::Ones).init(&Device::flex());
        Self { first: linear(), second: linear(), record: record.clone() }
    }
}

impl LightningModule for Manual {
    type Batch = Batch;

    fn training_batch(&mut self, (x, y): Batch, batch_idx: usize, opt: &mut Stepper<'_, Self>) -> Result<StepOutput> {
        self.record.step(batch_idx);
        if batch_idx == 0 {
            let loss = (self.first.forward(x.clone()) - y.clone()).powi_scalar(2).mean();
            opt.step("first", self, &loss)?;
        }
        let loss = (self.second.forward(x) - y).powi_scalar(2).mean();
        opt.step("second", self, &loss)?;
        Ok(StepOutput::none())
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.record.write('M', "configure_optimizers".into());
        let sgd = || Optimizer::new(SgdConfig::new(), 0.01);
        Ok([sgd().named("first").params_of(&self.first), sgd().named("second").params_of(&self.second)].into())
    }

    hooks!(recording_hooks<'_, Batch>);
}
