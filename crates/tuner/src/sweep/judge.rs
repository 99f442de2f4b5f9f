//! Reports the validations of a trial to the pruner, and the hyperparameters to the loggers.

use std::path::PathBuf;

use serde_json::Value;
use stormfire_loggers::{Hyperparams, Metrics};
use stormfire_module::{
    Callback, Context, LightningModule, Order, Result, RunningStage,
    state::{self, Saved},
};
use stormfire_values::Mode;

use super::{journal, pruner::Pruner, record::TrialRecord};

/// The trials that a pruner compares with.
pub(super) enum Others {
    /// Nothing else changes them.
    Known(Vec<TrialRecord>),
    /// Other processes run them. They note their validations in this folder, and so does this one.
    InFolder(PathBuf),
}

pub(super) struct Judge {
    record: TrialRecord,
    monitor: String,
    mode: Mode,
    pruner: Pruner,
    others: Others,
    is_pruned: bool,
}

/// The reports that a judge has seen.
#[derive(Default)]
pub(super) struct Seen {
    pub(super) reports: Vec<f64>,
    pub(super) is_pruned: bool,
}

impl Judge {
    pub(super) fn new(record: TrialRecord, monitor: &str, mode: Mode, pruner: &Pruner, others: Others) -> Self {
        let record = TrialRecord { reports: Vec::new(), ..record };
        Self { record, monitor: monitor.to_owned(), mode, pruner: pruner.clone(), others, is_pruned: false }
    }

    pub(super) fn seen(&self) -> Seen {
        Seen { reports: self.record.reports.clone(), is_pruned: self.is_pruned }
    }

    fn report(&mut self, ctx: &mut Context<'_>, value: f64) -> Result<()> {
        self.record.reports.push(value);
        if self.pruner.is_none() {
            return Ok(());
        }
        let reason = match &self.others {
            Others::Known(others) => self.pruner.ends(&self.record.reports, others, self.mode),
            Others::InFolder(folder) => {
                journal::write_record(folder, &self.record)?;
                let mut others = journal::read_records(folder)?;
                others.retain(|other| other.number != self.record.number);
                self.pruner.ends(&self.record.reports, &others, self.mode)
            }
        };
        if let Some(reason) = reason {
            self.is_pruned = true;
            ctx.stop(reason);
        }
        Ok(())
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
        state::save(&(&self.record.reports, self.is_pruned))
    }

    fn load_state(&mut self, state: Saved) -> Result<()> {
        let mut both = (Vec::new(), false);
        state::load(&mut both, state)?;
        (self.record.reports, self.is_pruned) = both;
        Ok(())
    }

    fn on_fit_start(&mut self, ctx: &mut Context<'_>, module: &mut M) -> Result<()> {
        // The page HParams of TensorBoard keeps the first call of a run.
        let mut params = Hyperparams::from_json(ctx.run().internals.hparams(module.hparams()?))?;
        params.update(Hyperparams::from_json(Value::Object(self.record.params.clone()))?);
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
            self.report(ctx, value)?;
        }
        Ok(())
    }

    fn on_train_epoch_end(&mut self, ctx: &mut Context<'_>, _module: &mut M) -> Result<()> {
        if !ctx.limits().validates() && !ctx.run().is_cut_short() {
            let value = ctx.metric_of_epoch(&self.monitor)?;
            self.report(ctx, value)?;
        }
        Ok(())
    }
}
