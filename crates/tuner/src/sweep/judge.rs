//! Reports the validations of a trial to the pruner, and the hyperparameters to the loggers.

use serde_json::{Map, Value};
use stormfire_loggers::{Hyperparams, Metrics};
use stormfire_module::{
    Callback, Context, LightningModule, Order, Result, RunningStage,
    state::{self, Saved},
};
use stormfire_values::Mode;

use super::{pruner::Pruner, record::TrialRecord};

pub(super) struct Judge {
    pub(super) params: Map<String, Value>,
    pub(super) monitor: String,
    pub(super) mode: Mode,
    pub(super) pruner: Pruner,
    pub(super) others: Vec<TrialRecord>,
    pub(super) reports: Vec<f64>,
    pub(super) is_pruned: bool,
}

impl Judge {
    fn report(&mut self, ctx: &mut Context<'_>, value: f64) {
        self.reports.push(value);
        if let Some(reason) = self.pruner.ends(&self.reports, &self.others, self.mode) {
            self.is_pruned = true;
            ctx.stop(reason);
        }
    }
}

impl<M: LightningModule> Callback<M> for Judge {
    fn name(&self) -> String {
        "Sweep".into()
    }

    fn order(&self) -> Order {
        Order::Watch
    }

    fn state(&self) -> Result<Saved> {
        state::save(&(&self.reports, self.is_pruned))
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        let mut both = (Vec::new(), false);
        state::load(&mut both, state)?;
        (self.reports, self.is_pruned) = both;
        Ok(())
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        // The page HParams of TensorBoard keeps the first call of a run.
        let of_module = module.hparams()?;
        let mut params = if of_module.is_null() { Hyperparams::new() } else { Hyperparams::from_json(of_module)? };
        params.update(Hyperparams::from_json(Value::Object(self.params.clone()))?);
        ctx.loggers().log_hyperparams(&params, &Metrics::from([(self.monitor.as_str(), f64::NAN)]));
        // The process was killed after the end of a pruned trial and before its record was written.
        if self.is_pruned {
            ctx.stop("pruned before the sweep continued");
        }
        Ok(())
    }

    fn on_validation_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if ctx.running() != RunningStage::SanityCheck {
            let value = ctx.metric(&self.monitor)?;
            self.report(ctx, value);
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if !ctx.limits().validates() && !ctx.run().is_cut_short() {
            let value = ctx.metric_of_epoch(&self.monitor)?;
            self.report(ctx, value);
        }
        Ok(())
    }
}
