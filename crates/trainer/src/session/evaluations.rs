//! Runs without training: validation, test and prediction.

use stormfire_data::{DataModule, Loaders, Stage};
use stormfire_loggers::Metrics;
use stormfire_module::{
    Hook, LightningModule, PredictModule, Result, RunningStage, for_trainer::live_run, moment::Progress, prediction_sink::PredictionSink,
};

use super::{
    Session, on_ranks,
    prepare::{begin, of_data, of_rank, with_run_seed},
    print,
};
use crate::{
    config::TrainerConfig,
    engine::{Engine, over_ranks::of_zero},
    evaluate::{Evaluated, evaluate},
    flags::Flags,
    in_force::is_same,
    logger_step,
    move_module::{choose_device, move_module},
    predict::predict,
    results_table::results_table,
    setup::{draw_seed, limits_of},
    training::Training,
};

impl<M: LightningModule> Session<M> {
    /// `at` is the progress of the fit that wrote the weights, if they are from a checkpoint.
    pub(crate) fn evaluate<D: DataModule<Batch = M::Batch>>(
        &mut self,
        module: &M,
        mut data: D,
        running: RunningStage,
        at: Option<Progress>,
    ) -> Result<Vec<Metrics>> {
        let _active = live_run::begin(self.name());
        let is_test = running == RunningStage::Test;
        let stage = if is_test { Stage::Test } else { Stage::Validate };
        let mut module = self.for_evaluation(module, at.is_some())?;
        let of_fit = at.map(|at| std::mem::replace(&mut self.engine.run.place.progress, at));
        let results = self.run(stage, &mut module, &mut data, &mut Training::default(), |engine, module, data, _| {
            begin(engine, module, data, stage)?;
            on_ranks::require_same(engine, || on_ranks::facts_of(engine, module, on_ranks::must_be_the_same))?;
            on_ranks::share_weights(engine, module)?;
            let hook = if is_test { Hook::TestDataloader } else { Hook::ValDataloader };
            let limit_in = |config: &TrainerConfig| {
                if is_test {
                    (config.limit_test_batches, "limit_test_batches")
                } else {
                    let option = if config.overfit_batches.is_none() { "limit_val_batches" } else { "overfit_batches" };
                    (config.limit_val_batches, option)
                }
            };
            let (limit, option) = limit_in(&engine.frame.config);
            if limit.is_none() {
                engine.begin_logs()?;
                return Ok(Vec::new());
            }
            let loaders = of_data(engine, hook, || if is_test { data.test_dataloader() } else { data.val_dataloader() })?;
            require(&loaders, stage)?;
            let loaders = seeded(engine, &loaders)?;
            let loaders: Loaders<_> = loaders.iter().map(|loader| of_rank(engine, loader)).collect::<Result<_>>()?;
            let limits = limits_of(&loaders, limit, option, hook)?;
            // A rehearsal of one batch refuses the limits that its run refuses.
            if let Some(run) = &engine.frame.rehearsed {
                let (limit, option) = limit_in(&run.config);
                limits_of(&loaders, limit, option, hook)?;
            }
            on_ranks::require_same(engine, || Ok(on_ranks::facts_of_data(&loaders.iter().cloned().collect::<Vec<_>>(), &limits)))?;
            let known = &mut engine.run.limits;
            if is_test { &mut known.test_batches } else { &mut known.val_batches }.clone_from(&limits);
            logger_step::set_to_next(&mut engine.run.place);
            engine.begin_logs()?;
            let mut data = Evaluated::new(loaders, limits);
            let metrics = evaluate(engine, module, &mut data, running)?;
            engine.check_logs()?;
            Ok(metrics.by_loader(data.loaders.len()))
        });
        self.go_back_to(of_fit);
        let results = results?;
        if !self.engine.frame.config.barebones && results.iter().any(|metrics| !metrics.is_empty()) {
            let title = if is_test { "Test metric" } else { "Validate metric" };
            print(&self.engine.frame.ranks, "Results", &results_table(title, &results));
        }
        Ok(results)
    }

