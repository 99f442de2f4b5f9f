//! A hook that only has its default body is called once. No other call is lost.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails the test")]

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use burn::prelude::*;
use stormfire::{
    module::{Event, callback::call_hook},
    prelude::*,
};

use crate::support::{Batch, Line, line_data, quiet};

type Calls = Arc<AtomicUsize>;

/// A callback with one hook.
struct OneHook;

impl<M: LightningModule> Callback<M> for OneHook {
    fn on_train_epoch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        Ok(())
    }
}

/// Counts every event, and hands it to another callback.
struct Forwards<C>(C, Calls);

impl<M: LightningModule, C: Callback<M>> Callback<M> for Forwards<C> {
    fn on_event(&mut self, ctx: &mut Context<'_>, module: &mut M, event: &mut Event<'_, M::Batch>) -> Result<()> {
        self.1.fetch_add(1, Relaxed);
        self.0.on_event(ctx, module, event)
    }
}

/// Counts every event, and then calls its own hooks, which are defaults.
struct CallsItself(Calls);

impl<M: LightningModule> Callback<M> for CallsItself {
    fn on_event(&mut self, ctx: &mut Context<'_>, module: &mut M, event: &mut Event<'_, M::Batch>) -> Result<()> {
        self.0.fetch_add(1, Relaxed);
        call_hook(self, ctx, module, event)
    }
}

/// A hook that calls the default of another one last.
struct CallsAnother(Calls);

impl<M: LightningModule> Callback<M> for CallsAnother {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        self.0.fetch_add(1, Relaxed);
        Callback::<M>::on_train_epoch_start(self, ctx, module)
    }
}

/// A hook that calls the same hook of another callback last, which is a default there.
struct CallsSame(Calls);

impl<M: LightningModule> Callback<M> for CallsSame {
    fn on_train_batch_end(&mut self, ctx: &mut Context<'_>, module: &mut M, output: &StepOutput, batch_idx: usize) -> Result<()> {
        self.0.fetch_add(1, Relaxed);
        OneHook.on_event(ctx, module, &mut Event::TrainBatchEnd { output, batch_idx })
    }
}

/// A hook that trains another module, all of whose hooks are defaults.
struct TrainsAnother(Calls);

impl<M: LightningModule> Callback<M> for TrainsAnother {
    fn on_train_batch_end(&mut self, _ctx: &mut Context<'_>, _module: &mut M, _output: &StepOutput, _batch_idx: usize) -> Result<()> {
        self.0.fetch_add(1, Relaxed);
        quiet().max_steps(2).fit(Line::new(), line_data(2, 1)).map(drop)
    }
}

/// A module whose hook counts and ends with that of a part, which is a default.
#[derive(Module, Debug)]
struct Whole {
    part: Line,
    #[module(skip)]
    calls: Calls,
}

impl LightningModule for Whole {
    type Batch = Batch;

    fn training_step(&self, batch: Batch, _batch_idx: usize) -> Result<StepOutput> {
        Ok(self.part.loss(batch).into())
    }

    fn on_before_zero_grad(&mut self, ctx: &mut Context<'_>, optimizer: &str) -> Result<()> {
        self.calls.fetch_add(1, Relaxed);
        self.part.on_before_zero_grad(ctx, optimizer)
    }

    fn configure_optimizers(&self) -> Result<Optimizers> {
        self.part.configure_optimizers()
    }
}

const BATCHES: usize = 5;

fn calls(callback: impl FnOnce(Calls) -> Box<dyn FnOnce(Trainer<Whole>) -> Trainer<Whole>>) -> (usize, usize) {
    let (of_callback, of_module) = (Calls::default(), Calls::default());
    let module = Whole { part: Line::new(), calls: Arc::clone(&of_module) };
    let mut trainer = callback(Arc::clone(&of_callback))(quiet().max_epochs(1));
    let _ = trainer.fit(module, line_data(BATCHES, 1)).unwrap();
    (of_callback.load(Relaxed), of_module.load(Relaxed))
}

#[test]
fn no_call_is_lost() {
    // Six events of each batch, and those around the epoch.
    let (all, of_module) = calls(|calls| Box::new(|trainer| trainer.callback(CallsItself(calls))));
    assert!(all > 6 * BATCHES, "{all}");
    assert_eq!(of_module, BATCHES);
    assert_eq!(calls(|calls| Box::new(|trainer| trainer.callback(Forwards(OneHook, calls)))), (all, BATCHES));
    assert_eq!(calls(|calls| Box::new(|trainer| trainer.callback(CallsAnother(calls)))), (BATCHES, BATCHES));
    assert_eq!(calls(|calls| Box::new(|trainer| trainer.callback(CallsSame(calls)))), (BATCHES, BATCHES));
    assert_eq!(calls(|calls| Box::new(|trainer| trainer.callback(TrainsAnother(calls)))), (BATCHES, BATCHES));
}