    pub(crate) fn predict<D: DataModule<Batch = M::Batch>>(
        &mut self,
        module: &M,
        mut data: D,
        at: Option<Progress>,
        sink: &mut dyn PredictionSink<M::Prediction>,
    ) -> Result<()>
    where
        M: PredictModule,
    {
        let _active = live_run::begin(self.name());
        let mut module = self.for_evaluation(module, at.is_some())?;
        let of_fit = at.map(|at| std::mem::replace(&mut self.engine.run.place.progress, at));
        let predictions = self.run(Stage::Predict, &mut module, &mut data, &mut Training::default(), |engine, module, data, _| {
            begin(engine, module, data, Stage::Predict)?;
            on_ranks::require_same(engine, || on_ranks::facts_of(engine, module, on_ranks::must_be_the_same))?;
            on_ranks::share_weights(engine, module)?;
            if engine.frame.config.limit_predict_batches.is_none() {
                engine.begin_logs()?;
                return Ok(());
            }
            logger_step::set_to_next(&mut engine.run.place);
            let loaders = of_data(engine, Hook::PredictDataloader, || data.predict_dataloader())?;
            require(&loaders, Stage::Predict)?;
            let loaders = seeded(engine, &loaders)?;
            let loaders: Loaders<_> = loaders.iter().map(|loader| of_rank(engine, loader)).collect::<Result<_>>()?;
            let limits = limits_of(&loaders, engine.frame.config.limit_predict_batches, "limit_predict_batches", Hook::PredictDataloader)?;
            if let Some(run) = &engine.frame.rehearsed {
                limits_of(&loaders, run.config.limit_predict_batches, "limit_predict_batches", Hook::PredictDataloader)?;
            }
            engine.run.limits.predict_batches.clone_from(&limits);
            engine.begin_logs()?;
            let facts = facts_of_prediction(engine, module, &loaders, &limits)?;
            predict(engine, module, &loaders, &limits, &facts, sink)?;
            engine.agree(Flags::default())?;
            engine.check_interrupt()
        });
        self.go_back_to(of_fit);
        predictions
    }

    /// Restores the progress of the newest fit for a checkpoint that is requested later.
    fn go_back_to(&mut self, of_fit: Option<Progress>) {
        if let Some(progress) = of_fit {
            self.engine.run.place.progress = progress;
        }
    }

    /// The module that the newest fit has returned, with the weights in force. `None` for another module.
    pub(crate) fn in_force(&mut self, module: &M) -> Result<Option<M>> {
        let Some(trained) = self.ended.as_ref().and_then(|ended| ended.trained.as_ref()) else { return Ok(None) };
        let device = module.devices().into_iter().next().unwrap_or_default().inner();
        if !is_same(&trained.clone().fork(&device), &module.valid())? {
            return Ok(None);
        }
        self.engine.given_weights(module)
    }

    /// A module for an evaluation. `is_loaded`: it has the weights of a checkpoint.
    fn for_evaluation(&mut self, module: &M, is_loaded: bool) -> Result<M> {
        let in_force = if is_loaded { None } else { self.in_force(module)? };
        if in_force.is_some() {
            tracing::info!("evaluates the weights in force, which a callback of the fit provides, not the trained ones");
        }
        let module = in_force.as_ref().unwrap_or(module);
        if self.engine.frame.logs_wait {
            // A refused fit was to continue the logs of its run. This run must not write to them.
            self.begin_new_logs(None)?;
        }
        self.engine.frame.device = choose_device(self.given.device.as_ref(), &self.engine.frame.config, module)?;
        let (engine, caster) = (&mut self.engine, self.given.caster);
        engine.precision.begin(engine.frame.config.precision, &engine.frame.device, module, caster)?;
        // Clones share uninitialized parameters, and a fit of the same module may follow.
        let module = move_module(module.clone(), &engine.frame.device, engine.frame.config.seed)?.valid();
        let module = engine.precision.parameters(module);
        self.start_threads(&module, false)?;
        Ok(module)
    }
}

/// The draws of batches depend on the Trainer's seed, as in a fit: the given seed, that of the newest fit, or one drawn
/// now.
fn seeded<M: LightningModule>(engine: &mut Engine<M>, loaders: &Loaders<M::Batch>) -> Result<Loaders<M::Batch>> {
    let seed = match engine.seed {
        Some(seed) => seed,
        None => *engine.seed.insert(of_zero(&engine.frame.ranks, draw_seed(&engine.frame.device)?)?),
    };
    Ok(with_run_seed(loaders, seed))
}

/// The facts on which a prediction depends, besides the weights.
fn facts_of_prediction<M: LightningModule>(
    engine: &Engine<M>,
    module: &M,
    loaders: &Loaders<M::Batch>,
    limits: &[Option<usize>],
) -> Result<String> {
    let loaders: Vec<_> = loaders.iter().cloned().collect();
    // No other option changes a prediction.
    let mut facts = on_ranks::facts_of(engine, module, |option| ["accelerator", "precision", "seed"].contains(&option))?;
    facts.extend(on_ranks::facts_of_data(&loaders, limits));
    facts.push(("number of ranks".to_owned(), engine.world().to_string()));
    Ok(facts.into_iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>().join("; "))
}

fn require<B: Send + 'static>(loaders: &Loaders<B>, stage: Stage) -> Result<()> {
    if loaders.is_empty() {
        return Err(stormfire_data::Error::LoaderMissing { stage }.into());
    }
    Ok(())
}
